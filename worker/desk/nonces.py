"""One-time nonces: each belongs to one waiting question and one person, and is useless for any other."""

import base64
import hashlib
import hmac
import secrets


class Nonces:
    """Issues nonces and knows its own without keeping them; that each counts once is the run's to see.

    Args:
        secret: At least 32 bytes, the same for every process of the installation.
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = hashlib.sha256(b"stanch/nonce/" + secret).digest()

    def issue(self, person: str, run: str, step: str, digest: str, *, salt: str = "") -> str:
        """A nonce for this person to decide this question: the one of ``salt``, or a fresh one."""
        salt = salt or secrets.token_urlsafe(12)
        return f"{salt}.{self._mark(salt, person, run, step, digest)}"

    def belongs(self, nonce: str, person: str, run: str, step: str, digest: str) -> bool:
        """Whether the nonce was issued here for exactly this person and question."""
        salt, _, mark = nonce.partition(".")
        return hmac.compare_digest(mark.encode(), self._mark(salt, person, run, step, digest).encode())

    def _mark(self, salt: str, *parts: str) -> str:
        # Lengths are part of the text, so that no two lists of parts give the same.
        text = "".join(f"{len(part)}:{part}" for part in (salt, *parts))
        mark = hmac.new(self._secret, text.encode(), hashlib.sha256).digest()
        return base64.urlsafe_b64encode(mark[:18]).decode()
