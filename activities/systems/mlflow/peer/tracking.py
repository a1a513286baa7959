"""Experiments, runs and artifacts of the simulated server."""

import mimetypes
from collections.abc import Callable
from typing import Any

from starlette.responses import Response

from activities.systems.mlflow.peer.state import Registry, Run
from activities.systems.mlflow.peer.wire import Call, Refusal, answer, gone, invalid, pairs

SCHEME = "mlflow-artifacts:/"


class Tracking:
    """Routes under ``experiments/``, ``runs/`` and ``artifacts/``."""

    def __init__(self, state: Registry) -> None:
        self._state = state

    def routes(self) -> dict[tuple[str, str], Callable[[Call], Response]]:
        """Method and name to function."""
        return {
            ("POST", "experiments/create"): self.create_experiment,
            ("GET", "experiments/get-by-name"): self.get_experiment,
            ("POST", "runs/create"): self.create_run,
            ("GET", "runs/get"): self.get_run,
            ("POST", "runs/update"): self.update_run,
            ("POST", "runs/log-batch"): self.log_batch,
            ("POST", "runs/log-metric"): self.log_metric,
            ("POST", "runs/log-parameter"): self.log_parameter,
            ("POST", "runs/set-tag"): self.set_tag,
            ("GET", "artifacts/list"): self.list_artifacts,
        }

    def create_experiment(self, call: Call) -> Response:
        """A new experiment."""
        name = call.need("name")
        if name in self._state.experiments.values():
            raise Refusal("RESOURCE_ALREADY_EXISTS", f"Experiment(name={name}) already exists.")
        number = str(len(self._state.experiments))
        self._state.experiments[number] = name
        return answer({"experiment_id": number})

    def get_experiment(self, call: Call) -> Response:
        """An experiment by name."""
        name = call.need("experiment_name")
        for number, known in self._state.experiments.items():
            if known == name:
                return answer(
                    {
                        "experiment": {
                            "experiment_id": number,
                            "name": name,
                            "artifact_location": f"{SCHEME}{number}",
                            "lifecycle_stage": "active",
                        }
                    }
                )
        gone(f"Could not find experiment with name '{name}'")

    def create_run(self, call: Call) -> Response:
        """A new run."""
        experiment = call.need("experiment_id")
        if experiment not in self._state.experiments:
            gone(f"No Experiment with id={experiment} exists")
        tags = {str(tag["key"]): str(tag.get("value") or "") for tag in call.given.get("tags") or ()}
        id_ = self._state.new_id()
        name = str(call.given.get("run_name") or f"run-{id_[:6]}")
        started = int(call.given.get("start_time") or self._state.now())
        run = Run(id_, experiment, name, started, tags={**tags, "mlflow.runName": name})
        self._state.runs[id_] = run
        made = _run(run)
        del made["outputs"]
        return answer({"run": made})

    def get_run(self, call: Call) -> Response:
        """A run."""
        return answer({"run": _run(self._find(call))})

    def update_run(self, call: Call) -> Response:
        """Status, end."""
        run = self._find(call)
        run.status = str(call.given.get("status") or run.status)
        run.ended = int(call.given["end_time"]) if call.given.get("end_time") else run.ended
        return answer({"run_info": _run(run)["info"]})

    def log_batch(self, call: Call) -> Response:
        """Metrics, parameters, tags."""
        run = self._find(call)
        for metric in call.given.get("metrics") or ():
            run.metrics.append(_metric(metric))
        for param in call.given.get("params") or ():
            self._set_parameter(run, str(param["key"]), str(param.get("value") or ""))
        for tag in call.given.get("tags") or ():
            run.tags[str(tag["key"])] = str(tag.get("value") or "")
        return answer({})

    def log_metric(self, call: Call) -> Response:
        """A metric."""
        self._find(call).metrics.append(_metric({**call.given, "key": call.need("key")}))
        return answer({})

    def log_parameter(self, call: Call) -> Response:
        """A parameter; it is never changed."""
        self._set_parameter(self._find(call), call.need("key"), str(call.given.get("value") or ""))
        return answer({})

    def set_tag(self, call: Call) -> Response:
        """A tag of a run."""
        self._find(call).tags[call.need("key")] = str(call.given.get("value") or "")
        return answer({})

    def list_artifacts(self, call: Call) -> Response:
        """Files of a run, with their path below the run's own folder."""
        run, below = self._find(call), str(call.given.get("path") or "").strip("/")
        root = f"{run.experiment}/{run.id}/artifacts"
        prefix = f"{below}/" if below else ""
        rows = _listed(self._state.children(f"{root}/{below}"), prefix)
        return answer({"root_uri": f"{SCHEME}{root}", "files": rows})

    # The artifact proxy

    def proxied(self, call: Call) -> Response:
        """A file behind ``mlflow-artifacts/artifacts/``."""
        path = call.rest
        if ".." in path.split("/") or path.startswith("/"):
            raise invalid("Invalid path")
        if call.method == "PUT":
            self._state.files[path] = call.body
            return Response(b"", 200)
        if call.method == "DELETE":
            prefix = f"{path}/"
            self._state.files = {
                name: content
                for name, content in self._state.files.items()
                if name != path and not name.startswith(prefix)
            }
            return answer({})
        content = self._state.files.get(path)
        if content is None:
            gone(f"No such artifact: '{path}'")
        media_type = mimetypes.guess_type(path)[0] or "application/octet-stream"
        return Response(content, 200, headers={"content-type": media_type})

    def proxied_list(self, call: Call) -> Response:
        """Names in a folder behind the proxy."""
        return answer({"files": _listed(self._state.children(str(call.given.get("path") or "")), "")})

    def _find(self, call: Call) -> Run:
        id_ = call.need("run_id")
        found = self._state.runs.get(id_)
        return found if found is not None else gone(f"Run with id={id_} not found")

    def _set_parameter(self, run: Run, key: str, value: str) -> None:
        known = run.params.setdefault(key, value)
        if known != value:
            raise invalid(
                f"Changing param values is not allowed. Param with key='{key}' was already logged with "
                f"value='{known}' for run ID='{run.id}'. Attempted logging new value '{value}'."
            )


