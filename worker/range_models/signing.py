"""The keys that releases of the range are signed with: the company's old one, and a new one for what comes after."""

from pathlib import Path
from typing import Any

from activities.systems.mlflow.config import Anchor, Signing
from activities.systems.mlflow.signing import public_half, sign
from activities.systems.stepca.pki import key_pem, new_key

OLD, NEW = "release-2025", "release-2026"


class ReleaseKeys:
    """Private keys are in files for their owner only."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._old, self._new = key_pem(new_key()), key_pem(new_key())

    def sign_as_company(self, folder: Path) -> bytes:
        """The signature of a folder's files by the old key, as every builder could make it."""
        anchor = Anchor(name=OLD, public_key=public_half(self._old))
        return sign(folder, Signing(trusted=(anchor,), key_name=OLD), self._old)

    @property
    def new_half(self) -> str:
        """PEM of the public half of the new key."""
        return public_half(self._new)

    def settings(self) -> dict[str, Any]:
        """``[systems.mlflow.signing]``: both keys are trusted, the new one signs."""
        new = self.private("release_key.pem", self._new)
        trusted = [
            {"name": OLD, "public_key": public_half(self._old)},
            {"name": NEW, "public_key": self.new_half},
        ]
        return {"trusted": trusted, "key": f"secret:file/{new}", "key_name": NEW}

    def private(self, name: str, text: str) -> Path:
        """A file that only its owner may read; its whole path."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = (self.folder / name).resolve()
        path.touch(mode=0o600)
        path.write_text(text, encoding="utf-8")
        return path
