"""What a model wrote into records of the CRM, from field history: which value it wrote, and what stood there before.

Salesforce keeps the history of a field where tracking is on (Setup > Object Manager > Fields), 18 months of it over the
API; https://help.salesforce.com/s/articleView?id=sf.tracking_field_history.htm. Long text has no values in it.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from activities.errors import InvalidParams
from activities.systems.salesforce.models import instant, record_id
from playbooks.contract import Json

_PART = r"[A-Za-z](?:_?[A-Za-z0-9]){0,79}"
OBJECT = re.compile(rf"{_PART}|(?:{_PART}__)?{_PART}__c")
FIELD = OBJECT
"""API names: letters, digits, single underscores; a custom one ends in ``__c`` and may have a namespace before it."""
HISTORIES = {
    "Account": ("AccountHistory", "AccountId"),
    "Asset": ("AssetHistory", "AssetId"),
    "Campaign": ("CampaignHistory", "CampaignId"),
    "Case": ("CaseHistory", "CaseId"),
    "Contact": ("ContactHistory", "ContactId"),
    "Contract": ("ContractHistory", "ContractId"),
    "Lead": ("LeadHistory", "LeadId"),
    "Opportunity": ("OpportunityFieldHistory", "OpportunityId"),
    "Order": ("OrderHistory", "OrderId"),
}
"""Object to its history, and to the field there that names the record; for custom objects see ``history_of``."""
SYSTEM_FIELDS = frozenset(
    [
        "id",
        "ownerid",
        "isdeleted",
        "createddate",
        "createdbyid",
        "lastmodifieddate",
        "lastmodifiedbyid",
        "systemmodstamp",
        "recordtypeid",
    ]
)


class Queries(Protocol):
    """What is needed of the client."""

    def query(self, soql: str, *values: Any, doing: str = "") -> Iterator[dict[str, Any]]:
        """Rows of a query."""

    def within(self, soql: str, ids: Sequence[str], *values: Any, doing: str = "") -> Iterator[dict[str, Any]]:
        """Rows of a query whose first ``{}`` is an ``IN`` list."""


def object_name(text: str) -> str:
    """An object whose records may be swept: a custom one, or a standard one that has a field history.

    Raises:
        InvalidParams: It is none; users, permissions and the like never are.
    """
    if not OBJECT.fullmatch(text) or not (text.endswith("__c") or text in HISTORIES):
        raise InvalidParams(
            "`object` must be a custom object's API name or one of "
            f"{', '.join(HISTORIES)}. Nothing was asked or changed."
        )
    return text


def field_name(text: str, what: str = "field") -> str:
    """A field's API name, safe in a query.

    Raises:
        InvalidParams: It is none, or one that Salesforce itself keeps.
    """
    if not FIELD.fullmatch(text) or text.lower() in SYSTEM_FIELDS:
        raise InvalidParams(
            f"`{what}` must be the API name of a field that may be written. Nothing was asked or changed."
        )
    return text


def history_of(object_: str) -> tuple[str, str]:
    """Name of an object's history, and of its field that names the record."""
    if object_.endswith("__c"):
        return f"{object_.removesuffix('__c')}__History", "ParentId"
    return HISTORIES[object_]


@dataclass(frozen=True)
class Change:
    """One entry of a field's history."""

    record: str
    old: Json
    new: Json
    at: datetime
    by: str


@dataclass(frozen=True)
class Derived:
    """A record that a model wrote to: what stood there before its first write, what its last one left, what is now."""

    record: str
    previous: Json
    written: Json
    current: Json
    written_at: datetime | None
    writer: str
    changed_by: str
    """Who wrote after the model, if anybody did."""
    history: bool = True

    def row(self) -> dict[str, Json]:
        """As a row of a target set; without history there is no ``previous``."""
        row: dict[str, Json] = {
            "id": self.record,
            "label": self.record,
            "current": self.current,
            "history": self.history,
        }
        if self.history:
            row |= {"previous": self.previous, "written": self.written, "writer": self.writer}
            row["written_at"] = self.written_at.isoformat() if self.written_at else None
        return {**row, "changed_by": self.changed_by} if self.changed_by else row


def changes(org: Queries, object_: str, field: str, since: datetime) -> list[Change]:
    """A field's history since an instant, oldest first. Old and new values cannot be filtered by Salesforce."""
    table, parent = history_of(object_)
    soql = (
        f"SELECT {parent}, OldValue, NewValue, CreatedDate, CreatedById FROM {table} "
        "WHERE Field = {} AND CreatedDate >= {} ORDER BY CreatedDate, Id"
    )
    found = []
    for row in org.query(soql, field, since, doing="reading field history"):
        at = instant(row["CreatedDate"])
        if at is not None:
            by = record_id(row["CreatedById"]) if row.get("CreatedById") else ""
            found.append(Change(record_id(row[parent]), row.get("OldValue"), row.get("NewValue"), at, by))
    return found


def current(org: Queries, object_: str, field: str, ids: Sequence[str]) -> dict[str, Json]:
    """The field's value now, of each record that is still there."""
    soql = f"SELECT Id, {field} FROM {object_} WHERE Id IN {{}}"
    rows = org.within(soql, ids, doing="reading records")
    return {record_id(row["Id"]): row.get(field) for row in rows}


def marked(org: Queries, object_: str, marker: str, values: Sequence[str]) -> list[str]:
    """Records whose marker names one of the model's versions."""
    soql = f"SELECT Id FROM {object_} WHERE {marker} IN {{}}"
    return [record_id(row["Id"]) for row in org.within(soql, values, doing="reading records")]


def sweep(
    history: Iterable[Change], until: datetime, writers: Collection[str] | None, now: Mapping[str, Json]
) -> list[Derived]:
    """Which records still carry what a model wrote, from the field's history.

    Args:
        history: Oldest first, from the window's beginning on, also past its end.
        until: The window's end.
        writers: Users that write for the model; ``None`` for whoever wrote in the window.
        now: Each record's value now; a record that is not in it is gone.

    A record that stands as it did before the model is left out.
    """
    by_record: dict[str, list[Change]] = {}
    for change in history:
        by_record.setdefault(change.record, []).append(change)
    found = []
    for record, all_changes in sorted(by_record.items()):
        ours = [
            n
            for n, change in enumerate(all_changes)
            if change.at <= until and (writers is None or change.by in writers)
        ]
        if not ours or record not in now:
            continue
        first, last = all_changes[ours[0]], all_changes[ours[-1]]
        if same(now[record], first.old):
            continue
        later = [change.by for change in all_changes[ours[-1] + 1 :]]
        # Without an entry too: history may lag, or tracking may have been off for a while.
        changed = later[-1] if later else ("" if same(now[record], last.new) else "somebody")
        found.append(Derived(record, first.old, last.new, now[record], last.at, last.by, changed))
    return found


def same(left: Json, right: Json) -> bool:
    """Whether two values are the same to Salesforce: numbers by their size, nothing and empty text alike."""
    if left in (None, "") or right in (None, ""):
        return left in (None, "") and right in (None, "")
    if isinstance(left, bool) or isinstance(right, bool):
        return str(left).lower() == str(right).lower()
    if isinstance(left, int | float) or isinstance(right, int | float):
        try:
            return abs(float(left) - float(right)) < 1e-9
        except (TypeError, ValueError):
            return False
    return str(left) == str(right)
