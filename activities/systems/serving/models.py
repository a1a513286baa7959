"""What replicas say of themselves, as plain values."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """A line of a replica's index; ``state`` is ``READY``, ``UNAVAILABLE``, ``LOADING`` or ``UNKNOWN``."""

    name: str
    state: str
    version: str = ""


@dataclass(frozen=True)
class Served:
    """What one replica answered to a customer's request.

    Attributes:
        replica: Its address.
        state: ``serving`` (it answered), ``absent`` (it refuses the model), ``unreachable`` (nothing is known).
        version: The version it reports; empty if it reports none.
        digest: The release digest it reports; empty if it reports none.
        code: Why nothing is known, as an error's code.
    """

    replica: str
    state: str
    version: str = ""
    digest: str = ""
    code: str = ""

    def is_exactly(self, version: str | None, digest: str | None) -> bool:
        """Whether it serves a version and digest, each as far as it is given."""
        return (
            self.state == "serving"
            and (version is None or self.version == version)
            and (digest is None or self.digest == bare(digest))
        )

    def said(self) -> str:
        """In words, for a preview."""
        if self.state == "unreachable":
            return f"does not answer ({self.code})"
        if self.state == "absent":
            return "does not serve the model"
        return f"serves version {self.version or 'unknown'}" + (f" ({self.digest[:12]})" if self.digest else "")


def bare(digest: str) -> str:
    """A digest as 64 hexadecimal characters."""
    return digest.strip().lower().removeprefix("sha256:")


def agreeing(answers: Iterable[Served]) -> bool:
    """Whether every replica answered, and all with one version and one digest, neither of them unknown."""
    found = list(answers)
    kinds = {(one.version, one.digest) for one in found}
    return bool(found) and all(one.state == "serving" for one in found) and len(kinds) == 1 and kinds != {("", "")}
