"""What ``stanch playbook plan`` shows people: every step with what it would do, who must approve it, and why. Pure."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from playbooks.policy import together
from worker.cli.card import WIDTH
from worker.cli.output import clean

MARKS = {"runs": "▸", "depends": "?", "skipped": "-"}
SAMPLE = 5
INDENT = "  "


def lines(document: Mapping[str, Any]) -> list[str]:
    """The whole plan, line by line."""
    title = f"{clean(document['playbook'])} {clean(document['version'])}"
    found = [
        f"{title}, severity {document['severity']}, {document['mode']}",
        f"plan {document['digest']}",
        "▸ runs   ? not known before whether it runs   - does not run. Nothing was changed.",
    ]
    if document["offline"]:
        found.append("No system was asked: what reads find, and what effects would change, is not known.")
    blocks: dict[int, str] = {}
    around: dict[int, set[str]] = {}
    for step in document["steps"]:
        depth, block = step["depth"], step["block"]
        blocks = {level: name for level, name in blocks.items() if level <= depth}
        if blocks.get(depth) != block and block not in ("", "do"):
            found.append(f"{INDENT * depth}{clean(block)}:" if depth else f"{clean(block)}:")
        blocks[depth], around[depth] = block, set(step["because"])
        # What the enclosing step depends on was said there.
        because = [reason for reason in step["because"] if reason not in around.get(depth - 1, ())]
        found += _step(step, because, offline=document["offline"])
    if document["problems"]:
        found += ["", f"{len(document['problems'])} problem(s):"]
        for problem in document["problems"]:
            found += _wrap(f"{clean(problem['step'])}: {clean(problem['message'])} [{problem['code']}]", INDENT)
    return found


def _step(step: Mapping[str, Any], because: Sequence[str], *, offline: bool) -> list[str]:
    indent = INDENT * (step["depth"] + 1)
    item = f" [{clean(step['item'])}]" if step["item"] is not None else ""
    what = step.get("action") or step["kind"]
    title = f"  {clean(step['title'])}" if step["title"] else ""
    head = f"{MARKS[step['status']]} {clean(step['id'] or step['path'])}{item}  {what}{title}"
    found = _wrap(head, indent, indent + INDENT)
    inner = indent + "    "
    if because:
        said = "not run" if step["status"] == "skipped" else "depends on"
        found += _wrap(f"{said}: {clean(', '.join(because))}", inner)
    if step["status"] == "skipped":
        return found
    if step["text"]:
        found += _wrap(f"“{clean(step['text'])}”", inner)
    for name, reasons in step["unknown"].items():
        found += _wrap(f"{clean(name)}: not known before: depends on {clean(', '.join(reasons))}", inner)
    if step.get("summary"):
        found += _wrap(f"now: {clean(step['summary'])}", inner)
    found += _found(step.get("output") or {}, inner)
    if step.get("missing") and not offline:
        found += _wrap(f"no preview: {clean(step['missing']['message'])}", inner)
    if step.get("preview"):
        found += _preview(step["preview"], inner)
    if step.get("reversible") is not None:
        because = f": {clean(step['irreversible_because'])}" if step["irreversible_because"] else ""
        found += _wrap("can be undone" if step["reversible"] else f"CANNOT be undone{because}", inner)
    return found + _approval(step, inner)


def _found(output: Mapping[str, Any], indent: str) -> list[str]:
    found = []
    for name, value in output.items():
        if isinstance(value, Mapping) and "sha256" in value:
            sample = _some(value.get("sample") or (), int(value.get("count") or 0))
            value = f"{value.get('count')} ({sample})" if sample else "none"
        elif isinstance(value, bool):
            value = "yes" if value else "no"
        found += _wrap(f"{clean(name)}: {clean(value)[:200]}", indent)
    return found


def _preview(preview: Mapping[str, Any], indent: str) -> list[str]:
    found = _wrap(f"would: {clean(preview['summary'])}", indent)
    already = f", {preview['already']} already so" if preview["already"] else ""
    sample = _some(preview["labels"] or preview["sample"], preview["count"])
    found += _wrap(f"{preview['count']} would change{already}" + (f": {sample}" if sample else ""), indent)
    found += [line for impact in preview["impact"] for line in _wrap(f"stops: {clean(impact)}", indent)]
    if preview["protected"]:
        found += _wrap(f"PROTECTED: {', '.join(map(clean, preview['protected']))}", indent)
    if preview["excluded"]:
        found += _wrap(f"left out: {', '.join(map(clean, preview['excluded']))}", indent)
    return found


def _approval(step: Mapping[str, Any], indent: str) -> list[str]:
    approval = step["approval"]
    if approval is None:
        return []
    needs = approval["needs"]
    if approval.get("refused"):
        return _wrap(f"REFUSED by policy: {clean(approval['rule'])}", indent)
    if approval.get("by"):
        return _wrap(f"approved at {clean(approval['by'])}; policy: {clean(approval['rule'])}", indent)
    if not needs:
        known = ", as far as is known" if approval.get("certain") is False else ""
        return _wrap(f"nobody is asked{known}: {clean(approval['rule'])}", indent)
    verb = {"approve": "approves", "ask": "answers", "human": "does it"}.get(step["kind"], "must approve")
    least = "at least " if approval.get("certain") is False else ""
    who = ", ".join(f"{need['count']} of {clean(' or '.join(need['roles']))}" for need in needs)
    people = f" ({', '.join(map(clean, approval['people'])) or 'nobody'})" if "people" in approval else ""
    found = _wrap(f"{verb}: {least}{who}{people}", indent)
    found += _wrap(f"because of: {clean(together(*(need['why'] for need in needs)))}", indent)
    if approval.get("in_advance"):
        said = (
            f"approved in advance by {', '.join(approval['in_advance'])}: nobody is asked, unless one of them starts it"
        )
        return found + _wrap(clean(said), indent)
    if approval.get("missing"):
        found += _wrap(f"NOT ENOUGH PEOPLE: {clean('; '.join(approval['missing']))}", indent)
    return found


def _some(sample: Any, count: int) -> str:
    shown = ", ".join(map(clean, list(sample)[:SAMPLE]))
    more = count - min(SAMPLE, len(sample))
    return f"{shown} and {more} more" if shown and more > 0 else shown


def _wrap(text: str, indent: str, later: str | None = None) -> list[str]:
    return textwrap.wrap(
        text, WIDTH, initial_indent=indent, subsequent_indent=later or indent + "  ", break_on_hyphens=False
    )
