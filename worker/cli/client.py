"""The command line's side of ``/v1``: a small client, and how it finds the server and the person's token."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx

from worker.cli.output import Refused

SERVER_FILE = "server.json"
TOKENS_FILE = "exercise-tokens.json"
MAX_ANSWER = 64 * 1024 * 1024
LONG = httpx.Timeout(30, read=900)
"""For files: a large one is put together before its first byte comes."""


class ApiError(Refused):
    """The server refused or could not be reached. ``status`` is the HTTP status, 0 if there was no answer."""

    def __init__(
        self,
        code: str,
        message: str,
        next_step: str = "",
        *,
        status: int = 0,
        details: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(code, message, next_step, details=details)
        self.status = status


class ApiClient:
    """Calls ``/v1`` as one person.

    Args:
        url: Base address of the server, e.g. ``http://127.0.0.1:7391``.
        token: The person's token; empty for doors that need none (health, alerts with their own signature).
        timeout: Seconds for one call.
    """

    def __init__(self, url: str, token: str = "", *, timeout: float = 30) -> None:
        self.url = url.rstrip("/")
        headers = {"Accept": "application/json", "User-Agent": "stanch-cli", "X-Stanch-Door": "cli"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        # No proxy of the environment ever sees an incident: the server is named and spoken to directly.
        try:
            # Trust in certificates takes a twentieth of a second to load; plain http has no use for it.
            tls = not self.url.startswith("http:")
            self._http = httpx.Client(
                base_url=self.url, headers=headers, timeout=timeout, trust_env=False, verify=tls, follow_redirects=False
            )
        except (httpx.InvalidURL, UnicodeError, ValueError):
            raise ApiError(
                "bad_value", "STANCH_URL is no address, or STANCH_TOKEN no token. Nothing was done.", "Check both."
            ) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def get(self, path: str, **params: Any) -> Any:
        """GET a document."""
        return self._call("GET", path, params={key: value for key, value in params.items() if value is not None})

    def post(self, path: str, body: Any = None) -> Any:
        """POST a JSON body."""
        return self._call("POST", path, json={} if body is None else body)

    def put(self, path: str, body: Any) -> Any:
        """PUT a JSON body."""
        return self._call("PUT", path, json=body)

    def delete(self, path: str, body: Any = None) -> Any:
        """DELETE, with an optional JSON body."""
        return self._call("DELETE", path, json={} if body is None else body)

    def send(self, path: str, content: bytes, headers: Mapping[str, str] | None = None) -> Any:
        """POST raw bytes with the caller's own headers, as a detector does."""
        return self._call(
            "POST", path, content=content, headers={"Content-Type": "application/json", **(headers or {})}
        )

    def download(self, path: str, target: Path) -> int:
        """GET a file to ``target`` and return its size; nothing is left there on failure."""
        partial = target.with_name(target.name + ".part")
        try:
            with self._http.stream("GET", path, timeout=LONG) as answer:
                if answer.status_code >= 300:
                    answer.read()
                    raise _refusal(answer)
                if not answer.headers.get("content-type", "").startswith("application/zip"):
                    raise _no_stanch()
                private = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
                with os.fdopen(private, "wb") as file:
                    for chunk in answer.iter_bytes():
                        file.write(chunk)
            partial.replace(target)
        except httpx.HTTPError as error:
            raise self._unreachable(error) from None
        finally:
            partial.unlink(missing_ok=True)
        return target.stat().st_size

    def _call(self, method: str, path: str, **arguments: Any) -> Any:
        try:
            answer = self._http.request(method, path, **arguments)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._unreachable(error) from None
        if answer.status_code >= 300:
            raise _refusal(answer)
        if len(answer.content) > MAX_ANSWER:
            raise ApiError("answer_too_large", f"The answer of {path} is over 64 MB and was not read.")
        try:
            document = answer.json(object_hook=_Document)
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, _Document):
            raise _no_stanch()
        return document

    def _unreachable(self, error: Exception) -> ApiError:
        if isinstance(error, httpx.TimeoutException) and not isinstance(error, httpx.ConnectTimeout):
            return ApiError(
                "timeout",
                f"The server at {self.url} did not answer in time. It may still carry the request out.",
                "Look with `stanch incident show` before you try again.",
            )
        return ApiError(
            "unreachable",
            f"No server answers at {self.url}. Nothing was done.",
            "Start one with `stanch up` or `stanch serve`, or set STANCH_URL.",
        )


