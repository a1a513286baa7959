"""A night's work in Slack, whole: from ``/stanch start`` to the archived channel, with the real server and worker."""

import asyncio
import json
from collections import defaultdict

import pytest
import pytest_asyncio

from tests.doors.conftest import registered
from tests.doors.premises import premises
from worker.demo_people import value_for
from worker.demo_slack import entered
from worker.slack.names import BREAK_GLASS, DECIDE_FORM, DENY, FIELD, REASON, VERDICT, decide
from worker.slack.peer.screen import said

pytestmark = pytest.mark.asyncio(loop_scope="session")

OWNERS = {"crm_owner": "bo", "incident_commander": "cleo", "privacy_officer": "dara", "legal": "dara"}
OVER = frozenset({"done", "failed", "denied", "cancelled"})


class Night:
    """The people of an installation at their clients. One person fills in one form at a time."""

    def __init__(self, installation):
        self.installation, self.slack = installation, installation.range.slack
        self.state, self.main = self.slack.peer.state, self.slack.channel
        self.people = {name: self.slack.person(name) for name in self.slack.users}
        self.busy = defaultdict(asyncio.Lock)

    async def start(self, name, playbook, title, severity, values):
        """Start a playbook by its form; the incident and its channel."""
        person = self.people[name]
        async with self.busy[name]:
            await person.command("start", self.main)
            await person.until(lambda: person.view, 10)
            assert await person.submit({"What should be done?": playbook}) == {}
            form = {"What happened, in a line": title, "Severity": severity}
            assert await person.submit(form | {FIELD + key: value for key, value in values.items()}) == {}
            told = await person.until_sees(self.main, f"is open, and {playbook}", 20)
        incident = said(told).split()[0]
        return incident, await person.until(lambda: self._channel(person, incident), 20)

    def _channel(self, person, incident):
        """The incident's channel, once the person is in it."""
        named = (each for each in person.channels() if incident.lower() + "-" in self.state.channels[each].name)
        return next(named, None)

    async def card(self, name, channel, step, action):
        """The card of a step with a button, seen by a person who is in the channel; its ts."""
        person = self.people[name]

        def seen():
            for each in reversed(person.sees(channel) if channel in person.channels() else ()):
                shown = json.dumps(each.get("blocks", ()), ensure_ascii=False)
                if f" · {step} · digest" in shown and json.dumps(action) in shown:
                    return each["ts"]
            return None

        try:
            return await person.until(seen, 30)
        except Exception as error:
            raise AssertionError(f"{name} sees no {action} of {step}; {self.installation.logs()[-2000:]}") from error

    async def press(self, name, channel, step, verdict):
        """Press a card's button, and confirm where that is asked."""
        ts = await self.card(name, channel, step, decide(verdict))
        await self.people[name].click(channel, ts, decide(verdict))
        return ts

    async def fill_in(self, name, channel, step, action, given):
        """Press a card's button that opens a form, and submit it."""
        person = self.people[name]
        ts = await self.card(name, channel, step, action)
        async with self.busy[name]:
            await person.click(channel, ts, action)
            await person.until(lambda: person.view, 10)
            assert await person.submit(given) == {}

    async def told(self, name, channel, text):
        """What somebody sees there, waited for."""
        return said(await self.people[name].until_sees(channel, text, 20))

    async def shown(self, incident):
        """Its document."""
        async with self.installation.http("cleo") as http:
            return (await http.get(f"/v1/incidents/{incident}")).json()

    async def entries(self, incident, kind):
        """Entries of its record of one kind."""
        async with self.installation.http("cleo") as http:
            answer = (await http.get(f"/v1/incidents/{incident}/timeline")).json()
        return [entry for entry in answer["entries"] if entry["kind"] == kind]

    async def go_on(self, incident, channel):
        """Whoever is asked answers and says done, until all runs have ended."""
        handled = set()
        for _ in range(200):
            shown = await self.shown(incident)
            if all(run["status"] in OVER for run in shown["runs"]):
                return shown
            for entry in shown["waiting"]:
                if entry["digest"] in handled or entry["kind"] not in ("ask", "human"):
                    continue
                handled.add(entry["digest"])
                name = OWNERS[entry["who"]["needs"][0]["roles"][0]]
                if entry["form"]:
                    values = {key: value_for(key, field) for key, field in entry["form"].items()}
                    known = {key: value for key, value in values.items() if value is not None}
                    given = {FIELD + key: entered(value, entry["form"][key]) for key, value in known.items()}
                    await self.fill_in(name, channel, entry["step"], DECIDE_FORM, given)
                else:
                    await self.press(name, channel, entry["step"], "done")
            await asyncio.sleep(0.2)
        raise AssertionError(shown["waiting"])

    async def close(self, incident, channel, reason):
        """Settle the clocks and close, and wait until the channel is archived."""
        cleo = self.people["cleo"]
        shown = await self.shown(incident)
        open_ones = [clock["id"] for clock in shown["clocks"] if clock["open"]]
        if open_ones:
            await cleo.command("close too early", channel)
            assert "/stanch clock" in await self.told("cleo", channel, "neither submitted, dismissed nor handed over")
        for clock in open_ones:
            await cleo.command(f"clock {clock} dismiss No duty: nobody was harmed", channel)
            await self.told("cleo", channel, f"{clock}: dismissed")
        await cleo.command(f"close {reason}", channel)
        await cleo.until(lambda: self.state.channels[channel].archived, 40)

    def stands(self, channel):
        """What stands at the end, said by Stanch, by its key: each thing once, and nothing that can be pressed."""
        mine = [each for each in self.state.channels[channel].standing() if each.metadata]
        keys = [each.metadata["event_payload"]["key"] for each in mine]
        assert len(keys) == len(set(keys)), sorted(keys)
        live = [each.text for each in mine if any(block["type"] == "actions" for block in each.blocks)]
        assert live == []
        return {key: said({"text": each.text, "blocks": each.blocks}) for key, each in zip(keys, mine, strict=True)}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def night(temporal_server, tmp_path_factory):
    """An installation in a workspace, in processes of its own."""
    namespace = await registered(temporal_server.address)
    whole = premises(tmp_path_factory.mktemp("night") / "home", temporal_server.address, namespace, slack=True)
    made = await asyncio.to_thread(whole.__enter__)
    try:
        night = Night(made)
        await night.people["cleo"].until(lambda: night.slack.peer.connections, 20)
        yield night
    finally:
        await asyncio.to_thread(whole.__exit__, None, None, None)


