"""What the fixture ``stanch_playbook`` gives: a playbook's run, for tests in Python."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from playbooks.contract import DecisionReceipt, Json
from playbooks.model_values import seconds
from worker.trial.coverage import Coverage, coverage, gone_by
from worker.trial.outcome import Outcome, named
from worker.trial.people import Asked, Cast, Says
from worker.trial.shelf import book_of
from worker.trial.stubs import Stub, Stubs

VERDICTS = (
    *("approve", "deny", "break_glass", "answer", "done", "retry", "skip", "undo", "stop"),
    *("happened", "not_happened", "verify"),
)


class PlaybookRun:
    """A run that has begun and settled: whatever takes no time has happened, and people are being waited for.

    Args:
        playbook: Id, or file.
        inputs: Its inputs.
        systems: Action or step to what it answers: a mapping of output fields, a ``Stub``, or a list of these by call.
        incident: Facts of the incident that differ from those of any alert.
        started_by: Who started it, who then may not approve; by default an alert.
        roles: Roles by person; whoever is not named has every role that is asked for.
        continue_after: Events after which the run continues as new.

    Raises:
        NotReady: The playbook or its inputs are refused.
    """

    def __init__(
        self,
        playbook: str | Path,
        *,
        inputs: Mapping[str, Json] | None = None,
        systems: Mapping[str, Any] | None = None,
        incident: Mapping[str, Json] | None = None,
        started_by: str = "",
        roles: Mapping[str, Sequence[str]] | None = None,
        continue_after: int | None = None,
    ) -> None:
        self._book = book_of(playbook)
        self._trial = self._book.trial(
            inputs=inputs or {},
            incident=incident,
            stubs=Stubs({name: _stubs(given) for name, given in (systems or {}).items()}),
            cast=Cast({person: tuple(held) for person, held in (roles or {}).items()}),
            started_by=started_by,
            continue_after=continue_after,
        )
        self._trial.settle()

    # --- doing -----------------------------------------------------------------------------------

    def answer(self, step: str, person: str, verdict: str = "approve", **values: Json) -> DecisionReceipt:
        """Decide at a step, by what waits there now; ``values`` fill in the form of a question.

        Returns the run's receipt, accepted or not.
        """
        if verdict not in VERDICTS:
            raise ValueError(f"{verdict!r} is no verdict; it is one of {', '.join(VERDICTS)}")
        receipt = self._trial.try_to_decide(step, Says("answer" if values else verdict, person, values, reason="test"))
        self._trial.settle()
        return receipt

    def advance(self, length: str | timedelta) -> None:
        """Let time pass, such as ``15m``."""
        self._trial.advance(timedelta(seconds=seconds(length)) if isinstance(length, str) else length)

    def finish(self) -> None:
        """Let it run to its end; people who were not answered for stay silent."""
        self._trial.finish()

    def learn(self, by: str = "", **facts: Json) -> None:
        """Let the incident learn facts, from a person if one is named."""
        self._trial.set_facts(facts, by)
        self._trial.settle()

    def cancel(self) -> None:
        """Cancel the run."""
        self._trial.cancel()
        self._trial.settle()

    def pause(self) -> None:
        """Let it start no further step."""
        self._trial.pause()
        self._trial.settle()

    def resume(self) -> None:
        """Let it go on."""
        self._trial.resume()
        self._trial.settle()

    def lose_worker(self) -> None:
        """Let the worker die and another one go on from the history."""
        self._trial.die()

    def close(self) -> None:
        """Let go of it; the fixture does so by itself."""
        self._trial.close()

    # --- looking ---------------------------------------------------------------------------------

    @property
    def outcome(self) -> Outcome:
        """What has come of it so far."""
        return Outcome.of(self._trial)

    @property
    def status(self) -> str:
        """``running waiting paused done failed denied cancelled undone``."""
        return self.outcome.status

    @property
    def waiting(self) -> list[Asked]:
        """The questions that wait for people now."""
        open_now = {(entry["step"], entry["round"]) for entry in self._trial.status()["waiting"]}
        return [asked for key, asked in self._trial.asked.items() if key in open_now]

    @property
    def effects(self) -> list[str]:
        """Steps that changed something, in order; an undo as ``undo STEP``."""
        return [named(effect) for effect in self._trial.world.effects]

    @property
    def executions(self) -> int:
        """How often it has started, continuing as new counted."""
        return self._trial.server.executions

    def step(self, path: str) -> Mapping[str, Json]:
        """One step: ``status code message output by affected``."""
        return self.outcome.steps[path]

    def coverage(self) -> Coverage:
        """The ways of the playbook that this run has gone."""
        return coverage(self._book.outline, gone_by(self._trial))


def _stubs(given: Any) -> Sequence[Stub]:
    if isinstance(given, Stub):
        return [given]
    if isinstance(given, Mapping):
        return [Stub(output=given)]
    return [stub for part in given for stub in _stubs(part)]
