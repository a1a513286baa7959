"""The pager on a real store: who is woken, what stops it, and what is said at the end."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from playbooks.contract import Notice, Urgency
from worker.desk.times import stamp
from worker.paging.channels import Call, Undelivered
from worker.paging.oncall import OnCall
from worker.paging.pager import Pager
from worker.settings_paging import MailSettings, PagingSettings
from worker.store import Store

LATER = timedelta(hours=12)


class Bell:
    """A channel of the test's own: what it took, and whether it takes anything."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, str]] = []
        self.calls: list[Call] = []
        self.broken = False

    async def send(self, page: Call, person: str, address: str) -> None:
        """Take a page."""
        await asyncio.sleep(0)
        if self.broken:
            raise Undelivered("the bell is broken")
        self.taken.append((person, address))
        self.calls.append(page)


@pytest.fixture
def incident(store: Store) -> str:
    """An incident, and the people of the house."""
    store.people.add("amal", ["crm_owner"])
    store.people.add("bo", ["crm_owner"])
    store.people.add("cleo", ["incident_commander"])
    return store.incidents.open(title="T", kind="unknown", severity=4, facts={}, opened_by="amal")


def pager(store: Store, *, calendars: dict[str, Path] | None = None, listed: Any = (), **channels: Any) -> Pager:
    """A pager with these channels."""
    mail = MailSettings(host="127.0.0.1", sender="stanch@acme.example", list=listed)
    settings = PagingSettings(rule="mail 0m, webhook 2m", times=1, mail=mail)
    return Pager(store, channels, settings, OnCall(calendars or {}, {}, None))


def shift(*names: str) -> str:
    """A calendar by which these are on call all the time."""
    events = "".join(
        f"BEGIN:VEVENT\nUID:{name}\nDTSTART:20260101T000000Z\nDTEND:20260102T000000Z\nRRULE:FREQ=DAILY\n"
        f"SUMMARY:{name}\nEND:VEVENT\n"
        for name in names
    )
    return f"BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:x\n{events}END:VCALENDAR\n".replace("\n", "\r\n")


def page(incident: str, name: str = "n1", **more: Any) -> Notice:
    """A page to the owners."""
    given = {"to": ("role:crm_owner",), "urgency": Urgency.PAGE, "body": {"kind": "text", "text": "Look."}, **more}
    return Notice(id=name, incident=incident, at=stamp(), **given)


def told(store: Store, incident: str) -> dict[str, Any]:
    """The page's notice as the incident shows it."""
    return next(row for row in store.notices.of(incident) if row["id"] == "n1")


def kinds(store: Store, incident: str) -> list[str]:
    """Kinds of entries of the record."""
    return [entry["kind"] for entry in store.journal.entries(incident)]


async def test_what_a_terminal_printed_is_no_delivery_of_a_page(store: Store, incident: str) -> None:
    store.notices.put([page(incident)])
    store.notices.delivered("n1", "terminal", stamp())
    assert told(store, incident)["state"] == "undelivered"
    await pager(store, mail=Bell()).turn()
    assert told(store, incident)["state"] == "delivered"


async def test_one_after_another_then_the_commander_then_nobody(store: Store, incident: str) -> None:
    store.notices.put([page(incident)])
    mail, webhook, now = Bell(), Bell(), datetime.now(UTC)
    paging = pager(store, mail=mail, webhook=webhook)
    order = []
    for minutes in range(0, 40):
        before = len(mail.taken), len(webhook.taken)
        await paging.turn(now + timedelta(minutes=minutes))
        order += [(minutes, person, "mail") for person, _ in mail.taken[before[0] :]]
        order += [(minutes, person, "webhook") for person, _ in webhook.taken[before[1] :]]
    assert [(person, channel) for _, person, channel in order] == [
        (person, channel) for person in ("amal", "bo", "cleo") for channel in ("mail", "webhook")
    ]
    assert order[1][0] - order[0][0] in (2, 3) and order[2][0] - order[1][0] in (5, 6)
    shown = told(store, incident)
    assert (shown["state"], shown["page"]["status"]) == ("undelivered", "unanswered")
    assert "page.unanswered" in kinds(store, incident)
    assert any("nobody answered" in row["body"].get("text", "") for row in store.notices.of(incident))


