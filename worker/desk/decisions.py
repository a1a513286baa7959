"""Decisions: who a person is, which question is meant, the desk's signature, and the run's answer."""

import logging
import secrets
import time
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from temporalio.client import Client

from playbooks.contract import Decision, DecisionReceipt, Json
from playbooks.digest import sign_decision
from worker.desk.delivery import deliver
from worker.desk.entries import entry_of
from worker.desk.nonces import Nonces
from worker.desk.refusals import DeskRefusal
from worker.desk.times import stamp
from worker.desk.views import Views
from worker.store import Store
from workflows.gates import BREAK_GLASS_ROLE

log = logging.getLogger(__name__)

VERDICTS = frozenset(
    {"approve", "deny", "break_glass", "answer", "done", "retry", "skip", "undo", "stop"}
    | {"happened", "not_happened", "verify"}
)
SHOWN = frozenset({"approve", "deny"})
"""Verdicts that need the digest of what the person was shown; all others are about what waits."""
WHOLE = 64
MAX_REASON = 2000
MAX_VALUES = 32 * 1024
MAX_STRANGERS = 50
HOUR = 3600.0


@dataclass(frozen=True)
class Actor:
    """Somebody whom a door has authenticated; ``roles`` are read from the store at that moment.

    ``request`` is the door's fixed name for what this person asks now: asked again, it has its effect once.
    """

    name: str
    roles: tuple[str, ...]
    door: str
    request: str = ""

    def once(self, what: str) -> str:
        """The id of one part of what is asked: the same for the same request, else a new one."""
        return f"{what}-{self.request or secrets.token_hex(12)}"


@dataclass(frozen=True)
class Choice:
    """What a person wants to decide.

    ``run`` may be left out where only one run has the step; of ``digest`` its first digits are enough.
    """

    step: str
    verdict: str
    run: str | None = None
    digest: str | None = None
    reason: str = ""
    values: dict[str, Json] = field(default_factory=dict)
    nonce: str | None = None


