"""What a responder sees at 3 a.m.: first what waits and what to type, then the rest. Pure."""

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from playbooks.policy import together
from worker.cli.output import clean
from worker.wording import ENDED, MARKS, MEANINGS, NO_CHANGE, SETTLED, only_starts, remaining, spell

WIDTH = 92
SAMPLE = 8
COLOURS = {"waiting": "33;1", "failed": "31;1", "denied": "31", "unknown": "31;1", "done": "32"}


class Paint:
    """Colour, only where a terminal shows it."""

    def __init__(self, on: bool = False) -> None:
        self._on = on

    def __call__(self, text: str, style: str) -> str:
        """The text in a style (an SGR sequence), or as it is."""
        return f"\x1b[{style}m{text}\x1b[0m" if self._on and style else text

    def heading(self, text: str) -> str:
        """A heading."""
        return self(text, "1")


PLAIN = Paint()


def incident(document: Mapping[str, Any], now: datetime, paint: Paint = PLAIN) -> str:
    """The whole of ``incident show``."""
    lines = [_title(document, paint)]
    hold = document.get("hold") or {}
    if hold.get("on"):
        lines.append(paint(f"HOLD by {clean(hold['person'])}: {clean(hold['reason'])}", "31;1"))
        lines.append("  No new effect starts anywhere. `stanch hold off` lets them go on.")
    lines += [line for run in document["runs"] for line in _incomplete(document, run, paint)]
    waiting = sorted(document["waiting"], key=lambda entry: entry.get("until") or "9999")
    if waiting:
        for entry in waiting:
            lines += ["", question(document["incident"], entry, now, paint)]
    else:
        lines += ["", "Nothing waits for a decision."]
    lines += ["", *_standing(document, now, paint)]
    return "\n".join(lines)


def _incomplete(document: Mapping[str, Any], run: Mapping[str, Any], paint: Paint) -> list[str]:
    """Undos of a run that left something, unless a later one took that back."""
    if run.get("followed_by"):
        return []
    lines, asked = [], list(run.get("undos") or ())
    for number, undo in enumerate(asked):
        later = any(each["end"] == "undone" and each["step"] in (None, undo["step"]) for each in asked[number + 1 :])
        if undo["end"] != "partly" or later:
            continue
        by = f", asked for by {clean(undo['person'])}" if undo.get("person") else ""
        lines.append(paint(f"UNDO NOT COMPLETE in {run['id']}{by}", "31;1"))
        lines += [part for left in undo["left"] for part in _wrap(f"left: {clean(left)}", "  ", "    ")]
        if any(effect["run"] == run["id"] for effect in document.get("undoable") or ()):
            lines.append(f"  Mend the cause, then `stanch incident undo {document['incident']}` asks for the rest.")
        lines.append("  What is no longer as Stanch left it, look at by hand.")
    return lines


def question(incident: str, entry: Mapping[str, Any], now: datetime, paint: Paint = PLAIN) -> str:
    """One waiting decision: what, exactly; who; until when; what to type."""
    left = remaining(entry.get("until"), now)
    lines = [paint.heading(f"WAITS  {clean(entry['step'])}  ({clean(entry['kind'])}, {left})")]
    lines += _wrap(clean(entry["question"]), "  ")
    for line in entry.get("difference") or ():
        lines += _wrap(f"changed: {clean(line)}", "  ")
    for step in entry.get("preview") or ():
        lines += _preview(step, undo=entry["kind"] == "undo")
    for line in entry.get("remains") or ():
        lines += _wrap(f"cannot be undone: {clean(line)}", "  ")
    lines += _form(entry.get("form") or {})
    if entry["kind"] in ("failure", "unknown"):
        lines += [f"  • {verdict}: {MEANINGS[verdict]}" for verdict in entry["verdicts"] if verdict in MEANINGS]
    lines += _who(entry)
    if entry.get("next"):
        lines += _wrap(clean(entry["next"]), "  ")
    lines += [paint("  type:", "36"), *(f"    {command}" for command in commands(incident, entry))]
    return "\n".join(lines)


