"""Facts: named, typed, with provenance."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from playbooks.facts import FactError, coerce, full_name, near, read_facts, settable
from playbooks.facts_vocabulary import ALIASES, KINDS


@pytest.mark.parametrize(
    ("name", "written", "read"),
    [
        ("subjects", "12000", 12000),
        ("incident.subjects", "12,000", 12000),
        ("personal_data", "yes", True),
        ("personal_data", False, False),
        ("risk_to_people", "HIGH", "high"),
        ("breach_types", "confidentiality, integrity", ["confidentiality", "integrity"]),
        ("awareness", "2026-11-24T10:00:00Z", "2026-11-24T10:00:00Z"),
        ("awareness", "2026-11-24T10:00", "2026-11-24T10:00"),
        ("nature", "  text ", "text"),
        ("subjects", None, None),
        ("anything_else", {"a": [1]}, {"a": [1]}),
    ],
)
def test_values_are_read_in_the_type_of_their_fact(name, written, read) -> None:
    assert coerce(name, written) == read


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("subjects", "many"),
        ("subjects", -1),
        ("subjects", True),
        ("subjects", 1.5),
        ("personal_data", "maybe"),
        ("risk_to_people", "extreme"),
        ("breach_types", ["theft"]),
        ("awareness", "yesterday"),
        ("severity", 6),
        ("nature", ["a"]),
        ("indicators", {"a": 1}),
    ],
)
def test_a_wrong_type_names_the_fact_and_what_it_takes(name, value) -> None:
    with pytest.raises(FactError) as caught:
        coerce(name, value)
    assert caught.value.code == "wrong_type"
    assert full_name(name) in caught.value.message
    assert "not set" in caught.value.message


@pytest.mark.parametrize("name", ["Big", "a b", "x-y", "a.b.c.d", ""])
def test_a_bad_name_is_refused(name: str) -> None:
    with pytest.raises(FactError) as caught:
        coerce(name, 1)
    assert caught.value.code == "bad_name"


def test_what_stanch_sets_on_opening_is_fixed() -> None:
    for name in ("id", "incident.kind", "organisation.name"):
        with pytest.raises(FactError):
            settable(name)
    settable("incident.personal_data")
    settable("anything_else")


def test_provenance_is_kept() -> None:
    told = {"value": "12000", "state": "estimate", "because": "export", "source": "INC-2026-1", "at": "2026-11-24"}
    facts = read_facts({"incident": {"subjects": told}})
    found = facts.get("subjects")
    assert (found.value, found.state, found.because) == (12000, "estimate", "export")


def test_a_fact_of_a_workflow_is_read_with_its_trust() -> None:
    facts = read_facts({"personal_data": {"value": False, "trust": "alert", "by": "", "source": "s", "at": ""}})
    assert facts.get("incident.personal_data").trust == "alert"


def test_standing_facts_of_the_organisation_yield_to_the_documents() -> None:
    facts = read_facts({"organisation": {"zone": "Europe/Paris"}}, organisation={"zone": "UTC", "gdpr": True})
    assert facts.get("organisation.zone").value == "Europe/Paris"
    assert facts.get("organisation.gdpr").value is True


def test_one_bad_fact_does_not_hide_the_others() -> None:
    problems: list[FactError] = []
    facts = read_facts({"subjects": "lots", "personal_data": "yes"}, problems=problems)
    assert [problem.fact for problem in problems] == ["incident.subjects"]
    assert facts.get("personal_data").value is True
    assert not facts.get("subjects").known


def test_older_names_are_read_as_the_new_ones() -> None:
    assert full_name("controller_aware") == "incident.awareness"
    assert set(ALIASES.values()) <= set(KINDS)
    assert not set(ALIASES) & set(KINDS)
    assert near("incident.personal_dta") == "incident.personal_data"


@given(
    st.dictionaries(st.text(max_size=12), st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists))
)
def test_any_document_is_read_or_refused_with_a_code(document) -> None:
    problems: list[FactError] = []
    read_facts(document, problems=problems)
    assert {error.code for error in problems} <= {"wrong_type", "bad_name"}
