"""A simulated AWS account: users, roles, secrets, KMS keys, endpoints. Settable; ``view`` shows it without secrets."""

import random
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
FULL_ACCESS = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}


@dataclass
class PeerKey:
    """An access key of a user."""

    id: str
    secret: str = field(repr=False)
    user: str
    created: datetime
    active: bool = True
    last_used: datetime | None = None
    service: str = "N/A"
    region: str = "N/A"


@dataclass
class PeerUser:
    """An IAM user."""

    name: str
    arn: str
    created: datetime
    keys: dict[str, PeerKey] = field(default_factory=dict)
    policies: dict[str, dict[str, Any]] = field(default_factory=dict)
    attached: list[str] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)


@dataclass
class PeerSession:
    """Temporary credentials of a role."""

    id: str
    secret: str = field(repr=False)
    token: str = field(repr=False)
    role: str
    name: str
    issued: datetime


@dataclass
class PeerRole:
    """An IAM role."""

    name: str
    arn: str
    trust: dict[str, Any]
    created: datetime
    policies: dict[str, dict[str, Any]] = field(default_factory=dict)
    last_used: datetime | None = None


@dataclass
class PeerVersion:
    """A version of a secret; ``value`` is ``None`` while a rotation function is at work."""

    value: str | None = field(repr=False)
    created: datetime
    stages: set[str] = field(default_factory=set)


@dataclass
class PeerSecret:
    """A secret."""

    name: str
    arn: str
    created: datetime
    versions: dict[str, PeerVersion] = field(default_factory=dict)
    rotates: bool = False
    kms: str = ""
    changed: datetime | None = None
    rotated: datetime | None = None
    used: datetime | None = None
    deleted: datetime | None = None

    def at(self, stage: str) -> str:
        """The version that holds a label; empty if none."""
        return next((id_ for id_, version in self.versions.items() if stage in version.stages), "")

    def move(self, stage: str, to: str) -> None:
        """Give a label to a version; AWSPREVIOUS follows AWSCURRENT, as AWS does it."""
        before = self.at(stage)
        for version in self.versions.values():
            version.stages.discard(stage)
        self.versions[to].stages.add(stage)
        if stage == "AWSCURRENT" and before and before != to:
            self.move("AWSPREVIOUS", before)
            self.versions[to].stages.discard("AWSPREVIOUS")


@dataclass
class PeerKmsKey:
    """A KMS key; ``rotating`` is since when a rotation on demand is under way."""

    id: str
    arn: str
    created: datetime
    description: str = ""
    state: str = "Enabled"
    spec: str = "SYMMETRIC_DEFAULT"
    manager: str = "CUSTOMER"
    origin: str = "AWS_KMS"
    rotating: datetime | None = None
    rotations: list[tuple[datetime, str]] = field(default_factory=list)
    grantees: list[str] = field(default_factory=list)