class _Document(dict[str, Any]):
    """An answer. A part that every Stanch gives and that is not there means that another program answered."""

    def __missing__(self, key: str) -> Any:
        raise _no_stanch()


def _no_stanch() -> ApiError:
    return ApiError(
        "not_stanch",
        "What answers there is no Stanch server, or one of another version. What it did with the request is not known.",
        "Set STANCH_URL to the address that `stanch serve` printed.",
    )


def _refusal(answer: httpx.Response) -> ApiError:
    try:
        problem = answer.json()
    except (ValueError, RecursionError):
        problem = {}
    if not isinstance(problem, dict):
        problem = {}
    known = {"type", "title", "status", "code", "detail", "next", "instance"}
    return ApiError(
        str(problem.get("code") or f"http_{answer.status_code}"),
        str(problem.get("detail") or problem.get("title") or f"The server answered {answer.status_code}."),
        str(problem.get("next") or ""),
        status=answer.status_code,
        details={key: value for key, value in problem.items() if key not in known},
    )


def at(*parts: str) -> str:
    """The address ``/v1/…`` of these parts, whatever somebody typed into them."""
    return "/v1/" + "/".join(quote(part, safe="") for part in parts)


def home() -> Path:
    """Where this command looks for the server's address: ``STANCH_HOME``, else ``.stanch`` here."""
    return Path(os.environ.get("STANCH_HOME") or ".stanch").expanduser()


def means_server(as_person: str | None) -> bool:
    """Whether a command that also works on this machine's home is meant for a server."""
    return as_person is not None or bool(os.environ.get("STANCH_TOKEN") or os.environ.get("STANCH_URL"))


def connect(as_person: str | None = None, *, need_token: bool = True) -> ApiClient:
    """A client for the server that the environment or the home names.

    Address: ``STANCH_URL``, else what ``stanch serve`` wrote into its home, else the settings'. Token:
    ``STANCH_TOKEN``, or with ``as_person`` the token that a demo or exercise home keeps for that person.

    Raises:
        ApiError: ``no_token``, or ``as_refused`` outside an exercise home.
    """
    folder = home()
    url = os.environ.get("STANCH_URL") or written(folder / SERVER_FILE).get("url") or _configured()
    token = os.environ.get("STANCH_TOKEN") or ""
    if as_person is not None:
        tokens = written(folder / TOKENS_FILE)
        token = tokens.get(as_person, "")
        if not token:
            raise ApiError(
                "as_refused",
                f"--as {as_person}: {folder} is no demo's or exercise's home. Nothing was done."
                if not tokens
                else f"--as {as_person}: {folder} knows {', '.join(sorted(tokens))}. Nothing was done.",
                "" if tokens else "Set STANCH_TOKEN to your own token instead.",
            )
    if need_token and not token:
        raise ApiError(
            "no_token",
            "You have not said who you are. Nothing was done.",
            "Add --as NAME: this is a demo's or an exercise's home."
            if (folder / TOKENS_FILE).exists()
            else "Set STANCH_TOKEN to the token that `stanch people token NAME` printed once.",
        )
    return ApiClient(str(url), token)


def _configured() -> str:
    # Only here: reading the settings file costs a command more than all else it does.
    from worker.settings import Settings

    return Settings.load(os.environ).api_url


def engine(folder: Path, env: Mapping[str, str]) -> str | None:
    """Address of the Temporal server that ``stanch up`` brought into a home; ``None`` where the environment names
    one, or none was brought."""
    if env.get("TEMPORAL_ADDRESS") or env.get("TEMPORAL_PROFILE"):
        return None
    return written(folder / SERVER_FILE).get("temporal")


def written(path: Path) -> dict[str, Any]:
    """The JSON object in a file of the home; empty if there is none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError):
        return {}
    return content if isinstance(content, dict) else {}
