"""Files made to harm whoever verifies them: refused soon, in little memory, with nothing written anywhere."""

import io
import os
import struct
import time
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.bundles import JOURNAL, MANIFEST, Members, exported, members, packed, signed_anew
from worker.bundle_format import MAX_MEMBERS, NotIntact
from worker.bundle_verify import verify
from worker.bundle_zip import CENTRAL, END, LOCAL
from worker.store.keys import SigningKey, known_signers

Refused = Callable[[bytes], NotIntact]
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a bundle."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def held(place: Path) -> Members:
    """Members of the bundle."""
    return members(exported(place))


@pytest.fixture
def refused(place: Path, tmp_path: Path) -> Refused:
    """Verifies a file, which has to fail within seconds and 200 MB, and to leave nothing behind."""

    def verified(content: bytes) -> NotIntact:
        path = tmp_path / "hostile.zip"
        path.write_bytes(content)
        del content
        before, begun = sorted(tmp_path.rglob("*")), time.monotonic()
        tracemalloc.start()
        try:
            with pytest.raises(NotIntact) as found:
                verify(path, known_signers(place))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert sorted(tmp_path.rglob("*")) == before
        assert time.monotonic() - begun < 10 and peak < 200 * MIB
        return found.value

    return verified


@pytest.mark.parametrize(
    "name",
    [
        "../evil",
        "/etc/evil",
        "a/../../evil",
        "evidence/..",
        "C:\\evil",
        "a\\b",
        "a//b",
        "./a",
        "dir/",
        "",
        "x\n",
        "x y",
        ".x",
        "é",
        "x\x1b[31m",
        "a" * 500,
    ],
)
def test_a_name_that_leads_elsewhere_is_refused(held: Members, refused: Refused, name: str) -> None:
    whole = io.BytesIO(packed(held))
    with zipfile.ZipFile(whole, "a") as target:
        info = zipfile.ZipInfo("x")
        info.filename = name
        target.writestr(info, b"x")
    found = refused(whole.getvalue())
    assert "name that no bundle has" in found.message and "\x1b" not in found.message


def test_the_same_name_twice_is_refused(held: Members, refused: Refused) -> None:
    whole = io.BytesIO(packed(held))
    with zipfile.ZipFile(whole, "a") as target, pytest.warns(UserWarning, match="Duplicate"):
        target.writestr(JOURNAL, b"another")
    assert (refused(whole.getvalue()).member, refused(whole.getvalue()).message) == (
        JOURNAL,
        "the file holds this member twice",
    )


@pytest.mark.parametrize("name", [MANIFEST, JOURNAL, "more"])
def test_a_bomb_is_not_blown_up(held: Members, refused: Refused, name: str) -> None:
    bomb = packed({**held, name: bytes(80 * MIB)}, how=zipfile.ZIP_DEFLATED)
    assert len(bomb) < MIB
    assert refused(bomb).member == name


def test_a_bomb_that_lies_about_its_size_is_not_blown_up(held: Members, refused: Refused) -> None:
    bomb = bytearray(packed({**held, JOURNAL: bytes(50 * MIB)}, how=zipfile.ZIP_DEFLATED))
    size = len(held[JOURNAL])
    for mark, length, at in ((b"PK\x03\x04", LOCAL.size, 22), (b"PK\x01\x02", CENTRAL.size, 24)):
        place = bomb.index(JOURNAL.encode(), bomb.index(mark)) - length
        while bomb[place : place + 4] != mark:
            place = bomb.index(JOURNAL.encode(), place + length + 1) - length
        struct.pack_into("<L", bomb, place + at, size)
    assert refused(bytes(bomb)).member == JOURNAL


def test_members_that_share_their_bytes_are_refused(held: Members, refused: Refused) -> None:
    content = bytearray(packed(held))
    at = content.index(b"PK\x01\x02")
    second = content.index(b"PK\x01\x02", at + 4)
    struct.pack_into("<L", content, second + CENTRAL.size - 4, 0)
    refused(bytes(content))


