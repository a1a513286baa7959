"""The client of a model's replicas: V2 inference and model repository protocol, each replica for itself.

Sources: Open Inference Protocol (https://github.com/kserve/open-inference-protocol, ``inference_rest.md``) and the
model repository extension as MLServer and Triton speak it (``POST v2/repository/index``, ``…/models/NAME/load``,
``…/unload``). Synchronous and thread-safe. Redirects and proxies are not followed, so a request reaches the replica
that it names or none.
"""

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlsplit
from uuid import uuid4

import httpx

from activities.connecting import settings_of, wait_of
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
from activities.ports import Vault
from activities.systems.serving.config import Probe, ServingConfig
from activities.systems.serving.models import Entry, Served, bare

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
LARGEST = 8 * 1024 * 1024
_WORD = re.compile(r"[A-Za-z0-9._:+/-]{0,128}")
_ZERO: dict[str, Any] = {"BOOL": False, "BYTES": ""}


def connect(config: Mapping[str, Any] | ServingConfig, vault: Vault) -> "Serving":
    """A client; nothing is sent before its first use.

    Raises:
        AuthFailed: The settings cannot be used; the message says which.
    """
    return Serving(settings_of(ServingConfig, "serving", config), vault)


def connect_reading(config: Mapping[str, Any] | ServingConfig, vault: Vault) -> "Serving":
    """A client that can only look: loads and unloads are refused before they leave this process."""
    return Serving(settings_of(ServingConfig, "serving", config), vault, reading=True)


class Serving:
    """The replicas of the settings. A replica is named by its address without the scheme."""

    own: tuple[str, ...] = ()

    def __init__(self, config: ServingConfig, vault: Vault, *, reading: bool = False) -> None:
        self.config = config
        self._vault, self._reading = vault, reading
        self._urls = {_name(url): url for url in (*config.replicas, *config.canaries)}
        self._http = httpx.Client(
            # Reading the authorities takes a while, and is for nothing where no replica has a certificate.
            verify=any(url.startswith("https:") for url in self._urls.values()),
            timeout=httpx.Timeout(config.read_timeout, connect=config.connect_timeout),
            follow_redirects=False,
            trust_env=False,
        )

    @property
    def replicas(self) -> tuple[str, ...]:
        """Names of all replicas, in the order of the settings."""
        return tuple(map(_name, self.config.replicas))

    @property
    def canaries(self) -> tuple[str, ...]:
        """Names of the canaries, which get a new version first; they are no replicas."""
        return tuple(map(_name, self.config.canaries))

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def ping(self) -> str:
        """Ask every replica for its index; a sentence for ``stanch doctor``.

        Raises:
            ConnectorError: One does not answer; the message says which.
        """
        models = {entry.name for replica in self.replicas for entry in self.index(replica)}
        return f"{len(self.replicas)} replicas answer; models: {', '.join(sorted(models)) or 'none'}."

    # Looking

    def index(self, replica: str) -> list[Entry]:
        """The models that a replica knows, by name."""
        doing = "listing models"
        rows = self._json(replica, "POST", "/v2/repository/index", doing, body={})
        if not isinstance(rows, list) or not all(isinstance(row, dict) and row.get("name") for row in rows):
            raise _strange(replica, doing)
        found = [Entry(_word(row["name"]), _word(row.get("state")), _word(row.get("version"))) for row in rows]
        return sorted(found, key=lambda entry: (entry.name, entry.version))

    def ask(self, replica: str, model: str) -> Served:
        """One inference as a customer, and what the replica says it answered with. Never raises for a replica's state.

        ``absent`` needs two witnesses: the request is refused and the model is not ready; a refusal alone may be a
        probe that does not fit.

        Raises:
            Rejected: The name cannot be a model's.
        """
        _path(model)
        try:
            answer = self._infer(replica, model)
            if answer is None:
                if not self._ready(replica, model):
                    return Served(replica, "absent")
                return Served(replica, "unreachable", code="probe_refused")
        except ConnectorError as error:
            return Served(replica, "unreachable", code=error.code)
        parameters = answer.get("parameters")
        parameters = parameters if isinstance(parameters, dict) else {}
        digest = bare(_word(parameters.get(self.config.digest_parameter)))
        return Served(replica, "serving", _word(answer.get("model_version")), digest)

    def ask_all(self, model: str) -> list[Served]:
        """``ask`` of every replica, in the order of the settings."""
        return [self.ask(replica, model) for replica in self.replicas]

    # Changing

    def load(self, replica: str, model: str) -> None:
        """Load, or load again, what the registry says.

        Raises:
            Ambiguous: The answer was lost or is an error of the server's own; what it serves must be asked.
            NotFound: The replica knows no such model.
        """
        self._send(
            replica, "POST", f"/v2/repository/models/{_path(model)}/load", "loading a model", body={}, write=True
        )

    def unload(self, replica: str, model: str) -> bool:
        """Serve the model no more; ``False`` if it was not served.

        Raises:
            Ambiguous: The answer was lost; what it serves must be asked.
        """
        path = f"/v2/repository/models/{_path(model)}/unload"
        try:
            self._send(replica, "POST", path, "unloading a model", body={}, write=True)
        except NotFound:
            return False
        return True

    def _infer(self, replica: str, model: str) -> dict[str, Any] | None:
        """The answer of the model; ``None`` if the replica refuses the request."""
        doing = "asking a model"
        try:
            probe = self.config.probes.get(model) or self._made_probe(replica, model)
            if probe is None:
                return None
            body = {"id": f"stanch-{uuid4().hex}", "inputs": [probe.model_dump(mode="json")]}
            answer = self._json(replica, "POST", f"/v2/models/{_path(model)}/infer", doing, body=body)
        except (NotFound, Rejected, Conflict):
            return None
        if not isinstance(answer, dict) or not isinstance(answer.get("outputs"), list):
            raise _strange(replica, doing)
        return answer

    def _made_probe(self, replica: str, model: str) -> Probe | None:
        """Zeros in the shape of the model's one input; ``None`` if the replica does not tell it."""
        doing = "reading a model's metadata"
        known = self._json(replica, "GET", f"/v2/models/{_path(model)}", doing)
        tensors = known.get("inputs") if isinstance(known, dict) else None
        if not isinstance(tensors, list) or len(tensors) != 1:
            return None
        try:
            shape = tuple(max(1, int(size)) for size in tensors[0]["shape"])
            count = 1
            for size in shape:
                count *= size
            kind = tensors[0]["datatype"]
            return Probe(name=tensors[0]["name"], shape=shape, datatype=kind, data=(_ZERO.get(kind, 0),) * count)
        except (KeyError, TypeError, ValueError):
            raise _strange(replica, doing) from None

    def _ready(self, replica: str, model: str) -> bool:
        try:
            self._send(replica, "GET", f"/v2/models/{_path(model)}/ready", "asking whether a model is ready")
        except (NotFound, Rejected, Conflict):
            return False
        return True

    def _secret(self, reference: str) -> str:
        try:
            return self._vault.get(reference)
        except Exception as error:
            # A vault's own errors have a code and name the reference only; of others nothing is told.
            said = str(error) if hasattr(error, "code") else f"{reference}: {type(error).__name__}."
            raise AuthFailed(f"The token of the model servers cannot be read. Nothing was sent. {said}") from None

    def _json(self, replica: str, method: str, path: str, doing: str, *, body: Any = None) -> Any:
        answer = self._send(replica, method, path, doing, body=body)
        try:
            return json.loads(answer.content)
        except ValueError:
            raise _strange(replica, doing) from None

    def _send(
        self, replica: str, method: str, path: str, doing: str, *, body: Any = None, write: bool = False
    ) -> httpx.Response:
        if write and self._reading:
            raise Rejected(f"{replica}, {doing}: only reads are allowed here. Nothing was sent.")
        headers = {"x-client-cn": self.config.caller, "x-request-id": f"stanch-{uuid4().hex}"}
        if self.config.token:
            headers["Authorization"] = f"Bearer {self._secret(self.config.token)}"
        seconds = self.config.load_timeout if write else self.config.read_timeout
        timeout = httpx.Timeout(seconds, connect=self.config.connect_timeout)
        try:
            answer = self._http.request(method, self._urls[replica] + path, json=body, headers=headers, timeout=timeout)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout):
            raise Unavailable(f"{replica} cannot be reached ({doing}). Nothing was sent to it.") from None
        except httpx.HTTPError as error:
            if write:
                raise _lost(replica, doing) from None
            if isinstance(error, httpx.TimeoutException):
                raise Timeout(f"{replica} did not answer in time ({doing}). Nothing was changed.") from None
            raise Unavailable(f"The answer of {replica} broke off ({doing}). Nothing was changed.") from None
        if answer.status_code // 100 == 2 and len(answer.content) <= LARGEST:
            return answer
        raise _of_answer(replica, doing, answer, write=write)


