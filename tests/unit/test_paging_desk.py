"""Who is on call as messages name them: looked up now and then, never in their way."""

import asyncio
from pathlib import Path

from tests.unit.test_paging_pager import shift
from worker.paging.desk import PagingDesk
from worker.settings import Settings
from worker.store import Store


async def test_who_is_on_call_is_fresh_for_messages(store: Store, home: Path) -> None:
    store.people.add("amal", ["crm_owner"])
    store.people.add("bo", ["crm_owner"])
    (home / "stanch.toml").write_text('[paging]\ncalendars = {crm_owner = "crm.ics"}\n')
    (home / "crm.ics").write_text(shift("bo"))
    desk = PagingDesk(Settings.load({"STANCH_HOME": str(home)}, home), store)
    assert desk.on_call("crm_owner") == ()
    keeping = asyncio.create_task(desk.keep_fresh(every=0.01))
    try:
        await until(desk, ("bo",))
        (home / "crm.ics").write_text(shift("amal", "bo"))
        await until(desk, ("amal", "bo"))
        (home / "crm.ics").write_text("broken")
        await until(desk, ())
        (home / "crm.ics").write_text(shift("amal"))
        await until(desk, ("amal",))
        assert desk.on_call("legal") == ()
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)


async def until(desk: PagingDesk, names: tuple[str, ...]) -> None:
    """Wait until these are on call."""
    for _ in range(300):
        if tuple(sorted(desk.on_call("crm_owner"))) == names:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(desk.on_call("crm_owner"))