async def theft(night):
    """The stolen token, by the commander, two owners, and who knows the law."""
    cleo, amal, bo = (night.people[name] for name in ("cleo", "amal", "bo"))
    app = night.installation.range.inputs_for("crm-oauth-token-theft")["app"]
    incident, channel = await night.start(
        "cleo", "crm-oauth-token-theft", "The quoting app reads all", "4 · high", {"app": app}
    )
    await cleo.command("take I am awake", channel)
    go = await night.card("amal", channel, "go", decide("approve"))
    shown = said(next(each for each in amal.sees(channel) if each["ts"] == go))
    # Whose it is and how long there is comes before the details.
    assert shown.index("Who decides: ") < shown.index("If nobody answers") < shown.index("Revoke all tokens of the app")
    await amal.command("ack", channel)
    await amal.open_home()
    assert "Decide in" in str(await amal.until(lambda: amal.home, 10))
    await cleo.click(channel, go, decide("approve"))
    await night.told("cleo", channel, "You asked for this")
    await amal.click(channel, go, decide("approve"))
    assert "CANNOT be undone" in amal.dialogs[-1]["title"]["text"]
    await night.told("amal", channel, "Counted: 1 of 2.")
    await bo.click(channel, go, decide("approve"))
    await bo.command("note The vendor has called back", channel)
    spoken = await bo.say(channel, "Their token was taken from a build server")
    await cleo.react(channel, spoken, "pushpin")
    night.installation.range.block_app()
    await night.press("amal", channel, "block", "done")
    answers = {FIELD + "personal_data": "Yes", FIELD + "subjects": "1200"}
    await night.fill_in("dara", channel, "personal_data", DECIDE_FORM, answers)
    await night.fill_in("dara", channel, "significance", DECIDE_FORM, {FIELD + "significant": "No"})
    await cleo.command("handover", channel)
    await night.go_on(incident, channel)
    await night.told("dara", channel, "All that was planned has ended. Next: settle each legal clock")
    await night.close(incident, channel, "The app is blocked")
    return incident, channel


