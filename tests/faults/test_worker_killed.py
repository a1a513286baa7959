"""SIGKILL of the worker at every point of every action step of the token-theft playbook: it ends as it would have.

The attacker comes back during the sweep, so that every action step of the playbook runs.
"""

import pytest

from tests.faults.conftest import Runs
from tests.faults.story import EFFECTS, POINTS, UNDISTURBED, actions_of, check_all, places, report

pytestmark = pytest.mark.faults


@pytest.mark.parametrize("story", [UNDISTURBED])
async def test_every_action_step_of_the_playbook_runs_undisturbed(runs: Runs, story: str) -> None:
    ending = await runs.ending(story)
    actions = actions_of(ending.plan)
    assert set(actions) <= {step["path"] for step in ending.shown["steps"] if step["status"] == "done"}
    assert EFFECTS & set(actions.values())
    check_all(ending, ending)


@pytest.mark.parametrize("story", POINTS)
async def test_killed_there_in_every_step_it_ends_as_it_would_have(runs: Runs, table: list[str], story: str) -> None:
    undisturbed, ending = await runs.ending(UNDISTURBED), await runs.ending(story)
    table += report(story, ending)
    assert {place for kill in ending.kills for place in kill.places} == places(undisturbed, story)
    assert ending.missed == ()
    check_all(ending, undisturbed)
