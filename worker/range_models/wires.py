"""How the wires of registry, serving, policy engine, training and certificates are read by their fronts."""

import hashlib
import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Any

from activities.systems.mlflow.peer.app import target_of
from worker.range_models.exchange import Effect, Exchange, Wire, by_bearer

MLFLOW_API = "/api/2.0/mlflow/"
ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"
TAGS = {"quarantine": "quarantine", "revoked": "revoke", "frozen": "freeze"}
"""Tags that stand for an act of their own; the others only say more about one."""
_loads = itertools.count(1)


def mlflow(tokens: Mapping[str, str]) -> Wire:
    """The registry. It asks for no credential itself, so its front does."""
    return Wire("mlflow", by_bearer(tokens), _registry_reads, _registry_effects, closed=True)


def _registry_reads(exchange: Exchange) -> Sequence[str]:
    if exchange.method != "GET":
        return ()
    if exchange.path.startswith(ARTIFACTS + "/"):
        return ("model_copy",)
    what = exchange.path.removeprefix(MLFLOW_API)
    return ("registry_state",) if what.startswith(("registered-models/", "model-versions/")) else ()


def _registry_effects(exchange: Exchange) -> Sequence[Effect]:
    found = target_of(exchange.method, exchange.path, exchange.body)
    if found is None:
        return ()
    what, target = found
    given = exchange.json()
    if what in ("move_alias", "delete_alias"):
        model, _, alias = target.partition("@")
        to = str(given.get("version", "")) if what == "move_alias" else ""
        kind = f"point {alias} at {to}" if to else f"remove {alias}"
        return (Effect(kind, model, f"alias {target}", to),)
    if what in ("tag_version", "untag_version", "tag_model", "untag_model"):
        owner, _, tag = target.rpartition(":")
        if tag not in TAGS:
            return ()
        on = what.startswith("tag")
        kind = TAGS[tag] if on else f"end {TAGS[tag]}"
        return (Effect(kind, owner, f"tag {target}", str(given.get("value", "")) if on else ""),)
    if what in ("write_file", "delete_file"):
        kind = "sign" if what == "write_file" else "unsign"
        value = hashlib.sha256(exchange.body).hexdigest() if what == "write_file" else ""
        return (Effect(kind, target, f"file {target}", value),)
    return (Effect(what.replace("_", " "), target, f"{what} {target}", str(next(_loads))),)


def serving(name: str, tokens: Mapping[str, str]) -> Wire:
    """A replica's repository API. ``name`` stands in the record for the replica."""

    def effects(exchange: Exchange) -> Sequence[Effect]:
        found = re.fullmatch(r"/v2/repository/models/([^/]+)/(load|unload)", exchange.path)
        if exchange.method != "POST" or found is None:
            return ()
        model, verb = found.groups()
        # Loading what is loaded serves what the registry says now: never nothing.
        return (Effect(verb, f"{name}/{model}", f"model {name}/{model}", f"{verb} {next(_loads)}"),)

    def reads(exchange: Exchange) -> Sequence[str]:
        return ("serving_state",) if exchange.path == "/v2/repository/index" else ()

    return Wire("serving", by_bearer(tokens), reads, effects, closed=True, named=lambda asked: f"/{name}{asked.path}")


def opa(tokens: Mapping[str, str]) -> Wire:
    """The policy engine's data API; a part of the gateway in the record."""

    def effects(exchange: Exchange) -> Sequence[Effect]:
        if exchange.method not in ("PUT", "DELETE") or not exchange.path.startswith("/v1/data/"):
            return ()
        path = exchange.path.removeprefix("/v1/data/").strip("/")
        on = exchange.method == "PUT"
        folder, _, last = path.rpartition("/")
        what = "digest" if folder == "stanch/denied_digests" else folder
        value = exchange.body.decode(errors="replace") if on else ""
        return (Effect(f"{'deny' if on else 'allow'} {what}", last, f"policy {path}", value),)

    return Wire("gateway", by_bearer(tokens), lambda exchange: (), effects, closed=True)


def training(tokens: Mapping[str, str]) -> Wire:
    """The job API."""

    def effects(exchange: Exchange) -> Sequence[Effect]:
        place = exchange.path.removeprefix("/v1/")
        marked = re.fullmatch(r"(dataset|pipeline)s/([^/]+)/(?:hold|pause)s/([^/]+)", place)
        if marked and exchange.method in ("PUT", "DELETE"):
            kind, name, holder = marked.groups()
            on = exchange.method == "PUT"
            verb = ("hold" if kind == "dataset" else "pause") if on else ("release" if kind == "dataset" else "resume")
            return (Effect(verb, name, f"{kind} {name} {holder}", "on" if on else ""),)
        job: Any = exchange.answered().get("id")
        if exchange.method == "POST" and place == "jobs":
            return (Effect("start job", str(job), f"job {job}", "started"),)
        if exchange.method == "POST" and re.fullmatch(r"jobs/[^/]+/cancel", place):
            return (Effect("cancel job", str(job), f"job {job}", "cancelled"),)
        return ()

    return Wire("training", by_bearer(tokens), lambda exchange: (), effects)


def stepca() -> Wire:
    """The certificate authority: whoever shows the provisioner's one-time token is Stanch."""

    def who(exchange: Exchange) -> str:
        return "stanch" if exchange.json().get("ott") or exchange.method == "GET" else ""

    def effects(exchange: Exchange) -> Sequence[Effect]:
        if exchange.method != "POST":
            return ()
        if exchange.path.endswith("/revoke"):
            serial = str(exchange.json().get("serial", ""))
            return (Effect("revoke certificate", serial, f"serial {serial}", "revoked"),)
        if exchange.path.endswith("/sign"):
            number = str(next(_loads))
            return (Effect("issue certificate", number, f"issued {number}", "issued"),)
        return ()

    def reads(exchange: Exchange) -> Sequence[str]:
        return ("revocations",) if exchange.path.endswith("/crl") else ()

    return Wire("stepca", who, reads, effects)


LISTS = {
    "blocked_certs.map": "block certificate",
    "blocked_keys.acl": "block key",
    "limits.map": "limit client",
    "stripped.map": "strip outputs",
    "revoked_serials.acl": "refuse serial",
}
EVIDENCE = ("show map ", "show acl ", "show table ", "show stat", "show servers ")


def runtime_reads(command: str, answer: str) -> Sequence[str]:
    """Kinds of evidence that a command of HAProxy's runtime API reads."""
    return ("gateway_state",) if command.startswith(EVIDENCE) else ()


def runtime_effects(command: str, answer: str) -> Sequence[Effect]:
    """What a command of HAProxy's runtime API changed. A good answer to a change is an empty line."""
    if answer.strip() or not answer:
        return ()
    words = command.split()
    if words[:1] in (["add"], ["set"], ["del"]) and words[1:2] in (["map"], ["acl"]) and len(words) >= 4:
        name = words[2].rpartition("/")[2]
        on = words[0] != "del"
        kind = LISTS.get(name, name)
        value = " ".join(words[4:]) or "on"
        return (Effect(kind if on else f"end: {kind}", words[3], f"{name} {words[3]}", value if on else ""),)
    if words[:2] == ["set", "server"] and len(words) >= 5:
        server, facet, value = words[2:5]
        kind = f"weight {value}" if facet == "weight" else f"state {value}"
        return (Effect(kind, server, f"{facet} {server}", value),)
    return ()
