"""The range: an attacker who works until contained, an innocent one who works on, a record that tells all of it."""

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from activities.systems.salesforce.client import connect
from playbooks.contract import ActionResult, Mode, TargetSet
from tests.systems.acme import Bench
from worker.range import Range
from worker.secrets import Secrets
from worker.settings import Settings
from worker.store import Store

SINCE = (datetime.now(UTC) - timedelta(days=2)).isoformat()
RUNNING = ["UploadComplete", "InProgress"]
STEPS = ("abort_bulk_jobs", "revoke_oauth_tokens_of_app", "end_sessions", "freeze_users")


@contextmanager
def bench_of(world: Range, folder: Path) -> Iterator[Bench]:
    """Calls of actions with the settings that the range gives a worker."""
    settings = world.settings(folder / "home")["salesforce"]
    with (
        closing(connect(settings, Secrets({}, folder))) as client,
        closing(Store(f"sqlite:///{folder / 'stanch.db'}", folder / "home")) as store,
    ):
        yield Bench(client, store)


async def contain(bench: Bench, app: str, *, skip: str = "") -> list[ActionResult]:
    """The playbook's acts in its order, but for one; what its effects reported."""

    async def do(name: str, **params) -> ActionResult:
        return await bench.apply(f"salesforce.{name}", **params)

    def set_of(result: ActionResult, name: str = "targets") -> TargetSet:
        return TargetSet.model_validate(result.output[name])

    if skip != "evidence":
        await do("collect_setup_audit", since=SINCE)
        await do("collect_event_logs", since=SINCE)
        await do("snapshot_access", app=app)
    tokens = await do("list_oauth_tokens", app=app)
    users = set_of(tokens, "users")
    jobs = await do("list_bulk_jobs", users=users, states=RUNNING)
    if skip != "evidence":
        await do("collect_login_history", since=SINCE, users=users)
    sessions = await do("list_sessions", users=users)
    effects = {
        "abort_bulk_jobs": {"targets": set_of(jobs)},
        "revoke_oauth_tokens_of_app": {"app": app},
        "end_sessions": {"targets": set_of(sessions)},
        "freeze_users": {"targets": users},
    }
    return [await do(name, **effects[name]) for name in STEPS if name != skip]


@asynccontextmanager
async def running(seed: int, folder: Path) -> AsyncIterator[tuple[Range, Bench]]:
    """A range that is up, and its bench."""
    world = Range(seed)
    await world.start()
    try:
        with bench_of(world, folder) as bench:
            yield world, bench
    finally:
        await world.stop()


def look(world: Range, what: str):
    """``GET /_range/…``"""
    return httpx.get(f"{world.url}/_range/{what}", trust_env=False, timeout=20).json()


def wrong(world: Range) -> set[str]:
    """Names of what the range finds wrong."""
    return {found["name"] for found in look(world, "check") if not found["ok"]}


@pytest.mark.parametrize("seed", range(0, 41, 10))
async def test_contained_in_the_playbooks_order_everything_promised_is_true(seed, tmp_path):
    async with running(seed, tmp_path) as (world, bench):
        actors = world._actors
        assert actors.attack_once() and actors.work_once(), "both work before"
        spared = world.spared()
        results = await contain(bench, world.world.stolen.name)
        assert not wrong(world)
        assert not actors.attack_once(), "locked out"
        assert actors.work_once()
        assert actors.business.refused == 0

        effects = look(world, "effects")
        assert all(result.verified and result.changed for result in results)
        assert sum(result.affected.count for result in results) == len(effects)
        assert [result.items.failed + result.items.unknown for result in results] == [0, 0, 0, 0]
        targets = [(effect["system"], effect["kind"], effect["target"]) for effect in effects]
        assert len(set(targets)) == len(targets), "each target once"
        caused = {id_ for effect in effects for id_ in effect["caused"]}
        assert not caused & {effect["target"] for effect in effects}, "what came along is no effect of its own"
        assert not spared & (caused | {effect["target"] for effect in effects})
        for effect in effects:
            assert set(effect) == {"seq", "at", "system", "kind", "target", "caused"}
        ended = {effect["target"] for effect in effects if effect["kind"] == "session.ended"} | caused
        assert {session.id for session in world.world.attacker_sessions} <= ended
        assert {effect["kind"] for effect in effects} == {
            "bulk_job.aborted",
            "oauth_token.revoked",
            "session.ended",
            "user.frozen",
        }


@pytest.mark.parametrize(
    ("skipped", "found"),
    [
        ("freeze_users", {"its users are frozen"}),
        ("abort_bulk_jobs", {"its jobs are aborted"}),
        ("end_sessions", {"its users' sessions are ended", "the attacker is locked out"}),
        ("evidence", {"evidence before the first effect"}),
    ],
)
async def test_a_step_that_is_left_out_is_found(tmp_path, skipped, found):
    async with running(3, tmp_path) as (world, bench):
        await contain(bench, world.world.stolen.name, skip=skipped)
        assert wrong(world) == found


async def test_tokens_that_are_left_are_found_and_let_the_attacker_back_in(tmp_path):
    async with running(3, tmp_path) as (world, bench):
        await contain(bench, world.world.stolen.name, skip="revoke_oauth_tokens_of_app")
        assert {"the app's tokens are gone"} <= wrong(world)


async def test_an_innocent_user_who_is_frozen_is_found(tmp_path):
    async with running(4, tmp_path) as (world, bench):
        await contain(bench, world.world.stolen.name)
        stranger = world.world.bystanders[0]
        await bench.run(bench.call("salesforce.freeze_users", {"targets": [stranger.id]}, step="again"))
        assert wrong(world) == {"nobody else is touched"}


