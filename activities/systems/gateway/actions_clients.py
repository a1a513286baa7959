"""Gateway actions that look: state, clients, what a client gets, how a server fares."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from activities.action import Action, Applied, Params, Proposal, Result, Targets, action
from activities.context import ActionContext
from activities.errors import ConnectorError, InvalidParams, NotFound
from activities.systems.gateway import models
from activities.systems.gateway.client import DENIED_IN_FILE, share
from activities.systems.gateway.declared import OWNER, STATE, Nothing
from activities.systems.gateway.models import LISTS, Seen, digest
from playbooks.contract import Risk, TargetSet


class StateSecured(Result):
    """What the gateway refused, limited and served when the snapshot was taken."""

    certificates_blocked: int
    keys_blocked: int
    limits: int
    servers: int


@action("gateway.snapshot_state", risk=Risk.READ, owner=OWNER, acquires=STATE, timeout=timedelta(minutes=2))
class SnapshotState(Action[Nothing, StateSecured]):
    """Secure the gateway's state: lists, limits, servers, clients seen, policy data."""

    def apply(self, params: Nothing, ctx: ActionContext, proposal: Proposal) -> Applied[StateSecured]:
        """Live and as kept in files: where the two differ, somebody changed one of them only."""
        gateway = ctx.client
        lists = {found.file: {"live": gateway.live(found), "kept": gateway.kept(found)} for found in LISTS}
        servers = [vars(server) for server in gateway.servers()]
        seen = [{**vars(client), "last": client.last.isoformat()} for client in gateway.seen()]
        warnings = []
        kept: dict[str, Any] = {"lists": lists, "servers": servers, "seen": seen, "revoked": sorted(gateway.revoked())}
        try:
            kept["policy"] = gateway.policy.read("stanch")
        except ConnectorError as error:
            warnings.append(f"the policy engine's data could not be read ({error.code})")
        try:
            kept["policy_kept"] = gateway.files.data(models.DATA, *DENIED_IN_FILE)
        except NotFound:
            warnings.append("the file of the policy engine's data is not there")
        _keep(ctx, kept, "gateway.state")
        differing = [file for file, both in lists.items() if both["live"] != both["kept"]]
        if differing:
            warnings.append(f"live and in its file not the same: {', '.join(differing)}")
        return Applied(
            StateSecured(
                certificates_blocked=len(lists[models.CERTIFICATES.file]["live"]),
                keys_blocked=len(lists[models.KEYS.file]["live"]),
                limits=len(lists[models.LIMITS.file]["live"].keys() - {"default"}),
                servers=len(servers),
            ),
            summary=f"{len(servers)} servers and {len(seen)} clients secured",
            warnings=tuple(warnings),
        )


class ListClientsParams(Params):
    """Which clients: names, fingerprints or hashes of keys, or all; only those seen since an instant."""

    callers: Targets | None = None
    since: datetime | None = None


class ClientsListed(Result):
    """Certificates by reference (rows ``{id, label, key?}``), API keys, and what was named but never seen."""

    targets: TargetSet
    keys: TargetSet
    count: int
    missing: list[str]


@action("gateway.list_clients", risk=Risk.READ, owner=OWNER, timeout=timedelta(minutes=2))
class ListClients(Action[ListClientsParams, ClientsListed]):
    """List the gateway's clients and the certificates they used."""

    def apply(self, params: ListClientsParams, ctx: ActionContext, proposal: Proposal) -> Applied[ClientsListed]:
        """Without ``since`` those of the last week. A client that never sent a request is not known here."""
        found, whole = ctx.client.clients(params.since or datetime.now(UTC) - models.LONGEST_SEEN)
        missing: list[str] = []
        if params.callers is not None:
            found, missing = models.chosen(found, [str(row["id"]) for row in ctx.rows(params.callers)])
        targets = ctx.put_rows(_certificates(found), name="gateway.clients")
        keys = ctx.put_rows(_keys(found), name="gateway.keys")
        warnings = ["some of the named callers were not seen by this gateway"] if missing else []
        if not whole:
            warnings.append("only those since the gateway's last reload are sure to be here: its log is not read whole")
            targets, keys = (rows.model_copy(update={"complete": False}) for rows in (targets, keys))
        return Applied(
            ClientsListed(targets=targets, keys=keys, count=targets.count, missing=missing),
            summary=f"{targets.count} certificates and {keys.count} keys",
            warnings=tuple(warnings),
        )


class CheckClientParams(Params):
    """One fingerprint, or targets as ``gateway.list_clients`` gives them: certificates or keys."""

    fingerprint: str | None = None
    targets: Targets | None = None


class ClientsChecked(Result):
    """How many of them would be let in now, and how many refused."""

    allowed: int
    refused: int


