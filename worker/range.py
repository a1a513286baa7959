"""The range: a simulated company with systems that speak their vendors' protocols over loopback.

    python -m worker.range --seed 7        # prints where it is, runs until SIGTERM
    python -m worker.range --models        # with a model and the systems around it: make range

An attacker works in it with a stolen integration's tokens, beside an innocent integration. It is made from a
seed and keeps one record over all its systems. No live system is ever reachable from it.
"""

import argparse
import asyncio
import json
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from activities.systems.salesforce.peer.app import SalesforcePeer
from worker.range_actors import Actors
from worker.range_checks import Assertion, check
from worker.range_control import RangeApp
from worker.range_record import Record
from worker.range_server import LoopbackServer
from worker.range_settings import system_tables
from worker.range_story import alert_of
from worker.range_world import World, come_back, make_world

if TYPE_CHECKING:
    from worker.range_slack import RangeSlack


class Range:
    """A company and its systems, from ``start`` to ``stop``.

    Use it as a context manager, or by ``await start()`` and ``await stop()``. ``seed`` settles names, ids and
    counts. ``people`` are names of users of its Slack workspace, ``slack``; without any there is none.
    """

    def __init__(self, seed: int, people: Iterable[str] = ()) -> None:
        self.seed = seed
        self.record = Record()
        self.world: World = make_world(seed, self.record)
        self.salesforce = SalesforcePeer(self.world.org, self.world.integrations)
        self.url = ""
        self._systems: list[Any] = [self.salesforce]
        self.slack = _workspace(tuple(people), self.world.company)
        self._server = LoopbackServer(RangeApp(self._systems, self))
        self._actors: Actors | None = None

    def __enter__(self) -> "Range":
        self._open()
        return self

    def __exit__(self, *error: object) -> None:
        self._close()

    async def start(self) -> str:
        """Listen on a free port of 127.0.0.1, let the actors begin; the URL."""
        await asyncio.to_thread(self._open)
        return self.url

    async def stop(self) -> None:
        """Stop the actors, let held requests go, close the port."""
        await asyncio.to_thread(self._close)

    def _open(self) -> None:
        self.url = self._server.open()
        try:
            self._begin()
        except BaseException:
            self._close()
            raise
        if self.slack is not None:
            self.slack.open()

    def _begin(self) -> None:
        """Let the actors of the story begin."""
        self._actors = Actors(self.world, self.url)
        self._actors.start()

    def _end(self) -> None:
        """Stop them."""
        if self._actors is not None:
            self._actors.stop()

    def _close(self) -> None:
        if self.slack is not None:
            self.slack.close()
        self._end()
        if self._server.serving:
            self._server.run(self._clear_faults)
            self._server.close()

    def settings(self, home: Path) -> dict[str, dict[str, Any]]:
        """System to what ``[systems.NAME]`` must hold for a worker to reach it; credentials go into ``home``."""
        world, org = self.world, self.world.org
        folder = home / "range"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        key = (folder / "salesforce.pem").resolve()
        key.touch(mode=0o600)
        key.write_text(world.stanch_key)
        return {
            "salesforce": {
                "instance_url": f"https://{org.host}",
                "endpoint": self.url,
                "flow": "jwt",
                "consumer_key": world.stanch.consumer_key,
                "username": world.stanch_user.username,
                "private_key": f"secret:file/{key}",
                "app": world.stanch.name,
            }
        }

    def slack_settings(self, home: Path) -> dict[str, Any]:
        """What ``[slack]`` must hold for a server to reach the workspace; empty if there is none."""
        return self.slack.settings(home / "range") if self.slack is not None else {}

    def organisation(self) -> dict[str, Any]:
        """Standing facts of the company for clocks and drafts, by name without ``organisation.``"""
        company = self.world.company
        return {
            "name": f"{company.capitalize()} Handels GmbH",
            "country": "DE",
            "zone": "Europe/Berlin",
            "holidays": "DE",
            "gdpr": True,
            "eu_establishment": True,
            "supervisory_authority": "the data protection authority of its federal state",
            "dpo_name": "Dana Privacy",
            "dpo_contact": f"privacy@{company}.example",
            "nis2_entity": "important",
            "nis2_services": ["online_marketplace"],
            "csirt": "BSI",
            "security_contact": f"security@{company}.example",
        }

    def alert(self) -> bytes:
        """The detector's alert: an event as Panther delivers it."""
        return json.dumps(alert_of(self.world)).encode()

    def inputs_for(self, playbook: str) -> dict[str, Any]:
        """What a person who knows the story gives a playbook that is started by hand."""
        return {"app": self.world.stolen.name} if playbook == "crm-oauth-token-theft" else {}

    def said(self) -> dict[str, Any]:
        """What its people know beside what their story says, by the field that asks for it."""
        return {}

    def spared(self) -> frozenset[str]:
        """Names and ids that no step may touch: the innocent integration's, and Stanch's own."""
        world = self.world
        sessions = [session.id for session in list(world.org.sessions.values()) if session.app == world.innocent.id]
        kept = (world.innocent, world.innocent_user, world.innocent_grant, world.stanch, world.stanch_user)
        names = (world.innocent.name, world.innocent_user.username, world.stanch_user.username)
        return frozenset([*(thing.id for thing in kept), *names, *sessions])

    def do_by_hand(self, entry: Mapping[str, Any]) -> None:
        """Do what a human step asks of a person in a system; what concerns no system is just said to be done.

        Args:
            entry: The waiting entry, with its ``question``.
        """
        asked = str(entry.get("question", "")).lower()
        if "block" in asked and self.world.stolen.name.lower() in asked:
            self.block_app()

    def attacker_returns(self) -> None:
        """The stolen app is authorised once more: a token, a browser session and an export come back."""
        self._server.run(lambda: come_back(self.world))

    def wrong(self, *, contained: bool = True) -> dict[str, str]:
        """What is not as it should be at the end: name to what was found; empty if all is well.

        With ``contained`` false only harm is looked for, not whether the thief was shut out.
        """
        wanted = [found for found in self.check() if contained or not found.contains]
        return {found.name: f"{found.name}: {found.found}" for found in wanted if not found.ok}

    def block_app(self, name: str | None = None) -> list[str]:
        """The human act in Setup: block a connected app, by default the stolen one; the sessions it ended.

        Raises:
            KeyError: There is no such app.
        """
        apps = {app.name: app for app in self.world.org.apps.values()}
        app = apps[name or self.world.stolen.name]
        return self._server.run(lambda: self.world.org.block_app(app))

    def check(self) -> list[Assertion]:
        """Whether the record shows what the token-theft playbook promises."""
        assert self._actors is not None
        return check(self.world, self.record, self._actors)

    def state(self) -> dict[str, Any]:
        """Every system's state, without secrets."""
        return {system.name: system.view() for system in self._systems}

    def places(self) -> dict[str, Any]:
        """What else people want to know who look around in it: addresses, and where others' credentials lie."""
        return {}

    def order(self, what: str, body: Mapping[str, Any]) -> Any:
        """What ``POST /_range/…`` asks of this story beside faults; ``None`` if it knows no such thing.

        ``person/block_app {app?}`` is the human act in Setup, ``org {api_limit?, page_size?, locked?}`` sets limits.
        """
        if what == "person/block_app":
            name = str(body.get("app") or self.world.stolen.name)
            app = {app.name: app for app in self.world.org.apps.values()}[name]
            return {"app": app.name, "ended": self.world.org.block_app(app)}
        if what == "org":
            org = self.world.org
            for name in ("api_limit", "page_size"):
                if name in body:
                    setattr(org, name, int(body[name]))
            org.locked.update({str(id_): int(count) for id_, count in body.get("locked", {}).items()})
            return {"api_limit": org.api_limit, "api_used": org.api_used, "page_size": org.page_size}
        return None

    def _clear_faults(self) -> None:
        for system in self._systems:
            system.faults.clear()


