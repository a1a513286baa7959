"""The folder of a gateway: what lies where, as the reference configuration names it.

tls/server.pem     the gateway's certificate with chain and key        tls/clients.pem   authorities of clients
maps/*             lists, limits, revocations, server states, policy data; written by Stanch too
run/               sockets                                             logs/             one JSON line a request
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from activities.systems.gateway.models import DATA, LIMITS, LISTS, REVOKED, SERVERS

CODE = Path(__file__).parent / "reference"
"""Configuration, Lua and policy."""
POLICIES = ("gateway.rego", "admission.rego", "authz.rego")
LOG = "logs/gateway.jsonl"
NO_STATES = (
    "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight "
    "srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state srv_agent_state "
    "bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord srv_use_ssl srv_check_port srv_check_addr "
    "srv_agent_addr srv_agent_port\n"
)


def prepare(
    folder: Path,
    *,
    server: str,
    authorities: str,
    revocations: str,
    clients: Mapping[str, Mapping[str, Any]],
    per_minute: int = 600,
) -> None:
    """Lay the folder out; what is there already stays, but for the certificates.

    Args:
        folder: Made if it is not there.
        server: PEM of the gateway's certificate, chain and key.
        authorities: PEM of those who sign clients' certificates.
        revocations: PEM of their lists of revoked ones; each that signs clients' certificates needs one.
        clients: By common name ``{"paths": [prefix, …], "keys": [SHA-256 of an API key, …]}``.
        per_minute: What a client may send that no limit names.
    """
    for name in ("tls", "maps", "logs"):
        (folder / name).mkdir(parents=True, exist_ok=True, mode=0o700)
    key = folder / "tls" / "server.pem"
    key.touch(mode=0o600)
    key.write_text(server)
    (folder / "tls" / "clients.pem").write_text(authorities)
    maps = folder / "maps"
    data = {"stanch": {"clients": {name: dict(client) for name, client in clients.items()}, "denied_digests": {}}}
    texts = {found.file: "" for found in LISTS}
    texts[LIMITS.file] = f"default {per_minute}\n"
    texts |= {REVOKED: revocations, SERVERS: NO_STATES, DATA: json.dumps(data, indent=1) + "\n"}
    for name, text in texts.items():
        if not (maps / name).exists():
            (maps / name).write_text(text)
