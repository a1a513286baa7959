"""The one way out to AWS: explicit credentials, no surroundings, no retries of its own, time-outs, errors mapped once.

It is botocore, the layer below boto3's sessions, which is imported at first use: the compiler reads every action and
shall not pay for it.
"""

import functools
import os
import re
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from activities.errors import AuthFailed, ConnectorError
from activities.ports import Vault
from activities.systems.aws.answers import Answer, WriteRefused, mapped
from activities.systems.aws.config import AwsConfig

READS = re.compile(r"^(Get|List|Describe|Simulate)[A-Z]")
"""Operations that change nothing, by how AWS names them. GetSecretValue reads a secret, and changes none."""
NO_SURROUNDINGS: Mapping[str, tuple[None, None, Any, None]] = {
    "profile": (None, None, None, None),
    "config_file": (None, None, os.devnull, None),
    "credentials_file": (None, None, os.devnull, None),
    "region": (None, None, None, None),
    "data_path": (None, None, None, None),
    "ca_bundle": (None, None, None, None),
    "api_versions": (None, None, {}, None),
}
"""Where botocore would look around: in variables, and in files of the home folder."""


@dataclass(frozen=True)
class Credential:
    """An access key with its secret. It never appears in a representation."""

    id: str = field(repr=False)
    secret: str = field(repr=False)
    token: str | None = field(default=None, repr=False)

    def __reduce__(self) -> str:
        raise TypeError("a credential is never written down")


@dataclass(frozen=True)
class Identity:
    """Whom a credential acts as.

    ``user`` or ``role`` is empty where it is the other.
    """

    account: str
    arn: str
    user: str
    role: str


class Account:
    """One account and region through botocore's clients, which are thread-safe and made once for each service."""

    system = "aws"

    def __init__(self, config: AwsConfig, vault: Vault, *, reading: bool = False) -> None:
        """``reading``: whatever is not a read is refused before it leaves this process."""
        self.config = config
        self._vault, self._reading = vault, reading
        self._lock = threading.Lock()
        self._clients: dict[str, Any] = {}
        self._identity: Identity | None = None
        self._key: str | None = None
        self._core: Any = None

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            clients, self._clients = self._clients, {}
        for client in clients.values():
            client.close()

    @property
    def own(self) -> tuple[str, ...]:
        """Names and ids of Stanch's own user and key, as far as they are known without asking."""
        who = self._identity
        known = (self._key, *((who.user, who.role, who.arn) if who else ()))
        return tuple(name for name in known if name)

    def identity(self) -> Identity:
        """Whom Stanch acts as."""
        if self._identity is None:
            answer = self.call("sts", "GetCallerIdentity", doing="asking who Stanch is")
            self._identity = identity_of(str(answer["Account"]), str(answer["Arn"]))
        return self._identity

    def call(self, service: str, operation: str, *, doing: str, **params: Any) -> dict[str, Any]:
        """One request; ``None`` among the parameters is left out.

        Raises:
            ConnectorError: See ``answers.mapped``.
        """
        given = {name: value for name, value in params.items() if value is not None}
        client = self._client(service)
        write = not READS.match(operation)
        with mapped(doing, write=write):
            return Answer(getattr(client, _method(operation))(**given), doing, write=write)

    def pages(self, service: str, operation: str, rows: str, *, doing: str, **params: Any) -> Iterator[Any]:
        """Rows over all pages of a listing operation."""
        given = {name: value for name, value in params.items() if value is not None}
        client = self._client(service)
        with mapped(doing):
            pages = iter(client.get_paginator(_method(operation)).paginate(**given))
        while True:
            with mapped(doing):
                page = next(pages, None)
                found = list(page.get(rows) or ()) if page is not None else []
            if page is None:
                return
            yield from found

    def secret(self, reference: str, whose: str = "Stanch's own key") -> str:
        """A secret behind a reference.

        Raises:
            AuthFailed: It cannot be read; the message names the reference only.
        """
        try:
            return self._vault.get(reference)
        except Exception as error:
            # A vault's own errors have a code and name the reference only; of others nothing is told.
            said = str(error) if hasattr(error, "code") else f"{reference}: {type(error).__name__}."
            raise AuthFailed(f"{self.system}: {whose} cannot be read. Nothing was sent. {said}") from None

    def _client(self, service: str) -> Any:
        with self._lock:
            known = self._clients.get(service)
            if known is None:
                given = Credential(self.secret(self.config.access_key_id), self.secret(self.config.secret_access_key))
                self._key = given.id
                self._core = self._core or _session(self._reading)
                known = self._clients[service] = self._made(self._core, given, service)
            return known

    def client_as(self, given: Credential, service: str, *, reading: bool) -> Any:
        """A botocore client of one service that acts as whoever holds a credential."""
        return self._made(_session(reading), given, service)

    def _made(self, core: Any, given: Credential, service: str) -> Any:
        from botocore.config import Config

        try:
            return core.create_client(
                service,
                region_name=self.config.region,
                endpoint_url=self.config.endpoint,
                use_ssl=True,
                verify=True,
                aws_access_key_id=given.id,
                aws_secret_access_key=given.secret,
                aws_session_token=given.token,
                config=Config(
                    connect_timeout=self.config.connect_timeout,
                    read_timeout=self.config.read_timeout,
                    # Trying again is the runner's: it knows what may be sent twice.
                    retries={"total_max_attempts": 1, "mode": "standard"},
                    proxies={},
                    ignore_configured_endpoint_urls=True,
                    user_agent_extra="stanch",
                    use_dualstack_endpoint=False,
                    use_fips_endpoint=False,
                ),
            )
        except ValueError as error:
            said = f"systems.{self.system}: {type(error).__name__}."
            raise AuthFailed(f"{said} Nothing was done. Mend the settings.") from None


