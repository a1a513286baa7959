"""``stanch clock``: when a notification is due. Needs no server."""

from collections.abc import Mapping
from typing import Any

import click

from worker.cli.output import clean, emit, fail, json_option, show

_FORMS = "2026-11-24T10:00:00Z, 2026-11-24 or 2026-11"


@click.command("clock")
@click.argument("regime")
@click.option("--stage", help="One stage; without it all of the regime.")
@click.option("--from", "start", required=True, metavar="WHEN", help=f"When the clock started: {_FORMS}.")
@click.option("--zone", "zone_name", metavar="Z", help="Time zone such as Europe/Berlin.")
@click.option("--holidays", metavar="CC", help="Whose public holidays: DE, or DE-BY.")
@click.option("--set", "facts", multiple=True, metavar="FACT=VALUE", help="A further fact; may be repeated.")
@click.option("--notified", metavar="WHEN", help="When it was notified: says whether that was late.")
@json_option
def clock(
    regime: str,
    stage: str | None,
    start: str,
    zone_name: str | None,
    holidays: str | None,
    facts: tuple[str, ...],
    notified: str | None,
    as_json: bool,
) -> None:
    """Work out when a notification is due under REGIME.

    --from is the start of the named stage, or, without --stage, the event that starts the regime; stages that
    start with something else show no instant until --set gives it.
    """
    from playbooks.clocks_time import TimeError
    from playbooks.facts import FactError

    try:
        document = _work_out(regime, stage, start, zone_name, holidays, facts, notified)
    except (TimeError, FactError) as error:
        fail(error.code, error.message, exit_code=2)
    if as_json:
        emit(document)
        return
    for entry in document.get("clocks", [document]):
        show("\n".join(_lines(entry)))


def _work_out(
    regime_id: str,
    stage_id: str | None,
    start: str,
    zone_name: str | None,
    holidays: str | None,
    given: tuple[str, ...],
    notified: str | None,
) -> dict[str, Any]:
    from playbooks.clocks_period import place_of, work_out
    from playbooks.clocks_time import Moment, moment, zone
    from playbooks.facts import read_facts
    from playbooks.regimes_loader import shipped

    library = shipped()
    regime = library.get(regime_id)
    if regime is None:
        fail("unknown_regime", f"There is no regime {regime_id[:60]!r}.", f"Known: {', '.join(library.regimes)}.")
    wanted = regime.stages if stage_id is None else [stage for stage in regime.stages if stage.id == stage_id]
    if stage_id is not None and not wanted:
        known = ", ".join(stage.id for stage in regime.stages)
        fail("unknown_stage", f"{regime.id} has no stage {stage_id[:60]!r}.", f"Known: {known}.")
    organisation = {"zone": zone_name, "holidays": holidays}
    facts = read_facts(
        _pairs(given, regime), organisation={name: value for name, value in organisation.items() if value}
    )
    places = (zone(zone_name),) if zone_name else ()
    place = place_of(regime, facts)
    if place.warnings:
        fail("bad_value", " ".join(place.warnings), exit_code=2)

    def read(when: str) -> Moment:
        # A day or month without a place spans every place that it may be; an hour without one is a mistake.
        return moment(when, places or (() if "T" in when.upper() or ":" in when else place.zones))

    began = read(start)
    told = read(notified) if notified else None
    first = regime.stages[0].clock.start
    documents = []
    for stage in wanted:
        found = facts.when(stage.clock.start, places)
        at = found[0] if found else began if stage_id is not None or stage.clock.start == first else None
        documents.append(work_out(regime, stage, at, facts, told))
    if stage_id is not None:
        return documents[0]
    return {"regime": regime.id, "clocks": documents}


def _pairs(given: tuple[str, ...], regime: Any) -> Mapping[str, str]:
    from playbooks.facts import full_name, near
    from playbooks.facts_vocabulary import KINDS
    from playbooks.regimes_model import known_dated

    pairs = {}
    for entry in given:
        name, separator, value = entry.partition("=")
        if not separator or not name or not value:
            fail("bad_value", f"--set takes FACT=VALUE, not {entry[:60]!r}.", exit_code=2)
        named = full_name(name.strip())
        if named not in KINDS and named.partition(".")[2] not in known_dated(regime):
            like = near(name)
            hint = f"Did you mean {like}?" if like else "`stanch regimes facts` lists them."
            fail("unknown_fact", f"{name[:60]} is no fact that {regime.id} reads.", hint, exit_code=2)
        pairs[named] = value.strip()
    return pairs


def _lines(entry: Mapping[str, Any]) -> list[str]:
    """One clock for people."""
    head = f"{entry['regime']} {entry['stage']}: {entry['title']}"
    lines = [head, f"  law        {entry['law']}"]
    if entry["start"] is None:
        return [*lines, f"  starts     with {entry['starts_with']} (give it by --set {entry['starts_with']}=WHEN)"]
    lines.append(f"  starts     {_when(entry['start'])}")
    lines.append(f"  period     {entry['period']}")
    if entry["strict_due"] is None:
        lines.append("  due        no instant: the law sets no number")
    else:
        lines.append(f"  due        {_when(entry['strict_due'])}  (alarms run on this)")
        if entry["outer_due"] != entry["strict_due"]:
            lines.append(f"  at best    {_when(entry['outer_due'])}  (for counsel)")
    if not entry["in_force"]:
        lines.append("  in force   no: the rule was not law at the start")
    lines += [f"  rule       {rule['text']} [{rule['source']}]" for rule in entry["rules"]]
    lines += [f"  unsure     {clean(point)}" for point in entry["not_confirmed"]]
    if entry["late"] is not None:
        lines.append(f"  late       {'yes' if entry['late'] else 'no'}")
    return lines


def _when(span: Mapping[str, str]) -> str:
    if span["earliest"] == span["latest"]:
        return span["earliest"]
    return f"{span['earliest']} to {span['latest']}"
