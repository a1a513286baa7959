"""Whatever is done to a bundle, it is never called intact unless its contents are the very same."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from playbooks.digest import digest_of, entry_hash, jcs
from tests.bundles import HEADS, JOURNAL, MANIFEST, SIGNATURE, Members, exported, members, packed, signed_anew
from worker.bundle_format import NotIntact
from worker.bundle_verify import verify
from worker.store.keys import SigningKey, known_signers

QUICK = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
GROUPS = (
    "incident.json",
    JOURNAL,
    HEADS,
    "custody.jsonl",
    "evidence/",
    "drafts/",
    "plans/",
    "runs/",
    "histories/",
    MANIFEST,
    SIGNATURE,
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a bundle."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def bundle(place: Path) -> Path:
    """The bundle."""
    return exported(place)


@pytest.fixture(scope="module")
def held(bundle: Path) -> Members:
    """Its members."""
    return members(bundle)


Refused = Callable[[bytes | Members], NotIntact]


@pytest.fixture(scope="module")
def refused(place: Path) -> Refused:
    """Verifies a file or packed members, which has to fail; the failure."""

    def verified(content: bytes | Members) -> NotIntact:
        path = place / "tampered.zip"
        path.write_bytes(content if isinstance(content, bytes) else packed(content))
        with pytest.raises(NotIntact) as found:
            verify(path, known_signers(place))
        return found.value

    return verified


@pytest.mark.parametrize("group", GROUPS)
@given(data=st.data())
@QUICK
def test_a_flipped_bit_in_any_member_is_found_there(held: Members, refused: Refused, group: str, data: Any) -> None:
    name = data.draw(st.sampled_from([name for name in held if name.startswith(group)]))
    content = bytearray(held[name])
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    found = refused({**held, name: bytes(content)})
    # A signature that no longer fits is told of what it signs, and one by another key of itself.
    assert found.member == name or (name, found.member) == (SIGNATURE, MANIFEST)


@given(data=st.data())
@settings(QUICK, max_examples=150)
def test_a_flipped_bit_anywhere_in_the_file_is_found(bundle: Path, refused: Refused, data: Any) -> None:
    content = bytearray(bundle.read_bytes())
    # From the end, since the directory there is small and the members are not.
    content[-1 - data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    refused(bytes(content))


def test_every_byte_of_the_directory_counts(bundle: Path, refused: Refused) -> None:
    content = bundle.read_bytes()
    start = content.index(b"PK\x01\x02")
    for at in range(start, len(content), 3):
        changed = bytearray(content)
        changed[at] ^= 0x10
        refused(bytes(changed))


@given(data=st.data())
@QUICK
def test_a_cut_file_is_found(bundle: Path, refused: Refused, data: Any) -> None:
    content = bundle.read_bytes()
    refused(content[: data.draw(st.integers(0, len(content) - 1))])


@pytest.mark.parametrize("more", [(b"", b"x"), (b"x", b""), (b"", b"\0" * 22), (b"PK\x03\x04", b"")])
def test_bytes_before_or_after_are_found(bundle: Path, refused: Refused, more: tuple[bytes, bytes]) -> None:
    assert refused(more[0] + bundle.read_bytes() + more[1]).member in ("", "incident.json")


Lines = list[bytes]


def removed(lines: Lines, at: int) -> Lines:
    """Without one line."""
    return lines[:at] + lines[at + 1 :]


def swapped(lines: Lines, at: int) -> Lines:
    """One line and the next changed places."""
    return [*lines[:at], lines[at + 1], lines[at], *lines[at + 2 :]]


def duplicated(lines: Lines, at: int) -> Lines:
    """One line twice."""
    return [*lines[: at + 1], *lines[at:]]


@pytest.mark.parametrize("insider", [False, True], ids=["outsider", "insider"])
@pytest.mark.parametrize("at", [0, 7, 20])
@pytest.mark.parametrize("how", [removed, swapped, duplicated])
def test_a_line_of_the_journal_cannot_be_removed_moved_or_doubled(
    held: Members, refused: Refused, place: Path, how: Callable[[Lines, int], Lines], at: int, insider: bool
) -> None:
    """Not even by somebody who can sign a new manifest: the chain itself breaks, and the line is named."""
    changed = {**held, JOURNAL: b"\n".join(how(held[JOURNAL].split(b"\n"), at))}
    found = refused(signed_anew(changed, SigningKey.load(place)) if insider else changed)
    expected = at + 2 if how is duplicated else at + 1
    assert (found.member, found.line, found.seq is not None) == (JOURNAL, expected, True)


def test_the_journals_end_cannot_be_cut(held: Members, refused: Refused, place: Path) -> None:
    lines = held[JOURNAL].splitlines(keepends=True)
    short = {**held, JOURNAL: b"".join(lines[:-1])}
    found = refused(short)
    assert (found.member, found.line) == (JOURNAL, len(lines)) and "ends after" in found.message
    key = SigningKey.load(place)

    def shortened(manifest: dict[str, Any]) -> None:
        manifest["journal"] |= {"entries": len(lines) - 1, "head": json.loads(lines[-2])["hash"]}

    # Whoever signs a shorter manifest too still has the signed head of the longer journal against them.
    assert refused(signed_anew(short, key, shortened)).member == HEADS
    assert refused({**held, JOURNAL: held[JOURNAL][:-1]}).line == len(lines)
    assert refused({**held, JOURNAL: held[JOURNAL][:-9]}).line == len(lines)
    assert refused({**held, JOURNAL: b""}).line == 1


def rehashed(held: Members, index: int, **changes: Any) -> Members:
    """One entry changed, with a hash that fits it."""
    lines = held[JOURNAL].splitlines()
    entry = {**json.loads(lines[index]), **changes}
    lines[index] = jcs({**entry, "hash": entry_hash(entry)})
    return {**held, JOURNAL: b"\n".join(lines) + b"\n"}


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"actor": "somebody"}, 9),
        ({"at": "2020-01-01T00:00:00.000000Z"}, 9),
        ({"seq": 10}, 8),
        ({"prev": "0" * 64}, 8),
        ({"incident": "INC-2026-2"}, 8),
        ({"more": 1}, 8),
    ],
)
def test_an_entry_that_was_rewritten_breaks_the_chain(
    held: Members, refused: Refused, place: Path, changes: dict[str, Any], line: int
) -> None:
    found = refused(signed_anew(rehashed(held, 7, **changes), SigningKey.load(place)))
    assert (found.member, found.line) == (JOURNAL, line)


@pytest.mark.parametrize(
    "line", [b"", b"{}", b"[]", b"null", b"1.5", b"{" * 5000, b'{"a": 1}', b'{"a":1,"a":1}', b"\xff", b'{"a":1.5}']
)
def test_a_line_that_is_no_entry_is_named(held: Members, refused: Refused, place: Path, line: bytes) -> None:
    lines = held[JOURNAL].split(b"\n")
    changed = {**held, JOURNAL: b"\n".join([*lines[:3], line, *lines[3:]])}
    found = refused(signed_anew(changed, SigningKey.load(place)))
    assert (found.member, found.line) == (JOURNAL, 4)


@pytest.mark.parametrize("insider", [False, True], ids=["outsider", "insider"])
def test_an_entry_that_was_altered_is_named(held: Members, refused: Refused, place: Path, insider: bool) -> None:
    for at, line in ((0, 1), (held[JOURNAL].count(b"\n") - 1, held[JOURNAL].count(b"\n"))):
        lines = held[JOURNAL].splitlines()
        lines[at] = lines[at].replace(b'"test"', b'"tent"')
        changed = {**held, JOURNAL: b"\n".join(lines) + b"\n"}
        found = refused(signed_anew(changed, SigningKey.load(place)) if insider else changed)
        assert (found.member, found.line, found.seq) == (JOURNAL, line, line)


@pytest.mark.parametrize("how", [removed, swapped, duplicated])
def test_the_chain_of_heads_cannot_be_broken(
    held: Members, refused: Refused, place: Path, how: Callable[[Lines, int], Lines]
) -> None:
    lines = held[HEADS].splitlines()
    at = len(lines) - 1 if how is removed else 0
    left = how(lines, at)
    changed = {**held, HEADS: b"\n".join(left) + b"\n"}
    assert refused(changed).member == HEADS

    def counted(manifest: dict[str, Any]) -> None:
        manifest["journal"]["heads"] = len(left)

    found = refused(signed_anew(changed, SigningKey.load(place), counted))
    assert found.member == HEADS and found.line is not None


def test_a_head_that_was_dropped_is_missed(held: Members, refused: Refused, place: Path) -> None:
    changed = {**held, HEADS: held[HEADS].splitlines(keepends=True)[-1]}
    assert "the manifest tells of 2" in refused(signed_anew(changed, SigningKey.load(place))).message


def with_head(held: Members, key: SigningKey | None, **changes: Any) -> Members:
    """The first signed head changed, with a hash that fits it; signed again if a key is given."""
    lines = held[HEADS].splitlines()
    head = {**json.loads(lines[0]), **changes}
    if not {"hash", "sig"} & changes.keys():
        head["hash"] = digest_of({name: value for name, value in head.items() if name not in ("hash", "sig")})
    if key is not None:
        head["sig"] = key.sign(jcs({name: value for name, value in head.items() if name != "sig"}))
    return {**held, HEADS: b"\n".join([jcs(head), *lines[1:]]) + b"\n"}


@pytest.mark.parametrize("field", ["n", "at", "reason", "incident", "seq", "head", "prev", "key_id", "hash", "sig"])
def test_no_field_of_a_signed_head_can_be_changed(held: Members, refused: Refused, place: Path, field: str) -> None:
    value = json.loads(held[HEADS].splitlines()[0])[field]
    changed = with_head(held, None, **{field: value + 1 if isinstance(value, int) else "0" * len(value)})
    found = refused(signed_anew(changed, SigningKey.load(place)))
    assert (found.member, found.line) == (HEADS, 1)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"incident": "INC-2026-2"}, 1),
        ({"head": "0" * 64}, 1),
        ({"seq": 3}, 1),
        ({"seq": 99}, 1),
        ({"seq": 0}, 1),
        ({"prev": "0" * 64}, 1),
        ({"n": 7}, 2),
        ({"more": 1}, 1),
    ],
)
def test_even_a_well_signed_head_has_to_fit_the_journal(
    held: Members, refused: Refused, place: Path, changes: dict[str, Any], line: int
) -> None:
    key = SigningKey.load(place)
    found = refused(signed_anew(with_head(held, key, **changes), key))
    assert (found.member, found.line) == (HEADS, line)


def test_a_member_cannot_be_removed_added_or_renamed(held: Members, refused: Refused) -> None:
    for name in held:
        rest = {other: content for other, content in held.items() if other != name}
        assert refused(rest).member == name
        assert refused({**rest, f"{name}x": held[name]}).member in (name, f"{name}x")
    assert refused({**held, "evidence/more": b"x"}).member == "evidence/more"
    assert "manifest does not list it" in refused({**held, "notes.txt": b""}).message


def test_members_cannot_change_places(held: Members, refused: Refused) -> None:
    one, two = [name for name in held if name.startswith("histories/")][:2]
    assert refused({**held, one: held[two], two: held[one]}).member == one


def test_not_even_an_insider_adds_or_drops_evidence_or_a_plan(held: Members, refused: Refused, place: Path) -> None:
    key = SigningKey.load(place)
    for name in [name for name in held if name.startswith(("evidence/", "plans/"))]:
        rest = {other: content for other, content in held.items() if other != name}
        folder = name.split("/", maxsplit=1)[0]
        assert refused(signed_anew(rest, key)).member.startswith(folder)
    name = next(name for name in held if name.startswith("evidence/"))
    assert "digest that its name says" in refused(signed_anew({**held, name: b"other"}, key)).message
    forged = "evidence/" + "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert "no entry" in refused(signed_anew({**held, forged: b""}, key)).message
    assert refused(signed_anew({**held, "evidence/" + "0" * 64: b"x"}, key)).member == "evidence/" + "0" * 64


def test_a_stranger_cannot_sign_it(held: Members, refused: Refused, tmp_path: Path) -> None:
    stranger = SigningKey.load(tmp_path)
    found = refused(signed_anew(held, stranger))
    assert (found.code, found.member) == ("unknown_signer", SIGNATURE)


def test_a_stranger_cannot_borrow_the_name_of_a_known_key(
    held: Members, refused: Refused, place: Path, tmp_path: Path
) -> None:
    stranger, known = SigningKey.load(tmp_path), SigningKey.load(place)
    forged = signed_anew(held, stranger)
    signature = json.loads(forged[SIGNATURE])
    forged[SIGNATURE] = json.dumps(
        {**signature, "key_id": known.key_id}, separators=(",", ":"), sort_keys=True
    ).encode()
    assert (refused(forged).member, refused(forged).code) == (MANIFEST, "not_intact")


def test_a_signature_has_one_spelling(held: Members, refused: Refused) -> None:
    signature = json.loads(held[SIGNATURE])
    for sig in (signature["sig"].upper(), " " + signature["sig"], signature["sig"] + "\n", f"0x{signature['sig']}"):
        assert refused({**held, SIGNATURE: jcs({**signature, "sig": sig})}).member == MANIFEST


@pytest.mark.parametrize("changes", [{"algorithm": "none"}, {"of": JOURNAL}, {"sig": ""}, {"key_id": 5}, {"more": 1}])
def test_a_signature_is_the_one_that_an_export_makes(held: Members, refused: Refused, changes: Any) -> None:
    signature = jcs({**json.loads(held[SIGNATURE]), **changes})
    assert refused({**held, SIGNATURE: signature}).member in (SIGNATURE, MANIFEST)


@pytest.mark.parametrize(
    "change",
    [
        lambda manifest: manifest.update(format="stanch-bundle/2"),
        lambda manifest: manifest.update(members=5),
        lambda manifest: manifest.update(members=[{"name": 1}]),
        lambda manifest: manifest.update(members=[{**manifest["members"][0], "bytes": "many"}]),
        lambda manifest: manifest.update(members=[*manifest["members"], manifest["members"][0]]),
        lambda manifest: manifest.pop("journal"),
        lambda manifest: manifest.update(journal={}),
        lambda manifest: manifest["journal"].update(head="0" * 64),
        lambda manifest: manifest["journal"].update(entries=25),
        lambda manifest: manifest["journal"].update(entries=27),
        lambda manifest: manifest.update(missing=5),
        lambda manifest: manifest.update(mode=None),
        lambda manifest: manifest.update(incident="INC-2026-99"),
        lambda manifest: manifest.pop("exported_at"),
    ],
)
def test_a_manifest_of_another_shape_is_refused_whoever_signed_it(
    held: Members, refused: Refused, place: Path, change: Callable[[dict[str, Any]], object]
) -> None:
    refused(signed_anew(held, SigningKey.load(place), change))


def test_a_demos_key_signs_no_live_incident(held: Members, place: Path, tmp_path: Path) -> None:
    (place / "demo").mkdir()
    rehearsed = exported(place / "demo", mode="exercise")
    assert verify(rehearsed, known_signers(place)).signer == "demo"
    forged = tmp_path / "forged.zip"
    demo_key = SigningKey.load(place / "demo")
    live = signed_anew(members(rehearsed), demo_key, lambda manifest: manifest.update(mode="live"))
    forged.write_bytes(packed(live))
    with pytest.raises(NotIntact, match="proves nothing") as found:
        verify(forged, known_signers(place))
    assert found.value.code == "wrong_signer"