class Decisions:
    """Signs decisions and brings them to their runs.

    Args:
        store: For the journal of refusals that the desk makes itself.
        client: Temporal.
        views: What waits now.
        key: The desk's signing key.
        key_id: Its id, under which runs know the public key.
    """

    def __init__(self, store: Store, client: Client, views: Views, key: Ed25519PrivateKey, key_id: str) -> None:
        self._store, self._client, self._views = store, client, views
        self._key, self._key_id = key, key_id
        self.nonces = Nonces(key.private_bytes_raw())
        self._strangers: list[float] = []

    async def decide(self, incident: str, actor: Actor, choice: Choice) -> DecisionReceipt:
        """Bring one decision to its run and return the run's receipt, accepted or not.

        Raises:
            DeskRefusal: The desk could not or would not pass it on; that is in the journal.
        """
        self._views.known(incident)
        try:
            return await self._decide(incident, actor, choice)
        except DeskRefusal as refusal:
            self.refused(incident, actor, choice, refusal.code)
            raise

    async def _decide(self, incident: str, actor: Actor, choice: Choice) -> DecisionReceipt:
        _check(choice)
        run, waiting = await self._question(incident, choice)
        self._holds(actor, choice, waiting or {})
        digest = _digest(choice, (waiting or {}).get("digest", ""))
        nonce = choice.nonce or self.nonces.issue(actor.name, run, choice.step, digest, salt=actor.request)
        if not self.nonces.belongs(nonce, actor.name, run, choice.step, digest):
            raise DeskRefusal(
                "bad_signature",
                "This decision was made out for another person or another question. Nothing was counted.",
                "Look again with `stanch incident show` and decide there.",
            )
        decision = sign_decision(
            Decision(
                incident=incident,
                run=run,
                step=choice.step,
                person=actor.name,
                roles_at=actor.roles,
                door=actor.door,
                verdict=choice.verdict,
                digest=digest,
                reason=choice.reason,
                values=choice.values,
                nonce=nonce,
                at=stamp(),
            ),
            self._key,
            self._key_id,
        )
        return await deliver(self._client, run, "decide", decision, DecisionReceipt, actor.once("decide"))

    def _holds(self, actor: Actor, choice: Choice, waiting: dict[str, Any]) -> None:
        """Refuse by its right name a decision of somebody who has handed the deciding role to another.

        Raises:
            DeskRefusal: ``delegated_away``.
        """
        person = self._store.people.get(actor.name)
        needs = (waiting.get("who") or {}).get("needs", ())
        asked = {role for need in needs for role in need["roles"]}
        if choice.verdict == "break_glass":
            asked = {BREAK_GLASS_ROLE}
        gone = [one for one in person.away if one.role in asked] if person else []
        if gone and not asked & set(actor.roles):
            raise DeskRefusal(
                "delegated_away",
                f"{actor.name} has handed {gone[0].role} to {gone[0].to} until {gone[0].until}. Nothing was counted.",
                f"{gone[0].to} decides; `stanch people delegate {actor.name} {gone[0].role} --end` takes it back.",
            )

    async def _question(self, incident: str, choice: Choice) -> tuple[str, dict[str, Any] | None]:
        """The run that is meant, and its waiting entry if it has one now."""
        runs = await self._views.runs(incident)
        if choice.run is not None:
            runs = [run for run in runs if run["run"] == choice.run]
            if not runs:
                raise DeskRefusal("not_found", f"{incident} has no run {choice.run}. Nothing was counted.")
        asked = [
            (run["run"], entry) for run in runs for entry in run.get("waiting", []) if entry["step"] == choice.step
        ]
        if not asked:
            # The run itself says why not (closed, expired, digest_mismatch) and keeps the refusal.
            last = [run for run in runs if not run.get("followed_by")]
            holders = [run["run"] for run in last if _has_step(run, choice.step)]
            asked = [(run, None) for run in holders]
        if not asked:
            raise DeskRefusal("not_waiting", f"No run of {incident} has a step {choice.step}. Nothing was counted.")
        if len(asked) > 1:
            names = ", ".join(run for run, _ in asked)
            raise DeskRefusal(
                "ambiguous_step",
                f"Step {choice.step} is in more than one run: {names}. Nothing was counted.",
                "Say which with --run.",
            )
        return asked[0]

    def refused_stranger(self, incident: str, door: str) -> None:
        """Journal that somebody unknown tried to decide; past the first ones of an hour only the log has it.

        Anybody who reaches the door can try: the journal, which only grows, must not be theirs to fill.
        """
        log.warning("somebody unknown tried to decide in %s", incident[:64])
        if self._store.incidents.get(incident) is None:
            return
        now = time.monotonic()
        self._strangers[:] = [at for at in self._strangers if now - at < HOUR]
        if len(self._strangers) < MAX_STRANGERS:
            self._strangers.append(now)
            self._refused(incident, "unknown", door, {"code": "unknown_person"})

    def refused(self, incident: str, actor: Actor, choice: Choice, code: str) -> None:
        """Journal a refusal that the run never sees: the desk's own, or a door's (replayed, forwarded, outdated)."""
        body: dict[str, Json] = {
            "code": code,
            "step": choice.step[:200],
            "verdict": choice.verdict[:40],
            "digest": (choice.digest or "")[:64],
        }
        if choice.run:
            body["run"] = choice.run[:200]
        # Under the request's own key: carried out again, it is refused once.
        key = f"desk/decision.refused/{actor.request}/{code}" if actor.request else ""
        self._refused(incident, actor.name, actor.door, body, key=key)

    def _refused(self, incident: str, actor: str, door: str, body: dict[str, Json], *, key: str = "") -> None:
        self._store.journal.append(incident, [entry_of(actor, door, "decision.refused", body, key=key)])


def _check(choice: Choice) -> None:
    if choice.verdict not in VERDICTS:
        raise DeskRefusal("bad_verdict", f"There is no verdict {choice.verdict[:40]!r}. Nothing was counted.")
    if choice.verdict == "break_glass" and not choice.reason.strip():
        raise DeskRefusal("bad_value", "Break-glass needs a reason. Nothing was counted.", "Add --reason.")
    if len(choice.reason) > MAX_REASON:
        raise DeskRefusal("too_large", f"A reason may have {MAX_REASON} characters. Nothing was counted.")
    if len(str(choice.values)) > MAX_VALUES:
        raise DeskRefusal("too_large", "The answers are over 32 KB. Nothing was counted.")


def _digest(choice: Choice, waiting: str) -> str:
    """The whole digest that is signed; of what is not waiting any more, as much as was given.

    Raises:
        DeskRefusal: ``digest_mismatch``.
    """
    if not choice.digest:
        if choice.verdict in SHOWN:
            raise DeskRefusal(
                "digest_mismatch",
                "The decision does not say what it is about: its digest is missing. Nothing was counted.",
            )
        return waiting
    if waiting.startswith(choice.digest):
        return waiting
    if waiting and len(choice.digest) < WHOLE:
        raise DeskRefusal("digest_mismatch", "What waits now is not what you were shown. Nothing was counted.")
    return choice.digest


def _has_step(run: dict[str, Any], key: str) -> bool:
    path = key.split("[", 1)[0]
    return any(step["path"] == path for step in run.get("steps", []))
