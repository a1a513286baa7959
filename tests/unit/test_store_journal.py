"""The journal: one chain per incident that nothing can fork, alter or shorten; heads signed over it."""

import subprocess
import sys
import threading
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from tests.chains import assert_chain, assert_heads, entry
from worker.store import Store
from worker.store.keys import SigningKey

INC = "INC-2026-1"


def test_entries_form_the_contracts_chain(store: Store) -> None:
    assert store.journal.append(INC, [entry("a", n=1), entry("b", n=2)]) == [1, 2]
    assert store.journal.append("INC-2026-2", [entry("a", n=1)]) == [1]
    entries = store.journal.entries(INC)
    assert_chain(INC, entries)
    assert_chain("INC-2026-2", store.journal.entries("INC-2026-2"))
    assert [found["body"] for found in entries] == [{"n": 1}, {"n": 2}]
    assert store.journal.entries(INC, after=1) == entries[1:]
    assert store.journal.head(INC) == (2, entries[-1]["hash"])
    assert store.journal.head("INC-2026-3")[0] == 0


def test_writing_twice_is_writing_once(store: Store) -> None:
    assert store.journal.append(INC, [entry("a", n=1), entry("a", n=2)]) == [1]
    assert store.journal.append(INC, [entry("a", n=3), entry("b", n=4)]) == [2]
    assert [found["body"]["n"] for found in store.journal.entries(INC)] == [1, 4]


def test_a_failed_transaction_leaves_no_entry_and_no_gap(store: Store) -> None:
    def written_in_vain() -> None:
        with store.transaction():
            store.journal.append(INC, [entry("b", text="free text")])
            raise LookupError

    store.journal.append(INC, [entry("a")])
    with pytest.raises(LookupError):
        written_in_vain()
    assert store.journal.append(INC, [entry("c")]) == [2]
    assert_chain(INC, store.journal.entries(INC))
    assert store.evidence.of(INC) == []


def test_numbers_are_exact_and_no_float_is_written(store: Store) -> None:
    given = {"whole": 3.0, "part": 0.1, "tiny": 5e-324, "huge": 1e300, "odd": float("inf"), "big": 2**60, "list": [1.5]}
    store.journal.append(INC, [entry("a", **given, yes=True, none=None)])
    (found,) = store.journal.entries(INC)
    assert_chain(INC, [found])
    body = found["body"]
    assert (body["whole"], body["part"], body["big"], body["list"]) == (3, "0.1", str(2**60), ["1.5"])
    assert float(body["tiny"]) == 5e-324 and float(body["huge"]) == 1e300 and body["odd"] == "inf"
    assert body["yes"] is True and body["none"] is None