async def test_a_bystander_who_is_signed_out_is_found(tmp_path):
    async with running(4, tmp_path) as (world, bench):
        await contain(bench, world.world.stolen.name)
        session = next(each for each in world.world.org.sessions.values() if each.user == world.world.bystanders[0].id)
        await bench.run(bench.call("salesforce.end_sessions", {"targets": [session.id]}, step="again"))
        assert wrong(world) == {"nobody else is touched"}


async def test_an_innocent_integration_that_is_touched_is_found(tmp_path):
    async with running(5, tmp_path) as (world, bench):
        await contain(bench, world.world.stolen.name)
        await bench.run(
            bench.call("salesforce.revoke_oauth_tokens_of_app", {"app": world.world.innocent.name}, step="again")
        )
        assert {"the innocent integration is untouched", "the innocent integration kept working"} <= wrong(world)


async def test_an_effect_that_happens_twice_is_found(tmp_path):
    async with running(6, tmp_path) as (world, bench):
        await contain(bench, world.world.stolen.name)
        world.world.victims[0].frozen = False
        user = world.world.victims[0]
        await bench.run(bench.call("salesforce.freeze_users", {"targets": [user.id]}, step="again"))
        assert wrong(world) == {"each effect once"}


async def test_nothing_done_leaves_the_attacker_at_work(tmp_path):
    async with running(7, tmp_path) as (world, _):
        assert {"there are effects", "the attacker is locked out", "the app's tokens are gone"} <= wrong(world)
        assert look(world, "effects") == []


async def test_the_log_says_who_asked_what_and_what_they_read(tmp_path):
    async with running(8, tmp_path) as (world, bench):
        await contain(bench, world.world.stolen.name)
        world._actors.attack_once()
        log = look(world, "log")
        fields = {"seq", "at", "actor", "system", "method", "path", "status", "read"}
        assert all(set(entry) == fields for entry in log)
        assert {entry["actor"] for entry in log} <= {"stanch", "person", "attacker", "business"}
        assert {"stanch", "attacker", "business"} <= {entry["actor"] for entry in log}
        sequence = [entry["seq"] for entry in log]
        assert sequence == sorted(set(sequence))
        assert [entry["at"] for entry in log] == sorted(entry["at"] for entry in log)
        first = look(world, "effects")[0]["seq"]
        before = [
            what for entry in log if entry["seq"] < first and entry["actor"] == "stanch" for what in entry["read"]
        ]
        assert {"access_logs", "OauthToken", "AuthSession"} <= set(before)
        refused = [entry for entry in log if entry["actor"] == "attacker" and entry["status"] in (400, 401)]
        assert refused, "whose dead tokens they are is still known"
        assert all(not entry["read"] for entry in refused)
        for secret in (world.world.stanch.consumer_secret, world.world.stolen_grants[0].refresh_token):
            assert secret not in str(log)


async def test_a_person_who_blocks_the_app_is_recorded_as_a_person(tmp_path):
    async with running(9, tmp_path) as (world, _):
        world.do_by_hand({"question": f'Setup > Connected Apps OAuth Usage > Block "{world.world.stolen.name}"'})
        assert world.world.stolen.blocked
        assert look(world, "effects") == []
        assert [change.kind for change in world.record.changes if change.actor == "person"] == ["app.blocked"]
        world.do_by_hand({"question": "Rotate what was readable"})
        with pytest.raises(KeyError):
            world.block_app("no such app")


async def test_an_attacker_who_returns_is_found_and_can_be_shut_out_again(tmp_path):
    async with running(10, tmp_path) as (world, bench):
        await contain(bench, world.world.stolen.name)
        world.attacker_returns()
        assert {"the app's tokens are gone", "its jobs are aborted", "its users' sessions are ended"} <= wrong(world)


def test_a_range_gives_its_port_back():
    with Range(1) as world:
        url = world.url
        assert httpx.get(f"{url}/_range/state", trust_env=False).status_code == 200
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/_range/state", trust_env=False)


def test_the_key_of_its_integration_is_for_its_owner_alone(tmp_path):
    settings = Range(1).settings(tmp_path)["salesforce"]
    path = Path(settings["private_key"].removeprefix("secret:file/"))
    assert path.stat().st_mode & 0o077 == 0
    assert "PRIVATE KEY" not in str(settings)


def test_it_runs_as_a_command_until_it_is_told_to_stop():
    with subprocess.Popen(
        [sys.executable, "-m", "worker.range", "--seed", "3"], stdout=subprocess.PIPE, text=True
    ) as process:
        shown = json.loads(process.stdout.readline())
        assert httpx.get(f"{shown['url']}/_range/effects", trust_env=False).json() == []
        assert shown["seed"] == 3 and shown["alert"]["EVENT_TYPE"] == "ApiTotalUsage"
        process.terminate()
        assert process.wait(20) == 0


def test_at_a_terminal_it_says_what_a_person_needs_and_no_document(tmp_path):
    shown, terminal = pty.openpty()
    command = [sys.executable, "-m", "worker.range", "--seed", "3", "--home", str(tmp_path)]
    with subprocess.Popen(command, stdout=terminal, stderr=subprocess.PIPE, text=True) as process:
        said = [process.stderr.readline(), process.stderr.readline()]
        assert re.search(r"world: http://127\.0\.0\.1:\d+/_range/effects", said[0])
        config = Path(re.search(r"STANCH_CONFIG=(\S+)\.", said[1])[1])
        process.terminate()
        assert process.wait(20) == 0
    os.set_blocking(shown, False)
    with pytest.raises(BlockingIOError):
        os.read(shown, 1)
    settings = Settings.load({"STANCH_HOME": str(tmp_path / "home"), "STANCH_CONFIG": str(config)}, tmp_path)
    assert settings.mode is Mode.EXERCISE and settings.file.systems["salesforce"]["app"] == "Stanch"
