"""The one way out to Vault: one pinned host, time-outs, no redirect, no proxy, errors mapped once.

hvac reads ``VAULT_TOKEN``, ``VAULT_CACERT`` and the like where an argument is left out, so none is.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar
from urllib.parse import urlsplit

import hvac
import requests
from hvac import exceptions as said
from requests.adapters import HTTPAdapter
from urllib3.exceptions import NewConnectionError

from activities.connecting import wait_of
from activities.errors import (
    Ambiguous,
    AuthFailed,
    Forbidden,
    NotFound,
    RateLimited,
    Rejected,
    Timeout,
    Unavailable,
)
from activities.systems.vault.config import VaultConfig

READING = ("GET", "LIST", "HEAD")
ASKS = re.compile(r"/v1/auth/(?:[^./][^/]*/)+login|/v1/auth/[^.]+/secret-id-accessor/lookup|/v1/auth/token/revoke-self")
"""What is posted to without changing what is there: signing in and out, and looking up."""


class WriteRefused(requests.exceptions.InvalidURL):
    """A request that may change something was about to leave a client that only reads; it was not sent."""


class HostRefused(requests.exceptions.InvalidURL):
    """A request was about to go to another host; it was not sent."""


class PinnedAdapter(HTTPAdapter):
    """Sends to the configured host only, always with a time-out."""

    def __init__(self, config: VaultConfig) -> None:
        super().__init__(max_retries=0)
        self._host = urlsplit(config.endpoint or config.url)[:2]
        self._timeout = (config.connect_timeout, config.read_timeout)

    # requests gives all options by name.
    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:  # type: ignore[override]
        """Send one request.

        Raises:
            HostRefused: Its host is not the configured one.
        """
        if urlsplit(request.url or "")[:2] != self._host:
            raise HostRefused("the request names a host that is not the configured server")
        options["timeout"] = self._timeout
        options["proxies"] = {}
        return super().send(request, **options)


class ReadingAdapter(PinnedAdapter):
    """Sends reads, sign-in and look-ups, and nothing else."""

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:  # type: ignore[override]
        """Send one request.

        Raises:
            WriteRefused: It may change something.
        """
        path = urlsplit(request.url or "").path
        if request.method not in READING and not ASKS.fullmatch(path):
            raise WriteRefused("only reads are allowed here, and this may change something")
        return super().send(request, **options)


class PinnedSession(requests.Session):
    """A session that trusts no proxy or netrc of its surroundings, and keeps its last answer's headers."""

    adapter: ClassVar[type[PinnedAdapter]] = PinnedAdapter

    def __init__(self, config: VaultConfig) -> None:
        super().__init__()
        self.trust_env = False
        self.verify = str(config.ca) if config.ca else True
        self.last: requests.Response | None = None
        self.adapters.clear()
        adapter = self.adapter(config)
        self.mount("https://", adapter)
        self.mount("http://", adapter)
        self.hooks["response"].append(self._keep)

    def _keep(self, response: requests.Response, *args: Any, **kwargs: Any) -> None:
        self.last = response


class ReadingSession(PinnedSession):
    """A session that can only read."""

    adapter = ReadingAdapter


def hvac_client(config: VaultConfig, session: PinnedSession, token: str) -> Any:
    """An hvac client on a session of ours; nothing is taken from the environment."""
    return hvac.Client(
        url=config.endpoint or config.url,
        token=token,
        cert="",
        verify=session.verify,
        timeout=config.read_timeout,
        proxies={},
        allow_redirects=False,
        session=session,
        namespace=config.namespace,
    )


class NotAccepted(Exception):
    """Status 403: the token is not valid, or may not do this; nothing was done."""


@contextmanager
def mapped(doing: str, session: PinnedSession, *, write: bool) -> Iterator[None]:
    """Turn what hvac and requests raise into Stanch's errors; of an answer's text nothing is kept.

    Raises:
        ConnectorError: See the tree of ``activities.errors``.
        NotAccepted: Status 403.
    """
    try:
        yield
    except said.Forbidden:
        raise NotAccepted from None
    except said.Unauthorized:
        raise AuthFailed(f"Vault, {doing}: 401. It does not accept Stanch's credentials. Nothing was done.") from None
    except said.InvalidPath:
        raise NotFound(f"Vault, {doing}: 404. It is not there.") from None
    except said.RateLimitExceeded:
        raise RateLimited(
            f"Vault, {doing}: 429. Nothing was changed; it is tried again later.",
            wait_of(session.last.headers if session.last is not None else None),
        ) from None
    except said.VaultDown:
        if write:
            # Of a sealed server, or of something before it: reading back tells.
            raise _lost(doing) from None
        raise Unavailable(
            f"Vault, {doing}: 503. It is sealed or in maintenance. Nothing was changed. If it is sealed, people with "
            "unseal keys have to open it."
        ) from None
    except said.VaultNotInitialized:
        raise Unavailable(f"Vault, {doing}: 501. It is not initialised. Nothing was changed.") from None
    except (said.InternalServerError, said.BadGateway, said.UnexpectedError):
        status = session.last.status_code if session.last is not None else 0
        if 300 <= status < 500:
            raise Rejected(f"Vault, {doing}: {status}. Nothing was done.") from None
        if write:
            raise _lost(doing) from None
        raise Unavailable(f"Vault, {doing}: {status}. Nothing was changed.") from None
    except said.VaultError:
        raise Rejected(f"Vault, {doing}: 400. It refuses the request as it stands. Nothing was done.") from None
    except (WriteRefused, HostRefused) as error:
        raise Rejected(f"Vault, {doing}: {error}. Nothing was sent.") from None
    except requests.exceptions.ConnectTimeout:
        raise Unavailable(f"Vault cannot be reached ({doing}). Nothing was sent.") from None
    except requests.exceptions.Timeout:
        if write:
            raise _lost(doing) from None
        raise Timeout(f"Vault did not answer in time ({doing}). Nothing was changed.") from None
    except requests.exceptions.RequestException as error:
        if isinstance(error, requests.exceptions.SSLError) or _never_connected(error):
            raise Unavailable(
                f"Vault cannot be reached, or not by a trusted certificate ({doing}). Nothing was sent."
            ) from None
        if write:
            raise _lost(doing) from None
        raise Unavailable(f"The answer of Vault broke off ({doing}). Nothing was changed.") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if write:
            raise _lost(doing) from None
        raise Unavailable(
            f"Vault gave an answer that is not understood ({doing}, {type(error).__name__}). Nothing was changed."
        ) from None


def refused(doing: str) -> Forbidden:
    """The error where the token is good and lacks a right."""
    return Forbidden(
        f"Vault, {doing}: 403. Stanch's policy lacks this. Nothing was done. The documentation lists what it needs."
    )


def _lost(doing: str) -> Ambiguous:
    return Ambiguous(f"The answer of Vault was lost ({doing}): it may have been done. It is read back first.")


def _never_connected(error: requests.exceptions.RequestException) -> bool:
    reason = getattr(error.args[0], "reason", None) if error.args else None
    return isinstance(reason, NewConnectionError)