async def test_a_broken_channel_is_said_and_the_next_is_tried_at_once(store: Store, incident: str) -> None:
    store.notices.put([page(incident)])
    mail, webhook = Bell(), Bell()
    mail.broken = True
    await pager(store, mail=mail, webhook=webhook).turn()
    assert webhook.taken == [("amal", "")]
    assert [kind for kind in kinds(store, incident) if kind.startswith("page")] == [
        "page.opened",
        "page.failed",
        "page.sent",
    ]


async def test_an_acknowledgement_stops_the_page(store: Store, incident: str) -> None:
    store.notices.put([page(incident)])
    mail, now = Bell(), datetime.now(UTC)
    paging = pager(store, mail=mail)
    await paging.turn(now)
    assert paging.ack(incident, "bo") == ["n1"] and paging.ack(incident, "bo") == []
    await paging.turn(now + LATER)
    shown = told(store, incident)
    assert len(mail.taken) == 1 and shown["page"]["by"] == "bo" and shown["state"] == "delivered"


async def test_deciding_the_question_stops_its_pages(store: Store, incident: str) -> None:
    gate = {"run": "run/x", "step": "go", "urgency": Urgency.HIGH, "body": {"kind": "gate", "question": "Go?"}}
    store.notices.put([page(incident, **gate)])
    mail, now = Bell(), datetime.now(UTC)
    await pager(store, mail=mail).turn(now)
    result = {**gate, "urgency": Urgency.NORMAL, "body": {"kind": "result", "by": ["amal"]}}
    store.notices.put([page(incident, "n2", **result)])
    await pager(store, mail=mail).turn(now + LATER)
    assert len(mail.taken) == 1 and told(store, incident)["page"]["status"] == "acknowledged"
    assert "decide go: Go?" in mail.calls[0].subject


async def test_a_question_pages_once_a_share_of_its_time_is_gone(store: Store, incident: str) -> None:
    now = datetime.now(UTC)
    waiting = [{"digest": "d", "until": stamp(now + timedelta(minutes=20))}]
    store.incidents.save_snapshot("run/x", incident, {"status": "waiting", "waiting": waiting}, None, 1)
    gate = {"run": "run/x", "step": "go", "urgency": Urgency.NORMAL, "body": {"kind": "gate", "digest": "d"}}
    store.notices.put([page(incident, **gate)])
    mail = Bell()
    await pager(store, mail=mail).turn(now + timedelta(minutes=9))
    assert mail.taken == []
    await pager(store, mail=mail).turn(now + timedelta(minutes=11))
    assert mail.taken == [("amal", "")]


async def test_two_pagers_at_once_page_once(store: Store, incident: str) -> None:
    store.notices.put([page(incident, f"n{number}") for number in range(1, 6)])
    mail = Bell()
    await asyncio.gather(*(pager(store, mail=mail).turn() for _ in range(4)))
    assert len(mail.taken) == 5 and len({call.key for call in mail.calls}) == 5


async def test_a_faster_world_pages_faster(store: Store, incident: str) -> None:
    now = datetime.now(UTC)
    context = {"mode": "exercise", "rate": 60, "world_start": "2026-01-01T00:00:00Z", "real_start": stamp(now)}
    store.incidents.save_plan(incident, "run/x", {"context": context}, "d")
    store.incidents.save_run("run/x", incident, {})
    store.notices.put([page(incident, run="run/x")])
    mail, webhook = Bell(), Bell()
    paging = pager(store, mail=mail, webhook=webhook)
    await paging.turn(now)
    await paging.turn(now + timedelta(seconds=1))
    assert webhook.taken == []
    await paging.turn(now + timedelta(seconds=3))
    assert webhook.taken == [("amal", "")]


async def test_a_persons_own_rule_and_the_schedule_come_first(store: Store, incident: str, tmp_path: Path) -> None:
    store.contacts.set("bo", {"mail": "bo@acme.example", "webhook": "https://bo.example", "rule": "webhook 0m"})
    calendar = tmp_path / "crm.ics"
    calendar.write_text(shift("bo"))
    store.notices.put([page(incident)])
    mail, webhook = Bell(), Bell()
    await pager(store, mail=mail, webhook=webhook, calendars={"crm_owner": calendar}).turn()
    assert (mail.taken, webhook.taken) == ([], [("bo", "https://bo.example")])


