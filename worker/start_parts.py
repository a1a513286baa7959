"""The parts of a process: the store with its signer, the playbooks, the desk, further doors."""

from typing import TYPE_CHECKING

from fastapi import APIRouter
from temporalio.client import Client

from playbooks.contract import RunContext
from playbooks.loader import Library
from worker.alerts.door import alerts_router
from worker.alerts.intake import Intake
from worker.desk.desk import Desk
from worker.desk.plans import Installation
from worker.desk.slack_people import SlackPeople
from worker.edge import secrets_of
from worker.foreign import catalog_of
from worker.paging.desk import PagingDesk
from worker.settings import Settings
from worker.store import Store
from worker.store.keys import SigningKey
from workflows.messages import Thresholds

if TYPE_CHECKING:
    from worker.slack.door import SlackDoor


def library(settings: Settings) -> Library:
    """The shipped playbooks, and the user's own folders behind them."""
    return Library.shipped(*settings.playbook_folders)


def installation(settings: Settings, desk_keys: dict[str, str]) -> Installation:
    """What every start of this installation shares; ``desk_keys`` maps key id to public key (hex)."""
    thresholds = Thresholds()
    if settings.continue_after_events is not None:
        events = settings.continue_after_events
        thresholds = Thresholds(soft_events=events, hard_events=4 * events)
    return Installation(
        library=library(settings),
        actions=catalog_of(settings).facts(),
        policy=settings.file.policy,
        context=RunContext(mode=settings.mode),
        queue_prefix=settings.queue_prefix,
        desk_keys=desk_keys,
        org=settings.file.organisation,
        thresholds=thresholds,
    )


def make_desk(settings: Settings, client: Client, store: Store) -> Desk:
    """The desk, with the home's own signing key."""
    key = SigningKey.load(settings.home)
    desk = Desk(store, client, installation(settings, {key.key_id: key.public_hex}), key.private, key.key_id)
    desk.paging = PagingDesk(settings, store)
    desk.slack = SlackPeople(desk.people, settings.file.slack, secrets_of(settings).get)
    return desk


def alerts_door(settings: Settings) -> APIRouter:
    """The door of alerts, over the sources and routes of the settings."""
    file = settings.file
    return alerts_router(Intake.of(file.alerts, file.routes, secrets_of(settings).get, file.organisation))


def slack_door(settings: Settings, desk: Desk) -> "SlackDoor | None":
    """The door of Slack, if people use it."""
    if settings.file.slack is None:
        return None
    # Here, because its libraries take long to load and most processes need none of them.
    from worker.slack.door import SlackDoor
    from worker.slack.outgoing import outgoing

    slack = settings.file.slack
    door = SlackDoor(slack, secrets_of(settings).get, desk, lambda token: outgoing(slack, token, desk))
    desk.doors["slack"] = door.health
    return door
