"""The generated page of problem codes: for each the fault, the line, the mend, and why it matters."""

from collections.abc import Mapping
from typing import Any

from playbooks.problems import CODES

HEAD = "stanch: 1\nid: example\nversion: 1.0.0\ntitle: Example\n"
Entry = Mapping[str, Any]


def problems_page(entries: Mapping[str, Entry], generated: str) -> str:
    """Every code in the order of the list, with its fault and its mend."""
    lines = [generated, "", "# Problems of playbooks, and their mends", ""]
    lines += [
        "`stanch playbook validate` says what is wrong as `FILE:LINE:COLUMN: SEVERITY CODE: MESSAGE`. This page shows "
        "for each code a fault that gives it, the mend, and why it matters. An example that begins with a step stands "
        "under `steps` of a playbook; lines are counted in what is shown.",
    ]
    for code in CODES:
        lines += ["", *_section(code, entries[code])]
    return "\n".join(lines) + "\n"


def _section(code: str, entry: Entry) -> list[str]:
    lines = [f"## {code}", "", CODES[code], "", entry["why"]]
    if "never" in entry:
        return [*lines, "", entry["never"]]
    if "file" in entry:
        return [
            *lines,
            "",
            f"`stanch playbook validate {entry['file']}`, where there is no such file. {entry['mend_said']}",
        ]
    where = f"stands at line {entry['line']}" if "line" in entry else f"stands at `{entry['place']}`"
    times = f", {entry['times']:,} times," if "times" in entry else ""
    lines += ["", f"The fault{times} {where}:", "", *_code(entry["fault"])]
    for name, text in entry.get("others", {}).items():
        lines += ["", f"and the playbook `{name}`:", "", *_code(text)]
    lines += ["", "The mend:", "", *_code(entry["mend"])]
    for name, text in entry.get("mend_others", {}).items():
        lines += ["", f"and the playbook `{name}`:", "", *_code(text)]
    return lines


def _code(text: str) -> list[str]:
    return ["```yaml", text.rstrip(), "```"]


def whole(text: str, *, name: str = "example", times: int = 1) -> tuple[str, int]:
    """A fault or a mend as a whole file, and how many lines stand above what is shown."""
    head = HEAD.replace("id: example", f"id: {name}")
    if text.startswith("stanch:"):
        head = head.partition("\n")[2]
    if not text.startswith("- "):
        return head + text, head.count("\n")
    indented = "".join(f"  {line}\n" for line in text.rstrip().splitlines())
    return f"{head}steps:\n{indented * times}", head.count("\n") + 1
