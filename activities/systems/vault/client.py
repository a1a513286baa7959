"""The client of one Vault or OpenBao server, through hvac: the few calls that the actions need. Thread-safe."""

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from activities.connecting import settings_of
from activities.errors import NotFound, Rejected, Unavailable
from activities.ports import Vault as Secrets
from activities.systems.vault.config import VaultConfig
from activities.systems.vault.http import PinnedSession, ReadingSession
from activities.systems.vault.models import Identity, SecretId, SecretState, TransitKey, instant
from activities.systems.vault.session import SignedIn

LONGEST = 50_000
"""Entries that a listing gives at most; what lies beyond makes it incomplete."""


def connect(config: Mapping[str, Any] | VaultConfig, vault: Secrets) -> "Vault":
    """A client; nothing is sent before its first use.

    Raises:
        AuthFailed: The settings cannot be used; the message says which.
    """
    return Vault(settings_of(VaultConfig, "vault", config), vault)


def connect_reading(config: Mapping[str, Any] | VaultConfig, vault: Secrets) -> "Vault":
    """A client that can only read, sign in and look up: any other request is refused before it leaves this process.

    Raises:
        AuthFailed: As of ``connect``.
    """
    return Vault(settings_of(VaultConfig, "vault", config), vault, session=ReadingSession)