def _of_answer(replica: str, doing: str, answer: httpx.Response, *, write: bool) -> ConnectorError:
    """The error for an answer that is no success. Its text stays out: in debug mode MLServer sends its traceback."""
    status = answer.status_code
    said = f"{replica}, {doing}: {status}"
    if status == 401:
        return AuthFailed(f"{said}. The token is not accepted. Nothing was done. Look at systems.serving.token.")
    if status == 403:
        return Forbidden(f"{said}. The token lacks a right. Nothing was done.")
    if status == 404:
        return NotFound(f"{said}. The model is not there.")
    if status == 409:
        return Conflict(f"{said}. Nothing was changed.")
    if status == 429:
        return RateLimited(f"{said}. Nothing was changed; it is tried again later.", wait_of(answer.headers))
    if status >= 500:
        return _lost(replica, doing, status) if write else Unavailable(f"{said}. Nothing was changed.")
    return Rejected(f"{said}. Nothing was done.")


def _lost(replica: str, doing: str, status: int | None = None) -> Ambiguous:
    said = f"the answer was {status}" if status else "no answer came"
    # With a status the server is through with the request, without one it may still be at it.
    return Ambiguous(
        f"{replica}, {doing}: sent, and {said}. It is read back before any new try.", {"status": status or 0}
    )


def _strange(replica: str, doing: str) -> Unavailable:
    return Unavailable(f"{replica} gave an answer that is not understood ({doing}). Nothing was changed.")


def _name(url: str) -> str:
    parts = urlsplit(url)
    return parts.netloc + parts.path


def _path(model: str) -> str:
    if not NAME.fullmatch(model):
        raise Rejected("This is no name of a model. Nothing was sent.")
    return quote(model, safe="")


def _word(value: Any) -> str:
    """A name or version from an answer, in characters that may stand in a record."""
    text = "" if value is None else str(value)
    return text if _WORD.fullmatch(text) else ""
