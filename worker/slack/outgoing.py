"""The outgoing half of Slack as its door needs it: cards, where they stand, and all that is shown."""

import asyncio

from worker.desk.desk import Desk
from worker.settings_slack import SlackSettings
from worker.slack.client import SlackClient
from worker.slack.lanes import Pace
from worker.slack.members import OnCall
from worker.slack.pump import Pump
from worker.slack.teller import Documents, Teller
from worker.store import Store


class Showing(Pump):
    """A pump with the teller that feeds it.

    Args:
        store: The installation's store.
        documents: The desk's views.
        settings: Of Slack.
        token: The bot's token.
        on_call: Who of a role is on call.
        pace: How fast.
    """

    def __init__(
        self,
        store: Store,
        documents: Documents,
        settings: SlackSettings,
        token: str,
        *,
        on_call: OnCall = lambda _: (),
        pace: Pace | None = None,
    ) -> None:
        client = SlackClient(token, endpoint=settings.endpoint)
        super().__init__(store, client, workspace=settings.workspace, main=settings.channel, pace=pace)
        self.teller = Teller(store, documents, self, settings, on_call=on_call)

    def poke(self, incident: str) -> None:
        """Show at once what has changed."""
        self.teller.poke(incident)

    async def keep_showing(self) -> None:
        """Make Slack show what is wanted, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.keep_pumping())
            tasks.create_task(self.teller.keep_telling())


def outgoing(settings: SlackSettings, token: str, desk: Desk) -> Showing:
    """The outgoing half over a desk."""
    on_call = desk.paging.on_call if desk.paging is not None else lambda _: ()
    return Showing(desk.store, desk.views, settings, token, on_call=on_call)
