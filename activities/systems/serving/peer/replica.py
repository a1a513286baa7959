"""What one serving replica does with a release: ask the registry, check every digest, score, write the log.

One file that needs the standard library only, so that the simulated server and a real MLServer (beside which it is
copied, where Stanch is not installed) load and answer alike. It never loads code from an artifact: weights are read
by the function that it is given, from bytes whose digest was checked.

Registry: MLflow's REST API (https://mlflow.org/docs/latest/rest-api.html): the alias, the version's artifact place,
then each file of ``release.json``. Admission: the decision ``stanch.admission`` of OPA's data API, asked by digest.
Both fail closed: a registry or an OPA that does not answer, or has no such policy, means that nothing is loaded, and
what was served before stays.
"""

import hashlib
import json
import os
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

PARTS = ("weights", "adapter", "tokenizer", "prompt", "index", "serving_config")
"""What a release set is made of; a part may be ``null``, never absent."""
NEVER_NULL = ("weights", "serving_config")
FETCH_SECONDS = 15.0
LARGEST = 64 * 1024 * 1024
ROTATE_BYTES = 16 * 1024 * 1024
ROWS_AT_MOST = 1000
Fetch = Callable[[str, Mapping[str, str], "bytes | None"], bytes]
"""Gets a URL with headers; with a body it is a POST."""


class Scorer(Protocol):
    """A loaded model: a probability, and its logarithms."""

    def score(self, features: Sequence[float]) -> float:
        """Probability, 0 to 1."""

    def log_probabilities(self, features: Sequence[float]) -> tuple[float, float]:
        """Natural logarithms of the probabilities of no and of yes."""


class Refused(Exception):
    """A release that is not loaded; the message says why, without any content."""


class BadRequest(Exception):
    """An inference request that the model cannot answer."""


@dataclass(frozen=True)
class Place:
    """Where a replica gets its model from and where its log goes.

    Attributes:
        registry: URL of the MLflow server.
        model: Name of the registered model.
        alias: Whose version is loaded.
        token_file: File with the registry's bearer token, read at each load.
        opa: URL of OPA; without it nobody is asked whether a release may be served.
        opa_token_file: File with a bearer token for it, where decisions are not free for all.
        logs: Folder of the inference log; without it nothing is logged.
        name: Of the replica, part of its log files' names.
        rotate_bytes: A log file that is larger is followed by another; each hour begins one, too.
    """

    registry: str
    model: str
    alias: str = "champion"
    token_file: str = ""
    opa: str = ""
    opa_token_file: str = ""
    logs: str = ""
    name: str = "replica"
    rotate_bytes: int = ROTATE_BYTES


@dataclass(frozen=True)
class Release:
    """A version whose files are what its release set says."""

    version: str
    digest: str
    model: Any