def commands(incident: str, entry: Mapping[str, Any]) -> list[str]:
    """The command lines that decide a waiting question."""
    step, digest = shell(entry["step"]), entry["digest"][:16]
    where = f"{incident} {step}"
    lines = []
    for verdict in entry["verdicts"]:
        if entry["kind"] == "review":
            lines.append(f"stanch incident review {where} --verdict {verdict} --reason 'WHY'")
        elif verdict == "approve" and entry["kind"] == "undo":
            lines.append(f"stanch incident undo {incident} --digest {digest}")
        elif verdict in ("approve", "deny"):
            lines.append(f"stanch incident {verdict} {where} --digest {digest}")
        elif verdict == "break_glass":
            lines.append(f"stanch incident break-glass {where} --reason 'WHY'   (incident commander only)")
        elif verdict == "answer":
            # Quoted: a line that is pasted as it is must not answer by itself.
            fields = " ".join(f"-f {name}={shell(_sample(field))}" for name, field in entry["form"].items())
            lines.append(f"stanch incident answer {where} {fields}".rstrip())
        elif verdict == "done":
            lines.append(f"stanch incident done {where}")
        else:
            lines.append(f"stanch incident decide {where} {verdict}")
    return lines


def shell(word: str) -> str:
    """A word as a shell takes it."""
    plain = clean(word)
    safe = plain.replace("/", "").replace("_", "").replace("-", "").replace(".", "").replace("@", "")
    return plain if safe.isalnum() else "'" + plain.replace("'", "'\\''") + "'"


def incidents(rows: Iterable[Mapping[str, Any]]) -> str:
    """The table of ``incident list``."""
    table = [("INCIDENT", "STATUS", "SEV", "WAITS", "ALERTS", "TITLE")]
    for row in rows:
        table.append(
            (
                row["incident"],
                row["status"],
                "" if row.get("severity") is None else str(row["severity"]),
                str(row["waiting"] or ""),
                str(row["alerts"]),
                clean(row.get("title") or "")[:48],
            )
        )
    return columns(table) if len(table) > 1 else "No incidents."


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Rows of text in columns."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def steps(found: Iterable[Mapping[str, Any]], paint: Paint = PLAIN) -> list[str]:
    """One line for each step, with what it did."""
    lines = []
    for step in found:
        status = step["status"]
        name = clean(step["path"]) + (f"[{step['item']}]" if step.get("item") else "")
        what = clean(step.get("action") or step["kind"])
        mark = paint(MARKS.get(status, " "), COLOURS.get(status, ""))
        waits = step.get("waiting_for") if step.get("waiting_for") != step["kind"] else ""
        tail = clean(step.get("summary") or step.get("message") or waits or "")
        line = f"  {mark} {status:<8} {name:<28} {what:<38}".rstrip()
        lines.append(line)
        if tail:
            lines += _wrap(tail, "               ")
        affected = step.get("affected") or {}
        if affected.get("count"):
            checked = "read back" if step.get("verified") else "not read back"
            lines += _wrap(f"{affected['count']} changed, {checked}: {_names(affected)}", "               ")
    return lines


def notices(found: Iterable[Mapping[str, Any]]) -> list[str]:
    """What people were told, the newest last; what never reached them says so."""
    lines = []
    for notice in found:
        state = notice.get("state") or "undelivered"
        head = f"{_clock_time(notice.get('at'))} {notice.get('urgency', 'normal'):<6} {state:<11}"
        lines += _wrap(f"{head} {told(notice)}", "  ")
        said = paged(notice.get("page") or {})
        lines += _wrap(clean(said), "    ") if said else []
    return lines


def paged(page: Mapping[str, Any]) -> str:
    """Whom a page has tried by what, and how it ended, in a line; empty if it woke nobody."""
    tried: dict[str, dict[str, bool]] = {}
    for each in page.get("attempts") or ():
        if not each.get("copy"):
            ways = tried.setdefault(each["person"], {})
            ways[each["channel"]] = ways.get(each["channel"], False) or not each["error"]
    ends = {"open": "no answer yet", "unanswered": "nobody answered", "acknowledged": f"{page.get('by')} has it"}
    end = ends.get(str(page.get("status")), "")
    people = [
        f"{one} by {', '.join(by + ('' if ways[by] else ' (failed)') for by in ways)}" for one, ways in tried.items()
    ]
    if not people:
        return f"paged nobody: {end}" if page.get("status") == "unanswered" else ""
    return f"paged {'; '.join(people)}" + (f": {end}" if end else "")


