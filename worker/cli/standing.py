"""``stanch standing``: what owners approved in advance."""

from datetime import UTC, datetime, timedelta
from typing import Any

import click

from worker.cli import card
from worker.cli.client import at, connect
from worker.cli.options import as_option
from worker.cli.output import clean, emit, json_option, show
from worker.cli.values import pairs, typed


@click.group()
def standing() -> None:
    """Approvals in advance: by an action's owner, for what fits, until a date."""


@standing.command("list")
@click.option("--all", "all_", is_flag=True, help="Those too that are over or revoked.")
@as_option
@json_option
def list_(all_: bool, as_person: str | None, as_json: bool) -> None:
    """Standing approvals that are in force."""
    with connect(as_person) as api:
        rows = [row for row in api.get("/v1/standing")["standing"] if all_ or row["in_force"]]
    if as_json:
        emit({"standing": rows})
        return
    table: list[tuple[str, ...]] = [("ID", "ACTION", "BY", "AT MOST", "UNTIL", "FOR")]
    table += [_row(row) for row in rows]
    show(card.columns(table) if rows else "Nothing is approved in advance.")


@standing.command()
@click.argument("action")
@click.option("-p", "--param", "params", multiple=True, metavar="K=V", help="A parameter that must be so.")
@click.option("--at-most", type=click.IntRange(1), required=True, metavar="N", help="Targets of one call, at most.")
@click.option("--days", type=click.IntRange(1, 90), default=30, show_default=True, help="How long it holds.")
@click.option("--kind", "kinds", multiple=True, help="Only in incidents of this kind; may be given again.")
@click.option("--severity", type=click.IntRange(0, 5), default=0, help="Only from this severity on.")
@click.option("--reason", required=True, metavar="T", help="Why; kept in the record.")
@as_option
@json_option
def add(
    action: str,
    params: tuple[str, ...],
    at_most: int,
    days: int,
    kinds: tuple[str, ...],
    severity: int,
    reason: str,
    as_person: str | None,
    as_json: bool,
) -> None:
    """Approve ACTION in advance, as the owner of its targets. Never counts for protected targets."""
    body = {
        "action": action,
        "params": _typed(action, params),
        "max_affected": at_most,
        "until": (datetime.now(UTC) + timedelta(days=days) - timedelta(minutes=1)).isoformat(),
        "kinds": list(kinds),
        "severity_from": severity,
        "reason": reason,
    }
    with connect(as_person) as api:
        _tell(api.post("/v1/standing", body), as_json)


@standing.command()
@click.argument("standing_id", metavar="ID")
@click.option("--reason", required=True, metavar="T", help="Why; kept in the record.")
@as_option
@json_option
def revoke(standing_id: str, reason: str, as_person: str | None, as_json: bool) -> None:
    """End one at once. What it approved and has not begun is asked anew."""
    with connect(as_person) as api:
        _tell(api.post(at("standing", standing_id, "revoke"), {"reason": reason}), as_json)


def _typed(action: str, params: tuple[str, ...]) -> dict[str, Any]:
    given = pairs(params, "-p")
    if not given:
        return {}
    from activities.catalog import CATALOG

    facts = CATALOG.facts().get(action)
    # The server may have actions that are not installed here; their parameters are then text.
    declared = {name: {"type": field.type} for name, field in facts.params.items()} if facts else {}
    return typed(given, {name: declared.get(name, {"type": "string"}) for name in given}, "-p")


def _tell(row: dict[str, Any], as_json: bool) -> None:
    if as_json:
        emit(row)
        return
    state = "in force" if row["in_force"] else "not in force"
    show(f"{row['id']}  {row['action']}  {state}")
    show(f"  by {clean(row['person'])} until {row['until'][:16]}Z, at most {row['max_affected']} targets, {_for(row)}")
    show(f"  {clean(row['reason'])}")


def _row(row: dict[str, Any]) -> tuple[str, ...]:
    until = row["until"][:16] + "Z" if row["revoked_at"] is None else f"revoked by {row['revoked_by']}"
    return row["id"], row["action"], clean(row["person"]), str(row["max_affected"]), clean(until), _for(row)


def _for(row: dict[str, Any]) -> str:
    parts = [f"{name}={clean(value)}" for name, value in row["params"].items()]
    parts += [", ".join(map(clean, row["kinds"]))] if row["kinds"] else []
    parts += [f"severity {row['severity_from']} and up"] if row["severity_from"] else []
    return "; ".join(parts) or "any incident"
