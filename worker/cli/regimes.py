"""``stanch regimes list|show|facts|applicable|validate``: the duties that Stanch knows. Needs no server."""

from pathlib import Path
from typing import Any

import click

from worker.cli.output import Refused, clean, emit, fail, json_option, show

MAX_FACTS = 1024 * 1024


@click.group("regimes")
def regimes() -> None:
    """Reporting duties that Stanch knows, and which of them apply."""


@regimes.command("list")
@json_option
def list_(as_json: bool) -> None:
    """All regimes."""
    from playbooks.regimes_loader import shipped

    library = shipped()
    if as_json:
        emit({"regimes": [{**_brief(regime), "digest": library.digests[regime.id]} for regime in _all(library)]})
        return
    for regime in _all(library):
        show(f"{regime.id:<16} {regime.name}  ({regime.law})")
        for stage in regime.stages:
            show(f"  {stage.id:<24} {stage.clock.words} from {stage.clock.start}")


@regimes.command("show")
@click.argument("regime_id", metavar="ID")
@json_option
def show_(regime_id: str, as_json: bool) -> None:
    """One regime: who, to whom, when, and what must be said."""
    from playbooks.regimes_loader import shipped

    library = shipped()
    regime = library.get(regime_id)
    if regime is None:
        fail("unknown_regime", f"There is no regime {regime_id[:60]!r}.", f"Known: {', '.join(library.regimes)}.")
    if as_json:
        emit({**regime.model_dump(mode="json", by_alias=True), "digest": library.digests[regime.id]})
        return
    show(f"{regime.id}: {regime.name}\n  law      {regime.law}\n  who      {regime.who}\n  to       {regime.to}")
    show(f"  trigger  {regime.trigger}\n  as of    {regime.as_of}, law since {regime.valid.from_}")
    for stage in regime.stages:
        show(f"\n{stage.id}: {stage.title} ({stage.law})\n  {stage.clock.words} from {stage.clock.start}")
        for entry in stage.fields:
            show(f"  - {entry.text} [{entry.law}, {entry.req.replace('_', ' ')}] <- {', '.join(entry.facts)}")
        for note in stage.notes:
            show(f"  * {note}")
    for note in regime.pending:
        show(f"\npending: {note}")
    for name, source in regime.sources.items():
        show(f"source {name}: {source.title} {source.url}")


@regimes.command("facts")
@json_option
def facts(as_json: bool) -> None:
    """Every fact that a regime reads: name, type, question, who could know."""
    from dataclasses import asdict

    from playbooks.facts_vocabulary import KINDS

    if as_json:
        emit({"facts": [asdict(kind) for kind in KINDS.values()]})
        return
    for kind in KINDS.values():
        options = f" ({', '.join(kind.options)})" if kind.options else ""
        show(f"{kind.name:<42} {kind.type}{options}\n    {kind.question} [{kind.who}]")


@regimes.command("applicable")
@click.option("--facts", "path", required=True, type=click.Path(dir_okay=False, path_type=Path))
@json_option
def applicable(path: Path, as_json: bool) -> None:
    """Which regimes apply, may apply, or do not, by the facts in a file."""
    from playbooks.facts import FactError, read_facts
    from playbooks.regimes_loader import shipped

    try:
        known = read_facts(read_document(path))
    except FactError as error:
        fail(error.code, f"{path}: {error.message}")
    found = []
    for regime in _all(shipped()):
        for stage in regime.stages:
            verdict = regime.judge(known, stage)
            found.append(
                {
                    "regime": regime.id,
                    "stage": stage.id,
                    "applies": {True: "yes", False: "no", None: "not_known"}[verdict.answer],
                    "because": list(verdict.because),
                    "undecided": list(verdict.undecided),
                }
            )
    if as_json:
        emit({"regimes": _together(found), "stages": found})
        return
    words = {"yes": "applies", "no": "does not apply", "not_known": "may apply"}
    for entry in found:
        show(f"{entry['regime']} {entry['stage']}: {words[entry['applies']]}")
        for why in entry["because"]:
            show(f"  because {clean(why)}")
        for name in entry["undecided"]:
            show(f"  open: {name}")


@regimes.command("validate")
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
@json_option
def validate(paths: tuple[Path, ...], as_json: bool) -> None:
    """Check regime files, or the shipped ones."""
    from playbooks import regimes_loader

    if paths:
        problems = [problem for path in paths for problem in regimes_loader.load_regime(path)[1]]
    else:
        _, problems = regimes_loader.load_library(Path(regimes_loader.__file__).parent)
    rows = [
        {key: getattr(problem, key) for key in ("file", "line", "column", "code", "severity", "message", "hint")}
        for problem in problems
    ]
    if as_json:
        emit({"ok": not rows, "problems": rows})
    else:
        for row in rows:
            show(f"{row['file']}:{row['line']}:{row['column']}: {row['code']}: {row['message']} {row['hint']}".strip())
        show("no problems" if not rows else f"{len(rows)} problems")
    if rows:
        raise click.exceptions.Exit(1)


def read_document(path: Path) -> dict[str, Any]:
    """A facts file, YAML or JSON.

    Raises:
        Refused: It cannot be read, or is no mapping.
    """
    from playbooks.regimes_loader import read_mapping

    try:
        if path.stat().st_size > MAX_FACTS:
            raise Refused("too_large", f"{path} is over {MAX_FACTS} bytes; nothing was read.")
        return read_mapping(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise Refused("unreadable", f"Cannot read {path}: {error.strerror}.") from None
    except ValueError as error:
        raise Refused("bad_value", f"{path} cannot be read as facts: {error}.") from None


def _all(library: Any) -> list[Any]:
    return list(library.regimes.values())


def _brief(regime: Any) -> dict[str, Any]:
    stages = [
        {"stage": stage.id, "title": stage.title, "starts_with": stage.clock.start, "period": stage.clock.words}
        for stage in regime.stages
    ]
    brief = {key: getattr(regime, key) for key in ("id", "name", "law", "jurisdiction")}
    return {**brief, "as_of": regime.as_of.isoformat(), "stages": stages}


def _together(stages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A regime applies if a stage does, may if one may."""
    found: dict[str, dict[str, Any]] = {}
    for entry in stages:
        kept = found.setdefault(entry["regime"], {"regime": entry["regime"], "applies": "no", "undecided": []})
        order = ("no", "not_known", "yes")
        kept["applies"] = max(kept["applies"], entry["applies"], key=order.index)
        kept["undecided"] += [name for name in entry["undecided"] if name not in kept["undecided"]]
    return list(found.values())
