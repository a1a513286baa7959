"""Credential references: ``secret:env/NAME`` and ``secret:file/PATH``. A secret is read when it is used."""

import os
from collections.abc import Mapping
from pathlib import Path

PREFIX = "secret:"


class SecretError(Exception):
    """A reference cannot be resolved. The message names the reference, never the secret."""

    code = "secret_missing"


def is_reference(text: str) -> bool:
    """Whether a settings value is a reference."""
    return text.startswith(PREFIX)


class Secrets:
    """Resolves references against an environment and a folder for relative files."""

    def __init__(self, env: Mapping[str, str], base: Path) -> None:
        """``base`` is where relative ``secret:file/…`` paths start: the folder of the settings file."""
        self._env, self._base = env, base

    def get(self, reference: str) -> str:
        """The secret behind a reference.

        Raises:
            SecretError: it is not a reference, not there, empty, or readable by everyone.
        """
        kind, _, name = reference.removeprefix(PREFIX).partition("/")
        if not is_reference(reference) or not name:
            raise SecretError(
                "A secret is written as secret:env/NAME or secret:file/PATH, never as itself. "
                "Put it in a variable or a file and name that."
            )
        if kind == "env":
            value = self._env.get(name, "")
            if not value:
                raise SecretError(f"{reference}: the variable {name} is not set. Set it where Stanch is started.")
            return value
        if kind == "file":
            return self._file(reference, self._base / Path(name).expanduser())
        raise SecretError(f"{reference}: only secret:env/ and secret:file/ are known in this version.")

    def _file(self, reference: str, path: Path) -> str:
        try:
            mode, text = path.stat().st_mode, path.read_text().strip()
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise SecretError(f"{reference}: {path} cannot be read: {reason}.") from None
        if os.name == "posix" and mode & 0o004:
            raise SecretError(f"{reference}: {path} can be read by everyone. Run `chmod 600 {path}`.")
        if not text:
            raise SecretError(f"{reference}: {path} is empty.")
        return text