def told(notice: Mapping[str, Any]) -> str:
    """What a notice says, in a line."""
    body, step = notice.get("body") or {}, notice.get("step") or ""
    if body.get("kind") == "gate":
        return clean(f"Decide {step}: {body.get('question', '')}")
    if body.get("kind") == "result":
        by = ", ".join(body.get("by") or ())
        return clean(f"{step}: {body.get('status')}" + (f" by {by}" if by else ""))
    return clean(body.get("text") or body.get("kind") or "")


def _title(document: Mapping[str, Any], paint: Paint) -> str:
    mode = "EXERCISE  " if document.get("mode") == "exercise" else ""
    severity = document.get("severity")
    head = f"{mode}{document['incident']}  {document['status']}"
    head += "" if severity is None else f"  severity {severity}"
    return paint.heading(head) + "\n" + "\n".join(_wrap(clean(document.get("title") or ""), ""))


def _standing(document: Mapping[str, Any], now: datetime, paint: Paint) -> list[str]:
    lines = []
    for run in document["runs"]:
        phase = f", phase {run['phase']}" if run.get("phase") else ""
        state = paint(run["status"], COLOURS.get(run["status"], ""))
        stale = "" if run.get("live") or run["status"] not in ("running", "waiting") else _as_of(run, now)
        lines.append(f"{paint.heading('RUN')}  {run['id']}  {state}{phase}{stale}")
        if run.get("cancelled") and run["status"] not in ENDED:
            by = f" by {clean(run['cancelled']['by'])}" if run["cancelled"]["by"] else ""
            lines.append(f"  cancelled{by}; only what must be done in any case goes on")
        after, later = run.get("after") or {}, run.get("followed_by")
        if after:
            lines += _wrap(f"{after['verb']} of {after['of']}, asked for by {clean(after['person'])}", "  ")
        if run.get("reason"):
            lines += _wrap(clean(run["reason"]), "  ")
        lines += [part for warning in run.get("warnings") or () for part in _wrap(f"! {clean(warning)}", "  ")]
        if later:
            lines += _wrap(f"goes on as {later['run']} ({later['verb']})", "  ")
        if later and later["verb"] != "undo":
            continue
        mine = [step for step in document["steps"] if step["run"] == run["id"]]
        lines += steps((step for step in mine if step["status"] != "pending"), paint)
        lines += _to_come([step for step in mine if step["status"] == "pending"], run["status"])
    if document["clocks"]:
        lines += ["", paint.heading("CLOCKS"), *clocks(document["clocks"], now)]
    if document["drafts"]:
        lines += ["", paint.heading("DRAFTS  (nothing is sent)")]
        lines += [f"  {each['regime']} {each['stage']}: {clean(each.get('path') or '')}" for each in document["drafts"]]
    if document["notices"]:
        lines += ["", paint.heading("TOLD"), *notices(document["notices"][-12:])]
    alerts = document.get("alerts") or {}
    span = f", first {alerts['first']}, last {alerts['last']}" if alerts.get("count") else ""
    lines += ["", f"Alerts: {alerts.get('count', 0)}{span}"]
    return lines


def _to_come(pending: Sequence[Mapping[str, Any]], status: str) -> list[str]:
    """Steps that have not begun, in one line: the next ones by name."""
    if not pending:
        return []
    what = "not taken" if status in ENDED else "to come"
    sample = [step["path"] + (f"[{step['item']}]" if step.get("item") else "") for step in pending]
    return _wrap(f"· {len(pending)} {what}: {_names({'sample': sample, 'count': len(sample)})}", "  ", "    ")


def clocks(found: Iterable[Mapping[str, Any]], now: datetime) -> list[str]:
    """Legal clocks, one line each."""
    lines = []
    for clock in found:
        due = clock.get("due") or clock.get("strict_due")
        instant = due.get("latest") if isinstance(due, Mapping) else due
        name = clock.get("id") or f"{clock.get('regime')} {clock.get('stage')}"
        when = f"due {_minute(instant)} ({remaining(instant, now)})" if instant else "as soon as possible"
        if clock.get("state") in SETTLED:
            when = ""
        elif clock.get("state") == "waiting":
            when = f"not started: starts with {str(clock.get('starts_with') or 'a fact').replace('_', ' ')}"
        lines += _wrap(f"{clean(name)}  {clean(clock.get('state') or '')}  {when}", "  ")
    return lines


def _as_of(run: Mapping[str, Any], now: datetime) -> str:
    if not run.get("as_of"):
        return "  (no worker answers)"
    age = (now - datetime.fromisoformat(run["as_of"])).total_seconds()
    return f"  (as of {spell(max(age, 0))} ago: no worker answers)"


