"""The durable inbox: kept once, carried out once, told once, and what people wrote is not kept longer."""

from pathlib import Path

import pytest

from worker.store import Store


@pytest.fixture
def store(tmp_path: Path):
    """A store of its own."""
    made = Store(f"sqlite:///{tmp_path}/stanch.db", tmp_path)
    yield made
    made.close()


def test_the_same_request_is_kept_once_with_the_token_of_its_arrival(store: Store) -> None:
    first, new = store.inbox.keep("click/U1/1.2", "e1", {"do": "decide"})
    again, repeated = store.inbox.keep("click/U1/1.2", "e2", {"do": "something else"})
    assert (new, repeated) == (True, False)
    assert again == first and again.envelope == "e1"
    other, _ = store.inbox.keep("click/U2/1.2", "e3", {"do": "decide"})
    assert other.token != first.token


def test_what_is_not_done_is_found_again_in_order_with_what_came_of_it(store: Store) -> None:
    for name in ("a", "b", "c"):
        store.inbox.keep(name, "e", {"do": name})
    store.inbox.carried_out("b", {"code": "ok"})
    store.inbox.done("a")
    assert [(one.id, one.outcome) for one in store.inbox.open()] == [("b", {"code": "ok"}), ("c", None)]


def test_what_people_wrote_is_gone_once_it_is_done_and_the_repeat_is_still_known(store: Store) -> None:
    store.inbox.keep("a", "e", {"text": "private words"})
    store.inbox.carried_out("a", {"message": "private answer"})
    store.inbox.done("a")
    kept, new = store.inbox.keep("a", "e2", {"text": "private words"})
    assert not new and kept.what == {} and kept.outcome == {}
    assert store.inbox.forget("2000-01-01T00:00:00.000000Z") == 0
    assert store.inbox.forget("9999-01-01T00:00:00.000000Z") == 1


def test_an_identity_that_two_people_share_is_nobodys(store: Store) -> None:
    store.people.add("amal", ["crm_owner"], [("slack", "T1", "U1")])
    found = store.people.by_identity(("slack", "T1", "U1"))
    assert found is not None and found.name == "amal" and found.roles == ("crm_owner",)
    assert store.people.by_identity(("slack", "T2", "U1")) is None
    store.people.add("bo", ["crm_owner"], [("slack", "T1", "U1")])
    assert store.people.by_identity(("slack", "T1", "U1")) is None


def test_an_incident_is_found_by_the_request_that_opened_it(store: Store) -> None:
    given = {"title": "t", "kind": "unknown", "severity": 3, "facts": {}, "opened_by": "amal"}
    first = store.incidents.open(**given, request="r1")
    store.incidents.open(**given)
    store.incidents.open(**given)
    assert store.incidents.requested("r1") == first
    assert store.incidents.requested("r2") is None
