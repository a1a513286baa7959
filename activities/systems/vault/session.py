"""Signing in to Vault: a token that was given, or one of Stanch's AppRole; refused once, it is asked for anew."""

import contextlib
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from activities.errors import AuthFailed, ConnectorError, Unavailable
from activities.ports import Vault as Secrets
from activities.systems.vault.config import VaultConfig
from activities.systems.vault.http import NotAccepted, PinnedSession, hvac_client, mapped, refused

T = TypeVar("T")
RENEW_AT = 0.8
"""Share of a token's life after which a fresh one is asked for."""


class SignedIn:
    """Runs pieces of work with a token. Each thread has its own connections, all share one token."""

    def __init__(self, config: VaultConfig, secrets: Secrets, session: type[PinnedSession]) -> None:
        self.config, self._secrets, self._type = config, secrets, session
        self._local = threading.local()
        # Signing in opens a session while the lock is held.
        self._lock = threading.RLock()
        self._sessions: list[PinnedSession] = []
        self._token = ""
        self._until = float("inf")

    def close(self) -> None:
        """Give back a token that was issued to us, and close the connections of all threads."""
        if self._token and self.config.token is None:
            with contextlib.suppress(ConnectorError):
                self.call("signing out", lambda vault: vault.auth.token.revoke_self())
        with self._lock:
            sessions, self._sessions, self._token = self._sessions, [], ""
        self._local = threading.local()
        for session in sessions:
            session.close()

    def call(self, doing: str, work: Callable[[Any], T], *, write: bool = False) -> T:
        """Run a piece of work; once more with a fresh token if the one in use has ended.

        Args:
            doing: For the message, e.g. ``reading a key``.
            work: Takes the hvac client.
            write: Whether it changes something, so that a lost answer is ambiguous.

        Raises:
            ConnectorError: See the tree of ``activities.errors``.
        """
        for last in (False, True):
            token = self._current()
            try:
                return self._send(doing, work, token, write)
            except NotAccepted:
                if self._alive(token):
                    raise refused(doing) from None
                self._drop(token)
                if last or self.config.token is not None:
                    break
        raise AuthFailed(
            f"Vault refuses Stanch's token ({doing}). Nothing was done. Look whether it has ended or was revoked, "
            "and give a new one."
        )

    def _send(self, doing: str, work: Callable[[Any], T], token: str, write: bool) -> T:
        session = self._session()
        with mapped(doing, session, write=write):
            found = work(hvac_client(self.config, session, token))
        if session.last is not None and 300 <= session.last.status_code < 400:
            raise Unavailable(
                f"Vault, {doing}: it answers with another address, as a standby does. Nothing was done. Set "
                "systems.vault.url to the address of the active server or of the cluster."
            )
        return found

    def _alive(self, token: str) -> bool:
        try:
            self._send("looking up Stanch's own token", lambda vault: vault.auth.token.lookup_self(), token, False)
        except NotAccepted:
            return False
        return True

    def _current(self) -> str:
        with self._lock:
            if not self._token or time.monotonic() > self._until:
                self._token, self._until = self._obtain()
            return self._token

    def _drop(self, token: str) -> None:
        with self._lock:
            if self._token == token:
                self._token = ""

    def _obtain(self) -> tuple[str, float]:
        config = self.config
        if config.token is not None:
            return self._secrets.get(config.token), float("inf")
        role = config.role_id or ""
        role = self._secrets.get(role) if role.startswith("secret:") else role
        secret = self._secrets.get(config.secret_id or "")
        try:
            answer = self._send(
                "signing in",
                lambda vault: vault.auth.approle.login(role, secret, use_token=False, mount_point=config.login_mount),
                "",
                False,
            )
        except (NotAccepted, ConnectorError) as error:
            if isinstance(error, ConnectorError) and error.retryable:
                raise
            raise AuthFailed(
                "Vault does not accept Stanch's role id and secret id. Nothing was done. Give it a new secret id."
            ) from None
        auth = answer["auth"]
        life = float(auth.get("lease_duration") or 0)
        return str(auth["client_token"]), time.monotonic() + life * RENEW_AT if life else float("inf")

    def _session(self) -> PinnedSession:
        session: PinnedSession | None = getattr(self._local, "session", None)
        if session is None:
            session = self._local.session = self._type(self.config)
            with self._lock:
                self._sessions.append(session)
        return session
