"""The simulated training service as an ASGI application: authentication, routes, and jobs that really train.

``TrainingPeer.CHANGING`` lists the requests that change something, for whoever records effects.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from activities.systems.training.peer.registry import MlflowLog, Registered, RegistryRefused
from activities.systems.training.peer.release import Built, build
from activities.systems.training.peer.service import ENDED, Job, Marked, Refusal, Service

LARGEST_BODY = 8 * 1024 * 1024
LONGEST_WAIT = 25.0
TURN = 0.02

Handler = Callable[[Request], Awaitable[Response]]


class TrainingPeer:
    """One training service over HTTP.

    Args:
        service: Its state.
        registry: Where it logs; without one, jobs succeed and register nothing.
        pace: Seconds that each phase of a job takes at least.
    """

    name = "training"
    CHANGING: ClassVar[tuple[tuple[str, str, str], ...]] = (
        ("PUT", r"/v1/datasets/([^/]+)/holds/([^/?]+)", "dataset_held"),
        ("DELETE", r"/v1/datasets/([^/]+)/holds/([^/?]+)", "dataset_released"),
        ("PUT", r"/v1/pipelines/([^/]+)/pauses/([^/?]+)", "pipeline_paused"),
        ("DELETE", r"/v1/pipelines/([^/]+)/pauses/([^/?]+)", "pipeline_resumed"),
        ("POST", r"/v1/jobs", "job_started"),
        ("POST", r"/v1/jobs/([^/]+)/cancel", "job_cancelled"),
    )
    """Method, path (the first group is the target; of a start it is ``id`` in the answer), kind of effect."""

    def __init__(self, service: Service, registry: MlflowLog | None = None, pace: float = 0.0) -> None:
        self.service, self.registry, self.pace = service, registry, pace
        self._starting: asyncio.Lock | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._app = Starlette(
            routes=[
                Route("/v1/whoami", self._as("read", self._whoami), methods=["GET"]),
                Route("/v1/pipelines/{name}", self._as("read", self._pipeline), methods=["GET"]),
                Route(
                    "/v1/pipelines/{name}/pauses/{holder}", self._as("pause", self._pause), methods=["PUT", "DELETE"]
                ),
                Route("/v1/datasets/{name}", self._as("read", self._dataset), methods=["GET"]),
                Route("/v1/datasets/{name}/holds/{holder}", self._as("hold", self._hold), methods=["PUT", "DELETE"]),
                Route("/v1/jobs", self._as("read", self._jobs), methods=["GET"]),
                Route("/v1/jobs", self._as("start", self._start), methods=["POST"]),
                Route("/v1/jobs/{id}", self._as("read", self._job), methods=["GET"]),
                Route("/v1/jobs/{id}/cancel", self._as("start", self._cancel), methods=["POST"]),
            ]
        )

    def view(self) -> dict[str, Any]:
        """Its state, without secrets."""
        return self.service.view()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        await self._app(scope, receive, send)

    def _as(self, right: str, handler: Handler) -> Handler:
        """Only for an account that has a right; refusals as the contract writes them."""

        async def served(request: Request) -> Response:
            try:
                scheme, _, token = request.headers.get("Authorization", "").partition(" ")
                account = self.service.accounts.get(token) if scheme.lower() == "bearer" else None
                if account is None:
                    raise Refusal(401, "unauthorised")
                if right not in account.may:
                    raise Refusal(403, "forbidden", f"the account lacks the right to {right}")
                return await handler(request)
            except Refusal as refusal:
                body = {"error": {"code": refusal.code, "message": refusal.message}}
                return JSONResponse(body, status_code=refusal.status)

        return served

    async def _whoami(self, request: Request) -> Response:
        account = self.service.accounts[request.headers["Authorization"].partition(" ")[2]]
        return JSONResponse({"account": account.name, "may": list(account.may)})

    async def _pipeline(self, request: Request) -> Response:
        return JSONResponse(self.service.pipeline_view(self.service.pipeline(request.path_params["name"])))

    async def _dataset(self, request: Request) -> Response:
        return JSONResponse(self.service.dataset_view(self.service.dataset(request.path_params["name"])))

    async def _pause(self, request: Request) -> Response:
        pipeline = self.service.pipeline(request.path_params["name"])
        await self._mark(request, pipeline)
        return JSONResponse(self.service.pipeline_view(pipeline))

    async def _hold(self, request: Request) -> Response:
        dataset = self.service.dataset(request.path_params["name"])
        await self._mark(request, dataset)
        return JSONResponse(self.service.dataset_view(dataset))

    async def _mark(self, request: Request, marked: Marked) -> None:
        holder = request.path_params["holder"]
        if request.method == "DELETE":
            marked.unmark(holder, request.query_params.get("mark", ""))
            return
        body = await _body(request)
        if not isinstance(body.get("mark"), str) or not body["mark"]:
            raise Refusal(400, "invalid_request", "needs a mark")
        marked.mark(holder, body["mark"], str(body.get("reason", "")), self.service.now())

    async def _jobs(self, request: Request) -> Response:
        key = request.query_params.get("key")
        jobs = [job for job in self.service.jobs.values() if key is None or job.key == key]
        return JSONResponse({"jobs": [job.view() for job in jobs]})

    async def _job(self, request: Request) -> Response:
        job = self.service.job(request.path_params["id"])
        try:
            wait = min(float(request.query_params.get("wait", "0")), LONGEST_WAIT)
        except ValueError:
            raise Refusal(400, "invalid_request", "wait is a number of seconds") from None
        seen, turns = (job.state, job.phase), int(wait / TURN)
        while turns > 0 and job.state not in ENDED and (job.state, job.phase) == seen:
            turns -= 1
            await asyncio.sleep(TURN)
        return JSONResponse(job.view())

    async def _start(self, request: Request) -> Response:
        key, body = request.headers.get("Idempotency-Key", ""), await _body(request)
        self._starting = self._starting or asyncio.Lock()
        # One at a time: two requests under one key are one job.
        async with self._starting:
            known = self.service.known(key, body)
            if known is not None:
                return JSONResponse(known.view())
            self.service.check(body)
            job = self.service.create(key, body, await self._base(body))
            task = asyncio.create_task(self._work(job))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return JSONResponse(job.view(), status_code=201)

    async def _cancel(self, request: Request) -> Response:
        job = self.service.job(request.path_params["id"])
        if job.state != "cancelled":
            self.service.cancel(job)
        return JSONResponse(job.view())

    async def _base(self, body: dict[str, Any]) -> str | None:
        if self.registry is None:
            return None
        try:
            digest = await asyncio.to_thread(self.registry.release_digest, body["model"], body["base_version"])
        except RegistryRefused:
            raise Refusal(503, "not_ready", "the registry does not answer") from None
        if digest is None:
            raise Refusal(422, "no_such_base", "the registry has no such base version")
        return digest

    async def _work(self, job: Job) -> None:
        """Train, wait while somebody else pauses the pipeline, register. A cancelled job stops between phases."""
        try:
            if not await self._phase(job, "training"):
                return
            made = {builder: await asyncio.to_thread(self._train, job, builder) for builder in job.builders}
            built = made[job.builders[0]]
            while self.service.pipelines[job.inputs["pipeline"]].stops(job.body["holder"]) and job.state not in ENDED:
                job.phase = "waiting"
                await asyncio.sleep(TURN)
            if not await self._phase(job, "registering"):
                return
            builds = [
                {"builder": name, "isolated": name not in self.service.shared, "release_digest": one.digest}
                for name, one in made.items()
            ]
            result: dict[str, Any] = {"version": None, "run": None, "metrics": built.metrics, "builds": builds}
            if self.registry is not None:
                registered = await asyncio.to_thread(self._register, job, built)
                result |= registered._asdict()
            self.service.end(job, "succeeded", result=result)
        except RegistryRefused:
            self.service.end(job, "failed", error="registry_refused")
        except ValueError:
            self.service.end(job, "failed", error="training_failed")

    async def _phase(self, job: Job, phase: str) -> bool:
        if job.state in ENDED:
            return False
        job.state, job.phase = "running", phase
        if self.pace and phase != "registering":
            await asyncio.sleep(self.pace)
        return job.state not in ENDED

    def _train(self, job: Job, builder: str) -> Built:
        service = self.service
        seed = job.inputs["seed"] + (builder in service.drifting)
        taken = job.taken if service.ignores_exclusions else job.taken.without(job.inputs["exclude"])
        return build(taken, seed, service.clock(), incident=service.incident, name=job.inputs["model"])

    def _register(self, job: Job, built: Built) -> Registered:
        assert self.registry is not None
        service, inputs = self.service, job.inputs
        return self.registry.register(
            inputs["model"],
            built,
            taken=job.taken,
            builder=job.builders[0],
            built_at=service.clock(),
            trainer=inputs["trainer"],
            params={"job": job.id, "inputs_digest": job.view()["inputs_digest"], "seed": str(inputs["seed"])},
            tags={"job": job.id, "inputs_digest": job.view()["inputs_digest"], "base_version": inputs["base_version"]},
        )


async def _body(request: Request) -> dict[str, Any]:
    content = await request.body()
    if len(content) > LARGEST_BODY:
        raise Refusal(413, "too_large")
    try:
        body = json.loads(content)
    except ValueError:
        raise Refusal(400, "invalid_request", "the body is not JSON") from None
    if not isinstance(body, dict):
        raise Refusal(400, "invalid_request", "the body is not an object")
    return body