async def broken_glass(night):
    """Who asked is barred, so the commander breaks the glass, and somebody else reviews that."""
    users = [user["id"] for user in night.installation.range.state()["salesforce"]["users"][:2]]
    incident, channel = await night.start(
        "amal", "freeze-some", "Two odd sign-ins", "3 · medium", {"users": ",".join(users)}
    )
    ts = await night.card("bo", channel, "go", decide("approve"))
    assert "NOT ENOUGH PEOPLE" in said(next(each for each in night.people["bo"].sees(channel) if each["ts"] == ts))
    await night.fill_in("cleo", channel, "go", BREAK_GLASS, {REASON: "Only one owner is awake"})
    await night.fill_in("bo", channel, "go", DECIDE_FORM, {VERDICT: "Justified", REASON: "It could not wait"})
    await night.told("bo", channel, "justified")
    await night.go_on(incident, channel)
    await night.close(incident, channel, "Frozen; passwords are new")
    return incident, channel


async def denied(night):
    """One owner says no, and why."""
    users = [user["id"] for user in night.installation.range.state()["salesforce"]["users"][2:4]]
    incident, channel = await night.start("cleo", "freeze-some", "A false trail", "1 · low", {"users": ",".join(users)})
    await night.fill_in("amal", channel, "go", DENY, {REASON: "They are on a training day"})
    await night.go_on(incident, channel)
    await night.close(incident, channel, "false_alarm It was the training")
    return incident, channel


async def test_a_night_in_slack_from_the_forms_to_the_archived_channels(night, tmp_path):
    async with asyncio.TaskGroup() as together:
        three = [together.create_task(part(night)) for part in (theft, broken_glass, denied)]
    (stolen, first), (glass, second), (false, third) = (part.result() for part in three)
    _, transcript = night.slack.write_transcript(tmp_path / "night")
    assert "Break glass" in transcript.read_text()

    # Every decision's card says who and when, and nothing can be pressed any more.
    shown = night.stands(first)
    gates = {key.split(":")[3]: text for key, text in shown.items() if ":gate:" in key and key.count(":") == 4}
    assert gates["go"].startswith("EXERCISE · Approved\nCut the app off and stop its users\nBy ")
    assert {"go", "block", "personal_data", "significance", "others", "lessons/lessons"} <= set(gates)
    assert all("\nBy \n" in text and "\nAt \n" in text for text in gates.values())
    assert "· closed · severity 4" in shown[f"{stolen}:status"] and shown[f"{stolen}:status"].count("VERIFIED") == 4
    assert any(key.startswith(f"{stolen}:handover:") for key in shown)
    assert any("closed it: The app is blocked" in text for text in shown.values())
    (broken,) = (text for key, text in night.stands(second).items() if ":gate:" in key)
    assert "Approved by breaking the glass" in broken and "Reason: \nOnly one owner is awake" in broken
    assert any("Decided: justified" in text for text in night.stands(second).values())
    (refused,) = (text for key, text in night.stands(third).items() if ":gate:" in key)
    assert "Denied" in refused and "Reason: \nThey are on a training day" in refused
    assert "· false alarm ·" in night.stands(third)[f"{false}:status"]

    # Drafts and after-reviews are files, each once; channels are archived; nobody else was let in.
    files = [file for file in night.state.files.values() if file.uploaded]
    assert len({file.name for file in files}) == len(files)
    for channel, drafts in ((first, True), (second, False), (third, False)):
        here = [file.title for file in files if channel in file.channels]
        assert here.count("After-review") == 1 and (len(here) > 1) is drafts
        assert night.state.channels[channel].archived
        assert not {night.slack.users["vic"], night.slack.users["root"]} & set(night.state.channels[channel].members)

    # The record has it all through this door, each once; the tried approval of who had asked too.
    accepted = await night.entries(stolen, "decision.accepted")
    assert {entry["door"] for entry in accepted} == {"slack"}
    assert sorted(entry["actor"] for entry in accepted if entry["body"]["step"] == "go") == ["amal", "bo"]
    refused = await night.entries(stolen, "decision.refused")
    tried = [(entry["actor"], entry["body"]["step"], entry["body"]["code"]) for entry in refused]
    assert tried == [("cleo", "go", "requester")]
    assert [entry["actor"] for entry in await night.entries(stolen, "incident.note")] == ["bo", "cleo"]
    for kind in ("incident.acknowledged", "incident.taken", "incident.closed", "clock.dismissed"):
        assert await night.entries(stolen, kind), kind
    assert [entry["actor"] for entry in await night.entries(glass, "decision.accepted")] == ["cleo"]
    assert night.installation.range.wrong() == {}
