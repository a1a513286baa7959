"""Who gets in to a simulated Vault: tokens, AppRole, policies, leases, mounts, the seal."""

import hmac
from typing import Any

from starlette.responses import JSONResponse, Response

from activities.systems.vault.peer.state import Role, State, Token, stamp
from activities.systems.vault.peer.wire import CAPABILITY, Call, Refusal, data, folders, keys, nothing

OPEN = ("sys/health", "sys/seal-status")
DEFAULT = ("auth/token/lookup-self", "auth/token/revoke-self")
"""What the policy ``default`` allows every token."""
SUDO = ("sys/leases/lookup/", "sys/leases/revoke-prefix/", "sys/seal")
LONG = 32 * 24 * 3600


class Access:
    """Serves ``auth/…`` and ``sys/…``, and says whether a token may make a request."""

    def __init__(self, state: State) -> None:
        self._state = state

    def is_open(self, call: Call) -> bool:
        """Whether no token is asked for."""
        login = any(call.path == f"auth/{mount}/login" for mount in self._state.approle)
        return call.path in OPEN or (login and call.method in ("POST", "PUT"))

    def check(self, call: Call) -> None:
        """Refuse what the token may not do.

        Raises:
            Refusal: 403.
        """
        token = call.token
        if token is None:
            raise Refusal(403, "permission denied")
        if "root" in token.policies or call.path in DEFAULT:
            return
        granted = {right for name in token.policies for right in self._granted(name, call.path)}
        wanted = CAPABILITY.get(call.method, "")
        good = bool({"update", "create"} & granted) if wanted == "update" else wanted in granted
        if not good or "deny" in granted or (call.path.startswith(SUDO) and "sudo" not in granted):
            raise Refusal(403, "1 error occurred:\n\t* permission denied\n\n")

    def _granted(self, policy: str, path: str) -> list[str]:
        """Of the longest rule that fits."""
        rules = self._state.policies.get(policy, {})
        fitting = [
            rule for rule in rules if rule == path or (rule.endswith("*") and path.startswith(rule.removesuffix("*")))
        ]
        return rules[max(fitting, key=len)] if fitting else []

    def serve(self, call: Call) -> Response | None:
        """An answer, or ``None`` if the path is none of theirs."""
        for mount in self._state.approle:
            if call.path.startswith(f"auth/{mount}/"):
                return self._approle(call, mount)
        if call.path.startswith("auth/token/"):
            return self._token(call)
        if call.path.startswith("sys/"):
            return self._sys(call)
        return None

    def _token(self, call: Call) -> Response:
        state, own = self._state, call.token
        assert own is not None
        if call.path == "auth/token/lookup-self":
            return data(_shown(own))
        if call.path == "auth/token/revoke-self":
            state.tokens.pop(own.id, None)
            return nothing()
        if call.path == "auth/token/create":
            policies = tuple(call.body.get("policies") or own.policies)
            made = state.issue("auth/token/create", policies, "token", _seconds(call.body.get("ttl")) or LONG, {})
            return _auth(made)
        if call.path in ("auth/token/lookup-accessor", "auth/token/revoke-accessor"):
            named = call.body.get("accessor")
            found = next((token for token in state.tokens.values() if token.accessor == named), None)
            if found is None:
                raise Refusal(403, "1 error occurred:\n\t* invalid accessor\n\n")
            if call.path.endswith("lookup-accessor"):
                return data({**_shown(found), "id": ""})
            state.tokens.pop(found.id)
            return nothing()
        raise Refusal(404, "no handler for route")

    def _approle(self, call: Call, mount: str) -> Response:
        roles = self._state.approle[mount]
        if call.path == f"auth/{mount}/login":
            return self._login(call, mount)
        if call.matched(rf"auth/{mount}/role/?") and call.method == "LIST":
            return keys(list(roles))
        if not call.matched(rf"auth/{mount}/role/([^/]+)(?:/(.+))?"):
            raise Refusal(404, "no handler for route")
        name, then = call.parts
        role = roles.get(name)
        if then is None and call.method in ("POST", "PUT"):
            role = roles.setdefault(name, Role())
            role.policies = tuple(_list(call.body.get("token_policies", role.policies)))
            role.ttl = _seconds(call.body.get("token_ttl")) or role.ttl
            return nothing()
        if role is None:
            raise Refusal(404) if call.method == "GET" else Refusal(400, f"role {name!r} does not exist")
        if then is None and call.method == "GET":
            return data({"token_policies": list(role.policies), "token_ttl": role.ttl, "bind_secret_id": True})
        if then == "role-id" and call.method == "GET":
            return data({"role_id": role.role_id})
        if then == "secret-id" and call.method == "LIST":
            return keys(list(role.secret_ids))
        if then == "secret-id":
            secret, accessor = role.issue()
            return data(
                {"secret_id": secret, "secret_id_accessor": accessor, "secret_id_ttl": 0, "secret_id_num_uses": 0}
            )
        accessor = str(call.body.get("secret_id_accessor", ""))
        if then in ("secret-id-accessor/lookup", "secret-id-accessor/destroy") and accessor not in role.secret_ids:
            raise Refusal(404, "failed to find accessor entry for secret_id_accessor")
        if then == "secret-id-accessor/destroy":
            del role.secret_ids[accessor]
            return nothing()
        if then == "secret-id-accessor/lookup":
            made = stamp(role.secret_ids[accessor][1])
            return data(
                {"secret_id_accessor": accessor, "creation_time": made, "expiration_time": "0001-01-01T00:00:00Z"}
            )
        raise Refusal(404, "no handler for route")

    def _login(self, call: Call, mount: str) -> Response:
        given = str(call.body.get("secret_id", "")).encode()
        for name, role in self._state.approle[mount].items():
            good = [
                accessor
                for accessor, (secret, _) in role.secret_ids.items()
                if hmac.compare_digest(secret.encode(), given)
            ]
            if role.role_id == call.body.get("role_id") and good:
                policies = ("default", *role.policies)
                return _auth(self._state.issue(f"auth/{mount}/login", policies, mount, role.ttl, {"role_name": name}))
        raise Refusal(400, "invalid role or secret ID")

    def _sys(self, call: Call) -> Response:
        state = self._state
        if call.path == "sys/health":
            return JSONResponse(
                {"initialized": True, "sealed": state.sealed, "standby": False}, 503 if state.sealed else 200
            )
        if call.path == "sys/seal-status":
            return JSONResponse({"initialized": True, "sealed": state.sealed, "type": "shamir"})
        if call.path == "sys/seal":
            state.sealed = True
            return nothing()
        if call.matched(r"sys/policies/acl/([^/]+)"):
            try:
                state.allow(call.parts[0], str(call.body.get("policy", "")))
            except (ValueError, KeyError, TypeError):
                raise Refusal(400, "failed to parse policy") from None
            return nothing()
        if call.matched(r"sys/(mounts|auth)/(.+)"):
            return self._mount(call, call.parts[0], call.parts[1].strip("/"))
        if call.matched(r"sys/leases/lookup/(.*)") and call.method == "LIST":
            below = call.parts[0].strip("/")
            return keys(folders(list(state.live_leases()), f"{below}/" if below else ""))
        if call.matched(r"sys/leases/revoke-prefix/(.+)"):
            state.revoke_prefix(call.parts[0].strip("/"))
            return nothing()
        raise Refusal(404, "no handler for route")

    def _mount(self, call: Call, where: str, name: str) -> Response:
        state, kind = self._state, str(call.body.get("type", ""))
        held: dict[str, Any] = {"kv": state.kv, "kv-v2": state.kv, "transit": state.transit, "approle": state.approle}
        if call.method == "DELETE":
            for mounts in (state.approle,) if where == "auth" else (state.kv, state.transit):
                mounts.pop(name, None)
            return nothing()
        if kind not in held or (kind == "approle") != (where == "auth"):
            raise Refusal(400, f"plugin not found in the catalog: {kind}")
        if name in held[kind]:
            raise Refusal(400, f"path is already in use at {name}/")
        held[kind][name] = {}
        return nothing()


def _shown(token: Token) -> dict[str, Any]:
    return {
        "accessor": token.accessor,
        "display_name": token.name,
        "id": token.id,
        "meta": token.meta or None,
        "path": token.path,
        "policies": list(token.policies),
        "ttl": token.ttl,
        "orphan": token.path != "auth/token/create",
        "type": "service",
    }


def _auth(token: Token) -> Response:
    auth = {
        "client_token": token.id,
        "accessor": token.accessor,
        "policies": list(token.policies),
        "metadata": token.meta,
        "lease_duration": token.ttl,
        "renewable": True,
    }
    return data({}, data=None, auth=auth)


def _seconds(value: Any) -> int:
    """Seconds of ``300``, ``"300"``, ``"5m"`` or ``"1h"``."""
    text = str(value or 0)
    unit = {"s": 1, "m": 60, "h": 3600}.get(text[-1:], 0)
    return int(text[:-1]) * unit if unit else int(text)


def _list(value: Any) -> list[str]:
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else [str(part) for part in value]
