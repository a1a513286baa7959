"""The benchmarks measure what they say: every side does its work, once, and the figures are counted rightly.

No time is asserted: that is for ``make bench``.
"""

from pathlib import Path

from tests.benchmarks.figures import Sample, Spread, columns, compared
from tests.benchmarks.run import bench
from tests.benchmarks.sides import BASE
from tests.benchmarks.told import GOALS
from tests.benchmarks.validating import judged, large


def test_the_large_playbook_is_large_and_right() -> None:
    steps, found = judged(large())
    assert steps >= 200 and [problem for problem in found if problem.severity == "error"] == []


def test_spread_of_a_sample() -> None:
    assert Spread.of([4, 1, 3, 2, 5]) == Spread(n=5, median=3, least=1, p10=1.4, p90=4.6, most=5)


def test_sides_are_compared_round_by_round() -> None:
    bare, whole = compared({"bare": [Sample(10, 1), Sample(20, 1)], "whole": [Sample(30, 2), Sample(20, 2)]}, "bare")
    assert (bare.ratio, whole.ratio, whole.cpu.median) == (1, 25 / 15, 2)
    assert (whole.paired.least, whole.paired.most) == (1, 3)


def test_a_side_that_lacks_a_figure_shows_a_dash() -> None:
    assert columns("ms", {"a": {"x": 1.234}, "b": {}})[1].split() == ["x", "1.23", "-"]


async def test_one_round_of_everything(tmp_path: Path) -> None:
    said: list[str] = []
    document, _ = await bench(1, tmp_path, said.append, warm_up=0)
    measures = document["measures"]
    assert set(measures) == set(GOALS)
    for measure in measures.values():
        assert {side["taken"]["n"] for side in measure["sides"]} == {1}
        ratios = {side["name"]: side["ratio"] for side in measure["sides"]}
        assert ratios[BASE] == 1 and ratios["Stanch, whole"] == measure["ratio"] > 0
    for shape, count in (("sequence", 30), ("parallel", 10)):
        sides = measures[shape]["per_action"]
        *by_hand, whole = sides.values()
        assert {side["activities"] for side in by_hand} == {1}
        assert round(whole["activities"] * count) in (count + 1, count + 2), (
            "a run writes its record at its end, not at each step"
        )
    bare, *_, whole = measures["sequence"]["per_action"].values()
    assert (whole["events"] - bare["events"]) * 30 < 45, "six events for a step, as by hand"
    parts = measures["door"]["parts"]["Stanch, whole"]
    assert parts.keys() > measures["door"]["parts"][BASE].keys()
    assert sum(measures["door"]["first_actions"].values()) == 1
    assert any("p50" in line for line in said)
