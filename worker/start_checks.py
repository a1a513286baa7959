"""The checks of ``stanch doctor``: what this installation depends on, tried one by one. Looking makes nothing."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx

from activities.catalog import CATALOG
from playbooks.compile import validate
from playbooks.model import Playbook
from playbooks.model_steps import ActionStep, RunStep
from playbooks.policy import idle
from worker.alerts.sources import Source, Sources
from worker.cli.client import SERVER_FILE, written
from worker.desk.playbooks import listing, sources
from worker.edge import key_ring, secrets_of
from worker.foreign import catalog_of
from worker.secrets import SecretError
from worker.settings import Settings
from worker.start_base import open_store
from worker.start_checks_engine import engine
from worker.start_findings import PATIENCE, Finding, guarded, has_keys
from worker.start_parts import library
from worker.systems import ConnectedSystems

SKEW = 5.0
"""Seconds between this machine's clock and the server's."""


async def examine(settings: Settings) -> list[Finding]:
    """Every check, in the order in which they depend on each other."""
    file = settings.config_file or "no stanch.toml here"
    found = [Finding("settings", "ok", f"{settings.mode.value}, home {settings.home}, {file}.")]
    found += [_home(settings), _store(settings), _keys(settings), _playbooks(settings), policy(settings)]
    found += await engine(settings)
    found += await _systems(settings)
    found += _sources(settings)
    found += await _slack(settings)
    found += await _paging(settings)
    found += [_people(settings), await _server(settings)]
    return found


async def _paging(settings: Settings) -> list[Finding]:
    if settings.file.paging is None:
        mend = "Add [paging] to stanch.toml; docs/paging.md says how."
        return [Finding("paging", "warn", "Nobody is woken: pages stand as undelivered.", mend)]
    # Here, because its libraries take long to load and most commands need none of them.
    from worker.paging.checks import examine_paging

    people, contacts = [], dict[str, dict[str, str]]()
    with contextlib.suppress(Exception):
        if _has_store(settings):
            with contextlib.closing(open_store(settings)) as store:
                people, contacts = store.people.list(), store.contacts.all()
    return await examine_paging(settings, settings.file.paging, people, contacts)


async def _slack(settings: Settings) -> list[Finding]:
    if settings.file.slack is None:
        return []
    # Here, because its libraries take long to load and most commands need none of them.
    from worker.slack.checks import examine_slack

    people, off = [], None
    with contextlib.suppress(Exception):
        if _has_store(settings):
            with contextlib.closing(open_store(settings)) as store:
                people, off = store.people.list(), store.slack.off.get()
    return await examine_slack(settings, people, off)


def _home(settings: Settings) -> Finding:
    def check() -> Finding:
        home = settings.home
        if not home.exists():
            return Finding("home", "warn", f"{home} is not there yet.", "`stanch people add NAME` makes it.")
        probe = home / f".doctor-{time.time_ns()}"
        probe.write_text("x")
        probe.unlink()
        if home.stat().st_mode & 0o077:
            return Finding("home", "warn", "Others may look into it.", f"chmod 700 {home}")
        return Finding("home", "ok", "Can be written, and by its owner only.")

    return guarded("home", check, "Set STANCH_HOME to a folder that this user may write.")


def _has_store(settings: Settings) -> bool:
    return bool(settings.file.store_url) or (settings.home / "stanch.db").exists()


def _store(settings: Settings) -> Finding:
    def check() -> Finding:
        if not _has_store(settings):
            return Finding("store", "warn", "There is none yet.", "`stanch people add NAME` makes it.")
        with contextlib.closing(open_store(settings)) as store:
            count = len(store.incidents.list())
            hold = store.hold.get()
        if hold is not None:
            return Finding("store", "warn", f"{count} incidents; a HOLD is on.", "`stanch hold off` ends it.")
        return Finding("store", "ok", f"{count} incidents.")

    return guarded("store", check, "Check store_url, the disk, and who may read the home.")


def _keys(settings: Settings) -> Finding:
    def check() -> Finding:
        if not has_keys(settings):
            return Finding("keys", "warn", "There are none yet; `stanch up` or `stanch worker` makes them.")
        key_ring(settings)
        return Finding("keys", "ok", "The payload keys can be read. Back them up: without them no history can.")

    return guarded("keys", check, "Restore keys/ from your backup: without them no history can be read.")


def _playbooks(settings: Settings) -> Finding:
    def check() -> Finding:
        shelf, actions = library(settings), catalog_of(settings).facts()
        found = [
            *shelf.problems,
            *(
                problem
                for source in sources(shelf)
                for problem in validate(source, library=shelf, actions=actions, policy=settings.file.policy)
            ),
        ]
        broken = [problem for problem in found if problem.severity == "error"]
        count = f"{len(listing(shelf))} can be started"
        if broken:
            first = broken[0]
            place = f"{first.file}:{first.line}: {first.message}"
            return Finding("playbooks", "fail", f"{count}; {len(broken)} problems: {place}", mend)
        return Finding("playbooks", "ok", f"{count}.")

    mend = "`stanch playbook validate FILE` shows all problems."
    return guarded("playbooks", check, mend)


def policy(settings: Settings) -> Finding:
    """The guard policy: a pattern that means no action is a rule that nobody keeps."""
    unmet = idle(settings.file.policy, catalog_of(settings).facts())
    if unmet:
        mend = "`[policy]` of stanch.toml; docs/actions.md lists every action."
        return Finding("policy", "fail", f"No action is meant by {', '.join(unmet)}.", mend)
    count = len(settings.file.policy.demands)
    return Finding("policy", "ok", f"{count} rules of your own." if count else "The rules of [policy.rules] hold.")


async def _systems(settings: Settings) -> list[Finding]:
    found = []
    systems = ConnectedSystems(settings.file.systems, secrets_of(settings))
    known = sorted({spec.facts.system for spec in CATALOG.specs.values()})
    try:
        for system in known:
            if systems.has(system):
                found.append(await _ping(systems, system))
            else:
                mend = f"Add [systems.{system}] to stanch.toml where the worker runs."
                found.append(Finding(system, "warn", "Not configured here.", mend))
    finally:
        await systems.close()
    return found


async def _ping(systems: ConnectedSystems, system: str) -> Finding:
    mend = f"Check [systems.{system}], its credentials and their scopes."
    try:
        async with asyncio.timeout(PATIENCE):
            client: Any = await systems.client(system)
            said = await asyncio.to_thread(client.ping)
    except Exception as error:
        return Finding(system, "fail", f"{type(error).__name__}: {str(error)[:200]}", mend)
    return Finding(system, "ok", str(said or "It answers, and takes our credentials."))


def _sources(settings: Settings) -> list[Finding]:
    """Alert sources: whether what proves a delivery can be read here."""
    try:
        configured = list(Sources.of(settings.file.alerts))
    except Exception as error:
        return [Finding("alerts", "fail", str(error)[:300], "Mend [alerts.NAME] in stanch.toml.")]
    if not configured:
        mend = "Add [alerts.NAME] to stanch.toml; a person can send alerts by hand without."
        return [Finding("alerts", "warn", "No source is configured; detectors cannot send.", mend)]
    return [_source(settings, source) for source in configured]


def _source(settings: Settings, source: Source) -> Finding:
    name = f"alerts {source.name}"
    if source.scheme == "none":
        mend = "Set scheme and secret, unless only the detector can reach the door."
        return Finding(name, "warn", "It believes anyone who can reach the door.", mend)
    if not source.secrets:
        return Finding(name, "fail", "It has no secret, so every delivery is refused.", "Set `secret` to a reference.")
    unread = []
    for reference in source.secrets:
        try:
            secrets_of(settings).get(reference)
        except SecretError as error:
            unread.append(str(error))
    if unread:
        # While a secret is changed one of the two may be gone; and this shell need not be the server's.
        sure = len(unread) == len(source.secrets) and "secret:env/" not in unread[0]
        mend = "It must be readable where `stanch serve` or `stanch up` runs."
        return Finding(name, "fail" if sure else "warn", unread[0][:300], mend)
    return Finding(name, "ok", f"{source.scheme}; its secret can be read.")


def _people(settings: Settings) -> Finding:
    def check() -> Finding:
        if not _has_store(settings):
            return Finding("people", "warn", "Nobody is known yet.", "stanch people add NAME --role ROLE")
        with contextlib.closing(open_store(settings)) as store:
            known = store.people.list()
        for roles, count, playbook in _quorums(settings):
            held = sum(1 for person in known if roles & set(person.roles))
            if held < count:
                which = " or ".join(sorted(roles))
                message = f"{playbook} waits for {count} of {which}, and {held} there are."
                mend = f"stanch people add NAME --role {min(roles)}"
                return Finding("people", "warn", f"{message} Decisions would wait in vain.", mend)
        roles_held = Counter(role for person in known for role in person.roles)
        told = ", ".join(f"{count} {role}" for role, count in sorted(roles_held.items()))
        return Finding("people", "ok", f"{len(known)} people: {told}.")

    return guarded("people", check, "`stanch people add NAME --role ROLE`")


def _usable(settings: Settings) -> list[Playbook]:
    """Playbooks that act on configured systems only, and what they run; a part that others run counts with them."""
    known = {source.playbook.id: source.playbook for source in sources(library(settings))}
    runs = {id_: [s.run.playbook for _, s in book.walk() if isinstance(s, RunStep)] for id_, book in known.items()}
    parts = {id_ for each in runs.values() for id_ in each}
    found: dict[str, Playbook] = {}
    for id_, book in known.items():
        if id_ in parts and not book.starts_on:
            continue
        whole, todo = {id_}, [id_]
        while todo:
            new = [each for each in runs.get(todo.pop(), ()) if each not in whole]
            whole.update(new)
            todo += new
        books = [known[each] for each in sorted(whole) if each in known]
        actions = [step.action for each in books for _, step in each.walk() if isinstance(step, ActionStep)]
        if all(action.partition(".")[0] in settings.file.systems for action in actions):
            found |= {each.id: each for each in books}
    return list(found.values())


def _quorums(settings: Settings) -> Iterator[tuple[set[str], int, str]]:
    """Roles, of which so many people are waited for, and where."""
    for playbook in _usable(settings):
        for _, step in playbook.walk():
            by, owner = getattr(step, "by", None), getattr(step, "owner", None)
            if by is not None and by.each:
                yield from (({role}, count, playbook.id) for role, count in by.each.items())
            elif by is not None:
                yield set(by.roles), by.count, playbook.id
            if owner:
                yield {owner}, 1, playbook.id


async def _server(settings: Settings) -> Finding:
    url = str(written(settings.home / SERVER_FILE).get("url") or settings.api_url)
    mend = "Start `stanch serve` or `stanch up`."
    try:
        async with httpx.AsyncClient(timeout=5, trust_env=False) as http:
            answer = await http.get(f"{url}/healthz")
            answer.raise_for_status()
    except httpx.HTTPError as error:
        return Finding("server", "warn", f"{url} does not answer ({type(error).__name__}).", mend)
    at = answer.headers.get("date")
    if at:
        theirs = datetime.strptime(at, "%a, %d %b %Y %H:%M:%S %Z").replace(tzinfo=UTC)
        skew = abs((datetime.now(UTC) - theirs).total_seconds())
        if skew > SKEW:
            mend = "Set the clocks by NTP; legal deadlines are counted by them."
            return Finding("server", "warn", f"{url}: its clock differs by {skew:.0f} s.", mend)
    return Finding("server", "ok", f"{url} answers, and its clock agrees.")
