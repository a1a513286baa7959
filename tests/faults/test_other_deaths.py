"""Temporal, the server and a worker in other moments die, or only seem to: the run ends as it would have."""

import asyncio
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.faults.conftest import Runs
from tests.faults.deaths import ASLEEP, BEFORE, RECORDING, SERVER, SLEEPS, TEMPORAL
from tests.faults.driver import AtPoint
from tests.faults.scene import Ending
from tests.faults.story import UNDISTURBED, check_all, report
from worker.embedded import EmbeddedServer

pytestmark = pytest.mark.faults


async def ended_well(runs: Runs, table: list[str], story: str) -> Ending:
    """The ending of a story, held against the undisturbed run."""
    ending = await runs.ending(story)
    table += report(story, ending)
    check_all(ending, await runs.ending(UNDISTURBED))
    return ending


@pytest.mark.parametrize("story", [TEMPORAL])
async def test_temporal_killed_between_steps_loses_nothing(runs: Runs, table: list[str], story: str) -> None:
    ending = await ended_well(runs, table, story)
    assert [kill.places for kill in ending.kills] == [(step,) for step in BEFORE]


@pytest.mark.parametrize("story", [SERVER])
async def test_the_server_killed_between_alert_and_start_and_between_steps_finishes_what_it_took(
    runs: Runs, table: list[str], story: str
) -> None:
    ending = await ended_well(runs, table, story)
    assert [kill.places for kill in ending.kills] == [("the start",), *((step,) for step in BEFORE)]
    assert (ending.shown["alerts"]["count"], len(ending.shown["runs"])) == (1, 1)


@pytest.mark.parametrize("story", [RECORDING])
async def test_a_worker_killed_while_a_vote_is_recorded_counts_it_once(
    runs: Runs, table: list[str], story: str
) -> None:
    ending = await ended_well(runs, table, story)
    accepted = [entry for entry in ending.entries if entry["kind"] == "decision.accepted"]
    assert Counter(entry["actor"] for entry in accepted if entry["body"]["step"] == "go") == {"amal": 1, "bruno": 1}


@pytest.mark.parametrize("story", [ASLEEP])
async def test_a_worker_that_stood_still_does_not_apply_again(runs: Runs, table: list[str], story: str) -> None:
    ending = await ended_well(runs, table, story)
    assert [kill.places for kill in ending.kills] == [(step,) for step in SLEEPS]
    for step, action in zip(SLEEPS, ("revoke_oauth_tokens_of_app", "freeze_users"), strict=True):
        assert f"salesforce.{action} {step} attempt 1: superseded" in ending.worker_log
    sent = Counter(asked["method"] for asked in ending.log if is_write(asked))
    made = Counter(effect["kind"] for effect in ending.effects)
    # One request for each token and each export, one for all users.
    assert sent["POST"] == made["oauth_token.revoked"]
    assert sent["PATCH"] == made["bulk_job.aborted"] + 1


def is_write(asked: dict[str, Any]) -> bool:
    """Whether a request of ours was to change something."""
    return asked["actor"] == "stanch" and asked["method"] != "GET" and not asked["path"].endswith("/token")


async def test_a_live_worker_refuses_the_stop_points(temporal_server: EmbeddedServer, tmp_path: Path) -> None:
    env = {
        **{name: value for name, value in os.environ.items() if not name.startswith("STANCH_")},
        "STANCH_HOME": str(tmp_path),
        "STANCH_MODE": "live",
        "STANCH_TEST_HOLD": AtPoint.hold("after_intent"),
        "TEMPORAL_ADDRESS": temporal_server.address,
        "TEMPORAL_NAMESPACE": "tests",
    }
    command = [sys.executable, "-m", "worker.cli.main", "worker"]
    ran = await asyncio.to_thread(
        subprocess.run, command, env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "STANCH_TEST_HOLD" in ran.stderr
    assert "live worker does not start" in ran.stderr
