"""From what was kept to what is done: who asked is looked up anew, because roles may have changed since."""

from collections.abc import Mapping

from playbooks.contract import Json
from playbooks.digest import sha256_hex
from worker.desk.refusals import DeskRefusal
from worker.slack import words
from worker.slack.answers import Answers
from worker.slack.blocks import Message
from worker.slack.client import Uncertain
from worker.slack.commands import Commands
from worker.slack.deciding import Click, Deciding
from worker.slack.identity import Identities, Origin, actor
from worker.slack.inbox import AWAY, Outcome, Tell
from worker.slack.pages import Direct
from worker.slack.ports import Shown
from worker.slack.reactions import Reactions
from worker.slack.starting import Starting
from worker.store.inbox import Kept
from worker.store.outbox import Switch
from worker.store.people import Person


class Carrying:
    """Carries out one kept request, unless Slack was switched off (``off``) meanwhile."""

    def __init__(
        self,
        off: Switch,
        identities: Identities,
        deciding: Deciding,
        commands: Commands,
        starting: Starting,
        reactions: Reactions,
        shown: Shown,
        direct: Direct,
    ) -> None:
        self._off, self._identities, self._deciding, self._commands = off, identities, deciding, commands
        self._starting, self._reactions, self._shown = starting, reactions, shown
        self._direct = direct

    async def carry(self, kept: Kept) -> Outcome:
        """Do what was asked, and say what came of it.

        Raises:
            DeskRefusal: with a code of ``AWAY``: it could not be tried.
        """
        try:
            told = await self._done(kept)
        except DeskRefusal as refusal:
            if refusal.code in AWAY:
                raise
            told = words.refused(refusal)
        return _outcome(told)

    async def _done(self, kept: Kept) -> Message | None:
        what: dict[str, Json] = kept.what
        person = self._asked(what)
        if person is None:
            raise DeskRefusal("unknown_person", words.STRANGER)
        if self._off.get() is not None:
            raise DeskRefusal("slack_off", words.OFF)
        asking = actor(person, kept.token)
        if what["do"] == "decide":
            click = Click.of(what)
            receipt = await self._deciding.decide(click, asking, again=kept.again)
            card = self._shown.card(click.card)
            if card is not None:
                self._shown.poke(card.incident)
            effect = click.verdict in ("approve", "break_glass")
            return words.received(receipt, held=effect and self._commands.held())
        if what["do"] == "start":
            return await self._starting.carry(what, asking)
        if what["do"] == "mark":
            return await self._reactions.carry(what, asking)
        return await self._commands.carry(what, asking)

    def _asked(self, what: Mapping[str, Json]) -> Person | None:
        return self._identities.person(Origin(str(what["team"]), str(what["user"])))

    def teller(self, answers: Answers) -> Tell:
        """Tells who asked what came of it."""

        async def tell(kept: Kept, outcome: Outcome) -> bool:
            said = Message(outcome.text, outcome.blocks)
            try:
                return await answers.tell(kept, said)
            except Uncertain:
                # Nothing private can be looked for; a direct message can, so it comes once more, and once only.
                person = self._asked(kept.what)
                key = f"answer:{kept.id}:{sha256_hex(outcome.text)[:8]}"
                return person is not None and self._direct.want_dm(key, person.name, answers.marked(said))

        return tell


def words_for(refusal: DeskRefusal | None, waits: bool) -> Outcome:
    """What is said of what waits, is given up, or failed."""
    if waits:
        return _outcome(words.waits())
    return _outcome(words.failed() if refusal is None else words.refused(refusal))


def _outcome(message: Message | None) -> Outcome:
    return Outcome(message.text, message.blocks) if message is not None else Outcome()
