"""Built-in activities that keep and find things: entries, notices, snapshots, outputs, run inputs."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import ParamSpec, TypeVar

from temporalio import activity

from activities.errors import ActionError, EvidenceMissing, JournalUnavailable, to_application_error
from activities.ports import Store
from activities.record import result_of
from playbooks.contract import Json
from workflows.messages import (
    LOAD_OUTPUTS,
    LOAD_RUN,
    RECORD,
    LoadedOutputs,
    LoadInput,
    LoadRun,
    RecordInput,
    RecordResult,
    RunInput,
)

P = ParamSpec("P")
T = TypeVar("T")
_BUGS = (TypeError, AttributeError, AssertionError)


async def reach(store: Store, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call the store from a built-in activity; its absence is told to Temporal as such, and tried again."""
    try:
        return await store.call(fn, *args, **kwargs)
    except ActionError as error:
        raise to_application_error(error) from None
    except _BUGS:
        raise
    except Exception as error:
        away = JournalUnavailable(f"The store does not answer ({type(error).__name__}). It is tried again.")
        away.retry_after = timedelta(seconds=1)
        raise to_application_error(away) from None


class Keeping:
    """Writes what workflows decide, and reads back what they left by reference."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @activity.defn(name=RECORD)
    async def record(self, given: RecordInput) -> RecordResult:
        """Write entries, notices and a snapshot in one transaction; sign the head if a decision is among them."""
        return await reach(self._store, self._record, given)

    @activity.defn(name=LOAD_OUTPUTS)
    async def load_outputs(self, given: LoadInput) -> LoadedOutputs:
        """Outputs that were too large for a run's state."""
        return await reach(self._store, self._load_outputs, given)

    @activity.defn(name=LOAD_RUN)
    async def load_run(self, given: LoadRun) -> RunInput:
        """The input that the desk saved before it started the run."""
        return await reach(self._store, self._load_run, given)

    def _record(self, given: RecordInput) -> RecordResult:
        store, written = self._store, []
        with store.transaction():
            if given.entries:
                written = store.journal.append(given.incident, given.entries)
            if given.notices:
                store.notices.put(list(given.notices))
            if given.snapshot is not None:
                of = given.run or given.incident
                store.incidents.save_snapshot(of, given.incident, given.snapshot, given.state, given.version)
        if given.sign:
            store.journal.sign_heads("decision", given.incident)
        return RecordResult(written=len(written))

    def _load_outputs(self, given: LoadInput) -> LoadedOutputs:
        return LoadedOutputs(values={ref: self._output(given.incident, ref) for ref in given.refs})

    def _output(self, incident: str, ref: str) -> Json:
        store = self._store
        try:
            if not ref.startswith("outcome:"):
                return json.loads(store.evidence.read(ref))
            key = ref.removeprefix("outcome:")
            # An outcome of a first try stands under the bare key, a later one under its try.
            body = store.journal.outcome(incident, key) or store.journal.outcome(incident, key.rpartition("/")[0])
            if body is None:
                raise LookupError(ref)
            result = result_of(store, body)
            if result.output_ref is not None:
                return json.loads(store.evidence.read(result.output_ref.ref))
            return result.output
        except (LookupError, ValueError, FileNotFoundError) as error:
            raise EvidenceMissing(
                f"An output ({ref[:24]}…) is no longer in the store, or not what it was. The step that reads it "
                "did not run. Check the evidence folder against a backup."
            ) from error

    def _load_run(self, given: LoadRun) -> RunInput:
        saved = self._store.incidents.load_run(given.run)
        if saved is None:
            raise EvidenceMissing(f"{given.run} is not in the store, so it was not started.")
        return RunInput.model_validate(saved)
