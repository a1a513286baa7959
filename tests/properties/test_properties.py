"""Properties of runs: random valid playbooks, random failures and people, deaths of the worker, and continuing as new.

``STANCH_TEST_EXAMPLES=3000`` tries as many; the suite itself tries few.
"""

import os
from random import Random

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.properties.books import written
from tests.properties.fates import Lot, Way
from tests.properties.sameness import differences
from tests.properties.trace import faults
from worker.trial.trial import Trial

EXAMPLES = int(os.environ.get("STANCH_TEST_EXAMPLES", "60"))
PROFILE = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    derandomize=EXAMPLES <= 60,
    # A smaller playbook of another seed is another playbook: shrinking would not find what is wrong with this one.
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def lot_of(seed: int) -> Lot:
    """A playbook and what befalls it, all by one number."""
    rnd = Random(seed)
    playbook, child = written(rnd)
    happens: list[tuple[int, str]] = []
    if rnd.random() < 0.15:
        happens.append((rnd.choice([0, 5, 16, 200]), "cancel"))
    if rnd.random() < 0.1:
        happens += [(3, "pause"), (30, "resume")]
    for name in ("found", "moved"):
        if rnd.random() < 0.5:
            happens.append((rnd.choice([0, 2, 40]), name))
    return Lot(playbook, child, seed, rnd.randint(1, 5), rnd.random() < 0.2, tuple(happens))


def judge(lot: Lot, way: Way) -> Trial:
    """A run that ends, and whose trace is legal."""
    trial = lot.run(lot.book(), way)
    assert trial.ended, f"it waits for ever: {trial.world.snapshot['waiting']}"
    assert list(faults(trial)) == []
    return trial


@PROFILE
@given(st.integers(0, 2**32))
def test_every_run_ends_with_a_legal_trace_and_no_effect_without_its_approvals(seed: int) -> None:
    judge(lot_of(seed), Way())


@settings(PROFILE, max_examples=max(1, EXAMPLES // 2))
@given(st.integers(0, 2**32), st.integers(10, 60), st.integers(1, 9))
def test_however_it_is_run_it_leaves_the_same_entries(seed: int, continue_after: int, dies_every: int) -> None:
    lot = lot_of(seed)
    plain = judge(lot, Way())
    for way in (Way(dies_every=dies_every), Way(continue_after=continue_after, dies_every=dies_every, shuffle=seed)):
        assert differences(plain, judge(lot, way)) == []


@pytest.mark.parametrize("seed", range(10))
def test_nearly_every_step_in_an_execution_of_its_own(seed: int) -> None:
    lot = lot_of(seed)
    plain = judge(lot, Way())
    for continue_after in (8, 25):
        assert differences(plain, judge(lot, Way(continue_after=continue_after))) == []
