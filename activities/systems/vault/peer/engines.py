"""The secrets engines of a simulated Vault: KV version 2 and transit."""

import base64
import binascii
from typing import Any

from starlette.responses import Response

from activities.systems.vault.peer.state import Key, Secret, State, Version, now, stamp
from activities.systems.vault.peer.wire import Call, Refusal, data, folders, keys, nothing


class Engines:
    """Serves what lies below the mounts of engines."""

    def __init__(self, state: State) -> None:
        self._state = state

    def serve(self, call: Call) -> Response | None:
        """An answer, or ``None`` if the path is none of theirs."""
        for mount in self._state.kv:
            if call.matched(rf"{mount}/(data|metadata|destroy|delete|undelete)(?:/(.*))?"):
                return self._kv(call, mount, call.parts[0], call.parts[1] or "")
        for mount in self._state.transit:
            if call.path.startswith(f"{mount}/"):
                return self._transit(call, mount)
        return None

    def _kv(self, call: Call, mount: str, what: str, path: str) -> Response:
        held = self._state.kv[mount]
        if what == "metadata" and call.method == "LIST":
            below = path.rstrip("/") + "/" if path else ""
            return keys(folders(list(held), below))
        if what == "data" and call.method == "GET":
            return self._read(held.get(path), int(call.query.get("version") or 0))
        if what == "data" and call.method in ("POST", "PUT"):
            return self._write(call, mount, path)
        secret = held.get(path)
        if what == "metadata" and call.method in ("POST", "PUT"):
            return _set_metadata(secret or held.setdefault(path, Secret()), call.body)
        if secret is None:
            raise Refusal(404)
        if what == "metadata" and call.method == "GET":
            return data(_metadata(secret))
        if what == "metadata" and call.method == "DELETE":
            del held[path]
            return nothing()
        named = [secret.current] if what == "data" else call.body.get("versions", ())
        for number in map(int, named):
            version = secret.versions.get(number)
            if version is not None and what == "destroy":
                version.destroyed, version.data = True, {}
            elif version is not None:
                version.deleted = "" if what == "undelete" else stamp(now())
        return nothing()

    def _read(self, secret: Secret | None, number: int) -> Response:
        number = number or (secret.current if secret else 0)
        version = secret.versions.get(number) if secret else None
        if secret is None or version is None:
            raise Refusal(404)
        found = {
            "data": version.data,
            "metadata": {**_version(version, number), "custom_metadata": secret.custom or None},
        }
        if version.deleted or version.destroyed:
            answer = data({**found, "data": None})
            answer.status_code = 404
            return answer
        return data(found)

    def _write(self, call: Call, mount: str, path: str) -> Response:
        secret = self._state.kv[mount].get(path)
        cas = (call.body.get("options") or {}).get("cas")
        if cas is None and secret is not None and secret.cas_required:
            raise Refusal(400, "check-and-set parameter required for this call")
        if cas is not None and int(cas) != (secret.current if secret else 0):
            raise Refusal(400, "check-and-set parameter did not match the current version")
        if not isinstance(call.body.get("data"), dict):
            raise Refusal(400, "no data provided")
        secret = self._state.put(mount, path, call.body["data"])
        return data(_version(secret.versions[secret.current], secret.current))

    def _transit(self, call: Call, mount: str) -> Response:
        held = self._state.transit[mount]
        if call.matched(rf"{mount}/keys/?") and call.method == "LIST":
            return keys(list(held))
        if not call.matched(rf"{mount}/(keys|encrypt|decrypt|rewrap)/([^/]+)(?:/(rotate|config))?"):
            raise Refusal(404, "no handler for route")
        what, name, then = call.parts
        key = held.get(name)
        if what == "keys" and then is None and call.method in ("POST", "PUT"):
            if key is None:
                held[name] = Key()
                held[name].rotate()
            return nothing()
        if key is None:
            raise Refusal(404) if what == "keys" and call.method == "GET" else Refusal(400, "encryption key not found")
        if what == "keys" and call.method == "GET":
            return data(_key(name, key))
        if then == "rotate":
            key.rotate()
            return nothing()
        if then == "config":
            return _configure(key, call.body)
        return _cipher(key, what, call.body)


def _configure(key: Key, body: dict[str, Any]) -> Response:
    if "min_decryption_version" in body:
        wanted = int(body["min_decryption_version"]) or 1
        if wanted < 1:
            raise Refusal(400, "min decryption version cannot be negative")
        if wanted > key.latest:
            raise Refusal(400, f"cannot set min decryption version of {wanted}, latest key version is {key.latest}")
        key.minimum = wanted
    return nothing()


def _cipher(key: Key, what: str, body: dict[str, Any]) -> Response:
    try:
        if what == "encrypt":
            sealed = key.encrypt(base64.b64decode(str(body.get("plaintext", ""))))
            return data({"ciphertext": sealed, "key_version": key.latest})
        plain = key.decrypt(str(body.get("ciphertext", "")))
    except (ValueError, binascii.Error) as error:
        raise Refusal(400, str(error)) from None
    if what == "rewrap":
        return data({"ciphertext": key.encrypt(plain), "key_version": key.latest})
    return data({"plaintext": base64.b64encode(plain).decode()})


def _key(name: str, key: Key) -> dict[str, Any]:
    # Versions that no longer decrypt are not shown.
    least = key.minimum
    return {
        "name": name,
        "type": key.type,
        "latest_version": key.latest,
        "min_decryption_version": key.minimum,
        "min_encryption_version": 0,
        "min_available_version": 0,
        "deletion_allowed": False,
        "exportable": False,
        "keys": {str(number): int(made.timestamp()) for number, (_, made) in key.versions.items() if number >= least},
    }


def _set_metadata(secret: Secret, body: dict[str, Any]) -> Response:
    if "custom_metadata" in body:
        custom = body["custom_metadata"] or {}
        if len(custom) > 64 or any(len(str(text)) > 512 or len(str(name)) > 128 for name, text in custom.items()):
            raise Refusal(400, "custom_metadata validation failed")
        secret.custom = {str(name): str(text) for name, text in custom.items()}
    secret.keep = int(body.get("max_versions") or secret.keep)
    secret.cas_required = bool(body.get("cas_required", secret.cas_required))
    secret.delete_after = str(body.get("delete_version_after", secret.delete_after))
    return nothing()


def _version(version: Version, number: int) -> dict[str, Any]:
    return {
        "created_time": stamp(version.made),
        "deletion_time": version.deleted,
        "destroyed": version.destroyed,
        "version": number,
    }


def _metadata(secret: Secret) -> dict[str, Any]:
    made = {str(number): _version(version, number) for number, version in secret.versions.items()}
    for row in made.values():
        del row["version"]
    newest = secret.versions.get(secret.current)
    return {
        "cas_required": secret.cas_required,
        "created_time": stamp(secret.made),
        "current_version": secret.current,
        "custom_metadata": secret.custom or None,
        "delete_version_after": secret.delete_after,
        "max_versions": secret.keep,
        "oldest_version": min(secret.versions, default=0),
        "updated_time": stamp(newest.made if newest else secret.made),
        "versions": made,
    }
