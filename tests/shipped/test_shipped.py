"""Every shipped playbook, whole and continued as new again and again: the same entries, and all replay."""

import base64
import re
from collections import defaultdict
from typing import Any

import pytest_asyncio

from tests.shipped.played import BY_ALERT, PLAYBOOKS, Played, play
from worker.codec import KeyRing
from worker.run import WORKFLOWS
from worker.temporal import replayer

VOLATILE = frozenset(
    {"attempt", "tries", "nonce", "sig", "decided_at", "result_ref", "key", "key_id", "at", "bytes", "due", "facts"}
)
"""``facts`` is the version that a step read: the incident's facts reach a run when they do."""
HEX = re.compile(r"(sha256:)?[0-9a-f]{32,64}")
INSTANT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:?\d\d)?")
BESIDE = ("incident.", "run.expected", "run.adopted", "clock.", "fact.", "alert.", "evidence.")
"""Entries of the incident, which goes on beside the run."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def ring() -> KeyRing:
    """One key for both worlds."""
    return KeyRing.fresh()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def whole(tmp_path_factory, ring: KeyRing) -> dict[str, Played]:
    """Played without continuing as new."""
    return await play(tmp_path_factory.mktemp("whole"), ring)


@pytest_asyncio.fixture(scope="module", loop_scope="session", params=[50, 25])
async def split(request, tmp_path_factory, ring: KeyRing) -> dict[str, Played]:
    """Played with a low threshold of events; at the lower one the shorter playbooks continue as new, too."""
    return await play(tmp_path_factory.mktemp("split"), ring, continue_after=request.param)


def plain(value: Any) -> Any:
    """A value without instants, hashes and attempt numbers."""
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items() if name not in VOLATILE}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, str):
        return INSTANT.sub("@", HEX.sub("#", value))
    return value


def meant(played: Played) -> dict[str, list[Any]]:
    """Entries of each step instance, in order: kind, and body without what differs between any two runs."""
    found = defaultdict(list)
    for entry in played.entries:
        if not entry["kind"].startswith(BESIDE):
            body = entry["body"]
            place = f"{body.get('step')}[{body.get('pass', 0)}, {body.get('item')}]"
            found[place].append((entry["kind"], entry["actor"], plain(body)))
    return dict(found)


def secured(played: Played) -> list[Any]:
    """What was put into evidence, by name and by the step that did it."""
    kept = [plain(entry["body"]) for entry in played.entries if entry["kind"].startswith("evidence.")]
    return sorted(((body.get("name"), body.get("source")) for body in kept), key=str)


async def test_every_shipped_playbook_ends_well(whole: dict[str, Played], split: dict[str, Played]) -> None:
    assert set(whole) == set(split) == set(PLAYBOOKS)
    for played in (*whole.values(), *split.values()):
        assert played.document["runs"][0]["status"] == "done", played.document["runs"][0]["reason"]


async def test_continuing_as_new_leaves_the_same_entries(whole: dict[str, Played], split: dict[str, Played]) -> None:
    assert all(played.executions == 1 for played in whole.values()) and split[BY_ALERT].executions > 5
    for playbook in PLAYBOOKS:
        once, often = meant(whole[playbook]), meant(split[playbook])
        assert list(once) and set(once) == set(often), playbook
        for place, entries in once.items():
            assert often[place] == entries, f"{playbook} {place}"
        assert secured(whole[playbook]) == secured(split[playbook])


async def test_their_histories_replay(whole: dict[str, Played], split: dict[str, Played], ring: KeyRing) -> None:
    checker = replayer(WORKFLOWS, ring)
    for played in (*whole.values(), *split.values()):
        for history in played.histories:
            await checker.replay_workflow(history)


async def test_no_payload_of_a_history_can_be_read(whole: dict[str, Played]) -> None:
    plainly = [base64.b64encode(name).decode() for name in (b"json/plain", b"json/protobuf", b"binary/plain")]
    for history in whole[BY_ALERT].histories:
        text = history.to_json()
        assert base64.b64encode(b"binary/encrypted").decode() in text
        assert not [name for name in plainly if name in text]
        assert "salesforce.com" not in text and "svc-" not in text
