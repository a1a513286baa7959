"""What a check of ``stanch doctor`` finds."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from worker.settings import Settings

PATIENCE = 20.0
"""Seconds that one check may take."""


@dataclass(frozen=True)
class Finding:
    """One check. ``fail`` is broken, ``warn`` works but will hurt; ``mend`` says what to do about it."""

    name: str
    state: Literal["ok", "warn", "fail"]
    message: str
    mend: str = ""


def guarded(name: str, check: Callable[[], Finding], mend: str) -> Finding:
    """A check's finding; what it raises is a failure with advice."""
    try:
        return check()
    except Exception as error:
        return Finding(name, "fail", f"{type(error).__name__}: {str(error)[:200]}", mend)


def has_keys(settings: Settings) -> bool:
    """Whether there are payload keys already; reading them would make them."""
    return bool(settings.file.payload_keys) or (settings.home / "keys" / "payload.json").exists()
