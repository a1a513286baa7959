"""``stanch evidence verify``: exit codes, one document, and words that say what a signature proves."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.bundles import JOURNAL, exported, members, packed, signed_anew
from worker.cli.main import execute
from worker.store.keys import SigningKey


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a live bundle, a demo and an exercise home with theirs."""
    home = tmp_path_factory.mktemp("home")
    exported(home)
    for name in ("demo", "exercise"):
        (home / name).mkdir()
        exported(home / name, mode="exercise")
    return home


@pytest.fixture
def tell(place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs the command in that home (or another); exit code and what stdout and stderr got."""

    def run(*arguments: str | Path, home: Path = place) -> tuple[int, str, str]:
        monkeypatch.setenv("STANCH_HOME", str(home))
        code = execute(["evidence", "verify", *map(str, arguments)])
        out, err = capsys.readouterr()
        return code, out, err

    return run


def bundle(home: Path) -> Path:
    """The bundle of a home."""
    return next(home.glob("INC-*.zip"))


def test_an_intact_bundle_exits_0_and_says_whose_it_is(place: Path, tell: Any) -> None:
    code, out, err = tell(bundle(place))
    assert (code, err) == (0, "")
    assert "is intact" in out and "signed by this home" in out and "record of a live incident" in out
    code, out, err = tell(bundle(place), "--json")
    told = json.loads(out)
    entries = members(bundle(place))[JOURNAL].splitlines()
    assert (code, told["ok"], told["signer"], told["mode"], told["entries"]) == (0, True, "this home", "live", 26)
    assert told["head"] == json.loads(entries[-1])["hash"] and told["incident"] == bundle(place).stem


@pytest.mark.parametrize("name", ["demo", "exercise"])
def test_a_rehearsals_signature_proves_nothing_about_a_live_incident(place: Path, tell: Any, name: str) -> None:
    code, out, _ = tell(bundle(place / name))
    assert code == 0 and f"signed by {name}" in out and "proves nothing about a live incident" in out
    code, out, _ = tell(bundle(place / name), "--json")
    told = json.loads(out)
    assert (code, told["signer"]) == (0, name) and "proves nothing" in told["proves"]
    # In its own home it is this home's, and still a rehearsal's record.
    code, out, _ = tell(bundle(place / name), home=place / name)
    assert code == 0 and "signed by this home" in out and "proves nothing about a live incident" in out


def test_a_demo_knows_no_live_home(place: Path, tell: Any) -> None:
    code, _, err = tell(bundle(place), home=place / "demo")
    assert code == 3 and "unknown_signer" in err


def test_a_tampered_bundle_exits_3_with_the_first_bad_place(place: Path, tell: Any, tmp_path: Path) -> None:
    held = members(bundle(place))
    lines = held[JOURNAL].splitlines(keepends=True)
    changed = tmp_path / "changed.zip"
    changed.write_bytes(packed({**held, JOURNAL: b"".join([*lines[:4], *lines[5:]])}))
    code, out, err = tell(changed)
    assert (code, out) == (3, "") and "journal.jsonl:5" in err and "an entry is missing before it" in err
    code, out, err = tell(changed, "--json")
    told = json.loads(out)
    assert (code, told["ok"], told["code"], err) == (3, False, "not_intact", "")
    assert (told["place"], told["member"], told["line"], told["seq"]) == ("journal.jsonl:5", "journal.jsonl", 5, 6)


def test_a_stranger_is_unknown_until_their_key_is_given(place: Path, tell: Any, tmp_path: Path) -> None:
    stranger = SigningKey.load(tmp_path)
    forged = tmp_path / "forged.zip"
    forged.write_bytes(packed(signed_anew(members(bundle(place)), stranger)))
    code, out, _ = tell(forged, "--json")
    assert (code, json.loads(out)["code"]) == (3, "unknown_signer")
    # Even then: the heads in it were signed by another key.
    code, out, _ = tell(forged, "--key", tmp_path / "keys" / "signing.pub", "--json")
    assert (code, json.loads(out)["member"]) == (3, "signatures/heads.jsonl")


def test_a_key_that_is_given_is_trusted(place: Path, tell: Any, tmp_path: Path) -> None:
    elsewhere = tmp_path / "home"
    key = place / "keys" / "signing.pub"
    (tmp_path / "key.json").write_text(json.dumps({"public": key.read_text().strip().upper()}))
    for file in (key, tmp_path / "key.json"):
        code, out, _ = tell(bundle(place), "--key", file, home=elsewhere)
        assert code == 0 and "signed by the key you gave" in out
    assert not elsewhere.exists()
    code, out, _ = tell(bundle(place), "--key", key)
    assert code == 0 and "signed by this home" in out


@pytest.mark.parametrize("text", ["", "hello", "00" * 31, "{}", "[]", '{"public": 5}', "{"])
def test_a_file_without_a_public_key_is_wrong_usage(place: Path, tell: Any, tmp_path: Path, text: str) -> None:
    (tmp_path / "key").write_text(text)
    code, out, _ = tell(bundle(place), "--key", tmp_path / "key", "--json")
    assert (code, json.loads(out)["code"]) == (2, "bad_value")


def test_what_cannot_be_read_exits_1_and_wrong_usage_2(place: Path, tell: Any, tmp_path: Path) -> None:
    for path in (tmp_path / "nothing.zip", tmp_path):
        code, out, err = tell(path, "--json")
        assert (code, json.loads(out)["code"], err) == (1, "file", "")
    code, out, _ = tell(bundle(place), "--key", tmp_path / "nothing", "--json")
    assert (code, json.loads(out)["code"]) == (1, "file")
    assert tell()[0] == 2 and tell(bundle(place), "--no-such-option")[0] == 2


def test_a_file_that_is_no_bundle_exits_3(tell: Any, tmp_path: Path) -> None:
    (tmp_path / "x\x1b[31m.zip").write_bytes(b"something else" * 9)
    code, _, err = tell(tmp_path / "x\x1b[31m.zip")
    assert code == 3 and "no bundle at all" in err and "\x1b" not in err


def test_what_the_bundle_lacks_is_shown(tell: Any, tmp_path: Path) -> None:
    from tests.bundles import filled
    from worker.bundle import export
    from worker.bundle_histories import Histories

    store, incident = filled(tmp_path)
    export(store, incident, tmp_path / "b.zip", Histories(missing=[("histories/x", "Temporal did not answer")]))
    store.close()
    code, out, _ = tell(tmp_path / "b.zip", home=tmp_path)
    assert code == 0 and "not in it: histories/x: Temporal did not answer" in out
