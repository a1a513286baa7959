"""A ZIP file read with distrust: nothing is extracted, no size is believed, and every byte has to have its reason.

What is read first is bounded by what the file itself weighs; a member's content is read only up to the size that
its reader allows. ``check_layout`` accounts for all bytes outside the contents.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from worker.bundle_format import MAX_MEMBERS, MAX_NAME, NotIntact, safe_name

LOCAL = struct.Struct("<4s5H3L2H")
CENTRAL = struct.Struct("<4s6H3L5H2L")
END = struct.Struct("<4s4H2LH")
END64 = struct.Struct("<4sQ2H2L4Q")
LOCATOR = struct.Struct("<4sLQL")
WIDE = 0xFFFFFFFF
MANY = 0xFFFF
STORED, DEFLATED = 0, 8
PLAIN, LARGE = 20, 45
"""Versions of the format: of small members, and of those that are large or lie beyond 4 GB."""
CHUNK = 256 * 1024
MAX_DIRECTORY = MAX_MEMBERS * (CENTRAL.size + MAX_NAME + 32)


@dataclass(frozen=True)
class Record:
    """A member as the central directory tells it; sizes and offset are the true ones, also in a large file."""

    name: str
    system: int
    flags: int
    method: int
    time: int
    date: int
    crc: int
    packed: int
    size: int
    inner: int
    outer: int
    offset: int


class Container:
    """The members of an open file.

    Raises:
        NotIntact: no directory can be read, or it names something that no export would write.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._weight = file.seek(0, 2)
        self._start, length, count = self._end()
        if length > MAX_DIRECTORY or count > MAX_MEMBERS:
            raise NotIntact("", f"its directory is larger than a bundle's can be ({count} members)")
        self.records: dict[str, Record] = {}
        content, at = self._read(self._start, length), 0
        while at < length:
            record, at = _record(content, at)
            if record.name in self.records:
                raise NotIntact(record.name, "the file holds this member twice")
            self.records[record.name] = record
        if len(self.records) != count:
            raise NotIntact("", f"its directory tells of {count} members and lists {len(self.records)}")

    def chunks(self, name: str, limit: int) -> Iterator[bytes]:
        """A member's content, at most ``limit`` bytes of it; its checksum is looked at last.

        Raises:
            NotIntact: it cannot be read, is longer than its own size or the limit, or its checksum does not fit.
        """
        record, given, crc = self.records[name], 0, 0
        enough = min(record.size, limit)
        for chunk in self._unpacked(record, enough):
            given, crc = given + len(chunk), zlib.crc32(chunk, crc)
            if given > enough:
                raise NotIntact(name, f"it is longer than the {enough} bytes that it should have")
            yield chunk
        if given != record.size or crc != record.crc:
            raise NotIntact(name, "its size or checksum in the file's directory does not fit it")

    def read(self, name: str, limit: int) -> bytes:
        """A small member whole."""
        return b"".join(self.chunks(name, limit))

    def _unpacked(self, record: Record, enough: int) -> Iterator[bytes]:
        at, left = self._content(record), record.packed
        inflate = zlib.decompressobj(-zlib.MAX_WBITS) if record.method == DEFLATED else None
        given = 0
        while left and given <= enough:
            packed = self._read(at, min(CHUNK, left))
            at, left = at + len(packed), left - len(packed)
            if inflate is None:
                given += len(packed)
                yield packed
                continue
            more = True
            while more and given <= enough:
                try:
                    plain = inflate.decompress(packed, CHUNK)
                except zlib.error:
                    raise NotIntact(record.name, "its packed bytes cannot be read") from None
                packed, given = inflate.unconsumed_tail, given + len(plain)
                more = bool(packed) or len(plain) == CHUNK
                yield plain
        if inflate is not None and not left and (not inflate.eof or inflate.unused_data):
            raise NotIntact(record.name, "its packed bytes are not one whole stream")

    def check_layout(self) -> None:
        """Account for every byte that is no content: headers, order, directory, end.

        Raises:
            NotIntact: something there is not as a writer of bundles leaves it.
        """
        at = 0
        records = list(self.records.values())
        for record in records:
            if record.offset != at:
                raise NotIntact(record.name, "it does not lie where the member before it ends")
            if (record.system, record.outer) != (records[0].system, records[0].outer) or record.inner:
                raise NotIntact(record.name, "its attributes in the directory are not those of the other members")
            at = self._content(record) + record.packed
        if at != self._start:
            raise NotIntact("", "there are bytes between its last member and its directory")

    def _content(self, record: Record) -> int:
        """Where a member's content begins; its own header has to say what the directory says."""
        wide = record.packed >= WIDE or record.size >= WIDE
        raw = self._read(record.offset, LOCAL.size)
        extra = LOCAL.unpack(raw)[-1] if raw[:4] == b"PK\x03\x04" else -1
        name = record.name.encode("ascii")
        long = extra == 20
        told = (WIDE, WIDE) if long else (record.packed, record.size)
        head = (LARGE if long else PLAIN, record.flags, record.method, record.time, record.date, record.crc, *told)
        wanted = LOCAL.pack(b"PK\x03\x04", *head, len(name), 20 if long else 0) if extra in (0, 20) else b""
        tail = struct.pack("<2H2Q", 1, 16, record.size, record.packed) if long else b""
        if (
            (wide and not long)
            or raw != wanted
            or self._read(record.offset + LOCAL.size, len(name + tail)) != name + tail
        ):
            raise NotIntact(record.name, "its own header does not say what the directory says of it")
        return record.offset + len(wanted) + len(name) + len(tail)

    def _end(self) -> tuple[int, int, int]:
        """Start, length and count of the directory."""
        at = self._weight - END.size
        if at < 0:
            raise NotIntact("", "it is too short to be a bundle")
        mark, disk, first, here, count, length, start, comment = END.unpack(self._read(at, END.size))
        if mark != b"PK\x05\x06" or comment:
            raise NotIntact("", "it does not end as a bundle does: it is cut, added to, or no bundle at all")
        if disk or first or here != count:
            raise NotIntact("", "its end tells of several disks")
        if count == MANY or WIDE in (length, start):
            start, length, count, at = self._end64(at, (count, length, start))
        if start + length != at:
            raise NotIntact("", "its directory does not lie where its end says")
        return start, length, count

    def _end64(self, end: int, narrow: tuple[int, int, int]) -> tuple[int, int, int, int]:
        at = end - LOCATOR.size - END64.size
        if at < 0:
            raise NotIntact("", "its end is cut")
        mark, size, by, needed, disk, first, here, count, length, start = END64.unpack(self._read(at, END64.size))
        told = LOCATOR.unpack(self._read(at + END64.size, LOCATOR.size))
        plain = (mark, size, by, needed, disk, first, here) == (b"PK\x06\x06", 44, LARGE, LARGE, 0, 0, count)
        short = (min(count, MANY), min(length, WIDE), min(start, WIDE)) == narrow
        if not plain or not short or told != (b"PK\x06\x07", 0, at, 1):
            raise NotIntact("", "its end does not say what a bundle's says")
        return start, length, count, at

    def _read(self, at: int, length: int) -> bytes:
        if at < 0 or length < 0 or at + length > self._weight:
            raise NotIntact("", "it points outside itself: it is cut or altered")
        self._file.seek(at)
        content = self._file.read(length)
        if len(content) != length:
            raise NotIntact("", "it changed while it was read")
        return content


