"""The client of one training service, as ``docs/job-api.md`` has it. Synchronous, safe to use from any thread."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import quote

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
from activities.systems.training.config import TrainingConfig
from activities.systems.training.models import Dataset, Job, Order, Pipeline, name
from playbooks.contract import Json

T = TypeVar("T")
WAITS = {
    "dataset_held": "Somebody else holds the dataset. Look who, and ask for its release.",
    "pipeline_paused": "Somebody else has paused the pipeline. Look who, and ask.",
    "inputs_changed": "The dataset or the code is not what was looked at. Look at it again, then start anew.",
    "key_reused": "Another job was started under this key. Look at the service's list of jobs.",
    "job_ended": "The job has ended already.",
    "mark_changed": "Somebody has put another in its place since.",
}
"""Codes of the contract that a person can do something about."""


def connect(config: Mapping[str, Any] | TrainingConfig, vault: Vault) -> "Training":
    """A client; nothing is sent before its first use.

    Raises:
        AuthFailed: The settings cannot be used; the message says which.
    """
    read = settings_of(TrainingConfig, "training", config)
    return Training(read, vault.get(read.token))


def connect_reading(config: Mapping[str, Any] | TrainingConfig, vault: Vault) -> "Training":
    """A client that can only read: any other request is refused before it leaves this process.

    Raises:
        AuthFailed: As of ``connect``.
    """
    read = settings_of(TrainingConfig, "training", config)
    return Training(read, vault.get(read.reading_token or read.token), reading=True)


class Training:
    """One training service, as Stanch's integration sees it."""

    def __init__(self, config: TrainingConfig, token: str, *, reading: bool = False) -> None:
        self.config = config
        self._reading = reading
        self._own: tuple[str, ...] = ()
        self._http = httpx.Client(
            base_url=config.endpoint or config.url,
            headers={"Authorization": f"Bearer {token.strip()}", "Accept": "application/json"},
            timeout=httpx.Timeout(config.read_timeout, connect=config.connect_timeout),
            follow_redirects=False,
            trust_env=False,
        )

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    @property
    def own(self) -> tuple[str, ...]:
        """The account that Stanch uses there, once known."""
        return self._own

    def ping(self) -> str:
        """Look who Stanch is there and what it may do; a sentence for ``stanch doctor``.

        Raises:
            Forbidden: A permission is missing; the message says which.
        """
        who = self._get("/v1/whoami", {}, "asking who we are", dict)
        account, may = str(who["account"]), set(map(str, who["may"]))
        self._own = (account,)
        missing = sorted({"read", "start", "hold", "pause"} - may)
        if missing and not self._reading:
            raise Forbidden(f"Signed in as {account}, but these permissions are missing: {', '.join(missing)}.")
        return f"Signed in as {account}; may {', '.join(sorted(may))}."

    # Reading

    def pipeline(self, pipeline: str) -> Pipeline:
        """A pipeline, with its pauses and running jobs."""
        return self._get(f"/v1/pipelines/{name(pipeline, 'pipeline')}", {}, "reading a pipeline", Pipeline.of)

    def dataset(self, dataset: str) -> Dataset:
        """A dataset, with its holds."""
        return self._get(f"/v1/datasets/{name(dataset, 'dataset')}", {}, "reading a dataset", Dataset.of)

    def job(self, job: str, wait: float = 0) -> Job:
        """A job, at once, or when its state has changed within ``wait`` seconds."""
        params = {"wait": f"{wait:g}"} if wait else {}
        return self._get(f"/v1/jobs/{name(job, 'job')}", params, "reading a job", Job.of)

    def job_of(self, key: str) -> Job | None:
        """The job that was started under an idempotency key, if there is one."""

        def first(answer: Mapping[str, Any]) -> Job | None:
            return next((Job.of(row) for row in answer["jobs"]), None)

        return self._get("/v1/jobs", {"key": key}, "looking for a job", first)

    # Changing

    def hold(self, dataset: str, holder: str, mark: str, reason: str) -> Dataset:
        """Hold a dataset for an incident; a hold of that holder that is there already stays as it is."""
        path = f"/v1/datasets/{name(dataset, 'dataset')}/holds/{quote(holder, safe='')}"
        return self._change("PUT", path, {"mark": mark, "reason": reason}, "holding a dataset", Dataset.of)

    def release(self, dataset: str, holder: str, mark: str) -> Dataset:
        """Release a hold of ours.

        Raises:
            Conflict: Another one has taken its place.
        """
        path = f"/v1/datasets/{name(dataset, 'dataset')}/holds/{quote(holder, safe='')}?mark={quote(mark, safe='')}"
        return self._change("DELETE", path, None, "releasing a dataset", Dataset.of)

    def pause(self, pipeline: str, holder: str, mark: str, reason: str) -> Pipeline:
        """Pause a pipeline for an incident; a pause of that holder that is there already stays as it is."""
        path = f"/v1/pipelines/{name(pipeline, 'pipeline')}/pauses/{quote(holder, safe='')}"
        return self._change("PUT", path, {"mark": mark, "reason": reason}, "pausing a pipeline", Pipeline.of)

    def resume(self, pipeline: str, holder: str, mark: str) -> Pipeline:
        """End a pause of ours.

        Raises:
            Conflict: Another one has taken its place.
        """
        path = f"/v1/pipelines/{name(pipeline, 'pipeline')}/pauses/{quote(holder, safe='')}?mark={quote(mark, safe='')}"
        return self._change("DELETE", path, None, "resuming a pipeline", Pipeline.of)

    def start(self, order: Order, key: str) -> Job:
        """Start a job; under a key that was used before, the job that was started then."""
        return self._change("POST", "/v1/jobs", order.body(), "starting a job", Job.of, key=key)

    def cancel(self, job: str) -> Job:
        """Cancel a job.

        Raises:
            Conflict: It has ended already.
        """
        return self._change("POST", f"/v1/jobs/{name(job, 'job')}/cancel", {}, "cancelling a job", Job.of)

    # The way out

    def _get(self, path: str, params: Mapping[str, str], doing: str, parse: Callable[[Any], T]) -> T:
        return self._send("GET", path, doing, parse, params=dict(params))

    def _change(
        self, method: str, path: str, body: dict[str, Json] | None, doing: str, parse: Callable[[Any], T], key: str = ""
    ) -> T:
        if self._reading:
            raise Rejected(f"The training service, {doing}: only reads are allowed here. Nothing was sent.")
        headers = {"Idempotency-Key": key} if key else {}
        return self._send(method, path, doing, parse, json=body, headers=headers)

    def _send(self, method: str, path: str, doing: str, parse: Callable[[Any], T], **more: Any) -> T:
        write = method != "GET"
        try:
            answer = self._http.request(method, path, **more)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout):
            raise Unavailable(f"The training service cannot be reached ({doing}). Nothing was sent.") from None
        except httpx.TimeoutException:
            if write:
                raise _lost(doing) from None
            raise Timeout(f"The training service did not answer in time ({doing}). Nothing was changed.") from None
        except httpx.HTTPError:
            if write:
                raise _lost(doing) from None
            raise Unavailable(f"The training service's answer broke off ({doing}). Nothing was changed.") from None
        if not answer.is_success:
            raise _refusal(answer, doing, write=write)
        try:
            return parse(answer.json())
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            if write:
                raise _lost(doing) from None
            kind = type(error).__name__
            raise Unavailable(
                f"The training service gave an answer that is not understood ({doing}, {kind}). Nothing was changed."
            ) from None