class Vault:
    """One server, as Stanch's token sees it. Names and paths are checked by the callers (``models.name``, ``path``)."""

    def __init__(self, config: VaultConfig, secrets: Secrets, *, session: type[PinnedSession] = PinnedSession) -> None:
        self.config = config
        self._signed_in = SignedIn(config, secrets, session)
        self._identity: Identity | None = None

    def close(self) -> None:
        """Give back an issued token; close the connections of all threads."""
        self._signed_in.close()

    @property
    def own(self) -> tuple[str, ...]:
        """Names of Stanch's own access, as far as they are known without asking."""
        known = self._identity
        return tuple(name for name in (known.role, known.accessor) if name) if known else ()

    def ping(self) -> str:
        """Who Stanch is there; a sentence for ``stanch doctor``.

        Raises:
            ConnectorError: It is sealed, away, or does not accept us.
        """
        known = self.identity(fresh=True)
        policies = ", ".join(known.policies) or "no policy"
        return f"Signed in as {known.name or known.role or 'a token'} with {policies}."

    def identity(self, *, fresh: bool = False) -> Identity:
        """Whom Stanch's token stands for."""
        if self._identity is None or fresh:
            self._identity = Identity.of(
                self._call("looking up Stanch's own token", lambda vault: vault.auth.token.lookup_self())["data"]
            )
        return self._identity

    # Transit

    def keys(self) -> list[str]:
        """Names of the transit keys."""
        mount = self.config.transit_mount
        return self._names("listing keys", lambda vault: vault.secrets.transit.list_keys(mount_point=mount))

    def key(self, name: str) -> TransitKey:
        """Settings of a transit key.

        Raises:
            NotFound: There is none.
        """
        mount = self.config.transit_mount
        found = self._call("reading a key", lambda vault: vault.secrets.transit.read_key(name, mount_point=mount))
        return TransitKey.of(name, found["data"])

    def rotate_key(self, name: str) -> None:
        """Add a version; new data is encrypted with it."""
        mount = self.config.transit_mount
        self._call(
            "rotating a key", lambda vault: vault.secrets.transit.rotate_key(name, mount_point=mount), write=True
        )

    def set_minimum(self, name: str, version: int) -> None:
        """Which version of a key is the oldest that still decrypts (or verifies)."""
        mount = self.config.transit_mount
        self._call(
            "raising a key's minimum version",
            # Only this one: hvac refuses a minimum for encrypting that is as high.
            lambda vault: vault.secrets.transit.update_key_configuration(
                name, min_decryption_version=version, mount_point=mount
            ),
            write=True,
        )

    # KV version 2

    def paths(self, below: str = "") -> Iterator[str]:
        """Paths of the secrets below one, in order, folder by folder."""
        mount = self.config.kv_mount
        for name in self._names(
            "listing secrets", lambda vault: vault.secrets.kv.v2.list_secrets(below, mount_point=mount)
        ):
            if name.endswith("/"):
                yield from self.paths(f"{below}{name}")
            else:
                yield f"{below}{name}"

    def secret(self, path: str) -> SecretState:
        """A secret's versions, without its values.

        Raises:
            NotFound: There is none.
        """
        mount = self.config.kv_mount
        found = self._call(
            "reading a secret's versions",
            lambda vault: vault.secrets.kv.v2.read_secret_metadata(path, mount_point=mount),
        )
        return SecretState.of(path, found["data"])

    def values(self, path: str, version: int) -> dict[str, Any]:
        """The values of one version. They never leave the activity.

        Raises:
            NotFound: It is deleted or destroyed, or was never there.
        """
        mount = self.config.kv_mount
        found = self._call(
            "reading a secret",
            lambda vault: vault.secrets.kv.v2.read_secret_version(
                path, version=version, mount_point=mount, raise_on_deleted_version=True
            ),
        )
        return dict(found["data"]["data"])

    def write(self, path: str, values: Mapping[str, Any], *, after: int) -> bool:
        """A new version after a given one; ``False`` if that is not the current one any more (check-and-set)."""
        mount = self.config.kv_mount
        try:
            self._call(
                "writing a secret",
                lambda vault: vault.secrets.kv.v2.create_or_update_secret(
                    path, dict(values), cas=after, mount_point=mount
                ),
                write=True,
            )
        except Rejected:
            # 400 has other reasons too; the versions tell them apart.
            if self.secret(path).version != after:
                return False
            raise
        return True

    def annotate(self, path: str, custom: Mapping[str, str]) -> None:
        """Replace a secret's custom metadata, and nothing else of its metadata.

        Not by hvac's ``update_metadata``: that always sets ``delete_version_after`` too.
        """
        url = f"/v1/{quote(self.config.kv_mount)}/metadata/{quote(path)}"
        self._call(
            "marking a secret",
            lambda vault: vault.adapter.post(url, json={"custom_metadata": dict(custom)}),
            write=True,
        )

    # AppRole

    def roles(self) -> list[str]:
        """Names of the AppRoles."""
        mount = self.config.approle_mount
        return self._names("listing roles", lambda vault: vault.auth.approle.list_roles(mount_point=mount))

    def secret_ids(self, role: str) -> list[str]:
        """Accessors of a role's secret ids."""
        mount = self.config.approle_mount
        return self._names(
            "listing secret ids",
            lambda vault: vault.auth.approle.list_secret_id_accessors(role, mount_point=mount),
        )

    def has_role(self, role: str) -> bool:
        """Whether there is such a role."""
        mount = self.config.approle_mount
        try:
            self._call("reading a role", lambda vault: vault.auth.approle.read_role(role, mount_point=mount))
        except NotFound:
            return False
        return True

    def secret_id(self, role: str, accessor: str) -> SecretId:
        """When a secret id was made.

        Raises:
            NotFound: It is gone.
        """
        mount = self.config.approle_mount
        found = self._call(
            "reading a secret id",
            lambda vault: vault.auth.approle.read_secret_id_accessor(role, accessor, mount_point=mount),
        )
        if not isinstance(found, Mapping):
            # Some versions answer 204 for one that has just ended.
            raise NotFound("Vault, reading a secret id: it is not there.")
        return SecretId(role, accessor, instant((found.get("data") or {}).get("creation_time")))

    def destroy_secret_id(self, role: str, accessor: str) -> None:
        """Destroy one secret id. Tokens that were issued for it live on.

        Raises:
            NotFound: It is gone already.
        """
        mount = self.config.approle_mount
        self._call(
            "destroying a secret id",
            lambda vault: vault.auth.approle.destroy_secret_id_accessor(role, accessor, mount_point=mount),
            write=True,
        )

    # Leases

    def leases(self, prefix: str) -> list[str]:
        """Ids of the live leases below a prefix, over all folders.

        Raises:
            Unavailable: There are more than can be listed.
        """
        found: list[str] = []
        folders = [f"{prefix.strip('/')}/"]
        while folders:
            folder = folders.pop()
            for name in self._names("listing leases", lambda vault, at=folder: vault.sys.list_leases(at)):
                (folders if name.endswith("/") else found).append(f"{folder}{name}")
            if len(found) > LONGEST:
                raise Unavailable(f"There are more than {LONGEST} leases below this prefix. Nothing was done.")
        return sorted(found)

    def revoke_prefix(self, prefix: str) -> None:
        """End every lease below a prefix, tokens with all that was issued to them included."""
        self._call("revoking leases", lambda vault: vault.sys.revoke_prefix(prefix.strip("/")), write=True)

    # The way out

    def _call(self, doing: str, work: Any, *, write: bool = False) -> Any:
        return self._signed_in.call(doing, work, write=write)

    def _names(self, doing: str, work: Any) -> list[str]:
        """Keys of a listing; Vault answers 404 for an empty one."""
        try:
            return sorted(map(str, self._call(doing, work)["data"]["keys"]))
        except NotFound:
            return []
