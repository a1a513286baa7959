"""People: who they are, and tokens that are shown once, kept as hashes, and worthless at once when revoked."""

from pathlib import Path

import pytest
from sqlalchemy import text

from worker.store import Store
from worker.store.people import Delegation, Person


def test_somebody_is_known_with_roles_and_identities(store: Store) -> None:
    store.people.add("amal", ["crm_owner"], [("slack", "T1", "U1")])
    assert store.people.get("amal") == Person("amal", ("crm_owner",), (("slack", "T1", "U1"),))
    store.people.add("amal", ["legal", "admin"])
    assert store.people.get("amal") == Person("amal", ("legal", "admin"), (("slack", "T1", "U1"),))
    store.people.add("amal", ["legal"], [])
    assert store.people.get("amal") == Person("amal", ("legal",), ())
    assert store.people.get("bo") is None
    store.people.add("a", [])
    assert [person.name for person in store.people.list()] == ["a", "amal"]


def test_a_token_names_its_person_with_the_roles_of_this_moment(store: Store) -> None:
    store.people.add("amal", ["crm_owner"])
    token, second = store.people.issue_token("amal"), store.people.issue_token("amal")
    assert token != second and len(token) > 40
    store.people.add("amal", ["viewer"])
    for good in (token, second):
        person = store.people.by_token(good)
        assert person is not None and (person.name, person.roles) == ("amal", ("viewer",))
    for bad in ("", "stanch_", token[:-1], token + "x", token.upper()):
        assert store.people.by_token(bad) is None
    with pytest.raises(LookupError, match="nobody"):
        store.people.issue_token("bo")


def test_revoking_takes_every_token_at_once_in_every_process(store: Store, store_url: str, home: Path) -> None:
    beside = Store(store_url, home)
    for name in ("amal", "bo"):
        store.people.add(name, ["crm_owner"])
    mine = [store.people.issue_token("amal") for _ in range(2)]
    theirs = store.people.issue_token("bo")
    assert beside.people.by_token(mine[0]) is not None
    assert store.people.revoke("amal") == 2
    assert [each.people.by_token(token) for each in (store, beside) for token in mine] == [None] * 4
    assert beside.people.by_token(theirs) is not None
    assert store.people.revoke("amal") == 0
    assert store.people.by_token(store.people.issue_token("amal")) is not None
    beside.close()


def test_no_token_can_be_read_from_the_store(store: Store, home: Path) -> None:
    store.people.add("amal", [])
    token = store.people.issue_token("amal")
    with store.transaction() as connection:
        rows = connection.execute(text("SELECT * FROM tokens")).all()
    assert len(rows) == 1 and token.removeprefix("stanch_") not in str(rows)
    for path in home.rglob("*"):
        assert not path.is_file() or token.removeprefix("stanch_").encode() not in path.read_bytes()


def test_a_role_handed_over_is_the_other_s_until_then_and_no_longer_than_its_person_has_it(store: Store) -> None:
    store.people.add("amal", ["crm_owner", "legal"])
    store.people.add("bo", ["viewer"])
    token = store.people.issue_token("bo")
    store.people.delegate(Delegation("amal", "crm_owner", "bo", "2999-01-01T00:00:00.000000Z", "root"))
    roles = {person.name: person.roles for person in store.people.list()}
    assert roles == {"amal": ("legal",), "bo": ("viewer", "crm_owner")}
    bo = store.people.by_token(token)
    assert bo is not None and bo.roles == ("viewer", "crm_owner") and bo.own == ("viewer",)
    amal = store.people.get("amal")
    assert amal is not None and [one.to for one in amal.away] == ["bo"]
    store.people.add("amal", ["legal"])
    assert [person.roles for person in store.people.list()] == [("legal",), ("viewer",)]
    store.people.add("amal", ["crm_owner"])
    store.people.delegate(Delegation("amal", "crm_owner", "bo", "2001-01-01T00:00:00.000000Z"))
    assert [person.roles for person in store.people.list()] == [("crm_owner",), ("viewer",)]
    assert store.people.end_delegation("amal", "crm_owner") and not store.people.end_delegation("amal", "crm_owner")
