"""Cards, and what should stand in Slack: content, order, leases, notices."""

from pathlib import Path

from playbooks.contract import Notice
from tests.chains import AT
from worker.store import Store
from worker.store.slack import Card

INC = "INC-2026-1"
RUN = f"run/{INC}/crm/1"
QUESTION = (INC, RUN, "go", 1, "ab" * 32, "approve", "C1", f"{INC}:gate:{RUN}:go:1")


def shown(store: Store, key: str, ts: str, now: float = 1.0) -> None:
    """The message stands as it is wanted."""
    row = store.slack.out.get(key)
    assert row is not None
    store.slack.out.begin(key, now)
    store.slack.out.stands(row, "C1", ts, now)


def test_the_same_question_has_the_same_card_and_another_round_or_digest_another(store: Store) -> None:
    cards = store.slack.cards
    first = cards.issue(*QUESTION)
    assert cards.issue(*QUESTION) == first and cards.find(first) == Card(*QUESTION)
    assert cards.issue(INC, RUN, "go", 2, *QUESTION[4:]) != first
    assert cards.issue(*QUESTION[:4], "cd" * 32, *QUESTION[5:]) != first
    assert cards.find("") is None and cards.find(first[:-1]) is None


def test_a_card_made_before_its_channel_has_the_channel_once_it_is_there(store: Store) -> None:
    early = store.slack.cards.issue(*QUESTION[:6], "", QUESTION[7])
    store.slack.out.want_channel(INC, INC, {"name": "inc-2026-1"})
    store.slack.out.change_lane(INC, channel="C9")
    found = store.slack.cards.find(early)
    assert found is not None and found.channel == "C9"


def test_wanting_the_same_again_changes_nothing_and_only_the_newest_content_is_open(store: Store) -> None:
    out = store.slack.out
    assert out.want("a", INC, INC, {"text": "one"}) and not out.want("a", INC, INC, {"text": "one"})
    out.want("b", INC, INC, {"text": "second"})
    out.want("a", INC, INC, {"text": "two"})
    assert [(row.key, row.wanted["text"]) for row in out.open(INC)] == [("a", "two"), ("b", "second")]
    shown(store, "a", "1.0")
    assert [row.key for row in out.open(INC)] == ["b"]
    out.want("a", INC, INC, {"text": "three"})
    held = out.get("a")
    assert held is not None and held.stale and [row.key for row in out.open(INC)] == ["a", "b"]


def test_content_that_changes_while_it_is_sent_is_sent_again(store: Store) -> None:
    out = store.slack.out
    out.want("a", INC, INC, {"text": "one"})
    sent = out.get("a")
    assert sent is not None
    out.begin("a", 1.0)
    out.want("a", INC, INC, {"text": "two"})
    out.stands(sent, "C1", "1.0", 1.0)
    assert [row.wanted["text"] for row in out.open(INC)] == ["two"]


def test_a_lane_is_held_by_one_until_its_lease_is_over(store: Store) -> None:
    out = store.slack.out
    out.want("a", INC, INC, {"text": "one"})
    assert out.claim(INC, "p1", 0.0, 10.0) and not out.claim(INC, "p2", 5.0, 15.0)
    assert out.renew(INC, "p1", 20.0) and not out.renew(INC, "p2", 20.0)
    assert not out.claim(INC, "p2", 15.0, 30.0) and out.claim(INC, "p2", 21.0, 30.0)
    assert not out.renew(INC, "p1", 40.0)
    out.release(INC, "p1")
    assert not out.claim(INC, "p1", 22.0, 30.0)
    out.release(INC, "p2")
    assert out.claim(INC, "p1", 22.0, 30.0)


def test_a_notice_is_delivered_when_its_message_stands_and_says_why_it_did_not(store: Store) -> None:
    out = store.slack.out
    store.notices.put([Notice(id=name, incident=INC, at=AT) for name in ("n1", "n2", "n3")])
    out.want("a", INC, INC, {"text": "one"}, notices=["n1"])
    out.want("b", INC, INC, {"text": "other"}, notices=["n2"])
    assert [one.id for one in store.notices.pending("slack")] == ["n1", "n2", "n3"]
    shown(store, "a", "1.0")
    refused = out.get("b")
    assert refused is not None
    out.refuse(refused, "channel_not_found")
    assert [one.id for one in store.notices.pending("slack")] == ["n2", "n3"]
    assert out.open(INC) == []
    out.want("a", INC, INC, {"text": "one"}, notices=["n3"])
    assert [one.id for one in store.notices.pending("slack")] == ["n2"]


def test_what_was_never_sent_can_be_dropped_and_what_may_stand_cannot(store: Store) -> None:
    out = store.slack.out
    out.want("a", INC, INC, {"text": "one"})
    out.want("b", INC, INC, {"text": "two"})
    out.begin("b", 1.0)
    assert out.drop("a") and not out.drop("b")
    assert [row.key for row in out.open(INC)] == ["b"]


def test_another_process_sees_what_was_in_flight(store: Store, store_url: str, home: Path) -> None:
    store.slack.out.want("a", INC, INC, {"text": "one"})
    store.slack.out.begin("a", 7.0)
    other = Store(store_url, home)
    try:
        (row,) = other.slack.out.open(INC)
        assert (row.state, row.begun) == ("flight", 7.0)
    finally:
        other.close()


def test_a_channel_that_is_wanted_otherwise_meanwhile_stays_due(store: Store) -> None:
    out = store.slack.out
    out.want_channel(INC, INC, {"topic": "one"})
    lane = out.lane(INC)
    assert lane is not None and INC in out.due()
    out.want_channel(INC, INC, {"topic": "two"})
    out.settle(lane, {"topic": "one"})
    assert INC in out.due()
    newest = out.lane(INC)
    assert newest is not None
    out.settle(newest, {"topic": "two"})
    assert out.due() == {}