class AwsAccount:
    """One account in one region."""

    def __init__(self, rng: random.Random, *, region: str = "eu-central-1", account: str = "111122223333") -> None:
        self.rng, self.region, self.account = rng, region, account
        self.now: Callable[[], datetime] = lambda: datetime.now(UTC)
        self.page = 100
        """Rows per page where the request asks for no fewer."""
        self.keys_per_user = 2
        self.inactive_works = False
        """Whether an inactive key is still let through, as moto does; AWS refuses it."""
        self.throttled: dict[str, int] = {}
        """Operation to how many of its next requests are throttled."""
        self.users: dict[str, PeerUser] = {}
        self.groups: dict[str, dict[str, dict[str, Any]]] = {}
        """Group to its inline policies, by name."""
        self.managed: dict[str, dict[str, Any]] = {}
        """ARN of a managed policy to its document."""
        self.roles: dict[str, PeerRole] = {}
        self.sessions: dict[str, PeerSession] = {}
        self.secrets: dict[str, PeerSecret] = {}
        self.kms: dict[str, PeerKmsKey] = {}
        self.aliases: dict[str, str] = {}
        self.models: dict[str, dict[str, Any]] = {}
        self.configs: dict[str, dict[str, Any]] = {}
        self.endpoints: dict[str, dict[str, Any]] = {}
        self.packages: dict[str, dict[str, Any]] = {}
        self.pipelines: dict[str, dict[str, Any]] = {}
        self.executions: dict[str, dict[str, Any]] = {}

    # Making things

    def arn(self, service: str, rest: str) -> str:
        """An ARN of this account."""
        return f"arn:aws:{service}:{'' if service == 'iam' else self.region}:{self.account}:{rest}"

    def add_user(self, name: str, policy: dict[str, Any] | None = None) -> PeerUser:
        """A user; without a policy it may do nothing."""
        user = self.users[name] = PeerUser(name, self.arn("iam", f"user/{name}"), self.now())
        if policy is not None:
            user.policies["access"] = policy
        return user

    def add_key(self, user: str, created: datetime | None = None) -> PeerKey:
        """An access key of a user."""
        key = PeerKey(f"AKIA{self.letters(16)}", self.letters(40), user, created or self.now())
        self.users[user].keys[key.id] = key
        return key

    def add_role(self, name: str, policy: dict[str, Any] | None = None, trust: str = "") -> PeerRole:
        """A role that a principal, by default everybody of this account, may assume."""
        who = {"AWS": trust or self.arn("iam", "root")}
        statement = [{"Effect": "Allow", "Principal": who, "Action": "sts:AssumeRole"}]
        document = {"Version": "2012-10-17", "Statement": statement}
        role = self.roles[name] = PeerRole(name, self.arn("iam", f"role/{name}"), document, self.now())
        role.policies["access"] = policy or FULL_ACCESS
        return role

    def add_session(self, role: str, name: str, issued: datetime | None = None) -> PeerSession:
        """Temporary credentials of a role."""
        id_ = f"ASIA{self.letters(16)}"
        made = PeerSession(id_, self.letters(40), self.letters(120), role, name, issued or self.now())
        self.sessions[id_] = made
        return made

    def add_secret(self, name: str, value: str, **more: Any) -> PeerSecret:
        """A secret with one version, which is current."""
        secret = PeerSecret(name, self.arn("secretsmanager", f"secret:{name}-{self.letters(6)}"), self.now(), **more)
        secret.versions[self.uuid()] = PeerVersion(value, self.now(), {"AWSCURRENT"})
        self.secrets[name] = secret
        return secret

    def add_kms_key(self, description: str = "", alias: str = "", **more: Any) -> PeerKmsKey:
        """A KMS key."""
        id_ = self.uuid()
        created = more.pop("created", None) or self.now()
        key = PeerKmsKey(id_, self.arn("kms", f"key/{id_}"), created, description, **more)
        self.kms[id_] = key
        if alias:
            self.aliases[f"alias/{alias}"] = id_
        return key

    def add_endpoint(self, name: str, variants: dict[str, tuple[str, float]]) -> dict[str, Any]:
        """An endpoint; ``variants`` are name to (model, weight)."""
        config = f"{name}-config"
        self.configs[config] = {variant: model for variant, (model, _) in variants.items()}
        for model, _ in variants.values():
            self.models.setdefault(model, {"package": ""})
        weights = {variant: weight for variant, (_, weight) in variants.items()}
        made = {"config": config, "status": "InService", "weights": weights, "at": self.now(), "updates": 0}
        self.endpoints[name] = made
        return made

    def add_package(self, group: str, version: int, status: str = "Approved") -> str:
        """A model package; its ARN."""
        arn = self.arn("sagemaker", f"model-package/{group}/{version}")
        self.packages[arn] = {"group": group, "version": version, "status": status, "description": "", "at": self.now()}
        return arn

    def add_pipeline(self, name: str, *, polls: int = 2, ends: str = "Succeeded") -> None:
        """A pipeline whose executions end, after being looked at so often, in a status."""
        self.pipelines[name] = {"polls": polls, "ends": ends, "at": self.now()}

    def letters(self, count: int) -> str:
        """Random letters as of a key."""
        return "".join(self.rng.choices(ALPHABET, k=count))

    def uuid(self) -> str:
        """A random UUID of this account's seed."""
        return str(uuid.UUID(int=self.rng.getrandbits(128), version=4))

    # Looking

    def documents(self, user: PeerUser) -> list[dict[str, Any]]:
        """Every policy that applies to a user."""
        found = [*user.policies.values(), *(self.managed[arn] for arn in user.attached)]
        return [*found, *(policy for group in user.groups for policy in self.groups[group].values())]

    def key(self, id_: str) -> PeerKey | None:
        """An access key of whichever user."""
        return next((user.keys[id_] for user in self.users.values() if id_ in user.keys), None)

    def view(self) -> dict[str, Any]:
        """The whole state without a single secret."""
        return {
            "users": {
                user.name: {
                    "keys": {key.id: "Active" if key.active else "Inactive" for key in user.keys.values()},
                    "policies": sorted(user.policies),
                }
                for user in self.users.values()
            },
            "roles": {role.name: {"policies": sorted(role.policies)} for role in self.roles.values()},
            "secrets": {
                secret.name: {id_: sorted(version.stages) for id_, version in secret.versions.items()}
                for secret in self.secrets.values()
            },
            "kms": {key.id: {"state": key.state, "rotations": len(key.rotations)} for key in self.kms.values()},
            "endpoints": {name: dict(found["weights"]) for name, found in self.endpoints.items()},
            "packages": {arn: found["status"] for arn, found in self.packages.items()},
            "executions": {arn: found["status"] for arn, found in self.executions.items()},
        }