def _record(content: bytes, at: int) -> tuple[Record, int]:
    if at + CENTRAL.size > len(content):
        raise NotIntact("", "its directory is cut")
    row = CENTRAL.unpack_from(content, at)
    mark, made_by, needed, flags, method, time, date, crc, packed, size = row[:10]
    name_length, extra_length, comment, disk, inner, outer, offset = row[10:]
    at += CENTRAL.size
    raw = content[at : at + name_length]
    at += name_length
    extra = content[at : at + extra_length]
    at += extra_length
    name = raw.decode("ascii", "backslashreplace")
    wide = [value for value in (size, packed, offset) if value == WIDE]
    version = LARGE if wide else PLAIN
    if mark != b"PK\x01\x02" or at > len(content) or comment or disk or (made_by & 0xFF, needed) != (version, version):
        raise NotIntact("", "its directory is not one that a bundle has")
    if not safe_name(name):
        raise NotIntact("", f"it holds a member with a name that no bundle has: {name[:80]!r}")
    if flags or method not in (STORED, DEFLATED):
        raise NotIntact(name, "it is packed in a way that no bundle is")
    if len(extra) != (4 + 8 * len(wide) if wide else 0) or (wide and extra[:4] != struct.pack("<2H", 1, 8 * len(wide))):
        raise NotIntact(name, "the directory says more or less of it than of a bundle's members")
    if wide:
        true = iter(struct.unpack(f"<{len(wide)}Q", extra[4:]))
        size, packed, offset = (next(true) if value == WIDE else value for value in (size, packed, offset))
    fields = (made_by >> 8, flags, method, time, date, crc, packed, size, inner, outer, offset)
    return Record(name, *fields), at
