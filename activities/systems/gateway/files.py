"""The gateway's own files: what it reads at start, so that what was changed live is still so after a reload."""

import contextlib
import fcntl
import json
import os
import stat
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from activities.errors import Forbidden, NotFound, Rejected, Unavailable


class Files:
    """The folder of maps, lists, revocations, server states and the policy engine's data.

    Files are replaced as a whole, so a gateway that starts in the middle reads the old or the new one. One editor
    at a time, over processes.
    """

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)

    def path(self, name: str) -> str:
        """A file's path, as the gateway's configuration names it."""
        return str(self.folder / name)

    def read(self, name: str) -> str:
        """A file's text.

        Raises:
            NotFound: It is not there.
        """
        with _plain(name, "read"):
            return (self.folder / name).read_text(encoding="utf-8")

    def entries(self, name: str) -> dict[str, str]:
        """Key to value of a map or list file, without its comments; of a key that is there twice the first counts."""
        found: dict[str, str] = {}
        for line in self.read(name).splitlines():
            parts = line.split(maxsplit=1)
            if parts and not parts[0].startswith("#"):
                found.setdefault(parts[0], parts[1].strip() if len(parts) == 2 else "")
        return found

    def edit(self, name: str, put: Mapping[str, str], drop: Collection[str] = ()) -> None:
        """Set some keys and take out others; all other lines stay as they are."""
        with self.locked():
            gone = {*put, *drop}
            kept = [line for line in self.read(name).splitlines() if not gone.intersection(line.split(maxsplit=1)[:1])]
            new = [f"{key} {value}".rstrip() for key, value in put.items()]
            self._replace(name, "".join(f"{line}\n" for line in [*kept, *new]))

    def write(self, name: str, text: str) -> None:
        """Replace a file."""
        with self.locked():
            self._replace(name, text)

    def data(self, name: str, *path: str) -> Any:
        """A part of a JSON file, ``None`` if it is not there."""
        part: Any = self._json(name)
        for step in path:
            part = part.get(step) if isinstance(part, dict) else None
        return part

    def edit_data(self, name: str, path: tuple[str, ...], put: Mapping[str, Any], drop: Collection[str] = ()) -> None:
        """Set some members of an object in a JSON file and take out others."""
        with self.locked():
            whole = self._json(name)
            part = whole
            for step in path:
                part = part.setdefault(step, {})
                if not isinstance(part, dict):
                    raise Rejected(f"{name} does not hold an object at {'.'.join(path)}. Nothing was changed.")
            for key in drop:
                part.pop(key, None)
            part.update(put)
            self._replace(name, json.dumps(whole, indent=1, sort_keys=True) + "\n")

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """One editor at a time."""
        with _plain(".lock", "opened"):
            lock = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _json(self, name: str) -> dict[str, Any]:
        try:
            whole = json.loads(self.read(name))
        except ValueError:
            whole = None
        if not isinstance(whole, dict):
            raise Rejected(f"{name} is not a JSON object. Nothing was changed. Mend the file.")
        return whole

    def _replace(self, name: str, text: str) -> None:
        target = self.folder / name
        beside = self.folder / f".{name}.new"
        with _plain(name, "written"):
            try:
                known = target.stat()
                mode, owner = stat.S_IMODE(known.st_mode), (known.st_uid, known.st_gid)
            except FileNotFoundError:
                mode, owner = 0o640, None
            file = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(file, "w", encoding="utf-8") as out:
                out.write(text)
                out.flush()
                os.fchmod(out.fileno(), mode)
                if owner is not None:
                    # Only root may, and only then does it differ.
                    with contextlib.suppress(PermissionError):
                        os.fchown(out.fileno(), *owner)
                os.fsync(out.fileno())
            os.replace(beside, target)


@contextlib.contextmanager
def _plain(name: str, doing: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise NotFound(
            f"The gateway's file {name} is not there. Nothing was changed. Make it as the docs say."
        ) from None
    except PermissionError:
        raise Forbidden(f"The gateway's file {name} may not be {doing} by this user. Nothing was changed.") from None
    except OSError as error:
        raise Unavailable(
            f"The gateway's file {name} cannot be {doing} ({error.strerror}). Nothing was changed."
        ) from None
