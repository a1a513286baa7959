import pytest

from worker.desk.nonces import Nonces
from worker.desk.refusals import DeskRefusal
from worker.desk.rights import RIGHTS, allowed, require


@pytest.mark.parametrize("right", sorted(RIGHTS))
def test_nobody_without_a_role_may_do_anything(right):
    assert not allowed((), right)
    assert not allowed(("viewer", "detector"), right)


def test_an_unknown_right_nobody_has():
    assert not allowed(("incident_commander", "admin"), "launch")


def test_everybody_may_stop_and_only_the_commander_goes_on():
    assert allowed(("crm_owner",), "hold_on")
    assert allowed(("crm_owner",), "pause")
    for right in ("hold_off", "resume", "cancel", "close"):
        assert not allowed(("crm_owner",), right)
        assert allowed(("incident_commander",), right)


def test_refusal_names_the_role_that_is_needed():
    with pytest.raises(DeskRefusal) as refused:
        require("ana", ("crm_owner",), "people")
    assert refused.value.code == "wrong_role"
    assert refused.value.status == 403
    assert "admin" in refused.value.message


def test_a_nonce_belongs_to_one_person_and_one_question():
    nonces = Nonces(b"k" * 32)
    nonce = nonces.issue("ana", "run/1", "go", "d" * 64)
    assert nonces.belongs(nonce, "ana", "run/1", "go", "d" * 64)
    for other in (
        ("rui", "run/1", "go", "d" * 64),
        ("ana", "run/2", "go", "d" * 64),
        ("ana", "run/1", "stay", "d" * 64),
        ("ana", "run/1", "go", "e" * 64),
    ):
        assert not nonces.belongs(nonce, *other)
    assert not Nonces(b"x" * 32).belongs(nonce, "ana", "run/1", "go", "d" * 64)
    assert not nonces.belongs("garbage", "ana", "run/1", "go", "d" * 64)


def test_nonces_differ_each_time():
    nonces = Nonces(b"k" * 32)
    assert nonces.issue("a", "r", "s", "d") != nonces.issue("a", "r", "s", "d")
