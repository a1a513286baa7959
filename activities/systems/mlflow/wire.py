"""The one way out to MLflow: a pinned place, time-outs, no redirects, no proxy, errors mapped once."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
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
from activities.systems.mlflow.config import MlflowConfig

READS = ("GET",)


class NotSent(Exception):
    """A request was about to leave that must not; it was not sent."""


class PinnedTransport(httpx.HTTPTransport):
    """Sends to the configured host only; for reading, only what cannot change anything."""

    def __init__(self, place: httpx.URL, *, reading: bool) -> None:
        """``place`` is the configured URL; ``reading`` refuses every request but a GET."""
        # Reading the authorities takes its time, and plain http on this machine has no use for them.
        verify = place.scheme == "https"
        super().__init__(verify=verify, trust_env=False, retries=0, limits=httpx.Limits(max_connections=20))
        self._host = (place.scheme, place.host, place.port)
        self._reading = reading

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request.

        Raises:
            NotSent: Its host is not the configured one, or it may change something and this is for reading.
        """
        if (request.url.scheme, request.url.host, request.url.port) != self._host:
            raise NotSent("the request names a host that is not the configured registry")
        if self._reading and request.method not in READS:
            raise NotSent("only reads are allowed here, and this may change something")
        return super().handle_request(request)


class Wire:
    """Requests to one MLflow server. Safe to use from several threads."""

    def __init__(self, config: MlflowConfig, credentials: Callable[[], str | None], *, reading: bool = False) -> None:
        """``credentials`` gives the ``Authorization`` header; it is asked for each request, so a new one is seen."""
        place = httpx.URL(config.place)
        self._credentials = credentials
        self._client = httpx.Client(
            base_url=place,
            transport=PinnedTransport(place, reading=reading),
            timeout=httpx.Timeout(config.read_timeout, connect=config.connect_timeout),
            follow_redirects=False,
            trust_env=False,
        )

    def close(self) -> None:
        """Close its connections."""
        self._client.close()

    def get(self, path: str, doing: str, params: Mapping[str, str | int]) -> dict[str, Any]:
        """A reading's JSON object.

        Raises:
            ConnectorError: See the tree of ``activities.errors``.
        """
        with mapped(doing, write=False):
            answer = self._client.request("GET", path, params=dict(params), headers=self._headers())
            return _object(answer, doing, write=False)

    def send(self, method: str, path: str, doing: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """A change with a JSON body; its answer's JSON object.

        Raises:
            Ambiguous: It was sent, and its outcome is not known.
            ConnectorError: See the tree of ``activities.errors``; nothing was changed then.
        """
        with mapped(doing, write=True):
            answer = self._client.request(method, path, json=body, headers=self._headers())
            return _object(answer, doing, write=True)

    def put(self, path: str, content: Any, doing: str) -> None:
        """Upload bytes, or an iterable of them. Raises as ``send``."""
        with mapped(doing, write=True):
            answer = self._client.request("PUT", path, content=content, headers=self._headers())
            _object(answer, doing, write=True)

    def stream(self, path: str, doing: str) -> Iterator[bytes]:
        """The bytes of a file, in pieces. Raises as ``get``, also while it is being read."""
        with mapped(doing, write=False):
            headers = {**self._headers(), "Accept-Encoding": "identity"}
            with self._client.stream("GET", path, headers=headers) as answer:
                if answer.status_code != 200:
                    answer.read()
                    raise of_answer(answer, doing, write=False)
                length = answer.headers.get("Content-Length", "")
                read = 0
                for piece in answer.iter_bytes():
                    read += len(piece)
                    yield piece
                if length.isdigit() and read != int(length):
                    raise Unavailable(f"MLflow's answer was cut off ({doing}). Nothing was changed.")

    def _headers(self) -> dict[str, str]:
        known = self._credentials()
        return {"Authorization": known} if known else {}


@contextmanager
def mapped(doing: str, *, write: bool) -> Iterator[None]:
    """Turn what httpx raises into Stanch's errors.

    Args:
        doing: What was being done, for the message, e.g. ``moving an alias``.
        write: Whether the request changes something, so that a lost answer is ambiguous.

    Raises:
        ConnectorError: See the tree of ``activities.errors``.
    """
    try:
        yield
    except NotSent as error:
        raise Rejected(f"MLflow, {doing}: {error}. Nothing was sent.") from None
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol):
        raise Unavailable(f"MLflow cannot be reached ({doing}). Nothing was sent.") from None
    except httpx.TimeoutException:
        if write:
            raise _lost(doing) from None
        raise Timeout(f"MLflow did not answer in time ({doing}). Nothing was changed.") from None
    except httpx.HTTPError:
        if write:
            raise _lost(doing) from None
        raise Unavailable(f"The answer of MLflow broke off ({doing}). Nothing was changed.") from None
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError) as error:
        if write:
            raise _lost(doing) from None
        raise Unavailable(
            f"MLflow gave an answer that is not understood ({doing}, {type(error).__name__}). Nothing was changed."
        ) from None


def of_answer(answer: httpx.Response, doing: str, *, write: bool) -> ConnectorError:
    """The error for an answer that is not a success; of its text only MLflow's code is kept."""
    status, code = answer.status_code, error_code(answer)
    said = f"MLflow, {doing}: {status} {code}".rstrip()
    if status == 401:
        return AuthFailed(f"{said}. It does not accept Stanch's credentials. Nothing was done. Look at systems.mlflow.")
    if status == 403:
        return Forbidden(f"{said}. Stanch's account lacks a permission on the model. Nothing was done.")
    if status == 429 or code == "REQUEST_LIMIT_EXCEEDED":
        return RateLimited(f"{said}. Nothing was changed; it is tried again later.", wait_of(answer.headers))
    if status == 404 and not code:
        return Rejected(f"{said}. This server does not know the request: is it MLflow 2.3 or newer? Nothing was done.")
    if status == 404 or code == "RESOURCE_DOES_NOT_EXIST":
        return NotFound(f"{said}. It is not there.")
    if status == 409 or code in ("RESOURCE_ALREADY_EXISTS", "RESOURCE_CONFLICT", "INVALID_STATE"):
        return Conflict(f"{said}. Nothing was changed.")
    if 300 <= status < 400:
        return Rejected(
            f"{said}. It points elsewhere, and that is not followed. Write the final URL. Nothing was done."
        )
    if status >= 500:
        if write:
            return _lost(doing)
        return Unavailable(f"{said}. Nothing was changed.")
    return Rejected(f"{said}. Nothing was done.")


def error_code(answer: httpx.Response) -> str:
    """MLflow's ``error_code``, if the body has one; what a system answers is not trusted beyond its shape."""
    try:
        body = answer.json()
    except ValueError:
        return ""
    found = str(body.get("error_code") or "") if isinstance(body, dict) else ""
    return found if re.fullmatch(r"[A-Z_]{1,60}", found) else ""


def _object(answer: httpx.Response, doing: str, *, write: bool) -> dict[str, Any]:
    if answer.status_code != 200:
        raise of_answer(answer, doing, write=write)
    if not answer.content:
        return {}
    body = answer.json()
    if not isinstance(body, dict):
        raise ValueError("not an object")
    return body


def _lost(doing: str) -> Ambiguous:
    return Ambiguous(f"The answer of MLflow was lost ({doing}): it may have been done. It is read back first.")
