"""Reading OAuth tokens in spite of the caps: pages of 500, 2,500 a query, split by users."""

import pytest

from activities.systems.salesforce.grants import CAP
from tests.systems.acme import APP, Acme


def counted(acme: Acme) -> int:
    """Queries and further pages asked so far."""
    return len(acme.asked("/query"))


def test_few_tokens_take_one_count_and_one_query(acme, client):
    made = acme.grants(acme.users(3))
    client.own_user()
    found, complete = client.grants(APP)
    assert complete
    assert {grant.delete_token for grant in found} == {grant.delete_token for grant in made}
    assert counted(acme) == 2


def test_a_page_holds_at_most_500(acme, client):
    acme.grants(acme.users(6), each=200)
    client.own_user()
    found, complete = client.grants(APP)
    assert (len(found), complete) == (1200, True)
    assert counted(acme) == 1 + 3


@pytest.mark.parametrize(("users", "each"), [(30, 100), (63, 100), (300, 21)])
def test_more_than_the_cap_is_read_in_full_by_splitting(acme, client, users, each):
    made = acme.grants(acme.users(users), each=each)
    other = acme.org.add_app("Another")
    acme.grants(acme.users(5, "other"), each=3, app=other)
    assert len(made) > CAP
    found, complete = client.grants(APP)
    assert complete
    assert len(found) == len(made)
    assert {grant.delete_token for grant in found} == {grant.delete_token for grant in made}
    assert {grant.app for grant in found} == {APP}


def test_exactly_the_cap_needs_no_split(acme, client):
    acme.grants(acme.users(5), each=500)
    client.own_user()
    found, complete = client.grants(APP)
    assert (len(found), complete) == (CAP, True)
    assert counted(acme) == 1 + 5


def test_one_user_above_the_cap_is_read_as_far_as_it_goes_and_said_to_be_incomplete(acme, client):
    one, two = acme.users(2)
    acme.grants([one], each=CAP + 10)
    acme.grants([two], each=3)
    found, complete = client.grants(APP)
    assert not complete
    assert len(found) == CAP + 3
    assert client.count_grants(APP) == CAP + 13, "counting knows no cap"


def test_of_named_users_only_theirs_are_read(acme, client):
    one, two, three = acme.users(3)
    acme.grants([one, two, three])
    found, _ = client.grants(users=[one.id, two.id[:15]])
    assert {grant.user for grant in found} == {one.id, two.id}
    assert client.grants(APP, []) == ([], True)


def test_tokens_are_told_apart_by_a_keyed_fingerprint_only(acme, client):
    acme.grants(acme.users(1), each=5)
    found, _ = client.grants()
    assert len({grant.fp for grant in found}) == 5
    for grant in found:
        assert grant.delete_token not in str(grant.row())
        assert set(grant.row()) == {"id", "app", "user", "created", "last_used", "uses", "fp"}
        assert grant.row()["id"] == grant.fp


def test_an_app_name_is_data_and_no_query(acme, client):
    acme.grants(acme.users(2))
    assert client.grants("x' OR AppName != '") == ([], True)
    assert client.count_grants("O'Reilly \\ Sync") == 0


def test_without_the_permission_only_ones_own_are_seen(acme, client):
    acme.me.permissions -= {"CustomizeApplication"}
    acme.grants(acme.users(2))
    assert client.grants(APP) == ([], True)