def _workspace(people: tuple[str, ...], company: str) -> "RangeSlack | None":
    if not people:
        return None
    # What is needed to play Slack is not loaded where nobody wants it.
    from worker.range_slack import RangeSlack

    return RangeSlack(people, company)


def _of(given: argparse.Namespace, folder: Path) -> "Range":
    """The range that was asked for; what is needed to play a model is not loaded for the CRM alone."""
    if not given.models:
        return Range(given.seed, given.people)
    from worker.range_models.company import ModelRange

    home = given.home or folder
    return ModelRange(given.seed, given.people, given.story, home / "world", os.environ, _say)


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a range until SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m worker.range", description="A simulated company on loopback.")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--home", type=Path, help="folder for its credentials; a temporary one by default")
    parser.add_argument("--people", nargs="*", default=(), metavar="NAME", help="users of a Slack workspace beside it")
    parser.add_argument(
        "--models", action="store_true", help="with a model and the systems around it, real where obtained"
    )
    parser.add_argument(
        "--story",
        default="model-poisoned",
        help="what is wrong there: model-poisoned (the default), model-extraction, key-exposed",
    )
    given = parser.parse_args(arguments)
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    with tempfile.TemporaryDirectory(prefix="stanch-range-") as folder, _of(given, Path(folder)) as world:
        home = given.home or Path(folder)
        shown = {
            "url": world.url,
            "seed": given.seed,
            "systems": world.settings(home),
            "alert": json.loads(world.alert()),
        }
        _say(f"The simulated world: {world.url}/_range/effects, /log, /state, /check.")
        shown |= world.places()
        if world.slack is not None:
            users = world.slack.users
            shown["slack"] = {"url": world.slack.url, "settings": world.slack_settings(home), "users": users}
        config = home / "range" / "stanch.toml"
        config.write_text("\n".join(['mode = "exercise"', *system_tables(shown["systems"]), ""]), encoding="utf-8")
        _say(f"Settings of a Stanch that acts in it: STANCH_CONFIG={config}. Ctrl-C ends it.")
        if not sys.stdout.isatty():
            # The same for a program; a person has just read it.
            sys.stdout.write(json.dumps(shown) + "\n")
            sys.stdout.flush()
        stopped.wait()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