def _preview(step: Mapping[str, Any], *, undo: bool = False) -> list[str]:
    head = f"{clean(step['step'])}: {clean(step.get('summary') or step.get('action') or '')}"
    lines = _wrap(head, "  • ", "    ")
    if only_starts(step):
        return lines + _wrap(NO_CHANGE, "    ")
    count, already = step.get("count", 0), step.get("already", 0)
    figures = f"{count} will change" + (f", {already} already so" if already else "")
    lines += _wrap(f"{figures}: {_labelled(step)}" if step.get("sample") else figures, "    ")
    for impact in step.get("impact") or ():
        lines += _wrap(f"stops: {clean(impact)}", "    ")
    back = "can be undone" if step.get("reversible") else "CANNOT be undone"
    because = step.get("irreversible_because")
    if not undo:
        lines += _wrap(back + (f": {clean(because)}" if because else ""), "    ")
    if step.get("protected"):
        lines += _wrap(f"PROTECTED: {', '.join(map(clean, step['protected']))}", "    ")
    if step.get("excluded"):
        lines += _wrap(f"left out: {', '.join(map(clean, step['excluded']))}", "    ")
    return lines


def _form(form: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What each field of an answer means, and which may be left out."""
    lines = []
    for name, field in form.items():
        optional = "" if field.get("required", True) else " (may be left out)"
        about = f": {clean(field['description'])}" if field.get("description") else ""
        lines += _wrap(f"• {clean(name)}{optional}{about}", "  ", "    ")
    return lines


def _who(entry: Mapping[str, Any]) -> list[str]:
    who = entry.get("who") or {}
    needs = [f"{need['count']} of {' or '.join(need['roles'])}" for need in who.get("needs", ())]
    left = "left: " if entry.get("decided") else ""
    may = f" ({left}{_names({'sample': who['may'], 'count': len(who['may'])})})" if who.get("may") else ""
    lines = _wrap(f"who: {'; '.join(needs) or 'nobody can'}{may}", "  ")
    why = together(*(need.get("why", "") for need in who.get("needs", ())))
    lines += _wrap(f"because of: {clean(why)}", "  ") if why else []
    if who.get("reachable") is False:
        lines += _wrap("NOT ENOUGH PEOPLE may decide this: add one (stanch people add), or break the glass.", "  ")
    if who.get("excluded"):
        barred = "may not review (broke the glass)" if entry["kind"] == "review" else "may not approve (asked for it)"
        lines += _wrap(f"{barred}: {', '.join(map(clean, who['excluded']))}", "  ")
    decided = [f"{clean(vote['person'])} {vote['verdict']}" for vote in entry.get("decided") or ()]
    lines += _wrap(f"decided so far: {', '.join(decided) or 'nobody'}", "  ")
    return lines


def _names(found: Mapping[str, Any]) -> str:
    sample = [clean(name) for name in found.get("sample") or ()]
    more = int(found.get("count", 0)) - len(sample[:SAMPLE])
    return ", ".join(sample[:SAMPLE]) + (f" and {more} more" if more > 0 else "")


def _labelled(step: Mapping[str, Any]) -> str:
    """As people call them; an id where nobody has a name for it."""
    ids, labels = list(step.get("sample") or ()), list(step.get("labels") or ())
    labels += [""] * (len(ids) - len(labels))
    return _names(
        {"count": step.get("count", 0), "sample": [label or id_ for id_, label in zip(ids, labels, strict=False)]}
    )


def _sample(field: Mapping[str, Any]) -> str:
    if field.get("options"):
        return "|".join(map(clean, field["options"]))
    return {"boolean": "yes|no", "integer": "N", "number": "N", "datetime": "INSTANT"}.get(
        str(field.get("type")), "TEXT"
    )


def _minute(instant: str) -> str:
    return datetime.fromisoformat(instant).astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def _clock_time(at: str | None) -> str:
    return datetime.fromisoformat(at).astimezone(UTC).strftime("%H:%M:%SZ") if at else "--:--:--Z"


def _wrap(text: str, indent: str, further: str | None = None) -> list[str]:
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=indent,
        subsequent_indent=" " * len(indent) if further is None else further,
        break_long_words=True,
        break_on_hyphens=False,
    ) or [indent.rstrip()]