def rebuilt(content: bytes, gap_before: int | None) -> bytes:
    """The file with junk before its member of that number, or before its directory; all pointers mended."""
    start = END.unpack(content[-END.size :])[6]
    at, offsets = start, []
    while content[at : at + 4] == b"PK\x01\x02":
        row = CENTRAL.unpack_from(content, at)
        offsets.append((at, row[-1]))
        at += CENTRAL.size + sum(row[10:13])
    cut = start if gap_before is None else offsets[gap_before][1]
    changed = bytearray(content[:cut] + b"junk" + content[cut:])
    for place, offset in offsets:
        if offset >= cut:
            struct.pack_into("<L", changed, place + 4 + CENTRAL.size - 4, offset + 4)
    struct.pack_into("<L", changed, len(changed) - 6, start + 4)
    return bytes(changed)


@pytest.mark.parametrize("gap_before", [0, 1, 5, None])
def test_bytes_that_belong_to_no_member_are_refused(held: Members, refused: Refused, gap_before: int | None) -> None:
    hidden = rebuilt(packed(held), gap_before)
    with zipfile.ZipFile(io.BytesIO(hidden)) as opened:
        assert opened.testzip() is None
    refused(hidden)


def test_a_checksum_that_is_wrong_in_both_places_is_refused(held: Members, refused: Refused) -> None:
    content = bytearray(packed(held))
    right = struct.pack("<L", zlib.crc32(held[JOURNAL]))
    assert content.count(right) == 2
    assert refused(bytes(content.replace(right, b"\0\1\2\3"))).member == JOURNAL


def test_a_stored_member_has_one_size(held: Members, refused: Refused) -> None:
    content = bytearray(packed(held))
    right = struct.pack("<2L", *[len(held[JOURNAL])] * 2)
    for wrong in ((0, 1), (1, 0), (0, -1), (-1, 0)):
        sizes = struct.pack("<2L", *(len(held[JOURNAL]) + by for by in wrong))
        refused(bytes(content.replace(right, sizes)))


def test_a_directory_of_very_many_members_is_refused_unread(refused: Refused) -> None:
    record = CENTRAL.pack(b"PK\x01\x02", 20, 20, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"x"
    directory = record * 60_000
    for count in (60_000, 0xFFFF):
        end = END.pack(b"PK\x05\x06", 0, 0, count, count, len(directory), 0, 0)
        refused(directory + end)
    assert MAX_MEMBERS > 0xFFFF


@pytest.mark.parametrize("flags", [0x1, 0x8, 0x20, 0x40, 0x2000])
def test_encrypted_streamed_or_patched_members_are_refused(held: Members, refused: Refused, flags: int) -> None:
    content = bytearray(packed(held))
    struct.pack_into("<H", content, content.index(b"PK\x01\x02") + 8, flags)
    assert "packed in a way" in refused(bytes(content)).message


@pytest.mark.parametrize("method", [1, 6, 9, 12, 14, 93, 99])
def test_other_ways_of_packing_are_refused(held: Members, refused: Refused, method: int) -> None:
    content = bytearray(packed(held))
    struct.pack_into("<H", content, content.index(b"PK\x01\x02") + 10, method)
    assert "packed in a way" in refused(bytes(content)).message


def test_a_comment_or_an_extra_field_is_refused(held: Members, refused: Refused) -> None:
    for change in ("comment", "extra"):
        whole = io.BytesIO()
        with zipfile.ZipFile(whole, "w") as target:
            for name, content in held.items():
                info = zipfile.ZipInfo(name)
                setattr(info, change, struct.pack("<2H", 0x5455, 0) if name == JOURNAL else b"")
                target.writestr(info, content)
        refused(whole.getvalue())
    with_comment = io.BytesIO(packed(held))
    with zipfile.ZipFile(with_comment, "a") as target:
        target.comment = b"hello"
    assert "does not end" in refused(with_comment.getvalue()).message


@pytest.mark.parametrize("content", [b"", b"PK", b"not a zip", bytes(22), os.urandom(5000), b"PK\x05\x06" + bytes(18)])
def test_what_is_no_bundle_is_refused(refused: Refused, content: bytes) -> None:
    refused(content)


def test_a_zip_of_something_else_is_refused(refused: Refused) -> None:
    assert refused(packed({"readme.txt": b"hello"})).member == MANIFEST


def test_a_line_without_an_end_is_not_gathered_for_ever(held: Members, refused: Refused, place: Path) -> None:
    endless = {**held, JOURNAL: b"x" * (40 * MIB)}
    assert "longer than" in refused(packed(endless)).message
    found = refused(packed(signed_anew(endless, SigningKey.load(place))))
    assert (found.line, found.message) == (1, "the line is longer than an entry can be")
