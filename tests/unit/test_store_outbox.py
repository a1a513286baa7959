"""What waits to be told, the hold, and drafts."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from playbooks.contract import Notice, Urgency
from tests.chains import AT, sha256
from worker.store import Store

INC = "INC-2026-1"
LATER = "2026-11-24T11:00:00.000000Z"


def notice(name: str, incident: str = INC) -> Notice:
    """Something urgent."""
    return Notice(
        id=name, incident=incident, to=("role:crm_owner",), urgency=Urgency.HIGH, body={"kind": "text"}, at=AT
    )


def states(store: Store) -> dict[str, str]:
    """State of each notice of the incident."""
    return {row["id"]: row["state"] for row in store.notices.of(INC)}


def test_notices_wait_in_order_until_their_channel_took_them(store: Store) -> None:
    assert store.notices.put([notice("a"), notice("b"), notice("a")]) == 2
    assert store.notices.put([notice("b"), notice("c", "INC-2026-2")]) == 1
    assert [found.id for found in store.notices.pending("terminal")] == ["a", "b", "c"]
    assert store.notices.pending("terminal")[0] == notice("a")
    store.notices.delivered("a", "terminal", AT)
    assert [found.id for found in store.notices.pending("terminal")] == ["b", "c"]
    assert [found.id for found in store.notices.pending("slack")] == ["a", "b", "c"]
    assert states(store) == {"a": "delivered", "b": "undelivered"}
    assert store.notices.of(INC)[0]["delivered"] == {"terminal": AT}


def test_what_a_channel_could_not_take_stays_undelivered_and_pending(store: Store) -> None:
    store.notices.put([notice("a")])
    store.notices.failed("a", "slack", AT, "no such channel")
    assert states(store) == {"a": "undelivered"}
    assert [found.id for found in store.notices.pending("slack")] == ["a"]
    store.notices.failed("a", "slack", LATER, "again")
    store.notices.delivered("a", "slack", LATER)
    assert store.notices.pending("slack") == [] and states(store) == {"a": "delivered"}


def test_what_was_delivered_stays_delivered(store: Store) -> None:
    store.notices.put([notice("a")])
    store.notices.delivered("a", "slack", AT)
    store.notices.failed("a", "slack", LATER, "a second carrier came late")
    store.notices.delivered("a", "slack", LATER)
    assert store.notices.pending("slack") == []
    assert store.notices.of(INC)[0]["delivered"] == {"slack": AT}


def test_the_same_notice_from_many_threads_is_told_once(store: Store) -> None:
    with ThreadPoolExecutor(8) as pool:
        fresh = list(pool.map(lambda n: store.notices.put([notice(f"n{n % 10}")]), range(80)))
    assert sum(fresh) == 10 and len(store.notices.pending("terminal")) == 10


def test_notices_outlive_the_process(store: Store, store_url: str, home: Path) -> None:
    store.notices.put([notice("a")])
    store.close()
    again = Store(store_url, home)
    assert again.notices.pending("terminal") == [notice("a")]
    again.close()


def test_the_hold_is_one_switch(store: Store) -> None:
    assert store.hold.get() is None
    store.hold.set("wait", "amal")
    store.hold.set("wait longer", "bo")
    held = store.hold.get()
    assert held is not None and (held.reason, held.person) == ("wait longer", "bo")
    store.hold.clear("cleo")
    store.hold.clear("cleo")
    assert store.hold.get() is None


def test_a_draft_is_a_file_and_the_newest_counts(store: Store, home: Path) -> None:
    draft = {"regime": "gdpr", "stage": "authority", "missing": ["subjects"]}
    path = store.drafts.save(INC, draft, "# One\n")
    assert store.drafts.save(INC, {**draft, "missing": []}, "# Zwei: Zürich\n") == path
    store.drafts.save(INC, {**draft, "stage": "subjects"}, "# Other\n")
    store.drafts.save("INC-2026-2", draft, "# Elsewhere\n")
    first, second = store.drafts.of(INC)
    assert (first["stage"], first["missing"], first["path"]) == ("authority", [], path)
    assert first["sha256"] == sha256("# Zwei: Zürich\n".encode())
    assert second["stage"] == "subjects"
    assert store.drafts.text(path) == "# Zwei: Zürich\n" == (home / path).read_text(encoding="utf-8")
    assert not [file.name for file in (home / "drafts").rglob(".*")]


def test_threads_that_write_the_same_draft_leave_one_whole(store: Store) -> None:
    draft = {"regime": "gdpr", "stage": "authority"}
    with ThreadPoolExecutor(8) as pool:
        paths = set(pool.map(lambda n: store.drafts.save(INC, draft, f"{n} " * 5000), range(24)))
    (path,) = paths
    assert len(set(store.drafts.text(path).split())) == 1
    (held,) = store.drafts.of(INC)
    assert held["sha256"] == sha256(store.drafts.text(path).encode())
