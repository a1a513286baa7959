"""An AWS account for tests, simulated or moto's: the same world, the same faults by operation, the same looks at it."""

import json
import uuid
from pathlib import Path
from typing import Any

import httpx
from starlette.types import Message, Receive, Scope, Send

from activities.systems.aws.account import Credential
from activities.systems.aws.client import Aws, connect
from activities.systems.aws.peer.app import asked_for
from activities.systems.aws.peer.sigv4 import claim_of
from activities.systems.aws.peer.state import FULL_ACCESS, AwsAccount
from activities.systems.sagemaker.client import SageMaker
from activities.systems.sagemaker.client import connect as connect_sagemaker
from tests.systems.faulty import Faulty
from worker.range_server import LoopbackServer
from worker.secrets import Secrets
from worker.servers.moto import MotoServer

READER = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sagemaker:*", "Resource": "*"}]}


class Named:
    """Gives each request a path that says its operation, so that faults can be meant for one; the app sees its own."""

    def __init__(self, app: Any) -> None:
        self._faulty = Faulty(self._inner)
        self._app = app
        self.add, self.clear, self.asked = self._faulty.add, self._faulty.clear, self._faulty.asked

    def reset(self) -> None:
        """No fault, and no request asked yet."""
        self._faulty.clear()
        self._faulty.requests.clear()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        operation, _ = asked_for(claim_of(headers).service, headers, body)
        await self._faulty({**scope, "path": f"/{operation}", "own": scope["path"]}, Replay(receive, body).take, send)

    async def _inner(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app({**scope, "path": scope["own"]}, receive, send)


class Replay:
    """A request whose body was read already; ``transport`` is for a fault that cuts the connection."""

    def __init__(self, receive: Any, body: bytes) -> None:
        self.transport = receive.__self__.transport
        self._body = body

    async def take(self) -> Message:
        """The body, once more."""
        return {"type": "http.request", "body": self._body, "more_body": False}


class Keeping:
    """Passes requests on as they came, with their Host: a signature is made over it."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = (await receive())["body"]
        headers = [(name.decode(), value.decode()) for name, value in scope["headers"]]
        async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
            answer = await client.request(scope["method"], self._url + scope["path"], headers=headers, content=body)
        kind = answer.headers.get("content-type", "")
        raw = [(b"content-type", kind.encode()), (b"content-length", str(len(answer.content)).encode())]
        await send({"type": "http.response.start", "status": answer.status_code, "headers": raw})
        await send({"type": "http.response.body", "body": answer.content})


class Served:
    """An application behind a front with faults, served for the session; a context manager."""

    def __init__(self, app: Any) -> None:
        self.app, self.front = app, Named(app)
        self.url = ""
        self.clients: dict[str, Any] = {}
        """Clients that every test uses; making one takes longer than asking it something."""
        self.env: dict[str, str] = {}
        self._server = LoopbackServer(self.front)

    def __enter__(self) -> "Served":
        self.url = self._server.open()
        return self

    def __exit__(self, *error: object) -> None:
        for client in self.clients.values():
            client.close()
        self._server.close()


class Site:
    """One account. Stanch is the user ``stanch``; ``admin`` is somebody else who may do everything."""

    def __init__(self, account: AwsAccount | None, moto: MotoServer | None, served: Served) -> None:
        self.account, self.moto, self.url, self.front = account, moto, served.url, served.front
        self.front.reset()
        self._served = served
        # A simulated account is new for each test, with the same keys for the same users.
        self.mark = uuid.uuid4().hex[:8] if moto is not None else "t"
        self.env = served.env
        self._open: list[Any] = []
        self.me = self.user("stanch", FULL_ACCESS)
        self.hold("ID", self.me.id)
        self.hold("KEY", self.me.secret)
        other = self.user("somebody", FULL_ACCESS)
        self.hold("OTHER_ID", other.id)
        self.hold("OTHER_KEY", other.secret)
        self.admin = self._known("admin", access_key_id="secret:env/OTHER_ID", secret_access_key="secret:env/OTHER_KEY")
        self.stanch = self._known("stanch")

    def _known(self, name: str, **changes: Any) -> Aws:
        if self.account is None:
            return self.client(**changes)
        found: Aws = self._served.clients.get(name) or connect(self.settings(**changes), Secrets(self.env, Path()))
        return self._served.clients.setdefault(name, found)

    def close(self) -> None:
        """Close what was opened; faults end."""
        for client in self._open:
            client.close()

    @property
    def real(self) -> bool:
        """Whether it is moto."""
        return self.moto is not None

    def hold(self, name: str, value: str) -> str:
        """Put a secret where references find it; the reference."""
        self.env[name] = value
        return f"secret:env/{name}"

    def name(self, name: str) -> str:
        """A name that no other test uses; moto is one for the session."""
        return f"{name}-{self.mark}"

    def settings(self, **changes: Any) -> dict[str, Any]:
        """What ``[systems.aws]`` holds."""
        known = {"region": "eu-central-1", "access_key_id": "secret:env/ID", "secret_access_key": "secret:env/KEY"}
        return {**known, "endpoint": self.url, **changes}

    def client(self, **changes: Any) -> Aws:
        """A client, by default Stanch's."""
        made = connect(self.settings(**changes), Secrets(self.env, Path()))
        self._open.append(made)
        return made

    def sagemaker(self, **changes: Any) -> SageMaker:
        """A client of SageMaker, by default Stanch's."""
        made = connect_sagemaker(self.settings(**changes), Secrets(self.env, Path()))
        self._open.append(made)
        return made

    def thief(self, held: Credential) -> str:
        """The reference of a key as its thief holds it."""
        return self.hold(f"THIEF_{held.id}", f"{held.id}:{held.secret}")

    # The world

    def user(self, name: str, policy: dict[str, Any] | None = None) -> Credential:
        """A user with one key."""
        name = self.name(name)
        if self.moto is not None:
            return Credential(*self.moto.add_user(name, policy))
        assert self.account is not None
        self.account.add_user(name, policy)
        key = self.account.add_key(name)
        return Credential(key.id, key.secret)

    def secret(self, name: str, value: str, rotates: bool = False) -> str:
        """A secret; its name."""
        name = self.name(name)
        if self.account is not None:
            self.account.add_secret(name, value, rotates=rotates)
            return name
        assert self.moto is not None
        manager = self.moto.client("secretsmanager")
        manager.create_secret(Name=name, SecretString=value)
        if rotates:
            manager.rotate_secret(SecretId=name, RotationRules={"AutomaticallyAfterDays": 30})
        return name

    def kms_key(self, description: str = "") -> str:
        """A KMS key; its id."""
        if self.account is not None:
            return self.account.add_kms_key(description).id
        assert self.moto is not None
        return str(self.moto.client("kms").create_key(Description=description)["KeyMetadata"]["KeyId"])

    def role(self, name: str) -> str:
        """A role that everybody of the account may assume; its name."""
        name = self.name(name)
        if self.account is not None:
            self.account.add_role(name)
            return name
        assert self.moto is not None
        iam = self.moto.client("iam")
        trust = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)
        iam.put_role_policy(RoleName=name, PolicyName="access", PolicyDocument=json.dumps(FULL_ACCESS))
        return name

    def endpoint(self, name: str, variants: dict[str, tuple[str, float]]) -> str:
        """An endpoint; ``variants`` are name to (model, weight). Its name."""
        name = self.name(name)
        if self.account is not None:
            self.account.add_endpoint(name, variants)
            return name
        assert self.moto is not None
        sagemaker = self.moto.client("sagemaker")
        for model, _ in variants.values():
            arn = "arn:aws:iam::123456789012:role/r"
            sagemaker.create_model(ModelName=model, ExecutionRoleArn=arn, PrimaryContainer={"Image": "i"})
        rows = [
            {
                "VariantName": variant,
                "ModelName": model,
                "InitialInstanceCount": 1,
                "InstanceType": "ml.m5.large",
                "InitialVariantWeight": weight,
            }
            for variant, (model, weight) in variants.items()
        ]
        sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=rows)
        sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
        return name

    def package(self, group: str) -> str:
        """An approved model package; its ARN."""
        if self.account is not None:
            return self.account.add_package(group, 5)
        assert self.moto is not None
        sagemaker, group = self.moto.client("sagemaker"), self.name(group)
        sagemaker.create_model_package_group(ModelPackageGroupName=group)
        made = sagemaker.create_model_package(ModelPackageGroupName=group, ModelApprovalStatus="Approved")
        return str(made["ModelPackageArn"])

    def pipeline(self, name: str) -> str:
        """A pipeline; its name."""
        name = self.name(name)
        if self.account is not None:
            self.account.add_pipeline(name)
            return name
        assert self.moto is not None
        self.moto.client("sagemaker").create_pipeline(
            PipelineName=name,
            PipelineDefinition="{}",
            ClientRequestToken=uuid.uuid4().hex,
            RoleArn="arn:aws:iam::123456789012:role/r",
        )
        return name

    # Looks and somebody else's doings

    def keys(self, name: str) -> dict[str, bool]:
        """A user's key ids, and whether each is active."""
        return {key.id: key.active for key in self.admin.keys_of(self.name(name))}

    def policies(self, name: str) -> set[str]:
        """Names of a user's inline policies."""
        rows = self.admin.pages("iam", "ListUserPolicies", "PolicyNames", doing="looking", UserName=self.name(name))
        return set(rows)

    def restage(self, secret: str, value: str) -> str:
        """Somebody else writes a new current version; its id."""
        version, before = str(uuid.uuid4()), self.admin.described(secret).current
        self.admin.put_value(secret, value, version=version, stage="OTHER")
        self.admin.move_stage(secret, stage="AWSCURRENT", to=version, away_from=before)
        return version
