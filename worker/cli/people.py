"""``stanch people``: who is known, roles, tokens.

With ``STANCH_TOKEN`` it speaks to the server as that person. Without one it works on this machine's own home:
who may write there holds its keys anyway, and the first person has to come from somewhere.
"""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import click

from worker.cli.client import ApiClient, at, connect, means_server
from worker.cli.options import as_option
from worker.cli.output import clean, emit, fail, json_option, say, show
from worker.cli.own_home import own_home

Rows = list[dict[str, Any]]
Identities = Sequence[tuple[str, str, str]]


class _Register(Protocol):
    def list(self) -> Rows: ...

    def add(self, name: str, roles: Sequence[str], identities: Identities | None) -> dict[str, Any]: ...

    def contact(self, name: str, given: dict[str, str]) -> dict[str, Any]: ...

    def token(self, name: str) -> str: ...

    def revoke(self, name: str) -> int: ...

    def delegate(self, name: str, role: str, to: str, until: str, *, by: str, door: str) -> dict[str, Any]: ...

    def end_delegation(self, name: str, role: str, *, by: str, door: str) -> dict[str, Any]: ...


class _Remote:
    """People over ``/v1``."""

    def __init__(self, api: ApiClient) -> None:
        self._api = api

    def list(self) -> Rows:
        return [*self._api.get("/v1/people")["people"]]

    def add(self, name: str, roles: Sequence[str], identities: Identities | None) -> dict[str, Any]:
        body: dict[str, Any] = {"name": name, "roles": [*roles]}
        if identities is not None:
            names = ("door", "workspace", "external_id")
            body["identities"] = [dict(zip(names, each, strict=True)) for each in identities]
        return dict(self._api.post("/v1/people", body))

    def contact(self, name: str, given: dict[str, str]) -> dict[str, Any]:
        return dict(self._api.put(at("people", name, "contact"), given))

    def token(self, name: str) -> str:
        return str(self._api.post(at("people", name, "token"))["token"])

    def revoke(self, name: str) -> int:
        return int(self._api.delete(at("people", name, "token"))["revoked"])

    def delegate(self, name: str, role: str, to: str, until: str, *, by: str, door: str) -> dict[str, Any]:
        # Who asks, and at which door, the server knows from the token.
        return dict(self._api.post(at("people", name, "delegations"), {"role": role, "to": to, "until": until}))

    def end_delegation(self, name: str, role: str, *, by: str, door: str) -> dict[str, Any]:
        return dict(self._api.delete(at("people", name, "delegations", role)))


@contextmanager
def _register(as_person: str | None) -> Iterator[_Register]:
    if means_server(as_person):
        with connect(as_person) as api:
            yield _Remote(api)
        return
    from worker.desk.people import People

    with own_home() as (settings, store):
        say(f"No STANCH_TOKEN: working on this machine's home {settings.home}.")
        yield People(store)


@click.group()
def people() -> None:
    """People, roles, tokens."""


@people.command("list")
@as_option
@json_option
def list_(as_person: str | None, as_json: bool) -> None:
    """Everybody, with roles."""
    with _register(as_person) as register:
        found = register.list()
    if as_json:
        emit({"people": found})
        return
    for person in found:
        show(f"{clean(person['name']):<24} {', '.join(person['roles']) or 'no roles'}")
        for key, value in sorted(person.get("contact", {}).items()):
            show(f"{'':<24} {key}: {clean(value)}")
        for one in person.get("away", ()):
            show(f"{'':<24} {one['role']} is with {clean(one['to'])} until {one['until'][:16]}Z")
        for one in person.get("lent", ()):
            show(f"{'':<24} {one['role']} from {clean(one['by'])} until {one['until'][:16]}Z")
    if not found:
        show("Nobody is known yet. `stanch people add NAME --role ROLE` adds the first.")


@people.command()
@click.argument("name")
@click.option("--role", "roles", multiple=True, metavar="ROLE", help="A role; may be repeated.")
@click.option("--identity", "identities", multiple=True, metavar="DOOR:WORKSPACE:ID", help="At a door.")
@as_option
@json_option
def add(name: str, roles: tuple[str, ...], identities: tuple[str, ...], as_person: str | None, as_json: bool) -> None:
    """Add NAME, or give NAME these roles instead. Identities stay unless some are given; contacts stay."""
    split = []
    for identity in identities:
        door, _, rest = identity.partition(":")
        workspace, colon, external = rest.rpartition(":")
        if not door or not colon or not external:
            fail("bad_value", f"--identity {identity!r} is not DOOR:WORKSPACE:ID.", exit_code=2)
        split.append((door, workspace, external))
    with _register(as_person) as register:
        person = register.add(name, roles, split or None)
    if as_json:
        emit({"ok": True, **person})
    else:
        show(f"{person['name']}: {', '.join(person['roles']) or 'no roles'}. Next: stanch people token {name}")


