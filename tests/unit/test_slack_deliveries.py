"""By what a thing that a person did in Slack is known, and when a delivery is a retry of Slack or a replay."""

import copy
from typing import Any

import pytest

from worker.slack.deliveries import ENVELOPE, delivery
from worker.slack.identity import Origin, origin

CLICK: dict[str, Any] = {
    "type": "block_actions",
    "user": {"id": "U1", "team_id": "T1"},
    "team": {"id": "T1"},
    "trigger_id": "1.2.a",
    "container": {"type": "message", "message_ts": "10.1", "channel_id": "C1"},
    "actions": [{"action_id": "decide:approve", "action_ts": "11.5", "value": "card"}],
}
COMMAND = {"command": "/stanch", "trigger_id": "9.9.b", "team_id": "T1", "user_id": "U1", "text": "list"}
EVENT = {"type": "event_callback", "event_id": "Ev1", "team_id": "T1", "event": {"type": "x", "user": "U1"}}
FORM = {"type": "view_submission", "trigger_id": "7.7.c", "team": {"id": "T1"}, "user": {"id": "U1"}, "view": {}}


def changed(body: dict[str, Any], **values: Any) -> dict[str, Any]:
    """A copy with other values."""
    return {**copy.deepcopy(body), **values}


@pytest.mark.parametrize("body", [CLICK, COMMAND, EVENT, FORM])
def test_the_same_thing_has_the_same_id_by_every_way(body: dict[str, Any]) -> None:
    over_socket = delivery(body, {ENVELOPE: "e1"}, socket=True)
    over_http = delivery(body, {}, socket=False)
    assert over_socket.id == over_http.id


def test_a_click_is_known_by_who_when_where_and_what_and_not_by_its_trigger() -> None:
    first = delivery(CLICK, {}, socket=False).id
    assert delivery(changed(CLICK, trigger_id="other"), {}, socket=False).id == first
    for other in (
        changed(CLICK, user={"id": "U2"}),
        changed(CLICK, actions=[{"action_id": "decide:approve", "action_ts": "11.6"}]),
        changed(CLICK, actions=[{"action_id": "decide:deny", "action_ts": "11.5"}]),
        changed(CLICK, container={"message_ts": "10.2"}),
    ):
        assert delivery(other, {}, socket=False).id != first


def test_slacks_own_repeats_are_told_from_replays_by_others() -> None:
    first = delivery(CLICK, {ENVELOPE: "e1"}, socket=True)
    assert delivery(CLICK, {ENVELOPE: "e1"}, socket=True).repeats(first.envelope)
    assert not delivery(CLICK, {ENVELOPE: "e2"}, socket=True).repeats(first.envelope)
    assert delivery(CLICK, {ENVELOPE: "e2", "x-slack-retry-num": "1"}, socket=True).repeats(first.envelope)
    assert not delivery(CLICK, {}, socket=False).repeats("")
    assert delivery(CLICK, {"x-slack-retry-num": ["1"]}, socket=False).repeats("")
    # Nobody on the internet may call an envelope by name.
    assert not delivery(CLICK, {ENVELOPE: ["e1"]}, socket=False).repeats(first.envelope)


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (CLICK, Origin("T1", "U1", "T1")),
        (COMMAND, Origin("T1", "U1")),
        (EVENT, Origin("T1", "U1")),
        (changed(CLICK, user={"id": "U1", "team_id": "T2"}), Origin("T1", "U1", "T2")),
        (changed(CLICK, team=None, is_enterprise_install=True), Origin("", "U1", "T1", True)),
        (changed(EVENT, event={"user": "U1", "user_team": "T2"}), Origin("T1", "U1", "T2")),
        ({}, Origin("", "")),
    ],
)
def test_where_a_payload_comes_from(body: dict[str, Any], found: Origin) -> None:
    assert origin(body) == found