async def test_a_schedule_that_cannot_be_read_silences_nothing(store: Store, incident: str, tmp_path: Path) -> None:
    store.notices.put([page(incident)])
    mail = Bell()
    await pager(store, mail=mail, calendars={"crm_owner": tmp_path / "gone.ics"}).turn()
    assert mail.taken == [("amal", "")]
    opened = next(each for each in store.journal.entries(incident) if each["kind"] == "page.opened")
    assert b"everybody with the role" in store.evidence.read(opened["body"]["text_ref"])


async def test_who_is_on_call_together_is_woken_together(store: Store, incident: str, tmp_path: Path) -> None:
    store.people.add("eve", ["crm_owner"])
    calendar = tmp_path / "crm.ics"
    calendar.write_text(shift("bo", "eve"))
    store.notices.put([page(incident)])
    mail, now = Bell(), datetime.now(UTC)
    paging = pager(store, mail=mail, webhook=Bell(), calendars={"crm_owner": calendar})
    await paging.turn(now)
    assert [person for person, _ in mail.taken] == ["bo", "eve"]
    await paging.turn(now + timedelta(minutes=2, seconds=1))
    await paging.turn(now + timedelta(minutes=7, seconds=2))
    assert [person for person, _ in mail.taken] == ["bo", "eve", "amal"]


@pytest.mark.parametrize(
    ("to", "listed", "copies"),
    [
        (("page", "mail", "role:crm_owner"), ("a@x.example", "b@x.example"), ["list:0", "list:1"]),
        (("page", "mail", "role:crm_owner"), (), ["amal", "bo"]),
    ],
)
async def test_what_is_told_by_page_and_by_mail_goes_both_ways(
    store: Store, incident: str, to: tuple[str, ...], listed: tuple[str, ...], copies: list[str]
) -> None:
    store.notices.put([page(incident, to=to)])
    mail = Bell()
    await pager(store, mail=mail, webhook=Bell(), listed=listed).turn()
    assert [person for person, _ in mail.taken] == ["amal", *copies]
    assert [address for _, address in mail.taken][1 : 1 + len(listed)] == list(listed)
    assert len({call.key for call in mail.calls}) == 3
    assert [call.subject.startswith("PAGE ") for call in mail.calls] == [True, False, False]
    assert [any(" ack " in line for line in call.todo) for call in mail.calls] == [True, False, False]
    assert told(store, incident)["state"] == "delivered"


async def test_a_copy_by_mail_wakes_nobody(store: Store, incident: str) -> None:
    store.notices.put([page(incident, to=("page", "mail"))])
    store.notices.delivered("n1", "mail", stamp())
    assert told(store, incident)["state"] == "undelivered"


@pytest.mark.parametrize("listed", [("a@x.example", "b@x.example", "c@x.example"), ()])
async def test_what_is_told_by_mail_alone_goes_out_once_and_nobody_is_paged(
    store: Store, incident: str, listed: tuple[str, ...]
) -> None:
    store.notices.put([page(incident, to=("mail",), urgency=Urgency.NORMAL)])
    mail, now = Bell(), datetime.now(UTC)
    paging = pager(store, mail=mail, listed=listed)
    for later in (timedelta(0), LATER):
        await paging.turn(now + later)
    assert [address for _, address in mail.taken] == list(listed)
    assert told(store, incident)["page"]["status"] == "ended"
    assert "page.unanswered" not in kinds(store, incident)
    opened = next(each for each in store.journal.entries(incident) if each["kind"] == "page.opened")
    if not listed:
        assert b"paging.mail.list" in store.evidence.read(opened["body"]["text_ref"])


async def test_what_a_process_was_sending_when_it_died_is_sent_again_under_the_same_key(
    store: Store, incident: str
) -> None:
    begun = asyncio.Event()

    class Stuck(Bell):
        async def send(self, page: Call, person: str, address: str) -> None:
            await super().send(page, person, address)
            begun.set()
            await asyncio.Event().wait()

    store.notices.put([page(incident)])
    stuck, mail, lease = Stuck(), Bell(), timedelta(seconds=0.3)
    settings = PagingSettings(rule="mail 0m", times=1)
    dying = asyncio.create_task(Pager(store, {"mail": stuck}, settings, OnCall({}, {}, None), lease=lease).turn())
    await begun.wait()
    dying.cancel()
    await asyncio.gather(dying, return_exceptions=True)
    other = pager(store, mail=mail)
    await other.turn()
    assert mail.taken == []
    await asyncio.sleep(0.35)
    await other.turn()
    assert [call.key for call in mail.calls] == [call.key for call in stuck.calls]
    assert kinds(store, incident).count("page.sent") == 1
