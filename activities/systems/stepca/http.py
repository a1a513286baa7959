"""The one way out to step-ca: the root pinned, time-outs, no proxy, no redirect, errors mapped once."""

import ssl
from typing import Any

import httpx

from activities.connecting import wait_of
from activities.errors import (
    Ambiguous,
    AuthFailed,
    Conflict,
    ConnectorError,
    Forbidden,
    NotFound,
    RateLimited,
    Rejected,
    Timeout,
    Unavailable,
)
from activities.systems.stepca.config import StepCaConfig

LARGEST = 16 * 1024 * 1024
"""Bytes of an answer; a revocation list of 400,000 entries is about as large."""


class Line:
    """Requests to one authority. Thread-safe."""

    def __init__(self, config: StepCaConfig, root: str, *, reading: bool) -> None:
        """``reading``: every request that may change something is refused before it is sent."""
        self._reading = reading
        timeout = httpx.Timeout(config.read_timeout, connect=config.connect_timeout)
        context = ssl.create_default_context(cadata=root)
        self._client = httpx.Client(
            base_url=config.endpoint or config.url,
            verify=context,
            timeout=timeout,
            trust_env=False,
            follow_redirects=False,
        )

    def close(self) -> None:
        """Close its connections."""
        self._client.close()

    def get(self, path: str, doing: str) -> httpx.Response:
        """Read something.

        Raises:
            ConnectorError: See the tree of ``activities.errors``.
        """
        return self._send("GET", path, doing, write=False)

    def post(self, path: str, doing: str, body: dict[str, Any]) -> httpx.Response:
        """Change something.

        Raises:
            ConnectorError: See the tree of ``activities.errors``; ``Ambiguous`` where the answer was lost.
        """
        if self._reading:
            raise Rejected(f"step-ca, {doing}: only reads are allowed here. Nothing was sent.")
        return self._send("POST", path, doing, write=True, json=body)

    def _read(self, method: str, path: str, **more: Any) -> httpx.Response:
        with self._client.stream(method, path, **more) as streamed:
            content = bytearray()
            for part in streamed.iter_bytes():
                content += part
                if len(content) > LARGEST:
                    raise httpx.ReadError("the answer is too large")
        return httpx.Response(streamed.status_code, headers=_plain(streamed.headers), content=bytes(content))

    def _send(self, method: str, path: str, doing: str, *, write: bool, **more: Any) -> httpx.Response:
        try:
            response = self._read(method, path, **more)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise Unavailable(f"step-ca cannot be reached ({doing}{_tls(error)}). Nothing was sent.") from None
        except httpx.TimeoutException:
            if write:
                raise _lost(doing) from None
            raise Timeout(f"step-ca did not answer in time ({doing}). Nothing was changed.") from None
        except httpx.HTTPError:
            if write:
                raise _lost(doing) from None
            raise Unavailable(f"The answer of step-ca broke off ({doing}). Nothing was changed.") from None
        if response.status_code in (200, 201):
            return response
        raise _of(response, doing, write=write)


def _plain(headers: httpx.Headers) -> dict[str, str]:
    """Headers of a body that was already decoded."""
    return {name: value for name, value in headers.items() if name not in ("content-encoding", "content-length")}


def _of(response: httpx.Response, doing: str, *, write: bool) -> ConnectorError:
    """The error for an answer that is not a success; of its text nothing is kept."""
    status = response.status_code
    said = f"step-ca, {doing}: {status}"
    if status == 401:
        return AuthFailed(
            f"{said}. It does not accept Stanch's provisioner token. Nothing was done. Look at the provisioner's "
            "name and key, at `url` (step-ca checks it against its dnsNames) and at the clocks of both machines."
        )
    if status == 403:
        return Forbidden(f"{said}. The provisioner may not do this. Nothing was done.")
    if status == 404:
        return NotFound(f"{said}. It is not there.")
    if status == 409:
        return Conflict(f"{said}. Nothing was changed.")
    if status == 429:
        return RateLimited(f"{said}. Nothing was changed; it is tried again later.", wait_of(response.headers))
    if status == 501:
        return Rejected(f"{said}. This authority does not know that request. Nothing was done.")
    if status >= 500:
        return _lost(doing) if write else Unavailable(f"{said}. Nothing was changed.")
    return Rejected(f"{said}. Nothing was done.")


def _lost(doing: str) -> Ambiguous:
    return Ambiguous(f"The answer of step-ca was lost ({doing}): it may have been done. It is read back first.")


def _tls(error: Exception) -> str:
    return "; its certificate does not lead to the pinned root" if "CERTIFICATE_VERIFY_FAILED" in str(error) else ""
