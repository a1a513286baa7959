"""Which fact wins, when an incident is contained, when it may close."""

import pytest

from workflows.incident_rules import contained, not_closable, reminders, take_fact
from workflows.messages import FactChange
from workflows.state import FactsSnapshot, IncidentRun, IncidentState


def change(value: object, trust: str) -> FactChange:
    """A change of one fact."""
    return FactChange(fact="app", value=value, trust=trust, by="x", at="2026-11-23T10:00:00.000000Z")


@pytest.mark.parametrize(
    ("first", "second", "wins"),
    [
        ("alert", "alert", "new"),
        ("alert", "read", "new"),
        ("alert", "person", "new"),
        ("read", "alert", "old"),
        ("read", "read", "new"),
        ("person", "read", "old"),
        ("person", "alert", "old"),
        ("person", "person", "new"),
    ],
)
def test_trust_decides_and_the_loser_is_kept(first: str, second: str, wins: str) -> None:
    state = IncidentState(facts=FactsSnapshot())
    assert take_fact(state, change("old", first))
    assert take_fact(state, change("new", second)) is (wins == "new")
    assert state.facts.facts["app"].value == wins
    assert [loser.value for loser in state.losers["app"]] == ["old" if wins == "new" else "new"]
    assert state.facts.version == 1 + 1 + (wins == "new")


def test_the_same_again_is_no_news_and_a_person_may_clear() -> None:
    state = IncidentState()
    take_fact(state, change("v", "person"))
    assert not take_fact(state, change("v", "alert"))
    assert take_fact(state, change(None, "person"))
    assert "app" not in state.facts.facts


def runs(**of: tuple) -> IncidentState:
    """An incident with runs of (status, phase, started, verified, unknown)."""
    made = {
        name: IncidentRun(
            status=status, phase=phase, contain_started=started, contain_verified=verified, unknown=unknown
        )
        for name, (status, phase, started, verified, unknown) in of.items()
    }
    return IncidentState(runs=made)


@pytest.mark.parametrize(
    ("state", "yes"),
    [
        (runs(), False),
        (runs(a=("running", "triage", 0, 0, 0)), False),
        (runs(a=("running", "contain", 2, 2, 0)), False),
        (runs(a=("running", "recover", 2, 2, 0)), True),
        (runs(a=("done", "contain", 2, 2, 0)), True),
        (runs(a=("done", "recover", 2, 1, 0)), False),
        (runs(a=("done", "recover", 2, 2, 1)), False),
        (runs(a=("done", "recover", 2, 2, 0), b=("running", "contain", 1, 0, 0)), False),
    ],
)
def test_contained(state: IncidentState, yes: bool) -> None:
    assert contained(state) is yes


def test_close_is_refused_while_something_is_owed() -> None:
    state = runs(a=("done", None, 0, 0, 1))
    assert not_closable(state)[0] == "effect_unknown"
    state = runs(a=("running", None, 0, 0, 0))
    assert not_closable(state)[0] == "run_active"
    state = runs(a=("done", None, 0, 0, 0))
    state.clocks = [{"id": "eu_gdpr_art33/notify", "state": "candidate", "open": True}]
    assert not_closable(state)[0] == "clock_open"
    # Dismissed, and not yet computed anew; what was submitted may start another clock, so it is computed first.
    for verb, owed in (("dismissed", False), ("handed_over", False), ("submitted", True), ("confirmed", True)):
        state.clock_decisions = {"eu_gdpr_art33/notify": {"state": verb}}
        assert (not_closable(state) is not None) is owed
        assert not_closable(state, lambda _: False) is not None
    state.clocks = [{"id": "eu_gdpr_art33/notify", "state": "dismissed", "open": False}]
    assert not_closable(state) is None


def test_reminders_come_soonest_first_and_once() -> None:
    def reminder(at: str) -> dict:
        return {"at": at, "text": "t"}

    late, soon = "2026-11-24T10:00:00.000000Z", "2026-11-23T10:00:00.000000Z"
    state = IncidentState(
        clocks=[{"id": "c", "state": "running", "open": True, "reminders": [reminder(late), reminder(soon)]}]
    )
    assert [one.at for one in reminders(state)] == [soon, late]
    state.reminded = [reminders(state)[0].id]
    assert [one.at for one in reminders(state)] == [late]
    state.clocks[0]["open"] = False
    assert reminders(state) == []
