"""The one way out to Salesforce: pinned hosts, time-outs on every request, no redirects, errors mapped once."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, ClassVar
from urllib.parse import unquote, urlsplit, urlunsplit

import requests
from requests.adapters import HTTPAdapter
from simple_salesforce.exceptions import SalesforceError
from urllib3.exceptions import NewConnectionError

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
from activities.systems.salesforce.config import SalesforceConfig

LIMIT_PAUSE = timedelta(minutes=5)
"""The daily limit rolls over 24 hours: asking again at once only uses it up (facts §1.4)."""
LOCKED = "UNABLE_TO_LOCK_ROW"
READS, SIGN_IN = "/services/data/", "/services/oauth2/token"
"""Where a GET changes nothing (revoking is a GET elsewhere), and where tokens are asked for."""


class NotSent(requests.exceptions.InvalidURL):
    """A request was about to leave that must not; it was not sent."""


class HostRefused(NotSent):
    """Its host is not the configured one."""


class WriteRefused(NotSent):
    """It may change something, and the session is for reading only."""


class PinnedAdapter(HTTPAdapter):
    """Sends to the configured hosts only, with a time-out, over loopback where a simulated org stands in.

    simple-salesforce has no default time-out and always writes ``https://`` (facts §0.2, §0.4), so both are
    put right here, below it.
    """

    def __init__(self, config: SalesforceConfig) -> None:
        super().__init__(max_retries=0)
        self._hosts = config.hosts
        self._endpoint = config.endpoint
        self._timeout = (config.connect_timeout, config.read_timeout)

    # requests gives all options by name.
    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:  # type: ignore[override]
        """Send one request.

        Raises:
            HostRefused: Its host is not a configured one.
        """
        parts = urlsplit(request.url or "")
        if parts.scheme != "https" or parts.netloc not in self._hosts:
            raise HostRefused("the request names a host that is not the configured Salesforce org")
        if options.get("timeout") is None:
            options["timeout"] = self._timeout
        if self._endpoint is None:
            return super().send(request, **options)
        there = urlsplit(self._endpoint)
        copy = request.copy()
        copy.headers["Host"] = parts.netloc
        copy.url = urlunsplit((there.scheme, there.netloc, parts.path, parts.query, ""))
        options["proxies"] = {}
        response = super().send(copy, **options)
        response.url, response.request = request.url or "", request
        return response


class ReadingAdapter(PinnedAdapter):
    """Sends reads of the data API and the sign-in, and nothing else, whatever asks for it."""

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:  # type: ignore[override]
        """Send one request.

        Raises:
            WriteRefused: It is neither a read nor the sign-in.
            HostRefused: As of every session.
        """
        path = unquote(urlsplit(request.url or "").path)
        read = request.method == "GET" and path.startswith(READS) and ".." not in path
        if not read and (request.method, path) != ("POST", SIGN_IN):
            raise WriteRefused("only reads are allowed here, and this may change something")
        return super().send(request, **options)


class PinnedSession(requests.Session):
    """A session that follows no redirect and trusts no proxy or netrc of its surroundings.

    A netrc entry could replace the Authorization header, and a redirect carry it away.
    """

    adapter: ClassVar[type[PinnedAdapter]] = PinnedAdapter

    def __init__(self, config: SalesforceConfig) -> None:
        super().__init__()
        self.trust_env = False
        self.last: requests.Response | None = None
        self.adapters.clear()
        self.mount("https://", self.adapter(config))
        self.hooks["response"].append(self._keep)

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """None: a redirect is an answer like any other."""
        return None

    def _keep(self, response: requests.Response, *args: Any, **kwargs: Any) -> None:
        self.last = response


class ReadingSession(PinnedSession):
    """A session that can only read: every other request is refused before it leaves this process."""

    adapter = ReadingAdapter


class Expired(Exception):
    """The access token is not (or no longer) accepted; nothing was done with the request."""


@contextmanager
def mapped(doing: str, *, write: bool = False, session: PinnedSession | None = None) -> Iterator[None]:
    """Turn what simple-salesforce and requests raise into Stanch's errors.

    Args:
        doing: What was being done, for the message, e.g. ``listing sessions``.
        write: Whether the request changes something, so that a lost answer is ambiguous.
        session: The session in use, for the headers of its last answer.

    Raises:
        ConnectorError: See the tree of ``activities.errors``.
        Expired: Status 401.
    """
    try:
        yield
    except SalesforceError as error:
        raise of_answer(error.status, error.content, doing, write=write, session=session) from None
    except NotSent as error:
        raise Rejected(f"Salesforce, {doing}: {error}. Nothing was sent.") from None
    except requests.exceptions.ConnectTimeout:
        raise Unavailable(f"Salesforce cannot be reached ({doing}). Nothing was sent.") from None
    except requests.exceptions.Timeout:
        if write:
            raise _lost(doing) from None
        raise Timeout(f"Salesforce did not answer in time ({doing}). Nothing was changed.") from None
    except requests.exceptions.RequestException as error:
        if isinstance(error, requests.exceptions.ConnectionError) and _never_connected(error):
            raise Unavailable(f"Salesforce cannot be reached ({doing}). Nothing was sent.") from None
        if write:
            raise _lost(doing) from None
        raise Unavailable(f"The answer of Salesforce broke off ({doing}). Nothing was changed.") from None
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        if write:
            raise _lost(doing) from None
        raise Unavailable(
            f"Salesforce gave an answer that is not understood ({doing}, {type(error).__name__}). Nothing was changed."
        ) from None


def of_answer(
    status: int, content: Any, doing: str, *, write: bool, session: PinnedSession | None = None
) -> ConnectorError | Expired:
    """The error for an answer that is not a success; of its text only the code is kept."""
    code = error_code(content)
    said = f"Salesforce, {doing}: {status} {code}".rstrip()
    if status == 401:
        return Expired(said)
    if code == "REQUEST_LIMIT_EXCEEDED":
        return RateLimited(
            f"{said}. The org's API limit is used up. Nothing was changed; it is tried again later.", LIMIT_PAUSE
        )
    if status == 429:
        headers = session.last.headers if session is not None and session.last is not None else None
        return RateLimited(f"{said}. Nothing was changed; it is tried again later.", wait_of(headers))
    if code == LOCKED:
        return Unavailable(f"{said}. Somebody else was writing the same row. Nothing was changed.")
    if status == 403:
        return Forbidden(f"{said}. The integration lacks a permission. Nothing was done. `stanch doctor` says which.")
    if status == 404:
        return NotFound(f"{said}. It is not there.")
    if status == 409:
        return Conflict(f"{said}. Nothing was changed.")
    if status >= 500:
        if write:
            return _lost(doing)
        return Unavailable(f"{said}. Nothing was changed.")
    return Rejected(f"{said}. Nothing was done.")


def error_code(content: Any) -> str:
    """The stable code in an error body: REST answers with a list, OAuth and Bulk with an object."""
    if isinstance(content, bytes | str):
        try:
            content = json.loads(content)
        except ValueError:
            return ""
    first = content[0] if isinstance(content, list) and content else content
    if not isinstance(first, dict):
        return ""
    found = str(first.get("errorCode") or first.get("error") or first.get("exceptionCode") or "")
    # What a system answers is not trusted in a message, beyond its shape.
    return found if re.fullmatch(r"[A-Za-z_]{1,60}", found) else ""


def unauthorised(doing: str) -> AuthFailed:
    """The error when a fresh token was refused too."""
    return AuthFailed(
        f"Salesforce refuses a token that it has just given ({doing}). Nothing was done. Look whether the "
        "integration's app is blocked, its user frozen, or its IP range narrowed."
    )


def _lost(doing: str) -> Ambiguous:
    return Ambiguous(f"The answer of Salesforce was lost ({doing}): it may have been done. It is read back first.")


def _never_connected(error: requests.exceptions.ConnectionError) -> bool:
    reason = getattr(error.args[0], "reason", None) if error.args else None
    return isinstance(reason, NewConnectionError)
