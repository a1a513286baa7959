"""What the figures say: tables against the goals, and where the time goes."""

from typing import Any

from tests.benchmarks import door, parts, sides
from tests.benchmarks.figures import Spread, as_json, columns, compared, table
from tests.benchmarks.house import House
from tests.benchmarks.rounds import SHAPES, Results
from tests.benchmarks.sides import BASE
from tests.benchmarks.spans import medians, per_step, walk_of

GOALS = {"sequence": (1.25, 2.0), "parallel": (1.25, 2.0), "door": (3.0, 6.0)}
"""Measure to its goal and its limit, as ratios of medians."""
TITLES = {
    "sequence": "30 no-op actions, one after another",
    "parallel": "10 no-op actions at once",
    "door": f"From the alert's POST to the body of the first action of {door.PLAYBOOK}",
}


async def told(built: House, results: Results) -> tuple[list[str], dict[str, Any], bool]:
    """Lines for people, the document for machines, and whether every limit held."""
    lines: list[str] = []
    measures: dict[str, dict[str, Any]] = {}
    for name in GOALS:
        said, measures[name] = _verdict(name, results)
        lines += said
    lines += ["", "Where the time goes"]
    for shape in SHAPES:
        walks = {
            side: per_step([walk_of(history) for history in found], shape.count)
            for side, found in results.histories[shape.name].items()
        }
        for side, stored in results.stored[shape.name].items():
            walks[side]["ms in the store"] = Spread.of(stored).median / shape.count
        lines += ["", *columns(f"{shape.name}, per action", walks)]
        measures[shape.name]["per_action"] = walks
    alone = await _alone(built, results)
    lines += ["", *columns("sequence, per action: processor ms, alone", alone)]
    measures["sequence"]["alone"] = alone
    ways = {side: medians(found) for side, found in results.ways.items()}
    ways[door.SIDES[-1]]["(compiling, alone)"] = Spread.of(results.compiling).median
    lines += ["", *columns("alert to first body: median ms", ways)]
    first = ", ".join(f"{name} {count} times" for name, count in results.first_actions.most_common() if count)
    lines.append(f"  the first action was {first}")
    measures["door"] |= {"parts": ways, "first_actions": dict(results.first_actions)}
    return lines, {"measures": measures}, all(each["ratio"] <= each["limit"] for each in measures.values())


def _verdict(name: str, results: Results) -> tuple[list[str], dict[str, Any]]:
    goal, limit = GOALS[name]
    rows = compared(results.samples[name], BASE)
    whole = rows[-1]
    verdict = "met" if whole.ratio <= goal else "missed" if whole.ratio <= limit else "missed, and over the limit"
    lines = ["", TITLES[name], *table(rows)]
    lines.append(
        f"  {whole.name}: p50 {whole.taken.median:.0f} ms, ratio {whole.ratio:.2f}. "
        f"Goal {goal:.2f} {verdict}; `make bench` fails above {limit:.1f}."
    )
    return lines, {"goal": goal, "limit": limit, "ratio": whole.ratio, "sides": as_json(rows)}


async def _alone(built: House, results: Results) -> dict[str, dict[str, float]]:
    """Workflow code and codec by themselves, the least of several: it says most about their own cost."""
    found, steps = results.histories["sequence"], sides.SEQUENCE.count
    whole = list(found)[-1]
    return {
        BASE: {"workflow code": min([await parts.replay_time(each, None) for each in found[BASE]]) / steps},
        whole: {
            "workflow code": min([await parts.replay_time(each, built.ring) for each in found[whole]]) / steps,
            "codec": min([await parts.codec_time(each, built.ring) for each in found[whole]]) / steps,
        },
    }