@action("gateway.check_client", risk=Risk.READ, owner=OWNER, timeout=timedelta(minutes=2))
class CheckClient(Action[CheckClientParams, ClientsChecked]):
    """Check whether the gateway would let a client in."""

    def apply(self, params: CheckClientParams, ctx: ActionContext, proposal: Proposal) -> Applied[ClientsChecked]:
        """The lists of the running gateway, then what policy says; no credential is needed."""
        rows = [] if params.targets is None else ctx.rows(params.targets)
        if params.fingerprint is not None:
            rows = [{"id": params.fingerprint}, *rows]
        if not rows:
            raise InvalidParams("No client was named. Nothing was asked. Give a fingerprint or targets.")
        seen = ctx.client.seen()
        names = {client.certificate: client.name for client in seen if client.certificate}
        keys = {client.key for client in seen if client.key and not client.certificate}
        allowed = 0
        for row in rows:
            id_ = digest(str(row["id"]))
            if row.get("kind") == "key" or (id_ in keys and id_ not in names):
                allowed += ctx.client.allows(key=id_)
            else:
                allowed += ctx.client.allows(certificate=id_, name=names.get(id_) or str(row.get("label", "")))
        return Applied(
            ClientsChecked(allowed=allowed, refused=len(rows) - allowed),
            summary=f"{allowed} would be let in, {len(rows) - allowed} refused",
        )


class ProbeGatewayParams(Params):
    """As whom: a reference such as ``secret:file/thief.pem`` of certificate and key in PEM, or of an API key."""

    credential: str
    path: str | None = None


class GatewayProbed(Result):
    """The status (0 if the certificate was refused), whether it was a refusal, whether log probabilities came."""

    status: int
    refused: bool
    log_probabilities: bool


@action("gateway.probe_gateway", risk=Risk.READ, owner=OWNER, timeout=timedelta(minutes=1))
class ProbeGateway(Action[ProbeGatewayParams, GatewayProbed]):
    """Ask the gateway as a client does, and see what it gets."""

    def apply(self, params: ProbeGatewayParams, ctx: ActionContext, proposal: Proposal) -> Applied[GatewayProbed]:
        """One request that asks for log probabilities. It counts against that client's limit."""
        if not params.credential.startswith("secret:"):
            raise InvalidParams(
                "The credential is a reference such as secret:file/PATH, never itself. Nothing was sent."
            )
        got = ctx.client.probe(params.credential, params.path)
        warnings = () if got.readable else ("the answer could not be read, so it counts as one with log probabilities",)
        return Applied(
            GatewayProbed(status=got.status, refused=got.refused, log_probabilities=got.log_probabilities),
            summary=f"status {got.status}" if got.status else "the certificate was refused",
            warnings=warnings,
        )


class CheckErrorsParams(Params):
    """Of which server; compared with another server of the backend, or with a rate.

    ``since_requests`` and ``since_errors`` are ``total_requests`` and ``total_errors`` of an earlier check: only
    what came after it is counted.
    """

    backend: str
    server: str
    baseline: str | None = None
    at_most: float = 0.02
    at_least: int = 20
    since_requests: int = 0
    since_errors: int = 0


class ErrorsChecked(Result):
    """Requests, errors among them, their rate; healthy only with enough requests and no more errors than allowed."""

    requests: int
    errors: int
    rate: float
    healthy: bool
    enough: bool
    share: float
    total_requests: int
    total_errors: int


@action("gateway.check_errors", risk=Risk.READ, owner=OWNER)
class CheckErrors(Action[CheckErrorsParams, ErrorsChecked]):
    """Check how many of a server's requests fail."""

    def apply(self, params: CheckErrorsParams, ctx: ActionContext, proposal: Proposal) -> Applied[ErrorsChecked]:
        """An error: no connection, no whole answer, or a status of 500 and above."""
        servers = ctx.client.servers(models.name(params.backend))
        found = next((server for server in servers if server.name == params.server), None)
        if found is None:
            raise NotFound(f"The gateway has no server {models.name(params.server)} in {params.backend}.")
        warnings = []
        requests, errors = found.requests - params.since_requests, found.errors - params.since_errors
        if requests < 0 or errors < 0:
            requests, errors = found.requests, found.errors
            warnings.append("the gateway was reloaded since: what came before is not counted")
        rate = errors / requests if requests else 0.0
        most = params.at_most
        if params.baseline is not None:
            other = next((server for server in servers if server.name == params.baseline), None)
            if other is None:
                raise NotFound(f"The gateway has no server {models.name(params.baseline)} in {params.backend}.")
            most += other.errors / other.requests if other.requests else 0.0
        enough = requests >= params.at_least
        if not enough:
            warnings.append(f"only {requests} requests: too few to call it healthy")
        return Applied(
            ErrorsChecked(
                requests=requests,
                errors=errors,
                rate=round(rate, 6),
                healthy=enough and rate <= most and found.takes,
                enough=enough,
                share=round(share(servers, found.name), 1),
                total_requests=found.requests,
                total_errors=found.errors,
            ),
            summary=f"{errors} of {requests} requests failed",
            warnings=tuple(warnings),
        )


def _certificates(found: list[Seen]) -> list[dict[str, Any]]:
    rows: dict[str, dict[str, Any]] = {}
    for client in found:
        if client.certificate:
            row = rows.setdefault(client.certificate, {"id": client.certificate, "label": client.name})
            if client.key:
                row["key"] = client.key
    return list(rows.values())


def _keys(found: list[Seen]) -> list[dict[str, Any]]:
    named = {client.key: client.name for client in found if client.key}
    return [{"id": key, "label": name, "kind": "key"} for key, name in named.items()]


def _keep(ctx: ActionContext, content: Any, name: str) -> None:
    ctx.put(json.dumps(content, sort_keys=True).encode(), name=f"{name}.json")


ACTIONS = (SnapshotState, ListClients, CheckClient, ProbeGateway, CheckErrors)