def canonical_digest(manifest: Mapping[str, Any]) -> str:
    """SHA-256 of a release set in canonical JSON: sorted keys, no blanks, UTF-8."""
    text = json.dumps(manifest, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


class Replica:
    """One replica's model and log. ``load`` may run in a thread beside ``infer``."""

    def __init__(
        self,
        place: Place,
        read_model: Callable[[bytes], Scorer],
        *,
        fetch: Fetch | None = None,
        now: Callable[[], datetime] | None = None,
    ) -> None:
        """``fetch`` is how the registry and OPA are asked; ``now`` is the log's clock, by default real time in UTC."""
        self.place = place
        self.release: Release | None = None
        self._read_model = read_model
        self._fetch = fetch or fetch_url
        self._now = now or (lambda: datetime.now(UTC))
        self._log_lock = threading.Lock()

    def load(self) -> Release:
        """Load the version that the alias names now. On any error what is served stays as it was.

        Raises:
            Refused: The registry or OPA does not answer, a digest is wrong or denied, a part is missing.
        """
        self.release = self.read()
        return self.release

    def unload(self) -> None:
        """Serve nothing."""
        self.release = None

    def read(self) -> Release:
        """The release that the alias names now, checked; what is served is not touched.

        Raises:
            Refused: As of ``load``.
        """
        where = f"{self.place.registry.rstrip('/')}/api/2.0/mlflow"
        names = urllib.parse.urlencode({"name": self.place.model, "alias": self.place.alias})
        found = self._json(f"{where}/registered-models/alias?{names}", "the alias")["model_version"]
        version = str(found["version"])
        names = urllib.parse.urlencode({"name": self.place.model, "version": version})
        uri = str(self._json(f"{where}/model-versions/get-download-uri?{names}", "the artifacts")["artifact_uri"])
        manifest = _object(self._artifact(uri, "release.json"), "release.json")
        files = release_files(manifest)
        digest = canonical_digest(manifest)
        tags = {str(tag["key"]): str(tag.get("value", "")) for tag in found.get("tags") or ()}
        if tags.get("release_digest", digest).removeprefix("sha256:") != digest:
            raise Refused(f"version {version}: release.json is not the one that the registry's tag names")
        self._admit(digest, version)
        contents = {}
        for part, (path, expected) in files.items():
            content = self._artifact(uri, path)
            if hashlib.sha256(content).hexdigest() != expected:
                raise Refused(f"version {version}: the digest of the {part} is not what release.json says")
            contents[part] = content
        try:
            return Release(version, digest, self._read_model(contents["weights"]))
        except ValueError as error:
            raise Refused(f"version {version}: the weights cannot be read ({error})") from None

    def infer(self, request: Mapping[str, Any], headers: Mapping[str, str]) -> dict[str, Any]:
        """Answer one request of the V2 protocol, and log it.

        Args:
            request: Its JSON body.
            headers: By names in small letters; the gateway sets ``x-client-name``, ``x-client-key`` and
                ``x-request-id``; whoever comes past it names himself in ``x-client-cn``.

        Raises:
            BadRequest: It has not the model's inputs.
            LookupError: Nothing is loaded.
        """
        began = time.perf_counter()
        release = self.release
        if release is None:
            raise LookupError(f"Model {self.place.model} not found")
        wanted = bool((request.get("parameters") or {}).get("logprobs"))
        try:
            rows = _rows(request)
            scores = [release.model.score(row) for row in rows]
            logs = [list(release.model.log_probabilities(row)) for row in rows] if wanted else []
        except (ValueError, TypeError, KeyError, OverflowError) as error:
            self._log(release, request, headers, [], [], wanted, began, 400)
            raise BadRequest(f"the inputs do not fit the model: {error}") from None
        outputs = [{"name": "score", "shape": [len(rows), 1], "datatype": "FP32", "data": scores}]
        if wanted:
            flat = [value for pair in logs for value in pair]
            outputs.append({"name": "logprobs", "shape": [len(rows), 2], "datatype": "FP32", "data": flat})
        self._log(release, request, headers, rows, scores, wanted, began, 200)
        return {
            "model_name": self.place.model,
            "model_version": release.version,
            "outputs": outputs,
            "parameters": {"digest": release.digest},
        }

    def _admit(self, digest: str, version: str) -> None:
        if not self.place.opa:
            return
        url = f"{self.place.opa.rstrip('/')}/v1/data/stanch/admission"
        asked = {"input": {"digest": digest, "model": self.place.model, "version": version}}
        said = self._json(url, "OPA's decision", self.place.opa_token_file, asked).get("result")
        if not isinstance(said, dict) or said.get("allow") is not True:
            raise Refused(f"version {version}: its digest is not admitted")

    def _artifact(self, uri: str, path: str) -> bytes:
        parts = urllib.parse.urlsplit(uri)
        if parts.scheme != "mlflow-artifacts":
            raise Refused("the registry does not serve the artifacts itself (mlflow-artifacts:)")
        if path.startswith("/") or ".." in path.split("/"):
            raise Refused("release.json names a path outside the version")
        whole = urllib.parse.quote(f"{parts.path.strip('/')}/{path}")
        url = f"{self.place.registry.rstrip('/')}/api/2.0/mlflow-artifacts/artifacts/{whole}"
        return self._get(url, path, self.place.token_file)

    def _json(self, url: str, what: str, token_file: str | None = None, asked: Any = None) -> dict[str, Any]:
        body = None if asked is None else json.dumps(asked).encode()
        return _object(self._get(url, what, self.place.token_file if token_file is None else token_file, body), what)

    def _get(self, url: str, what: str, token_file: str, body: bytes | None = None) -> bytes:
        headers = {"Content-Type": "application/json"} if body is not None else {}
        try:
            if token_file:
                with open(token_file, encoding="utf-8") as file:
                    headers["Authorization"] = f"Bearer {file.read().strip()}"
            return self._fetch(url, headers, body)
        except urllib.error.HTTPError as error:
            raise Refused(f"{what}: the answer was {error.code}") from None
        except (OSError, ValueError) as error:
            raise Refused(f"{what}: cannot be read ({type(error).__name__})") from None

    def _log(
        self,
        release: Release,
        request: Mapping[str, Any],
        headers: Mapping[str, str],
        rows: Sequence[Sequence[float]],
        scores: Sequence[float],
        logprobs: bool,
        began: float,
        status: int,
    ) -> None:
        if not self.place.logs:
            return
        now = self._now()
        line = {
            "at": now.isoformat(timespec="microseconds").replace("+00:00", "Z"),
            "request_id": headers.get("x-request-id") or str(request.get("id") or ""),
            "caller": headers.get("x-client-name") or headers.get("x-client-cn", ""),
            "key": headers.get("x-client-key", ""),
            "model": self.place.model,
            "version": release.version,
            "digest": release.digest,
            "inputs": list(rows[0]) if len(rows) == 1 else [list(row) for row in rows],
            "outputs": {"score": list(scores)},
            "logprobs": logprobs,
            "latency_ms": round((time.perf_counter() - began) * 1000, 3),
            "status": status,
        }
        text = json.dumps(line, separators=(",", ":")) + "\n"
        with self._log_lock:
            os.makedirs(self.place.logs, exist_ok=True)
            path = self._log_path(now)
            # One write of one line to a file opened for appending: no reader sees half of it.
            with open(path, "ab", buffering=0) as file:
                file.write(text.encode())

    def _log_path(self, now: datetime) -> str:
        stem = os.path.join(self.place.logs, f"inference-{self.place.name}-{now.strftime('%Y%m%dT%H')}")
        number = 0
        while True:
            path = f"{stem}-{number:03}.jsonl"
            if not os.path.exists(path) or os.path.getsize(path) < self.place.rotate_bytes:
                return path
            number += 1


def release_files(manifest: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Part to its path and SHA-256; parts that are ``null`` are left out.

    Raises:
        Refused: A part is missing or malformed.
    """
    found = {}
    for part in PARTS:
        if part not in manifest or (manifest[part] is None and part in NEVER_NULL):
            raise Refused(f"the release set is incomplete: {part} is missing")
        entry = manifest[part]
        if entry is None:
            continue
        if not isinstance(entry, dict) or not isinstance(entry.get("path"), str):
            raise Refused(f"the release set is malformed: {part}")
        found[part] = (entry["path"], str(entry.get("sha256", "")).removeprefix("sha256:"))
    return found


def fetch_url(url: str, headers: Mapping[str, str], body: bytes | None) -> bytes:
    """GET a URL, or POST a body, without a proxy and without following to another place.

    Raises:
        OSError: It does not answer with 200, or with more than 64 MB.
    """
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _Still())
    with opener.open(urllib.request.Request(url, body, dict(headers)), timeout=FETCH_SECONDS) as answer:
        content: bytes = answer.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise OSError("larger than 64 MB")
    return content


class _Still(urllib.request.HTTPRedirectHandler):
    """A redirect is an answer like any other: it would carry the token to another place."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


def _object(content: bytes, what: str) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise Refused(f"{what}: the answer is not understood")
    return found


def _rows(request: Mapping[str, Any]) -> list[list[float]]:
    """Rows of the one input ``features``, whose data may be flat or nested."""
    (tensor,) = request["inputs"]
    shape, values = list(tensor["shape"]), _flat(tensor["data"])
    if tensor["name"] != "features" or len(shape) != 2 or shape[0] * shape[1] != len(values):
        raise ValueError("one input `features` of shape [rows, numbers] is wanted")
    if not 0 < shape[0] <= ROWS_AT_MOST:
        raise ValueError(f"1 to {ROWS_AT_MOST} rows are wanted")
    return [values[start : start + shape[1]] for start in range(0, len(values), shape[1])]


def _flat(values: Any) -> list[float]:
    found: list[float] = []
    for value in values:
        if isinstance(value, list | tuple):
            found += _flat(value)
        else:
            found.append(float(value))
    return found
