"""What the incoming half of Slack needs from the outgoing one."""

from typing import Protocol

from worker.slack.blocks import Message


class Card(Protocol):
    """A question that was shown: which one, as what, and as which message."""

    @property
    def incident(self) -> str:
        """Incident id."""

    @property
    def run(self) -> str:
        """Run id; empty for an after-review."""

    @property
    def step(self) -> str:
        """Step path."""

    @property
    def round(self) -> int:
        """How often it had been asked."""

    @property
    def digest(self) -> str:
        """What was shown."""

    @property
    def kind(self) -> str:
        """Kind of the question."""

    @property
    def channel(self) -> str:
        """Channel that the card was made for."""

    @property
    def message_key(self) -> str:
        """Key of the message that shows it."""


class Shown(Protocol):
    """What stands in Slack, and what is to stand there."""

    def card(self, id_: str) -> Card | None:
        """The question behind a button."""

    def stands(self, message_key: str) -> tuple[str, str] | None:
        """Channel and timestamp of the message with this key, once it is posted."""

    def incident_in(self, channel: str) -> str | None:
        """The incident whose channel it is."""

    def poke(self, incident: str) -> None:
        """Show at once what has changed."""

    def say(self, key: str, incident: str, message: Message) -> None:
        """Say something in an incident's channel, once under its key."""
