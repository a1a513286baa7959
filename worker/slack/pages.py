"""Pages by direct message: the pager's channel ``slack``. Whether it stands there is the pump's to see to."""

from typing import Protocol

from worker.paging.channels import Call, Undelivered
from worker.slack.blocks import Bold, Line, Message, message, paragraph
from worker.slack.marks import banner


class Direct(Protocol):
    """What can write to one person."""

    def want_dm(self, key: str, person: str, message: Message, *, incident: str = "") -> bool:
        """Want it to be said; ``False`` if the person is not known there."""


class SlackPages:
    """Brings pages to people's direct messages."""

    def __init__(self) -> None:
        self.direct: Direct | None = None
        """Set while the door is open."""

    async def send(self, page: Call, person: str, address: str) -> None:
        """Bring it; a repeat under the same key says nothing twice.

        Raises:
            Undelivered: Slack is not open, or does not know the person.
        """
        if self.direct is None:
            raise Undelivered("The door of Slack is not open.")
        lines: list[Line] = [[Bold(page.headline)], *([line] for line in page.todo)]
        said = message(page.subject, [paragraph(*lines), *banner(page.mode)])
        if not self.direct.want_dm(f"{page.incident}:page:{page.key}", person, said, incident=page.incident):
            raise Undelivered("This person has no account in Slack, or Slack is switched off.")
