"""Built-in activities about regulators: clocks and drafts. Nothing is ever sent."""

import asyncio
from collections.abc import Mapping

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.builtin.keeping import reach
from activities.ports import Store
from playbooks.clocks import compute
from playbooks.contract import Json
from playbooks.drafting import Draft, DraftError, drafts
from playbooks.regimes_model import RegimeLibrary
from workflows.messages import COMPUTE_CLOCKS, WRITE_DRAFTS, ClocksInput, ClocksResult, DraftsInput, DraftsResult


class Duties:
    """Counts and writes in a thread, because templates and calendars take their time."""

    def __init__(self, store: Store, regimes: RegimeLibrary, organisation: Mapping[str, Json]) -> None:
        self._store, self._regimes, self._organisation = store, regimes, organisation

    @activity.defn(name=COMPUTE_CLOCKS)
    async def compute_clocks(self, given: ClocksInput) -> ClocksResult:
        """Every clock of an incident, with the versions of what it was counted by."""
        found = await asyncio.to_thread(compute, given, self._regimes, self._organisation)
        return ClocksResult(clocks=tuple(found["clocks"]), versions=found["versions"])

    @activity.defn(name=WRITE_DRAFTS)
    async def write_drafts(self, given: DraftsInput) -> DraftsResult:
        """Write and keep drafts; what is missing is told, never invented."""
        try:
            written = await asyncio.to_thread(drafts, given, self._regimes, self._organisation)
        except DraftError as error:
            raise ApplicationError(error.message, {"code": error.code}, type="DraftError", non_retryable=True) from None
        results = await reach(self._store, self._keep, given.incident, written)
        return DraftsResult(drafts=tuple(results))

    def _keep(self, incident: str, written: list[Draft]) -> list[dict[str, Json]]:
        results = []
        with self._store.transaction():
            for draft in written:
                place = self._store.drafts.save(incident, draft.document, draft.markdown)
                path = place if isinstance(place, str) else f"drafts/{draft.name}.md"
                results.append(draft.result(path))
        return results