def _metric(given: Any) -> dict[str, Any]:
    value = given.get("value", 0.0)
    return {
        "key": str(given["key"]),
        "value": value if value in ("NaN", "Infinity", "-Infinity") else float(value),
        "timestamp": int(given.get("timestamp") or 0),
        "step": int(given.get("step") or 0),
    }


def _listed(children: list[tuple[str, int | None]], prefix: str) -> list[dict[str, Any]]:
    return [
        {"path": f"{prefix}{name}", "is_dir": True}
        if size is None
        else {"path": f"{prefix}{name}", "is_dir": False, "file_size": size}
        for name, size in children
    ]


def _run(run: Run) -> dict[str, Any]:
    latest: dict[str, dict[str, Any]] = {}
    for metric in run.metrics:
        known = latest.get(metric["key"])
        if known is None or (metric["step"], metric["timestamp"]) >= (known["step"], known["timestamp"]):
            latest[metric["key"]] = metric
    return {
        "info": {
            "run_uuid": run.id,
            "experiment_id": run.experiment,
            "run_name": run.name,
            "user_id": "",
            "status": run.status,
            "start_time": run.started,
            "end_time": run.ended,
            "artifact_uri": f"{SCHEME}{run.experiment}/{run.id}/artifacts",
            "lifecycle_stage": run.stage,
            "run_id": run.id,
        },
        "data": {
            "metrics": list(latest.values()),
            "params": pairs(run.params),
            "tags": pairs(run.tags),
        },
        "inputs": {},
        "outputs": {},
    }
