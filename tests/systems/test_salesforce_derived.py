"""What a model wrote into the CRM is found by field history and set back; who wrote after it is right."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from activities.errors import InvalidParams
from activities.systems.salesforce.derived import Change, field_name, history_of, object_name, same, sweep
from activities.systems.salesforce.peer.state import User
from tests.systems.acme import Acme, Bench

FIND, RESTORE = "salesforce.find_derived_writes", "salesforce.restore_derived_writes"
FIELD, MARKER = "Churn_Score__c", "Churn_Model__c"
WHERE = {"object": "Account", "field": FIELD}


class Crm:
    """Accounts whose score a model wrote: version 2 before the window, version 5 in it."""

    def __init__(self, acme: Acme, count: int) -> None:
        self.org = acme.org
        self.bad = acme.org.started - timedelta(days=2)
        self.model: User = acme.org.add_user("crm-sync@acme.example", "CRM Sync")
        self.person: User = acme.org.add_user("ana@acme.example", "Ana")
        self.ids = [self.account(n) for n in range(count)]
        self.since = (self.bad - timedelta(hours=1)).isoformat()

    def account(self, number: int) -> str:
        """An account, scored by version 2, then by version 5."""
        id_ = self.org.mint("001")
        self.org.rows["Account"].append({"Id": id_, "Name": f"Customer {number}", FIELD: None, MARKER: None})
        self.write(id_, 0.2, "2", self.bad - timedelta(days=30))
        self.write(id_, 0.9, "5", self.bad)
        return id_

    def write(self, id_: str, score: float | None, version: str, at: datetime, by: User | None = None) -> None:
        """What the model's integration does."""
        self.org.write_account(id_, (by or self.model).id, {FIELD: score, MARKER: version}, at)

    def by_person(self, id_: str, score: float) -> None:
        """Ana sets a score by hand, now."""
        self.org.write_account(id_, self.person.id, {FIELD: score})

    def score(self, id_: str) -> Any:
        """What stands there."""
        return next(row[FIELD] for row in self.org.rows["Account"] if row["Id"] == id_)


@pytest.fixture
def crm(acme: Acme) -> Crm:
    """Three accounts."""
    return Crm(acme, 3)


async def test_what_the_model_wrote_is_found_with_the_value_of_before(crm: Crm, bench: Bench) -> None:
    found = await bench.apply(FIND, **WHERE, since=crm.since, marker=MARKER, values=["5"])
    assert (found.output["count"], found.output["complete"], found.warnings) == (3, True, ())
    rows = {row["id"]: row for row in bench.rows(found.output["targets"])}
    assert set(rows) == set(crm.ids)
    assert all((row["previous"], row["written"], row["current"]) == (0.2, 0.9, 0.9) for row in rows.values())


async def test_restoring_sets_them_back_and_its_undo_gives_the_models_value_again(
    crm: Crm, bench: Bench, acme: Acme
) -> None:
    found = await bench.apply(FIND, **WHERE, since=crm.since)
    params = {**WHERE, "targets": found.output["targets"]}
    shown = await bench.preview(RESTORE, **params)
    assert (shown.count, shown.reversible) == (3, True) and "Account.Churn_Score__c" in shown.impact[0]
    result = await bench.apply(RESTORE, **params)
    assert (result.changed, result.verified, result.affected.count) == (True, True, 3)
    assert [crm.score(id_) for id_ in crm.ids] == [0.2] * 3
    assert sorted(acme.effects("record.updated")) == sorted(crm.ids)
    again = await bench.run(bench.call(FIND, {**WHERE, "since": crm.since}, step="again"))
    assert again.output["count"] == 0
    undone = await bench.run(bench.call(RESTORE, params, verb="undo", undo_args=result.undo_args))
    assert (undone.changed, undone.verified) == (True, True)
    assert [crm.score(id_) for id_ in crm.ids] == [0.9] * 3