def test_text_is_kept_in_nfc_and_without_halves_of_characters(store: Store) -> None:
    store.journal.append(INC, [entry("a", name="Zu\u0308rich", half="x\ud800y", nul="a\0b")])
    (found,) = store.journal.entries(INC)
    assert_chain(INC, [found])
    assert found["body"] == {"name": unicodedata.normalize("NFC", "Zürich"), "half": "x\ufffdy", "nul": "a\0b"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(bodies=st.lists(st.dictionaries(st.text(max_size=6), JSON, max_size=4), min_size=1, max_size=3))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_body_gives_a_chain_that_anybody_can_recompute(store: Store, bodies: list[dict[str, Any]]) -> None:
    entries = store.journal.entries(INC)
    many = [entry("x").model_copy(update={"key": f"{len(entries)}/{n}", "body": body}) for n, body in enumerate(bodies)]
    assert len(store.journal.append(INC, many)) == len(bodies)
    assert_chain(INC, store.journal.entries(INC))


def test_free_text_goes_to_evidence(store: Store) -> None:
    store.journal.append(INC, [entry("a", text="Mrs Example called", n=1)])
    kept, said = store.journal.entries(INC)
    assert "Example" not in str((kept, said))
    assert store.evidence.read(said["body"]["text_ref"]) == b"Mrs Example called"
    assert (kept["kind"], kept["body"]["sha256"]) == ("evidence.kept", said["body"]["text_ref"][7:])


@pytest.mark.parametrize("verb", ["UPDATE {} SET incident = 'x'", "DELETE FROM {}"])
@pytest.mark.parametrize("table", ["journal", "heads", "evidence"])
def test_the_database_itself_refuses_to_change_a_record(store: Store, table: str, verb: str) -> None:
    store.journal.append(INC, [entry("a", text="kept")])
    store.journal.sign_heads("minute")
    before = store.journal.entries(INC), store.journal.signed(INC), store.evidence.of(INC)
    with pytest.raises(DBAPIError, match="append-only"), store.transaction() as connection:
        connection.execute(text(verb.format(table)))
    assert (store.journal.entries(INC), store.journal.signed(INC), store.evidence.of(INC)) == before


def test_an_intent_is_fenced_by_attempt(store: Store) -> None:
    assert store.journal.intent(INC, "k", 2, {"step": "s"})
    assert not store.journal.intent(INC, "k", 1, {"step": "late"})
    assert store.journal.intent(INC, "k", 2, {"step": "again"})
    assert store.journal.intent(INC, "k", 11, {"step": "later"})
    assert not store.journal.intent(INC, "k", 9, {"step": "late"})
    assert store.journal.intent(INC, "k0", 1, {"step": "another key"})
    assert [found["attempt"] for found in store.journal.intents(INC, "k")] == [2, 11]
    assert store.journal.intents(INC, "k")[0]["step"] == "s"


def test_of_attempts_at_once_the_highest_wins_and_none_below_it_acts_after(store: Store) -> None:
    won: list[tuple[int, bool]] = []
    start = threading.Barrier(8)

    def attempt(number: int) -> None:
        start.wait()
        won.append((number, store.journal.intent(INC, "k", number, {})))

    threads = [threading.Thread(target=attempt, args=(number,)) for number in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    allowed = [number for number, ok in won if ok]
    assert 8 in allowed
    # In the order of the record, every one that may act outranked all before it.
    assert [found["body"]["attempt"] for found in store.journal.entries(INC)] == sorted(allowed)


def test_an_outcome_is_recorded_once(store: Store) -> None:
    assert store.journal.outcome(INC, "k") is None
    store.journal.record_outcome(INC, "k", 1, {"changed": True})
    store.journal.record_outcome(INC, "k", 2, {"changed": False})
    assert store.journal.outcome(INC, "k") == {"changed": True}
    assert store.journal.outcome("INC-2026-2", "k") is None


def test_heads_are_one_signed_chain(store: Store, signer: SigningKey) -> None:
    for number in range(3):
        store.journal.append(INC, [entry(f"k{number}")])
        assert store.journal.sign_heads("minute") == 1
    assert store.journal.sign_heads("minute") == 0
    heads = store.journal.signed(INC)
    assert_heads(heads, signer.public_hex, store.journal.entries(INC))
    assert [head["seq"] for head in heads] == [1, 2, 3]


def test_the_chain_of_heads_runs_over_all_incidents(store: Store) -> None:
    for incident in (INC, "INC-2026-2"):
        store.journal.append(incident, [entry("a")])
    assert store.journal.sign_heads("decision", INC) == 1
    assert store.journal.signed("INC-2026-2") == []
    assert store.journal.sign_heads("minute") == 1
    (first,), (second,) = store.journal.signed(INC), store.journal.signed("INC-2026-2")
    assert (first["n"], second["n"], second["prev"]) == (1, 2, first["hash"])


def test_every_hundredth_entry_is_signed_by_itself(store: Store) -> None:
    for number in range(1, 202):
        store.journal.append(INC, [entry(str(number))])
    assert [(head["seq"], head["reason"]) for head in store.journal.signed(INC)] == [(100, "hundred"), (200, "hundred")]
    store.journal.append(INC, [entry(f"many{number}") for number in range(110)])
    assert store.journal.signed(INC)[-1]["seq"] == 311


def test_without_a_signer_nothing_is_signed(store_url: str, home: Path) -> None:
    store = Store(store_url, home)
    store.journal.append(INC, [entry("a")])
    assert store.journal.sign_heads("minute") == 0 and store.journal.signed(INC) == []
    store.close()


def test_threads_append_without_a_gap_or_a_fork(store: Store) -> None:
    with ThreadPoolExecutor(16) as pool:
        seqs = list(pool.map(lambda n: store.journal.append(INC, [entry(f"k{n}", n=n)])[0], range(200)))
    assert sorted(seqs) == list(range(1, 201))
    assert_chain(INC, store.journal.entries(INC))


WRITER = """
import sys
from pathlib import Path
from tests.chains import entry
from worker.store import Store
from worker.store.keys import SigningKey
url, home, who = sys.argv[1:]
store = Store(url, Path(home), SigningKey.load(Path(home)))
print("ready", flush=True)
sys.stdin.readline()
for n in range(40):
    store.journal.append("INC-2026-1", [entry(f"{who}/{n}", who=who, n=n), entry(f"both/{n}", n=n)])
store.close()
"""


def test_two_processes_append_to_one_chain(store_url: str, home: Path, signer: SigningKey) -> None:
    """They open a store that is not there yet, at the same time, and write at the same time."""
    command = [sys.executable, "-c", WRITER, store_url, str(home)]
    writers = [
        subprocess.Popen([*command, who], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for who in ("left", "right")
    ]
    for writer in writers:
        assert writer.stdout is not None and writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()
    for writer in writers:
        writer.communicate(timeout=60)
        assert writer.returncode == 0
    store = Store(store_url, home, signer)
    entries = store.journal.entries(INC)
    assert len(entries) == 120
    assert_chain(INC, entries)
    assert_heads(store.journal.signed(INC), signer.public_hex, entries)
    assert [head["seq"] // 100 for head in store.journal.signed(INC)] == [1]
    for who in ("left", "right"):
        assert [found["body"]["n"] for found in entries if found["body"].get("who") == who] == list(range(40))
    store.close()
