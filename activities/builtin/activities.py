"""The built-in activities of the core queue, as one list."""

from collections.abc import Callable, Mapping
from typing import Any

from activities.builtin.duties import Duties
from activities.builtin.keeping import Keeping
from activities.ports import Store
from playbooks.contract import Json
from playbooks.regimes_model import RegimeLibrary


def builtin_activities(
    store: Store, regimes: RegimeLibrary, organisation: Mapping[str, Json]
) -> list[Callable[..., Any]]:
    """Every built-in activity.

    Args:
        store: The installation's store.
        regimes: Regimes for clocks and drafts.
        organisation: Standing facts of the organisation, from settings.
    """
    keeping, duties = Keeping(store), Duties(store, regimes, organisation)
    return [
        keeping.record,
        keeping.load_outputs,
        keeping.load_run,
        duties.compute_clocks,
        duties.write_drafts,
    ]
