"""``stanch slack``: the app's manifest, who is who there, and the switch.

``link``, ``unlink`` and ``people`` speak to the server with ``STANCH_TOKEN``, and work on this machine's own home
without one, as ``stanch people`` does.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import click

from worker.cli.client import ApiClient, at, connect, means_server
from worker.cli.options import as_option
from worker.cli.output import clean, emit, json_option, say, show
from worker.cli.own_home import own_home

Document = dict[str, Any]


class _Register(Protocol):
    def people(self) -> Document: ...

    def link(self, name: str, user: str, email: str) -> Document: ...

    def unlink(self, name: str) -> Document: ...


class _Remote:
    """Over ``/v1``."""

    def __init__(self, api: ApiClient) -> None:
        self._api = api

    def people(self) -> Document:
        return dict(self._api.get("/v1/slack/people"))

    def link(self, name: str, user: str, email: str) -> Document:
        given = {"user": user} if user else {"email": email}
        return dict(self._api.put(at("people", name, "slack"), given))

    def unlink(self, name: str) -> Document:
        return dict(self._api.delete(at("people", name, "slack")))


class _Home:
    """On this machine's home."""

    def __init__(self, people: Any) -> None:
        self._people = people

    def people(self) -> Document:
        return {"workspace": self._people.workspace, "people": self._people.listed()}

    def link(self, name: str, user: str, email: str) -> Document:
        return dict(asyncio.run(self._people.link(name, user=user, email=email, by="home", at="cli")))

    def unlink(self, name: str) -> Document:
        return dict(self._people.unlink(name, by="home", at="cli"))


@contextmanager
def _register(as_person: str | None) -> Iterator[_Register]:
    if means_server(as_person):
        with connect(as_person) as api:
            yield _Remote(api)
        return
    from worker.desk.people import People
    from worker.desk.slack_people import SlackPeople
    from worker.edge import secrets_of

    with own_home() as (settings, store):
        say(f"No STANCH_TOKEN: working on this machine's home {settings.home}.")
        yield _Home(SlackPeople(People(store), settings.file.slack, secrets_of(settings).get))


@click.group()
def slack() -> None:
    """Slack: the app's manifest, who is who there, and the switch."""


@slack.command()
@click.option("--http", "url", metavar="URL", help="Public https address of the server; Socket Mode without.")
@click.option("--exercise", is_flag=True, help="Mark it as the app of an exercise.")
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="File to write, else stdout.")
@json_option
def manifest(url: str | None, exercise: bool, output: Path | None, as_json: bool) -> None:
    """The app's manifest, for Create New App > From a manifest. YAML unless --json."""
    import json

    import yaml

    from worker.slack.manifest import manifest as made

    if url is not None and (urlsplit(url).scheme != "https" or not urlsplit(url).hostname):
        raise click.UsageError("--http takes an address such as https://stanch.example.com: Slack calls no other.")
    document = made(url=url, exercise=exercise)
    if as_json:
        text = json.dumps(document, ensure_ascii=False, indent=2) + "\n"
    else:
        text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=1000)
    if output is None:
        click.echo(text, nl=False)
    else:
        output.write_text(text, encoding="utf-8")
        say(f"Written to {output}.")


@slack.command()
@click.argument("name")
@click.option("--user", metavar="U…", help="Member id: their profile in Slack, ⋮, Copy member ID.")
@click.option("--email", metavar="A", help="Mail address of the account.")
@as_option
@json_option
def link(name: str, user: str | None, email: str | None, as_person: str | None, as_json: bool) -> None:
    """Make an account of the workspace NAME's, after looking it up there."""
    if bool(user) == bool(email):
        raise click.UsageError("Give --user ID or --email ADDRESS.")
    with _register(as_person) as register:
        linked = register.link(name, user or "", email or "")
    if as_json:
        emit({"ok": True, **linked})
        return
    found = linked["slack"]
    guest = ", a guest of the workspace" if found["guest"] else ""
    show(f"{clean(name)} is {clean(found['real_name'])} (@{clean(found['name'])}, {clean(found['user'])}{guest}).")


@slack.command()
@click.argument("name")
@as_option
@json_option
def unlink(name: str, as_person: str | None, as_json: bool) -> None:
    """Make NAME nobody in Slack, at once. Other doors stay open to them."""
    with _register(as_person) as register:
        person = register.unlink(name)
    if as_json:
        emit({"ok": True, **person})
    else:
        show(f"{clean(name)} is nobody in Slack now.")


@slack.command()
@as_option
@json_option
def people(as_person: str | None, as_json: bool) -> None:
    """Who is linked, and who is not."""
    with _register(as_person) as register:
        found = register.people()
    if as_json:
        emit(found)
        return
    for row in found["people"]:
        show(
            f"{clean(row['name']):<24} {clean(row['user'] or 'not linked'):<14} {', '.join(row['roles']) or 'no roles'}"
        )
    if not found["people"]:
        show("Nobody is known yet. `stanch people add NAME --role ROLE` adds the first.")


def _tell(document: Document, as_json: bool) -> None:
    if as_json:
        emit(document)
        return
    if document["on"]:
        show("Slack is on: what linked people click and write there counts.")
    else:
        show(f"Slack is OFF, by {clean(document['person'])} at {document['at']}: {clean(document['reason'])}")
        show("Nothing from there counts, nothing is posted. `stanch slack on` ends it (incident commander).")
    if "workspace" not in document:
        return
    if document["workspace"] is None:
        show("stanch.toml has no [slack]: nothing is heard from there. docs/slack.md says how to set it up.")
    elif document["door"] is not None:
        problems = "; ".join(clean(each) for each in document["door"]["problems"])
        show(f"Workspace {document['workspace']}: {problems or 'connected'}.")


@slack.command()
@click.option("--reason", required=True, metavar="T", help="Why; kept in the record, never shown in Slack.")
@as_option
@json_option
def off(reason: str, as_person: str | None, as_json: bool) -> None:
    """Count nothing that comes from Slack, and post nothing there: when a token or the workspace may be stolen."""
    with connect(as_person) as api:
        _tell(api.put("/v1/slack/off", {"reason": reason}), as_json)


@slack.command()
@as_option
@json_option
def on(as_person: str | None, as_json: bool) -> None:
    """Count what comes from Slack again, and show there what has come about meanwhile."""
    with connect(as_person) as api:
        _tell(api.delete("/v1/slack/off"), as_json)


@slack.command()
@as_option
@json_option
def status(as_person: str | None, as_json: bool) -> None:
    """Whether Slack is on, and how the connection is."""
    with connect(as_person) as api:
        _tell(api.get("/v1/slack"), as_json)
