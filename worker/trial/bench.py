"""What the fixture ``stanch_bench`` gives: calls of an extension's actions as a worker makes them, in a test.

The runner, the pre-effect gate, the journal and the evidence are those of a real worker; the client is the
extension's own, so that it speaks to whatever the given settings name: a peer of the test's.
"""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from temporalio.testing import ActivityEnvironment

from activities.action import ActionSpec
from activities.extension import Extension
from activities.runner import Runner
from activities.surroundings import Surroundings
from playbooks.contract import ActionCall, ActionResult, Envelope, Json, Mode, Permit, Preview, Scope, Verb
from playbooks.digest import envelope_digest
from worker.store import Store
from worker.systems import ConnectedSystems

INCIDENT = "INC-2026-1"
PLAN = "0" * 64


class Secrets:
    """A vault of a test's own secrets, by their references."""

    def __init__(self, known: Mapping[str, str]) -> None:
        self._known = dict(known)

    def get(self, reference: str) -> str:
        """The secret.

        Raises:
            KeyError: The test named none for it.
        """
        return self._known[reference]


class Bench:
    """One extension, connected.

    Args:
        extension: What is tested.
        home: An empty folder for the journal and the evidence.
        table: What ``[systems.NAME]`` would hold.
        secrets: Reference to secret.
    """

    def __init__(
        self, extension: Extension, home: Path, table: Mapping[str, Json], secrets: Mapping[str, str] | None = None
    ) -> None:
        vault, system = Secrets(secrets or {}), extension.system
        self._specs = {spec.name: spec for spec in extension.actions}
        self._store = Store(f"sqlite:///{home / 'stanch.db'}", home)
        connect = {system: lambda given, vault: extension.client(given, vault)}
        self._systems = ConnectedSystems({system: table}, vault, connect)
        self._runner = Runner(Surroundings(self._store, self._systems, Mode.LIVE))
        self._calls = 0

    def preview(self, action: str, **params: Json) -> Preview:
        """What an effect would do now; changes nothing."""
        shown: Preview = self._run(action, Verb.PREVIEW, params)
        return shown

    def apply(self, action: str, **params: Json) -> ActionResult:
        """Do it as if it were approved for at most 500 targets, and read back.

        Raises:
            ApplicationError: As the workflow would see it; ``type`` is the name of the error.
        """
        result: ActionResult = self._run(action, Verb.APPLY, params)
        return result

    def undo(self, action: str, result: ActionResult, **params: Json) -> ActionResult:
        """Take back what ``apply`` with these parameters did."""
        undone: ActionResult = self._run(action, Verb.UNDO, params, result.undo_args)
        return undone

    def entries(self) -> list[str]:
        """Kinds of the journal's entries, in order."""
        return [entry["kind"] for entry in self._store.journal.entries(INCIDENT)]

    def close(self) -> None:
        """Close the client and the store."""
        asyncio.run(self._systems.close())
        self._store.close()

    def _run(
        self, action: str, verb: Verb, params: Mapping[str, Json], undo_args: Mapping[str, Json] | None = None
    ) -> Any:
        spec = self._specs[action]
        self._calls += 1
        call = ActionCall(
            action=action,
            version=spec.facts.version,
            verb=verb,
            params=dict(params),
            incident=INCIDENT,
            run=f"run/{INCIDENT}/bench/1",
            lineage="bench",
            step=f"call_{self._calls}",
            tries=1,
            plan_digest=PLAN,
            undo_args=None if undo_args is None else dict(undo_args),
        )
        if spec.facts.risk.is_effect and verb is not Verb.PREVIEW:
            call = call.model_copy(update={"permit": _permit(spec, call)})

        async def serve() -> Any:
            return await ActivityEnvironment().run(self._runner.activity_of(spec), call)

        return asyncio.run(serve())


def _permit(spec: ActionSpec, call: ActionCall) -> Permit:
    envelope = Envelope(
        plan=call.plan_digest,
        step=call.step,
        action=call.action,
        version=call.version,
        params=call.params,
        scope=Scope.SELECTOR if spec.facts.selector else Scope.EXACT,
        max_affected=500,
        mode=call.context.mode,
    )
    return Permit(
        rule="approved by the test", envelope=envelope, digest=envelope_digest(envelope), protected_allowed=True
    )
