"""A real moto server, which stands in for AWS, with its access control on: keys, signatures and policies count.

moto lets an inactive access key through, encrypts with a disabled KMS key and knows no conditions of policies (seen on
5.2.5), so what is contained there has to be denied as well.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx

from worker.servers.process import Process, free_port, quiet

PATIENCE_SECONDS = 120.0
REGION = "eu-central-1"
ANYTHING = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}


class MotoServer:
    """From ``start`` to ``stop``, or as a context manager.

    ``url`` is where it answers; ``admin`` is the id and secret of an access key that may do everything.
    """

    def __init__(self, executable: Path, folder: Path, env: Mapping[str, str] = os.environ) -> None:
        """``executable`` is ``moto_server``; ``folder`` holds its log: all that it knows is in memory."""
        self._executable, self._folder, self._env = executable, folder, env
        self._process: Process | None = None
        self._clients: dict[tuple[str, str], Any] = {}
        self.url = ""
        self.admin = ("", "")

    def __enter__(self) -> "MotoServer":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> str:
        """Start it, make an administrator, turn its access control on; its URL.

        Raises:
            ServerFailed: It ended, or was not ready in time.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        command = [str(self._executable), "-H", "127.0.0.1", "-p", str(port)]
        # AWS_ variables of the user's own never reach it; it wants none.
        self._process = Process(
            command,
            quiet(self._env),
            self._folder / "moto.log",
            f"{self.url}/moto-api/data.json",
            PATIENCE_SECONDS,
            self._folder,
        )
        self._process.start()
        self.admin = ("AKIAFIRSTFIRSTFIRST0", "first")
        self.admin = self.add_user("administrator", ANYTHING)
        # As a form it answers 500.
        kind = {"Content-Type": "application/octet-stream"}
        answer = httpx.post(f"{self.url}/moto-api/reset-auth", content=b"0", headers=kind, trust_env=False, timeout=30)
        answer.raise_for_status()
        return self.url

    def stop(self) -> None:
        """End it, and forget what it knew."""
        for client in self._clients.values():
            client.close()
        self._clients.clear()
        process, self._process = self._process, None
        if process is not None:
            process.stop()

    def client(self, service: str) -> Any:
        """A botocore client of the administrator, for setting a world up and looking at it."""
        import botocore.session
        from botocore.config import Config

        known = self._clients.get((service, self.admin[0]))
        if known is None:
            session = botocore.session.Session(session_vars={"config_file": (None, None, os.devnull, None)})
            known = self._clients[service, self.admin[0]] = session.create_client(
                service,
                region_name=REGION,
                endpoint_url=self.url,
                aws_access_key_id=self.admin[0],
                aws_secret_access_key=self.admin[1],
                config=Config(retries={"total_max_attempts": 1}, proxies={}),
            )
        return known

    def add_user(self, name: str, policy: Mapping[str, Any] | None = None) -> tuple[str, str]:
        """An IAM user; id and secret of its access key."""
        iam = self.client("iam")
        iam.create_user(UserName=name)
        if policy is not None:
            iam.put_user_policy(UserName=name, PolicyName="access", PolicyDocument=json.dumps(policy))
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return str(key["AccessKeyId"]), str(key["SecretAccessKey"])
