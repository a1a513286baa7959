"""The policy engine that the gateway asks: OPA's data API and its decisions."""

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import httpx

from activities.errors import (
    Ambiguous,
    AuthFailed,
    Conflict,
    Forbidden,
    NotFound,
    RateLimited,
    Rejected,
    Timeout,
    Unavailable,
)

DECISION = "stanch/gateway/decision"
ADMISSION = "stanch/admission"
DENIED = "stanch/denied_digests"
CLIENTS = "stanch/clients"


class Policy:
    """One OPA. Safe to use from several threads."""

    def __init__(
        self, url: str, token: Callable[[], str] | None, *, connect: float, read: float, reading: bool = False
    ) -> None:
        """``token`` is asked at each request, so that a changed secret counts at once."""
        self._url, self._token, self._reading = url, token, reading
        self._http = httpx.Client(timeout=httpx.Timeout(read, connect=connect), follow_redirects=False, trust_env=False)

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def read(self, path: str) -> Any:
        """A document, ``None`` if there is none."""
        return self._send("GET", path).get("result")

    def decide(self, path: str, question: dict[str, Any]) -> Any:
        """What policy says to a question; ``None`` if it says nothing."""
        return self._send("POST", path, {"input": question}).get("result")

    def admits(self, digest: str) -> bool:
        """Whether a release of this digest may be deployed."""
        said = self.decide(ADMISSION, {"digest": digest})
        return isinstance(said, dict) and said.get("allow") is True

    def denied(self) -> dict[str, str]:
        """Digests that may not be deployed, with the incident of each."""
        found = self.read(DENIED)
        return {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}

    def put(self, path: str, value: Any) -> None:
        """Set a document."""
        self._send("PUT", path, value, write=True)

    def drop(self, path: str) -> None:
        """Take a document out; one that is not there is no error."""
        try:
            self._send("DELETE", path, write=True)
        except NotFound:
            return

    def _send(self, method: str, path: str, body: Any = None, *, write: bool = False) -> dict[str, Any]:
        if write and self._reading:
            raise Rejected("This client only reads. Nothing was sent.")
        headers = {"Authorization": f"Bearer {self._token()}"} if self._token else {}
        url = f"{self._url}/v1/data/{quote(path)}"
        try:
            answer = self._http.request(method, url, json=body, headers=headers)
        except (httpx.ConnectError, httpx.ConnectTimeout):
            raise Unavailable("The policy engine cannot be reached. Nothing was sent.") from None
        except httpx.TransportError as error:
            if write:
                raise Ambiguous("The policy engine's answer to a change was lost.") from None
            late = isinstance(error, httpx.TimeoutException)
            kind = Timeout if late else Unavailable
            raise kind("The policy engine did not answer. Nothing was changed.") from None
        if answer.status_code in (200, 204):
            if not answer.content:
                return {}
            try:
                found = answer.json()
            except ValueError:
                found = None
            if isinstance(found, dict):
                return found
            raise Rejected("The policy engine's answer is not what its API gives. Look whether the address is right.")
        raise _refusal(answer.status_code, write)


def _refusal(status: int, write: bool) -> Exception:
    text = f"The policy engine answered {status}."
    if status == 401:
        return Forbidden(f"{text} Nothing was changed. Its own policy does not let this token do that.")
    if status == 403:
        return AuthFailed(f"{text} Nothing was changed. Look at the token.")
    if status == 404:
        return NotFound(f"{text} Nothing was changed.")
    if status == 409:
        return Conflict(f"{text} Nothing was changed.")
    if status == 429:
        return RateLimited(f"{text} Nothing was changed.")
    if status >= 500:
        return Ambiguous(f"{text} Whether it was changed is not known.") if write else Unavailable(text)
    return Rejected(f"{text} Nothing was changed.")
