"""Folders of JSON lines: read line by line, also compressed ones; what cannot be read is counted and said."""

import gzip
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, cast

from activities.errors import NotFound, Unavailable

LONGEST = 1024 * 1024
"""Bytes of a line; a longer one is counted as broken and skipped, so that it cannot fill the memory."""
Line = dict[str, Any]


@dataclass(frozen=True)
class LogFile:
    """A file as it was when the reading began; what is appended later is not of this reading."""

    path: Path
    name: str
    size: int


@dataclass
class Reading:
    """What a pass over a folder could not read."""

    lines: int = 0
    broken: int = 0
    damaged: list[str] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether everything was read."""
        return not self.broken and not self.damaged

    def warnings(self, what: str) -> list[str]:
        """What was not, in words."""
        found = []
        if self.broken:
            found.append(f"{self.broken} of {self.lines} lines of the {what} are broken and were left out")
        if self.damaged:
            found.append(f"{len(self.damaged)} files of the {what} could not be read to their end")
        return found


def files_of(folder: Path) -> list[LogFile]:
    """The log files of a folder and those below it, by name. Links that lead out of the folder are left out.

    Raises:
        NotFound: There is no such folder.
        Unavailable: It cannot be read.
    """
    try:
        top = folder.resolve(strict=True)
        found = []
        for path in top.rglob("*.jsonl*"):
            whole = path.resolve()
            if path.name.endswith((".jsonl", ".jsonl.gz")) and whole.is_file() and whole.is_relative_to(top):
                found.append(LogFile(whole, path.relative_to(top).as_posix(), whole.stat().st_size))
    except FileNotFoundError:
        raise NotFound(f"There is no folder {folder}. Nothing was read. Look at systems.inference.") from None
    except OSError as error:
        raise Unavailable(f"{folder} cannot be read: {error.strerror}. Nothing was read.") from None
    return sorted(found, key=lambda file: file.name)


def lines_of(files: list[LogFile], reading: Reading) -> Iterator[tuple[LogFile, Line]]:
    """Every line of the files that is a JSON object, counted in ``reading``. Memory is that of one line."""
    for file in files:
        try:
            with opened(file) as source:
                left = file.size if not _packed(file) else -1
                while left:
                    raw = source.readline(LONGEST + 1)
                    if not raw:
                        break
                    if left > 0:
                        # Of a file that grows, only what was there at the beginning.
                        raw = raw[:left]
                        left -= len(raw)
                    if not raw.strip():
                        continue
                    reading.lines += 1
                    if len(raw) > LONGEST:
                        reading.broken += 1
                        left = _skip(source, left)
                        continue
                    try:
                        line = json.loads(raw)
                    except ValueError:
                        line = None
                    if isinstance(line, dict):
                        yield file, line
                    else:
                        reading.broken += 1
                if left > 0:
                    reading.damaged.append(file.name)
        except (OSError, EOFError, zlib.error):
            reading.damaged.append(file.name)


def opened(file: LogFile) -> IO[bytes]:
    """The file's lines as bytes, unpacked."""
    if _packed(file):
        return cast(IO[bytes], gzip.open(file.path, "rb"))
    return file.path.open("rb")


def _packed(file: LogFile) -> bool:
    return file.name.endswith(".gz")


def _skip(source: IO[bytes], left: int) -> int:
    """Go to the end of a line that is too long; how much is left then."""
    while left:
        raw = source.readline(LONGEST)
        if not raw:
            break
        if left > 0:
            raw = raw[:left]
            left -= len(raw)
        if raw.endswith(b"\n"):
            break
    return left


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def micros(text: Any) -> int | None:
    """RFC 3339 to microseconds since 1970; ``None`` if it is none. An instant without a zone is UTC."""
    try:
        at = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    since = (at if at.tzinfo else at.replace(tzinfo=UTC)) - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def instant(value: int) -> datetime:
    """Microseconds since 1970 to an instant."""
    return datetime.fromtimestamp(value // 1_000_000, UTC).replace(microsecond=value % 1_000_000)
