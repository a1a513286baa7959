"""The demo, from the detector's alert to the verified export, through the doors that everybody uses."""

import asyncio
import json
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from activities.catalog import CATALOG
from worker.bundle_format import JOURNAL
from worker.bundle_verify import bundle_is_intact
from worker.cli.client import ApiClient
from worker.cli.output import emit, show
from worker.demo_people import CAST, Script
from worker.demo_prompt import Prompted
from worker.demo_slack import InSlack
from worker.demo_stage import SOURCE, DemoFailed, Stage, stage
from worker.demo_stories import story_for
from worker.demo_story import World, checks, document, seconds, steps_with_effect, story
from worker.settings import Settings
from worker.start_base import until_stopped
from worker.wording import ENDED

LOOK = 0.25
PATIENCE = 240.0
COMMANDER = "chidi"


@dataclass(frozen=True)
class Wanted:
    """What the demo was asked for."""

    seed: int
    playbook: str | None = None
    alert: Path | None = None
    unattended: bool = False
    keep: bool = False
    as_json: bool = False


async def play(settings: Settings, wanted: Wanted, say: Callable[[str], None]) -> int:
    """Play the demo; 0 if everything it claims is true in the world's own record."""
    begun = time.monotonic()
    tell = (lambda line: None) if wanted.as_json else say
    played = story_for(wanted.playbook, wanted.alert)
    async with stage(settings, wanted.seed, say, played) as scene:
        say(f"Seed {wanted.seed}. The simulated world: {scene.range.url}")
        assert scene.range.slack is not None
        say(f"Slack, as people see it: {scene.range.slack.url}")
        told = await _play(scene, wanted, tell, begun)
        if wanted.as_json:
            emit(told)
        else:
            show("\n" + story(told))
        if wanted.keep:
            places = f"home {scene.home}, world {scene.range.url}, Slack {scene.range.slack.url}"
            say(f"It stays up: {scene.url}, {places}. Ctrl-C ends it.")
            await until_stopped().wait()
    return 0 if told["ok"] else 1


async def _play(scene: Stage, wanted: Wanted, tell: Callable[[str], None], begun: float) -> dict[str, Any]:
    clients = {name: scene.client(name) for name in CAST}
    act, spare, said = scene.range.do_by_hand, scene.range.spared(), {**scene.story.said, **scene.range.said()}
    script: Script
    if wanted.unattended:
        script = InSlack(clients, act=act, spare=spare, told=tell, said=said, slack=scene.range.slack)
    else:
        script = Prompted(clients, act=act, spare=spare, told=tell, said=said)
    try:
        sent_at = datetime.now(UTC)
        incident = await asyncio.to_thread(_begin, scene, wanted, clients[COMMANDER])
        tell(f"{'The alert opened' if wanted.playbook is None else 'A person opened'} {incident}.")
        shown = await _until_ended(scene, script, incident, clients[COMMANDER])
        return await asyncio.to_thread(_ending, scene, shown, clients[COMMANDER], sent_at, begun)
    finally:
        for client in clients.values():
            client.close()


def _begin(scene: Stage, wanted: Wanted, person: ApiClient) -> str:
    """The detector speaks; with ``--playbook`` a person starts that one instead."""
    if wanted.playbook is not None:
        inputs = scene.range.inputs_for(wanted.playbook)
        return str(person.post("/v1/incidents", {"playbook": wanted.playbook, "inputs": inputs})["incident"])
    body = wanted.alert.read_bytes() if wanted.alert else scene.range.alert()
    detector = ApiClient(scene.url, scene.secret)
    try:
        answer = detector.send(f"/v1/alerts/{SOURCE}", body)
    finally:
        detector.close()
    if not answer.get("incident"):
        raise DemoFailed("The alert matched no detection rule, so no incident was opened and nothing ran.")
    return str(answer["incident"])


async def _until_ended(scene: Stage, script: Script, incident: str, person: ApiClient) -> dict[str, Any]:
    until = time.monotonic() + PATIENCE
    while True:
        scene.alive()
        counted = await asyncio.to_thread(script.round, incident)
        shown = await asyncio.to_thread(person.get, f"/v1/incidents/{incident}")
        # Once the store answers and no longer the run itself, its last entries are in the journal.
        if shown["runs"] and all(run["status"] in ENDED and not run["live"] for run in shown["runs"]):
            return dict(shown)
        if counted or script.waits_for_people:
            until = time.monotonic() + PATIENCE
        if time.monotonic() > until:
            standing = ", ".join(
                f"{step['path']} {step['status']}"
                for step in shown["steps"]
                if step["status"] in ("running", "waiting")
            )
            raise DemoFailed(f"Nothing moved for {PATIENCE:.0f} s. Standing: {standing or 'nothing'}.")
        await asyncio.sleep(LOOK)


def _ending(scene: Stage, shown: dict[str, Any], person: ApiClient, sent_at: datetime, begun: float) -> dict[str, Any]:
    """Export and verify, then hold everything that is claimed against the world's own record."""
    incident = str(shown["incident"])
    exports = scene.home / "exports"
    exports.mkdir(exist_ok=True, mode=0o700)
    export = exports / f"{incident}-{sent_at:%Y%m%dT%H%M%S}.zip"
    person.download(f"/v1/incidents/{incident}/export", export)
    verified = bundle_is_intact(export, scene.home)
    slack = scene.range.slack
    assert slack is not None
    transcript, _ = slack.write_transcript(export.with_suffix(".transcript"))
    with zipfile.ZipFile(export) as bundle:
        # What was exported is what is told: the incident may have gone on since.
        entries = [json.loads(line) for line in bundle.read(JOURNAL).splitlines()]
    effects = frozenset(name for name, spec in CATALOG.specs.items() if spec.facts.risk.is_effect)
    # The world is no Stanch server, so it is not asked through a client of one.
    with httpx.Client(base_url=scene.range.url, timeout=30, trust_env=False) as asked:
        effects_seen, log, state = (asked.get(f"/_range/{what}").json() for what in ("effects", "log", "state"))
    world = World(effects=effects_seen, log=log, state=state)
    contains = shown["runs"][0]["playbook"]["id"] in scene.story.playbooks
    found = checks(shown, world, scene.range.wrong(contained=contains), effects, scene.story, contains=contains)
    steps = steps_with_effect(shown, effects)
    return document(
        shown,
        entries,
        effects,
        plan_digest=str(shown["runs"][0].get("plan_digest", "")),
        verified=verified,
        export=str(export),
        url=scene.range.url,
        slack={"url": slack.url, "transcript": str(transcript)},
        spans=seconds(sent_at, world, steps, time.monotonic() - begun),
        found=found,
    )