def _lost(doing: str) -> Ambiguous:
    return Ambiguous(f"The training service's answer was lost ({doing}); it may have been done.")


def _refusal(answer: httpx.Response, doing: str, *, write: bool) -> ConnectorError:
    """The error for an answer that is not a success; of its text only the code is kept."""
    status, code = answer.status_code, _code(answer)
    said = f"The training service, {doing}: {status} {code}".rstrip()
    hint = WAITS.get(code, "")
    if status == 401:
        return AuthFailed(f"{said}. It does not accept Stanch's token. Nothing was done. Check systems.training.token.")
    if status == 403:
        return Forbidden(f"{said}. Stanch's account lacks a permission. Nothing was done. `stanch doctor` says which.")
    if status == 404:
        return NotFound(f"{said}. It is not there. Nothing was done.")
    if status in (409, 412) or code == "key_reused":
        return Conflict(f"{said}. Nothing was changed. {hint}".rstrip())
    if status == 429:
        return RateLimited(f"{said}. Nothing was changed; it is tried again later.", wait_of(answer.headers))
    if (status, code) == (503, "not_ready"):
        # The contract: with this code nothing was begun. A proxy's 503 says no such thing.
        return Unavailable(f"{said}. The service is not ready. Nothing was changed.")
    if status >= 500:
        return _lost(doing) if write else Unavailable(f"{said}. Nothing was changed.")
    return Rejected(f"{said}. The request was refused as it stands. Nothing was changed.")


def _code(answer: httpx.Response) -> str:
    try:
        code = answer.json()["error"]["code"]
    except (ValueError, KeyError, TypeError):
        return ""
    return code if isinstance(code, str) and code.isascii() and code.replace("_", "").isalnum() else ""
