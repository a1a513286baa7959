"""After things went wrong: undo what a run did, rerun what failed in it, review a broken glass.

A run that goes on is asked itself. For one that has ended a further run takes over the state in which it ended; the
earlier run is then part of the later one's past, and whoever names it means the later one.
"""

import secrets
from typing import Any

from pydantic import ValidationError
from temporalio.client import Client

from playbooks.contract import Json
from worker.desk.decisions import Actor
from worker.desk.delivery import deliver
from worker.desk.entries import entry_of
from worker.desk.open_incidents import CLOSED
from worker.desk.refusals import DeskRefusal
from worker.desk.rights import require
from worker.desk.starts import Starts, snapshot_of
from worker.desk.views import Views
from worker.store import Store
from worker.wording import ENDED
from workflows.compensation import beyond_undo, nothing_to_undo
from workflows.messages import After, Receipt, ReviewRequest, RunInput, UndoRequest
from workflows.resumption import for_rerun, for_undo
from workflows.scope import PlanIndex
from workflows.state import STATE_VERSION, RunState
from workflows.undo_order import to_undo


class Aftermath:
    """Undo and rerun. Every method checks the person's right first."""

    def __init__(self, store: Store, client: Client, views: Views, starts: Starts) -> None:
        self._store, self._client, self._views, self._starts = store, client, views, starts

    async def undo(
        self, incident: str, actor: Actor, run: str | None = None, step: str | None = None, reason: str = ""
    ) -> Receipt:
        """Offer to take back what a run did, or one step of it; it happens once the targets' owners approve.

        Raises:
            DeskRefusal: ``wrong_role not_found closed ambiguous_run no_snapshot unsupported_version``.
        """
        require(actor.name, actor.roles, "undo")
        self.open(incident, "undone")
        shown = await self.last(incident, run, lambda each: bool(each.get("undoable")))
        if shown["status"] not in ENDED:
            request = UndoRequest(person=actor.name, step=step, reason=reason)
            return await deliver(self._client, shown["run"], "undo", request, Receipt, f"undo-{secrets.token_hex(12)}")
        given, state = self.ended(shown["run"], "undone")
        if not to_undo(state.undoable, given.plan.actions, step):
            return nothing_to_undo(beyond_undo(given.plan, PlanIndex(given.plan), state, step))
        facts = snapshot_of(self._views.known(incident))
        seed = for_undo(state, facts, actor.name, step)
        after = After(verb="undo", of=given.run, person=actor.name, reason=reason, step=step)
        return await self.go_on(actor, given, after, seed, "the undo is previewed and waits for approval at @undo")

    async def rerun(self, incident: str, actor: Actor, run: str | None = None, reason: str = "") -> Receipt:
        """Do again what failed in a run that has ended, and go on from there; what is done is not repeated.

        Raises:
            DeskRefusal: as ``undo``; also ``run_active`` and ``nothing_failed``.
        """
        require(actor.name, actor.roles, "rerun")
        self.open(incident, "started")
        shown = await self.last(incident, run, lambda each: each["status"] in ENDED and _failed(each))
        if shown["status"] not in ENDED:
            raise DeskRefusal(
                "run_active", f"{shown['run']} has not ended, so nothing of it can be rerun. Nothing was started."
            )
        if shown["status"] in ("cancelled", "undone"):
            raise DeskRefusal("nothing_failed", f"{shown['run']} was {shown['status']}. Nothing was started.")
        given, state = self.ended(shown["run"], "started")
        facts = snapshot_of(self._views.known(incident))
        resumed = for_rerun(given.plan, state, facts, actor.name)
        if not resumed.again:
            raise DeskRefusal("nothing_failed", f"Nothing failed in {given.run}. Nothing was started.")
        after = After(verb="rerun", of=given.run, person=actor.name, reason=reason)
        again = ", ".join(resumed.again[:8]) + (f" and {len(resumed.again) - 8} more" if resumed.again[8:] else "")
        return await self.go_on(actor, given, after, resumed.state, f"again: {again}")

    async def review(
        self, incident: str, actor: Actor, step: str, verdict: str, reason: str, run: str | None = None
    ) -> Receipt:
        """Say of a broken glass whether it was justified; never by who broke it."""
        require(actor.name, actor.roles, "review")
        self._views.known(incident)
        request = ReviewRequest(
            person=actor.name, roles=actor.roles, step=step, verdict=verdict, reason=reason, run=run
        )
        workflow = f"incident/{incident}"
        return await deliver(self._client, workflow, "review", request, Receipt, f"review-{secrets.token_hex(12)}")

    def open(self, incident: str, undone: str) -> None:
        """Pass on only where the incident is open; ``undone`` is the word for what was not done.

        Raises:
            DeskRefusal: ``not_found`` or ``closed``.
        """
        record = self._views.known(incident)
        if record["status"] in CLOSED:
            raise DeskRefusal(
                "closed",
                f"{incident} is closed. Nothing was {undone}.",
                "Its record is complete. Act by hand, or start a playbook in a new incident.",
            )

    async def last(self, incident: str, run: str | None, wanted: Any) -> dict[str, Any]:
        """The run that is meant: the one named, or that which goes on from it, or the only one wanted.

        Raises:
            DeskRefusal: ``not_found`` or ``ambiguous_run``.
        """
        shown = {each["run"]: each for each in await self._views.runs(incident)}
        if run is not None and run not in shown:
            raise DeskRefusal("not_found", f"{incident} has no run {run}. Nothing was done.")
        later = {after.of: name for name, after in self._chain(shown)}
        if run is not None:
            while run in later:
                run = later[run]
            return shown[run]
        last = [each for name, each in shown.items() if name not in later]
        chosen = [each for each in last if wanted(each)] or last
        if len(chosen) > 1:
            names = ", ".join(each["run"] for each in chosen)
            raise DeskRefusal("ambiguous_run", f"More than one run may be meant: {names}. Nothing was done.")
        if not chosen:
            raise DeskRefusal("not_found", f"{incident} has no run. Nothing was done.")
        return chosen[0]

    def _chain(self, runs: Any) -> list[tuple[str, After]]:
        saved = {run: self._store.incidents.load_run(run) for run in runs}
        return [(run, After.model_validate(each["after"])) for run, each in saved.items() if each and each.get("after")]

    def given(self, run: str, undone: str) -> RunInput:
        """The input with which a run was started."""
        saved = self._store.incidents.load_run(run)
        if saved is None:
            raise DeskRefusal("no_snapshot", f"The store does not hold {run}. Nothing was {undone}.")
        return RunInput.model_validate(saved)

    def ended(self, run: str, undone: str) -> tuple[RunInput, RunState]:
        """A run's input, and the state in which it ended.

        Raises:
            DeskRefusal: ``no_snapshot`` or ``unsupported_version``.
        """
        given, state = self.given(run, undone), self._store.incidents.state(run)
        if state is None:
            raise DeskRefusal("no_snapshot", f"The store does not hold how {run} ended. Nothing was {undone}.")
        if int(state.get("state_version", 0)) > STATE_VERSION:
            raise DeskRefusal(
                "unsupported_version",
                f"{run} ended under a newer Stanch (state {state['state_version']}, this one reads {STATE_VERSION}). "
                f"Nothing was {undone}.",
            )
        try:
            return given, RunState.model_validate(state)
        except ValidationError:
            raise DeskRefusal("no_snapshot", f"How {run} ended cannot be read. Nothing was {undone}.") from None

    async def go_on(
        self, actor: Actor, given: RunInput, after: After, seed: RunState, what: str, **body: Json
    ) -> Receipt:
        """Start the run that goes on from a state; ``what`` says with what, ``body`` is for the record.

        Raises:
            DeskRefusal: ``already_started``, where another goes on from the same run.
        """
        runs = self._store.incidents.runs(given.incident)
        first = next((run for run, held in self._chain(runs) if held.of == after.of), None)
        if first is not None:
            raise DeskRefusal(
                "already_started", f"{first} goes on from {after.of} already. Nothing was started.", "Look at that one."
            )
        run = self._starts.next_run(given.incident, given.plan.frame.playbook.id)
        starters = tuple(dict.fromkeys((*given.starters, actor.name)))
        later = given.model_copy(
            update={
                "run": run,
                "starters": starters,
                "facts": seed.facts,
                "after": after,
                "seed": seed,
                "state": None,
            }
        )
        about = {"run": run, "of": after.of, "step": after.step, **body}
        entry = entry_of(actor.name, actor.door, f"run.{after.verb}_asked", about, after.reason)
        self._store.journal.append(given.incident, [entry])
        confirmed = await self._starts.go_on(later)
        message = f"{run} goes on from {after.of}: {what}."
        return Receipt(accepted=True, message=message if confirmed else f"{message} It starts in a moment.", run=run)


def _failed(shown: dict[str, Any]) -> bool:
    return any(step["status"] in ("failed", "unknown") for step in shown.get("steps", ()))
