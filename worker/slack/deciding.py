"""Deciding by a click: which question a card asked, whether it still stands where it was clicked, and the receipt."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from playbooks.contract import DecisionReceipt
from worker.desk.decisions import Actor, Choice
from worker.desk.desk import Desk
from worker.desk.refusals import DeskRefusal
from worker.slack.identity import DOOR
from worker.slack.ports import Card, Shown
from workflows.messages import Receipt

REVIEW = "review"


@dataclass(frozen=True)
class Click:
    """What was chosen on which card, and where the card was: ``channel`` and ``ts`` of its message."""

    card: str
    verdict: str
    channel: str = ""
    ts: str = ""
    reason: str = ""
    values: Mapping[str, Any] | None = None

    @classmethod
    def of(cls, what: Mapping[str, Any]) -> "Click":
        """As the inbox keeps it."""
        text = {name: str(what.get(name) or "") for name in ("card", "verdict", "channel", "ts", "reason")}
        return cls(**text, values=what.get("values"))


class Deciding:
    """Brings clicks to the desk."""

    def __init__(self, desk: Desk, shown: Shown) -> None:
        self._desk, self._shown = desk, shown

    def question(self, click: Click, actor: Actor) -> Card:
        """The question that was clicked.

        Raises:
            DeskRefusal: ``bad_signature`` for a button that is not ours, or in a message that is not the card itself.
        """
        card = self._shown.card(click.card)
        if card is None:
            raise DeskRefusal("bad_signature", "This button was not made by this Stanch. Nothing was counted.")
        where = self._shown.stands(card.message_key)
        # A card that was posted just before a death may stand without our knowing where exactly.
        here = (click.channel, click.ts) == where if where else click.channel == card.channel
        if not here:
            self.refused(card, click, actor, "bad_signature")
            raise DeskRefusal(
                "bad_signature",
                "This is a copy of a card, not the card itself: what it shows may have been changed. "
                "Nothing was counted.",
                "Decide on the card in the incident's channel.",
            )
        return card

    async def waiting(self, card: Card, *, live: bool = True) -> dict[str, Any] | None:
        """The question as it waits now, if it is still the one that was shown."""
        document = await self._desk.views.incident(card.incident, live=live)
        for entry in document["waiting"]:
            if (entry.get("run") or "") == card.run and entry["step"] == card.step and entry.get("kind") == card.kind:
                return dict(entry) if same(entry, card) else None
        return None

    async def decide(self, click: Click, actor: Actor, *, again: bool = False) -> DecisionReceipt | Receipt:
        """Carry out a decision; repeated with the same request (``again``), it has the same effect, once.

        Raises:
            DeskRefusal: it could not or would not be passed on; that is journaled.
        """
        card = self.question(click, actor)
        counted = self._counted(card, actor) if again else None
        if counted is not None:
            return counted
        if card.kind == REVIEW:
            return await self._desk.aftermath.review(
                card.incident, actor, card.step, click.verdict, click.reason, card.run or None
            )
        await self._check_round(card, click, actor)
        return await self._desk.decisions.decide(card.incident, actor, self._choice(card, click))

    def not_counted(self, click: Click, actor: Actor, code: str) -> None:
        """Journal that a decision was delivered once more, or while Slack is switched off."""
        card = self._shown.card(click.card)
        if card is not None:
            self.refused(card, click, actor, code)

    def stranger(self, card_id: str) -> None:
        """Journal, within bounds, that somebody unknown clicked on a card."""
        card = self._shown.card(card_id)
        if card is not None:
            self._desk.decisions.refused_stranger(card.incident, DOOR)

    def refused(self, card: Card, click: Click, actor: Actor, code: str) -> None:
        """Journal a refusal that is the door's own."""
        self._desk.decisions.refused(card.incident, actor, self._choice(card, click), code)

    async def _check_round(self, card: Card, click: Click, actor: Actor) -> None:
        """Refuse a card of an earlier asking of the same: each asking is answered by its own card.

        Raises:
            DeskRefusal: ``digest_mismatch``.
        """
        for run in await self._desk.views.runs(card.incident):
            for entry in run.get("waiting", []):
                here = run["run"] == card.run and entry["step"] == card.step
                if here and entry["digest"] == card.digest and entry.get("round", card.round) != card.round:
                    self.refused(card, click, actor, "digest_mismatch")
                    raise DeskRefusal(
                        "digest_mismatch",
                        "This card is from an earlier time; it is asked anew. Nothing was counted.",
                        "Decide on the newest card.",
                    )

    def _counted(self, card: Card, actor: Actor) -> DecisionReceipt | None:
        """The receipt of what was counted before a death, also where the run has ended since."""
        nonce = self._desk.decisions.nonces.issue(actor.name, card.run, card.step, card.digest, salt=actor.request)
        for entry in self._desk.store.journal.entries(card.incident):
            if entry["kind"] == "decision.accepted" and entry["body"].get("nonce") == nonce:
                return DecisionReceipt(accepted=True, code="ok", message="It is counted.")
        return None

    @staticmethod
    def _choice(card: Card, click: Click) -> Choice:
        return Choice(
            step=card.step,
            verdict=click.verdict,
            run=card.run or None,
            digest=card.digest,
            reason=click.reason,
            values=dict(click.values or {}),
        )


def same(entry: Mapping[str, Any], card: Card) -> bool:
    """Whether a waiting question is the one that a card shows."""
    return bool(entry.get("digest", "") == card.digest and entry.get("round", card.round) == card.round)
