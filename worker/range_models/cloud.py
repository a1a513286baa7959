"""The cloud account of the range: the inference service's user with its stolen key, a role, secrets and a key."""

import json
import os
import random
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from worker.range_models.backends import Running
from worker.range_models.exchange import Wire
from worker.range_models.plan import KEY_SECRET, OTHER_SECRET, ROLE, SERVICE_USER, Plan
from worker.range_models.wires_cloud import OTHERS, aws

REGION = "eu-central-1"
ANYTHING = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
SERVICE = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Action": ["sagemaker:*", "secretsmanager:*", "sts:*"], "Resource": "*"},
    ],
}
Pair = tuple[str, str]


class Cloud:
    """An account: a real moto with its access control on, or a peer.

    Attributes:
        url: Of the account itself.
        stolen: Id and secret of the access key that the thief has.
        ours: Stanch's own.
        kms: Id of the models' key.
    """

    def __init__(self, plan: Plan, held: Path, running: Running) -> None:
        """``held`` is where the credentials of others lie."""
        self._plan, self._held, self._running = plan, held, running
        self.url, self.kms = "", ""
        self.stolen: Pair = ("", "")
        self.ours: Pair = ("", "")
        self._admin: Pair = ("", "")
        self._clients: dict[tuple[str, str, str], Any] = {}
        running.later(self.close)

    def start(self, real: bool, paths: Mapping[str, Path], folder: Path, env: Mapping[str, str]) -> None:
        """Start the account, and put into it what belongs there."""
        if real:
            from worker.servers.moto import MotoServer

            server = self._running.enter(MotoServer(paths["moto"], folder / "moto", env))
            self.url, self._admin = server.url, server.admin
            self.ours = server.add_user("stanch", ANYTHING)
            self.stolen = server.add_user(SERVICE_USER, SERVICE)
            self._fill_real()
        else:
            self._fill_peer()
        self._write_key()

    def client(self, service: str, pair: Pair | None = None, url: str = "") -> Any:
        """A botocore client, by default of an administrator who goes past the front.

        Args:
            service: Such as ``iam``.
            pair: Id and secret of somebody else's key.
            url: Of the front, for those who go through it.
        """
        # A client is made of a megabyte of JSON, which takes a tenth of a second each time.
        id_, secret = pair or self._admin
        known = self._clients.get((service, id_, url or self.url))
        if known is not None:
            return known
        import botocore.session
        from botocore.config import Config

        session = botocore.session.Session(session_vars={"config_file": (None, None, os.devnull, None)})
        made = self._clients[service, id_, url or self.url] = session.create_client(
            service,
            region_name=REGION,
            endpoint_url=url or self.url,
            aws_access_key_id=id_,
            aws_secret_access_key=secret,
            config=Config(retries={"total_max_attempts": 1}, proxies={}, connect_timeout=5, read_timeout=20),
        )
        return made

    def close(self) -> None:
        """Close every client."""
        for client in list(self._clients.values()):
            client.close()

    def works(self, pair: Pair, url: str = "") -> tuple[bool, str]:
        """Whether a key may list endpoints, as its service does all day; and the code of the answer."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            self.client("sagemaker", pair, url).list_endpoints()
        except ClientError as error:
            return False, str(error.response.get("Error", {}).get("Code", ""))
        except BotoCoreError as error:
            return False, type(error).__name__
        return True, "OK"

    def held_key(self) -> Pair:
        """The key that the service's programs fetch from Secrets Manager now."""
        # By name: without one AWS gives the current version, moto the one that was written last as current.
        asked = {"SecretId": KEY_SECRET, "VersionStage": "AWSCURRENT"}
        found = json.loads(self.client("secretsmanager").get_secret_value(**asked)["SecretString"])
        return found["access_key_id"], found["secret_access_key"]

    def keys(self) -> dict[str, str]:
        """The service's access keys: id to status."""
        rows = self.client("iam").list_access_keys(UserName=SERVICE_USER)["AccessKeyMetadata"]
        return {row["AccessKeyId"]: row["Status"] for row in rows}

    def policies(self) -> list[str]:
        """Names of the service user's inline policies."""
        return list(self.client("iam").list_user_policies(UserName=SERVICE_USER)["PolicyNames"])

    def view(self) -> dict[str, Any]:
        """Keys and policies, without secrets."""
        return {"keys": self.keys(), "policies": self.policies()}

    def wire(self) -> Wire:
        """How its requests are read: the stolen key is the attacker's, whoever else's it was."""
        owners = {self.ours[0]: "stanch", self.stolen[0]: "attacker", self._admin[0]: OTHERS}
        return aws(lambda key: owners.get(key, ""))

    def settings(self, url: str, folder: Path) -> dict[str, Any]:
        """What ``[systems.aws]`` and ``[systems.sagemaker]`` must hold; ``url`` is the front's."""
        names = {}
        for name, value in zip(("access_key_id", "secret_access_key"), self.ours, strict=True):
            path = (folder / f"aws_{name}").resolve()
            path.touch(mode=0o600)
            path.write_text(value)
            names[name] = f"secret:file/{path}"
        return {"region": REGION, "endpoint": url, **names}

    def _write_key(self) -> None:
        """The stolen key, as whoever found it has it."""
        path = self._held / "stolen-aws-key"
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.touch(mode=0o600)
        path.write_text(":".join(self.stolen))

    def _fill_real(self) -> None:
        iam = self.client("iam")
        user = iam.get_user(UserName=SERVICE_USER)["User"]["Arn"]
        trust = {
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Principal": {"AWS": user}, "Action": "sts:AssumeRole"}],
        }
        iam.create_role(RoleName=ROLE, AssumeRolePolicyDocument=json.dumps(trust))
        iam.put_role_policy(RoleName=ROLE, PolicyName="access", PolicyDocument=json.dumps(SERVICE))
        secrets = self.client("secretsmanager")
        secrets.create_secret(Name=KEY_SECRET, SecretString=_secret_of(self.stolen))
        secrets.create_secret(Name=OTHER_SECRET, SecretString=json.dumps({"token": self._plan.tokens["business"]}))
        kms = self.client("kms")
        self.kms = str(kms.create_key(Description="models")["KeyMetadata"]["KeyId"])
        kms.create_alias(AliasName="alias/models", TargetKeyId=self.kms)

    def _fill_peer(self) -> None:
        from activities.systems.aws.peer.app import AwsPeer
        from activities.systems.aws.peer.state import AwsAccount

        account = AwsAccount(random.Random(f"stanch aws {self._plan.seed}"))
        # As moto: so that whoever stops at an inactive key is found out.
        account.inactive_works = True
        pairs = {}
        for name, policy in (("administrator", ANYTHING), ("stanch", ANYTHING), (SERVICE_USER, SERVICE)):
            account.add_user(name, policy)
            key = account.add_key(name, self._plan.now - timedelta(days=430))
            pairs[name] = (key.id, key.secret)
        self._admin, self.ours, self.stolen = pairs["administrator"], pairs["stanch"], pairs[SERVICE_USER]
        account.add_role(ROLE, SERVICE, account.users[SERVICE_USER].arn)
        account.add_secret(KEY_SECRET, _secret_of(self.stolen))
        account.add_secret(OTHER_SECRET, json.dumps({"token": self._plan.tokens["business"]}), rotates=True)
        self.kms = account.add_kms_key("models", "models").id
        self.url = self._running.serve(AwsPeer(account))


def _secret_of(pair: Pair) -> str:
    return json.dumps({"access_key_id": pair[0], "secret_access_key": pair[1]})
