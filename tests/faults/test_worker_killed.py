"""SIGKILL of the worker at every point of every action step of the token-theft playbook: it ends as it would have.

The attacker comes back during the sweep, so that every action step of the playbook runs.
"""

from collections import Counter
from datetime import datetime

import pytest

from tests.faults.conftest import UNDISTURBED, Runs
from tests.faults.scene import Ending, Kill
from tests.faults.story import EFFECTS, OF_EFFECTS, POINTS, actions_of, check_all, places

pytestmark = pytest.mark.faults


async def test_every_action_step_of_the_playbook_runs_undisturbed(runs: Runs) -> None:
    ending = await runs.ending(UNDISTURBED)
    ran = {step["path"] for step in ending.shown["steps"] if step["status"] == "done"}
    assert set(actions_of(ending.plan)) <= ran
    assert EFFECTS & set(actions_of(ending.plan).values())
    check_all(ending, ending)


@pytest.mark.parametrize("point", POINTS)
async def test_killed_there_in_every_step_it_ends_as_it_would_have(runs: Runs, table: list[str], point: str) -> None:
    undisturbed, ending = await runs.ending(UNDISTURBED), await runs.ending(point)
    table += report(point, ending)
    killed = Counter(place for kill in ending.kills for place in kill.places)
    assert set(killed) == places(undisturbed, point)
    assert runs.missed[point] == []
    check_all(ending, undisturbed)


def report(point: str, ending: Ending) -> list[str]:
    """A line for the run, and one for each death."""
    steps = sum(len(kill.places) for kill in ending.kills)
    none = "; a read has no intent, so it does not have this point" if point in OF_EFFECTS else ""
    lines = [f"{point}: {steps} steps, {len(ending.kills)} kills, {ending.seconds:.0f} s{none}"]
    return lines + [
        f"  {', '.join(kill.places):<40} {_until_done(kill, ending):5.1f} s to its end" for kill in ending.kills
    ]


def _until_done(kill: Kill, ending: Ending) -> float:
    """Seconds from a death until the last of its steps was done."""
    paths = {place.partition("[")[0] for place in kill.places}
    ends = [
        datetime.fromisoformat(step["finished_at"])
        for step in ending.shown["steps"]
        if step["path"] in paths and step["finished_at"]
    ]
    return (max(ends) - kill.at).total_seconds()
