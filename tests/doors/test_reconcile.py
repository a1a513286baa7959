"""What a serving process leaves behind when it dies between saving a run and starting it."""

import pytest

from tests.doors.conftest import House
from worker.desk.reconcile import Reconciler
from worker.desk.starts import Starts


class Dies(Exception):
    """The process is gone."""


class Dying(Starts):
    """A desk whose process dies the moment it has saved a run."""

    async def _launch(self, *args, **more):
        raise Dies


async def test_a_run_that_was_saved_and_never_started_is_started(house: House) -> None:
    desk = house.desk
    with pytest.raises(Dies):
        await Dying(desk.store, desk.client, desk.installation).by_person("cleo", "contain-things", {})
    ((incident, run),) = desk.store.incidents.silent()
    patient = Reconciler(desk.store, desk.client, desk.starts)
    assert await patient.start_silent() == 0, "it may be starting just now"
    assert await Reconciler(desk.store, desk.client, desk.starts, patience=0).start_silent() == 1
    assert (await house.card(incident, "go"))["run"] == run
    assert desk.store.incidents.silent() == []
    shown = (await house.ask("cleo", "GET", f"/v1/incidents/{incident}")).json()
    assert shown["waiting"][0]["who"]["excluded"] == ["cleo"], "who asked for it is still known"