@people.command()
@click.argument("name")
@click.option("--mail", metavar="A", help="Mail address.")
@click.option("--pagerduty", metavar="USER|KEY", help="PagerDuty user id, or a reference of a routing key.")
@click.option("--webhook", metavar="URL", help="Address of a webhook.")
@click.option("--rule", metavar="R", help="Such as 'slack 0m, pagerduty 2m, mail 5m'.")
@as_option
@json_option
def contact(
    name: str,
    mail: str | None,
    pagerduty: str | None,
    webhook: str | None,
    rule: str | None,
    as_person: str | None,
    as_json: bool,
) -> None:
    """Say how NAME is woken. What is not given stays; '' takes it away."""
    every = {"mail": mail, "pagerduty": pagerduty, "webhook": webhook, "rule": rule}
    given = {key: value for key, value in every.items() if value is not None}
    if not given:
        raise click.UsageError("Give at least one of --mail, --pagerduty, --webhook, --rule.")
    with _register(as_person) as register:
        kept = register.contact(name, given)
    if as_json:
        emit({"ok": True, **kept})
    else:
        show(f"{clean(name)}: " + ", ".join(f"{key} {clean(value)}" for key, value in sorted(kept["contact"].items())))


@people.command()
@click.argument("name")
@as_option
@json_option
def token(name: str, as_person: str | None, as_json: bool) -> None:
    """A new token for NAME, shown this once."""
    with _register(as_person) as register:
        made = register.token(name)
    if as_json:
        emit({"name": name, "token": made})
    else:
        say(f"The token of {clean(name)}; it is stored hashed and cannot be shown again:")
        show(made)


@people.command()
@click.argument("name")
@click.argument("role")
@click.option("--to", metavar="OTHER", help="Who decides by the role meanwhile.")
@click.option("--until", metavar="WHEN", help="An instant with its zone, or a duration such as 8h; at most 30d.")
@click.option("--end", is_flag=True, help="Take the role back now.")
@as_option
@json_option
def delegate(
    name: str, role: str, to: str | None, until: str | None, end: bool, as_person: str | None, as_json: bool
) -> None:
    """Hand NAME's ROLE to somebody else for a time. Meanwhile NAME decides nothing by it."""
    if end == bool(to and until) or (end and (to or until)):
        raise click.UsageError("Give --to OTHER and --until WHEN, or --end.")
    with _register(as_person) as register:
        if end:
            person = register.end_delegation(name, role, by="home", door="cli")
        else:
            person = register.delegate(name, role, str(to), str(until), by="home", door="cli")
    if as_json:
        emit({"ok": True, **person})
    elif end:
        show(f"{clean(name)} has {clean(role)} again.")
    else:
        away = next(one for one in person["away"] if one["role"] == role)
        show(f"{clean(role)} of {clean(name)} is with {clean(to)} until {away['until'][:16]}Z.")


@people.command()
@click.argument("name")
@as_option
@json_option
def revoke(name: str, as_person: str | None, as_json: bool) -> None:
    """Make every token of NAME worthless, at once."""
    with _register(as_person) as register:
        count = register.revoke(name)
    if as_json:
        emit({"ok": True, "name": name, "revoked": count})
    else:
        show(f"{count} token(s) of {clean(name)} are worthless now.")


@people.command()
@click.argument("name")
@click.option("--test", is_flag=True, required=True, help="Send a page that is marked as a test.")
@as_option
@json_option
def page(name: str, test: bool, as_person: str | None, as_json: bool) -> None:
    """Try how NAME is woken: a marked test page by every method of the rule.

    With STANCH_TOKEN the server sends it; without, this machine does, by its own settings.
    """
    if means_server(as_person):
        with connect(as_person) as api:
            told = api.post(at("people", name, "test-page"))
    else:
        told = _test_page_here(name)
    if as_json:
        emit(told)
    else:
        for row in told["methods"]:
            show(f"{row['channel']:<12} {clean(row['error']) or 'took it'}")
    if not told["ok"]:
        raise click.exceptions.Exit(1)


def _test_page_here(name: str) -> dict[str, Any]:
    from worker.paging.desk import PagingDesk

    with own_home() as (settings, store):
        settings.refuse_test_switches()
        return asyncio.run(PagingDesk(settings, store).test_page(name))