def _session(reading: bool) -> Any:
    """A botocore session that looks nowhere for anything; it holds no credential."""
    import botocore.credentials
    import botocore.session

    core = botocore.session.Session(session_vars=dict(NO_SURROUNDINGS))
    core.register_component("data_loader", _loader())
    # Whatever looks for credentials after all finds none, instead of asking the machine.
    core.register_component("credential_provider", botocore.credentials.CredentialResolver(providers=[]))
    if reading:
        core.get_component("event_emitter").register_first("before-call", _reads_only)
    return core


@functools.cache
def _loader() -> Any:
    """One for the process: it keeps the descriptions of services, which are long to read."""
    import botocore.loaders

    return botocore.loaders.create_loader()


def identity_of(account: str, arn: str) -> Identity:
    """From ``arn:aws:iam::ACCOUNT:user/PATH/NAME`` or ``arn:aws:sts::ACCOUNT:assumed-role/ROLE/SESSION``."""
    kind, _, rest = arn.rpartition(":")[2].partition("/")
    return Identity(
        account,
        arn,
        user=rest.rsplit("/", 1)[-1] if kind == "user" else "",
        role=rest.split("/", 1)[0] if kind == "assumed-role" else "",
    )


def pinged(account: Account, reads: Mapping[str, Any]) -> str:
    """A sentence for ``stanch doctor`` from trying what a system's first reads need.

    Args:
        account: The account.
        reads: Permission to a function that needs it.

    Raises:
        ConnectorError: The credential is not accepted, or a permission is missing.
    """
    who = account.identity()
    for permission, read in reads.items():
        try:
            read()
        except ConnectorError as error:
            raise type(error)(f"Signed in as {who.arn}, but {permission} failed. {error.message}") from None
    return f"Signed in as {who.arn}; {', '.join(reads)} answered."


def _method(operation: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", operation).lower()


def _reads_only(model: Any, **more: Any) -> None:
    if not READS.match(model.name):
        raise WriteRefused(model.name)
