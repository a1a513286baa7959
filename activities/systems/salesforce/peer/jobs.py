"""Bulk API 2.0 of the simulated org: query and ingest jobs."""

from typing import Any

from starlette.responses import JSONResponse, Response

from activities.systems.salesforce.peer.rest import BASE
from activities.systems.salesforce.peer.soql import QueryError, parse
from activities.systems.salesforce.peer.state import Job, Org
from activities.systems.salesforce.peer.tables import stamped
from activities.systems.salesforce.peer.wire import Call, Refusal, Route, route

RUNNING = {"query": ("UploadComplete", "InProgress"), "ingest": ("Open", "UploadComplete", "InProgress")}
PAGE = 100


class Jobs:
    """The routes under /jobs."""

    def __init__(self, org: Org) -> None:
        self._org = org

    def routes(self) -> list[Route]:
        """Method, path, function."""
        kind = r"(?P<kind>query|ingest)"
        return [
            route("GET", f"{BASE}/jobs/{kind}", self.list),
            route("POST", f"{BASE}/jobs/{kind}", self.create),
            route("GET", f"{BASE}/jobs/{kind}/{{id}}", self.get),
            route("PATCH", f"{BASE}/jobs/{kind}/{{id}}", self.patch),
            route("DELETE", f"{BASE}/jobs/{kind}/{{id}}", self.delete),
            route("GET", f"{BASE}/jobs/query/{{id}}/results", self.results),
        ]

    def list(self, call: Call) -> Response:
        """Jobs that were not deleted, a page at a time."""
        who, kind = call.principal(), call.part("kind")
        call.read.append("BulkJob")
        mine = "ManageDataIntegrations" not in who.user.permissions
        jobs = [job for job in self._org.jobs.values() if job.kind == kind and not (mine and job.user != who.user.id)]
        start = int(call.query.get("queryLocator", "0") or 0)
        done = start + PAGE >= len(jobs)
        version = call.part("version")
        more = None if done else f"/services/data/v{version}/jobs/{kind}?queryLocator={start + PAGE}"
        shown = [_shown(job) for job in jobs[start : start + PAGE]]
        return JSONResponse({"done": done, "nextRecordsUrl": more, "records": shown})

    def create(self, call: Call) -> Response:
        """A new job."""
        body, kind = call.json(), call.part("kind")
        soql = str(body.get("query", ""))
        if kind == "query":
            try:
                name = parse(soql).table
            except QueryError as error:
                raise Refusal(400, "INVALIDJOB", str(error)) from None
        else:
            name = str(body.get("object", ""))
        job = self._org_job(call, kind, str(body.get("operation", "query")), name, soql)
        return JSONResponse(_shown(job))

    def get(self, call: Call) -> Response:
        """One job; a running one shows more records each time."""
        job = self._job(call)
        call.read.append("BulkJob")
        if job.state == "InProgress":
            job.processed += 1000
        return JSONResponse(_shown(job))

    def patch(self, call: Call) -> Response:
        """Abort, in the states that allow it, by the creator or with Manage Data Integrations."""
        job = self._job(call)
        if call.json().get("state") != "Aborted":
            raise Refusal(400, "INVALIDJOBSTATE", "only Aborted can be set here")
        if job.state not in RUNNING[job.kind]:
            raise Refusal(400, "INVALIDJOBSTATE", f"Aborting already {job.state} Job not allowed")
        job.state = "Aborted"
        self._org.changed(call.actor, "bulk_job.aborted", job.id)
        self._logged(job, "Aborted")
        return JSONResponse(_shown(job))

    def delete(self, call: Call) -> Response:
        """Delete a finished job: it leaves the list, and stays in the event log."""
        job = self._job(call)
        if job.state in RUNNING[job.kind]:
            raise Refusal(400, "INVALIDJOBSTATE", "a job in progress cannot be deleted")
        del self._org.jobs[job.id]
        self._org.changed(call.actor, "bulk_job.deleted", job.id)
        self._logged(job, "Deleted")
        return Response(status_code=204)

    def results(self, call: Call) -> Response:
        """The rows of a finished query job, as CSV."""
        job = self._job(call)
        if job.state != "JobComplete":
            raise Refusal(400, "INVALIDJOBSTATE", "the job is not complete")
        call.read.append(f"BulkResult:{job.object}")
        rows = self._org.rows.get(job.object, [])
        lines = ['"Id"', *(f'"{row["Id"]}"' for row in rows)]
        return Response("\n".join(lines) + "\n", media_type="text/csv", headers={"Sforce-Locator": "null"})

    def _job(self, call: Call) -> Job:
        who = call.principal()
        job: Job | None = self._org.find(self._org.jobs, call.part("id"))
        if job is None or job.kind != call.match.groupdict().get("kind", "query"):  # type: ignore[union-attr]
            raise Refusal(404, "NOT_FOUND", "The requested resource does not exist")
        if job.user != who.user.id:
            call.need("ManageDataIntegrations")
        return job

    def _org_job(self, call: Call, kind: str, operation: str, name: str, soql: str) -> Job:
        who, org = call.principal(), self._org
        job = Job(org.mint("750"), kind, operation, name, who.user.id, "UploadComplete", org.now(), soql)
        job.app = who.session.app
        org.jobs[job.id] = job
        org.changed(call.actor, "bulk_job.created", job.id)
        self._logged(job, "UploadComplete")
        return job

    def _logged(self, job: Job, status: str) -> None:
        """A line of the event log, with the 15-character id that logs use."""
        self._org.log_event(
            "BulkApi2",
            self._org.users[job.user],
            JOB_ID=job.id[:15],
            JOB_STATUS=status,
            ENTITY_NAME=job.object,
            OPERATION_TYPE=job.operation,
            ROWS_PROCESSED=job.processed,
        )


def _shown(job: Job) -> dict[str, Any]:
    return {
        "id": job.id,
        "operation": job.operation,
        "object": job.object,
        "createdById": job.user,
        "createdDate": stamped(job.created),
        "systemModstamp": stamped(job.created),
        "state": job.state,
        "jobType": "V2Query" if job.kind == "query" else "V2Ingest",
        "concurrencyMode": "Parallel",
        "contentType": "CSV",
        "apiVersion": 65.0,
        "numberRecordsProcessed": job.processed,
    }
