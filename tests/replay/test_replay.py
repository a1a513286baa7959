"""Histories of earlier releases replay with today's code, each under the key it was saved with."""

import gzip
from pathlib import Path

import pytest
from temporalio.client import WorkflowHistory

from tests.replay.save import HISTORIES, KEYS
from tests.shipped.played import PLAYBOOKS
from worker.codec import KeyRing
from worker.run import WORKFLOWS
from worker.temporal import replayer

SAVED = sorted(HISTORIES.rglob("*.json.gz"))


def load(path: Path) -> WorkflowHistory:
    """A saved history."""
    return WorkflowHistory.from_json(path.name, gzip.decompress(path.read_bytes()).decode())


def test_every_shipped_playbook_has_one_of_each_kind() -> None:
    kinds = {tuple(path.name.split(".")[:3]) for path in SAVED}
    for playbook in PLAYBOOKS:
        assert {kind for name, kind, workflow in kinds if name == playbook and workflow == "run"} >= {"continued"}
        assert {kind for name, kind, workflow in kinds if name == playbook} & {"plain", "approval"}
    assert {kind for _, kind, _ in kinds} == {"plain", "approval", "continued"}


@pytest.mark.parametrize("path", SAVED, ids=lambda path: f"{path.parent.name}-{path.name.removesuffix('.json.gz')}")
async def test_a_saved_history_replays(path: Path) -> None:
    await replayer(WORKFLOWS, KeyRing.parse(KEYS.read_text())).replay_workflow(load(path))


async def test_a_history_of_other_steps_does_not_replay() -> None:
    path = next(path for path in SAVED if path.name.startswith("post-incident-review.plain.run"))
    history = load(path)
    scheduled = [event for event in history.events if event.HasField("activity_task_scheduled_event_attributes")]
    scheduled[0].activity_task_scheduled_event_attributes.activity_type.name = "stanch.another"
    result = await replayer(WORKFLOWS, KeyRing.parse(KEYS.read_text())).replay_workflow(
        history, raise_on_replay_failure=False
    )
    assert result.replay_failure is not None
