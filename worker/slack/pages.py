"""Pages by direct message: the pager's channel ``slack``."""

import asyncio
from typing import Protocol

from worker.paging.channels import Call, Undelivered
from worker.slack.blocks import Bold, Line, Message, message, paragraph
from worker.slack.marks import banner

PATIENCE = 10.0
LOOK = 0.05


class Direct(Protocol):
    """What can write to one person."""

    def want_dm(self, key: str, person: str, message: Message, *, incident: str = "") -> bool:
        """Want it to be said; ``False`` if the person is not known there."""

    def stands(self, message_key: str) -> tuple[str, str] | None:
        """Where it was said, once it was."""


class SlackPages:
    """Brings pages to people's direct messages."""

    def __init__(self, *, patience: float = PATIENCE) -> None:
        """``patience``: seconds within which a page must stand in Slack; after them the next method is tried."""
        self.direct: Direct | None = None
        """Set while the door is open."""
        self._patience = patience

    async def send(self, page: Call, person: str, address: str) -> None:
        """Bring it; a repeat under the same key says nothing twice.

        Raises:
            Undelivered: Slack is not open, does not know the person, or does not show it in time. In the last case it
                is shown once Slack is back.
        """
        direct = self.direct
        if direct is None:
            raise Undelivered("The door of Slack is not open.")
        lines: list[Line] = [[Bold(page.headline)], *([line] for line in page.todo)]
        said = message(page.subject, [paragraph(*lines), *banner(page.mode)])
        key = f"{page.incident}:page:{page.key}"
        if not direct.want_dm(key, person, said, incident=page.incident):
            raise Undelivered("This person has no account in Slack, or Slack is switched off.")
        try:
            async with asyncio.timeout(self._patience):
                while direct.stands(key) is None:  # noqa: ASYNC110 - it stands in the store, maybe by another process
                    await asyncio.sleep(LOOK)
        except TimeoutError:
            raise Undelivered(f"Slack has not shown it within {self._patience:g} s.") from None