async def test_what_a_person_wrote_since_is_left_alone(crm: Crm, bench: Bench) -> None:
    crm.by_person(crm.ids[0], 0.5)
    found = await bench.apply(FIND, **WHERE, since=crm.since, marker=MARKER, values=["5"])
    assert found.output["count"] == 3 and any("changed by somebody" in text for text in found.warnings)
    crm.by_person(crm.ids[1], 0.6)
    shown = await bench.preview(RESTORE, **WHERE, targets=found.output["targets"])
    assert shown.count == 1
    assert sorted(shown.excluded) == sorted(
        [
            f"{crm.ids[0]}: somebody changed it after the model did",
            f"{crm.ids[1]}: somebody changed it since it was found",
        ]
    )
    result = await bench.apply(RESTORE, **WHERE, targets=found.output["targets"])
    assert (result.verified, result.affected.count) == (True, 1)
    assert [crm.score(id_) for id_ in crm.ids] == [0.5, 0.6, 0.2]


async def test_who_writes_between_preview_and_change_wins(crm: Crm, bench: Bench) -> None:
    found = await bench.apply(FIND, **WHERE, since=crm.since)
    bench.before_change = lambda: crm.by_person(crm.ids[0], 0.7)
    result = await bench.apply(RESTORE, **WHERE, targets=found.output["targets"])
    assert result.items is not None and result.items.failures == (f"{crm.ids[0]}: changed_since",)
    assert [crm.score(id_) for id_ in crm.ids] == [0.7, 0.2, 0.2]
    crm.by_person(crm.ids[1], 0.8)
    bench.before_change = None
    undo = bench.call(RESTORE, {**WHERE, "targets": found.output["targets"]}, verb="undo", undo_args=result.undo_args)
    undone = await bench.run(undo)
    assert undone.items is not None and (undone.items.done, undone.items.unknown) == (1, 1)
    assert [crm.score(id_) for id_ in crm.ids] == [0.7, 0.8, 0.9]


async def test_other_peoples_writes_in_the_window_are_not_the_models(crm: Crm, bench: Bench) -> None:
    mine = crm.account(9)
    crm.org.write_account(mine, crm.person.id, {FIELD: 0.4}, crm.bad - timedelta(minutes=30))
    for how in ({"marker": MARKER, "values": ["5"]}, {"writer": "CRM-Sync@acme.example"}, {"writer": crm.model.id}):
        found = await bench.run(bench.call(FIND, {**WHERE, "since": crm.since, **how}, step=str(how)))
        assert {row["writer"] for row in bench.rows(found.output["targets"])} == {crm.model.id}


async def test_writes_after_the_window_are_no_part_of_it(crm: Crm, bench: Bench) -> None:
    until = crm.bad + timedelta(hours=1)
    crm.write(crm.ids[0], 0.3, "6", crm.bad + timedelta(hours=5))
    found = await bench.apply(FIND, **WHERE, since=crm.since, until=until.isoformat(), writer=crm.model.id)
    rows = {row["id"]: row for row in bench.rows(found.output["targets"])}
    assert rows[crm.ids[0]]["changed_by"] == crm.model.id and "changed_by" not in rows[crm.ids[1]]


async def test_a_record_without_history_is_named_and_not_guessed_at(crm: Crm, bench: Bench) -> None:
    dark = crm.ids[0]
    crm.org.history = [row for row in crm.org.history if row["AccountId"] != dark]
    found = await bench.apply(FIND, **WHERE, since=crm.since, marker=MARKER, values=["5"])
    assert (found.output["count"], found.output["complete"]) == (3, False)
    shown = await bench.preview(RESTORE, **WHERE, targets=found.output["targets"])
    assert shown.count == 2 and "no history" in shown.excluded[0]
    result = await bench.apply(RESTORE, **WHERE, targets=found.output["targets"])
    assert result.affected.count == 2 and crm.score(dark) == 0.9
    literal = await bench.preview(RESTORE, **WHERE, targets=[crm.ids[1]])
    assert literal.count == 0 and "no history" in literal.excluded[0]


