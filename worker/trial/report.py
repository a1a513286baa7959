"""What ``stanch playbook test`` prints: each case, what was wrong with it, and which ways nobody went."""

from collections.abc import Iterator, Sequence
from typing import Any

from playbooks.problems import Problem
from worker.trial.coverage import Coverage
from worker.trial.play import Report

MISSING_SHOWN = 30


def lines(reports: Sequence[Report], problems: Sequence[Problem], least: int | None) -> Iterator[str]:
    """For people."""
    for problem in problems:
        yield from str(problem).splitlines()
    for report in reports:
        yield from _told(report, least)
    cases = [played for report in reports for played in report.played]
    failed = sum(not played.ok for played in cases)
    if not cases:
        yield "No case was run."
        return
    word = "case" if len(cases) == 1 else "cases"
    yield f"{len(cases)} {word}, {failed} failed." if failed else f"{len(cases)} {word}, all as expected."


def _told(report: Report, least: int | None) -> Iterator[str]:
    for played in report.played:
        mark = "ok  " if played.ok else "FAIL"
        yield f"{mark}  {report.suite.playbook}  {played.case.name}  ({1000 * played.seconds:.0f} ms)"
        for wrong in played.wrong:
            yield f"      {report.suite.path}:{wrong.line}: {wrong.message}"
    found = report.coverage()
    short = least is not None and found.percent < least
    wanted = f", and {least} % are asked for" if short else ""
    tried = found.ways - len(found.missing)
    yield f"      {report.suite.playbook}: {tried} of {found.ways} ways tried ({found.percent} %){wanted}"
    yield from table(found)


def table(found: Coverage) -> Iterator[str]:
    """The ways that nobody went, by step and line."""
    if not found.missing:
        return
    by_step: dict[tuple[int, str], list[str]] = {}
    for way in found.missing:
        by_step.setdefault((way.line, way.path), []).append(way.way)
    yield f"      {'LINE':>5}  {'STEP':<24} NOT TRIED"
    for (line, path), ways in list(by_step.items())[:MISSING_SHOWN]:
        yield f"      {line:>5}  {path:<24} {', '.join(ways)}"
    if len(by_step) > MISSING_SHOWN:
        yield f"      and {len(by_step) - MISSING_SHOWN} steps more; --json lists them all"


def document(reports: Sequence[Report], problems: Sequence[Problem], ok: bool) -> dict[str, Any]:
    """For machines."""
    return {
        "ok": ok,
        "playbooks": [_document(report) for report in reports],
        "problems": [problem.as_json() for problem in problems],
    }


def _document(report: Report) -> dict[str, Any]:
    found = report.coverage()
    return {
        "id": report.suite.playbook,
        "file": str(report.suite.path),
        "ok": report.ok,
        "cases": [
            {
                "name": played.case.name,
                "line": played.case.line,
                "ok": played.ok,
                "problems": [{"line": wrong.line, "message": wrong.message} for wrong in played.wrong],
                "seconds": round(played.seconds, 3),
            }
            for played in report.played
        ],
        "coverage": {
            "ways": found.ways,
            "gone": found.ways - len(found.missing),
            "percent": found.percent,
            "missing": [way.as_json() for way in found.missing],
        },
    }