async def test_a_field_whose_history_is_not_kept_is_said(crm: Crm, bench: Bench) -> None:
    crm.org.tracked.discard(FIELD)
    found = await bench.apply(FIND, **WHERE, since=crm.since)
    assert found.output["complete"] is False and any("history is not kept" in text for text in found.warnings)


async def test_a_lost_answer_is_found_and_counted_as_ours(crm: Crm, bench: Bench, acme: Acme) -> None:
    found = await bench.apply(FIND, **WHERE, since=crm.since)
    acme.fault("drop_after_commit", method="PATCH", times=1)
    call = bench.call(RESTORE, {**WHERE, "targets": found.output["targets"]})
    result = await bench.after_lost(call)
    assert (result.changed, result.verified, result.affected.count) == (True, True, 3)
    assert len(acme.asked("composite/sobjects", "PATCH")) == 1


async def test_many_records_go_in_batches_and_one_refused_row_fails_alone(acme: Acme, bench: Bench) -> None:
    crm = Crm(acme, 450)
    acme.org.locked[crm.ids[7]] = 99
    found = await bench.apply(FIND, **WHERE, since=crm.since)
    assert found.output["count"] == 450
    result = await bench.apply(RESTORE, **WHERE, targets=found.output["targets"])
    assert result.items is not None and (result.items.done, result.items.failed) == (449, 1)
    assert result.items.failures == (f"{crm.ids[7]}: unable_to_lock_row",)
    assert result.verified is False


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"object": "Account WHERE Name != null OR Id"}, "object"),
        ({"object": "User"}, "object"),
        ({"object": "PermissionSetAssignment"}, "object"),
        ({"object": "Account__"}, "object"),
        ({"field": "Churn_Score__c, (SELECT Id FROM Contacts)"}, "field"),
        ({"field": "OwnerId"}, "field"),
        ({"field": "Parent.Name"}, "field"),
        ({"marker": "x = 1 OR Name", "values": ["5"]}, "marker"),
        ({"marker": MARKER}, "values"),
    ],
)
async def test_names_that_do_not_belong_into_a_query_are_refused(
    crm: Crm, bench: Bench, acme: Acme, params: dict[str, Any], said: str
) -> None:
    error = await bench.refused(bench.call(FIND, {**WHERE, "since": crm.since, **params}))
    assert error.type == "InvalidParams" and said in error.message
    assert not acme.asked("/query")


@pytest.mark.parametrize("text", ["Account", "Lead", "Risk__c", "ns__Risk__c", "My_Thing__c"])
def test_objects_are_standard_ones_with_history_or_custom(text: str) -> None:
    assert object_name(text) == text


@pytest.mark.parametrize("text", ["", "_x__c", "x__", "a-b", "a b", "é__c", "a" * 200, "x'; --", "Id", "id\n"])
def test_fields_are_api_names(text: str) -> None:
    with pytest.raises(InvalidParams):
        field_name(text)


def test_custom_objects_have_a_history_of_their_own() -> None:
    assert history_of("ns__Risk__c") == ("ns__Risk__History", "ParentId")
    assert history_of("Opportunity") == ("OpportunityFieldHistory", "OpportunityId")


@pytest.mark.parametrize(
    ("left", "right", "equal"),
    [(1, 1.0, True), ("0.5", 0.5, True), (None, "", True), (0, None, False), ("a", "A", False), (True, 1.0, False)],
)
def test_values_are_compared_as_salesforce_gives_them(left: Any, right: Any, equal: bool) -> None:
    assert same(left, right) is equal


def test_several_writes_of_the_model_go_back_to_before_the_first() -> None:
    start = datetime(2026, 3, 1, tzinfo=UTC)
    history = [Change("r", 0.2, 0.8, start, "m"), Change("r", 0.8, 0.9, start + timedelta(hours=1), "m")]
    found = sweep(history, start + timedelta(days=1), {"m"}, {"r": 0.9})
    assert [(item.previous, item.written) for item in found] == [(0.2, 0.9)]
    assert sweep(history, start + timedelta(days=1), {"m"}, {"r": 0.2}) == []
    assert sweep(history, start + timedelta(days=1), {"m"}, {}) == []
