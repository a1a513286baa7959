"""The AWS peer: one ASGI application for IAM, STS, KMS, Secrets Manager and SageMaker, as AWS speaks them.

It reads the service from the signature's scope, checks the signature, the key's state and the caller's policies, then
does what is asked. ``CHANGING`` lists the operations of Stanch's that change something, for whoever records effects.
"""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from starlette.types import Receive, Scope, Send

from activities.systems.aws.peer import answer, iam, models, policy, sigv4, vaults
from activities.systems.aws.peer.answer import Fault
from activities.systems.aws.peer.state import AwsAccount

CHANGING: Mapping[str, tuple[str, str]] = {
    "UpdateAccessKey": ("key.inactive or key.active, by Status", "AccessKeyId"),
    "DeleteAccessKey": ("key.deleted", "AccessKeyId"),
    "CreateAccessKey": ("key.created", "UserName"),
    "PutUserPolicy": ("user.denied", "UserName"),
    "DeleteUserPolicy": ("user.allowed", "UserName"),
    "PutRolePolicy": ("role.sessions_revoked", "RoleName"),
    "DeleteRolePolicy": ("role.restored", "RoleName"),
    "RotateKeyOnDemand": ("kms.rotated", "KeyId"),
    "DisableKey": ("kms.disabled", "KeyId"),
    "EnableKey": ("kms.enabled", "KeyId"),
    "PutSecretValue": ("secret.written", "SecretId"),
    "UpdateSecretVersionStage": ("secret.staged", "SecretId"),
    "RotateSecret": ("secret.rotated", "SecretId"),
    "UpdateEndpointWeightsAndCapacities": ("endpoint.weights", "EndpointName"),
    "UpdateModelPackage": ("package.rejected", "ModelPackageArn"),
    "StartPipelineExecution": ("pipeline.started", "PipelineName"),
    "StopPipelineExecution": ("pipeline.stopped", "PipelineExecutionArn"),
}
"""Operation to the kind of effect and the parameter that names its target."""
OPERATIONS: Mapping[str, Mapping[str, Any]] = {
    "iam": iam.IAM,
    "sts": iam.STS,
    "kms": vaults.KMS,
    "secretsmanager": vaults.SECRETS,
    "sagemaker": models.SAGEMAKER,
}
QUERY = ("iam", "sts")
JSON_CODES = {
    "InvalidClientTokenId": "UnrecognizedClientException",
    "SignatureDoesNotMatch": "InvalidSignatureException",
    "IncompleteSignature": "IncompleteSignature",
    "AccessDenied": "AccessDeniedException",
    "Throttling": "ThrottlingException",
}
"""What the query protocol's common errors are called in JSON."""


class AwsPeer:
    """The application. Its account may be changed in Python while it serves."""

    def __init__(self, account: AwsAccount) -> None:
        self.account = account
        self.asked: list[tuple[str, str]] = []
        """Key id and ``service:Operation`` of every request whose signature was read."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        headers = {name.decode().lower(): value.decode() for name, value in scope["headers"]}
        status, kind, content = self.answer(
            scope["method"], scope["path"], scope["query_string"].decode(), headers, body
        )
        raw = [(b"content-type", kind.encode()), (b"content-length", str(len(content)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": raw})
        await send({"type": "http.response.body", "body": content})

    def answer(
        self, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, str, bytes]:
        """Status, content type and body for one request."""
        service, operation = "iam", ""
        try:
            claim = sigv4.claim_of(headers)
            service = claim.service
            operation, given = asked_for(service, headers, body)
            self.asked.append((claim.key, f"{service}:{operation}"))
            caller = self._caller(claim, method, path, query, headers, body)
            result = self._do(service, operation, given, caller)
        except sigv4.BadSignature as error:
            return self._fault(service, Fault(error.code, 403))
        except Fault as fault:
            return self._fault(service, fault)
        if service in QUERY:
            return 200, "text/xml", answer.xml(service, operation, result)
        return 200, "application/x-amz-json-1.1", answer.plain(result)

    def _fault(self, service: str, fault: Fault) -> tuple[int, str, bytes]:
        if service in QUERY:
            return fault.status, "text/xml", answer.xml_fault(service, fault)
        code = JSON_CODES.get(fault.code, fault.code)
        status = 400 if fault.status < 500 else fault.status
        return status, "application/x-amz-json-1.1", answer.plain_fault(Fault(code, status, fault.message))

    def _caller(
        self, claim: sigv4.Claim, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes
    ) -> dict[str, Any]:
        """Who signed: a user by a key, or a session of a role."""
        account = self.account
        session, key = account.sessions.get(claim.key), account.key(claim.key)
        token = headers.get("x-amz-security-token")
        if session is None and (key is None or not (key.active or account.inactive_works)):
            raise Fault("InvalidClientTokenId", 403, "The security token included in the request is invalid.")
        if session is not None and token != session.token:
            raise Fault("InvalidClientTokenId", 403, "The security token included in the request is invalid.")
        held = session or key
        assert held is not None
        sigv4.check(
            claim,
            held.secret,
            method=method,
            path=path,
            query=query,
            headers=headers,
            body=body,
            now=account.now(),
        )
        if session is not None:
            arn = f"arn:aws:sts::{account.account}:assumed-role/{session.role}/{session.name}"
            documents = list(account.roles[session.role].policies.values())
            return {"arn": arn, "id": session.id, "documents": documents, "issued": session.issued}
        assert key is not None
        key.last_used, key.service, key.region = account.now(), claim.service, claim.region
        user = account.users[key.user]
        documents = account.documents(user)
        return {"arn": user.arn, "id": f"AIDA{user.name}", "user": user.name, "documents": documents, "issued": None}

    def _do(self, service: str, operation: str, given: Mapping[str, Any], caller: dict[str, Any]) -> dict[str, Any]:
        work = OPERATIONS.get(service, {}).get(operation)
        if work is None:
            raise Fault("InvalidAction" if service in QUERY else "UnknownOperationException")
        if self.account.throttled.get(operation, 0) > 0:
            self.account.throttled[operation] -= 1
            raise Fault("Throttling", 400, "Rate exceeded")
        # AWS answers this one whatever a policy says.
        free = operation == "GetCallerIdentity"
        resource = self._resource(service, given)
        if not free and not policy.allows(caller["documents"], f"{service}:{operation}", resource, caller["issued"]):
            raise Fault("AccessDenied", 403, f"{caller['arn']} is not authorized to perform {service}:{operation}")
        done: dict[str, Any] = work(self.account, given, caller)
        return done

    def _resource(self, service: str, given: Mapping[str, Any]) -> str:
        account = self.account
        if service == "iam":
            kind = "role" if given.get("RoleName") else "user"
            return account.arn("iam", f"{kind}/{given.get('RoleName') or given.get('UserName') or ''}")
        name = given.get("SecretId") or given.get("KeyId") or given.get("EndpointName") or given.get("ModelPackageArn")
        return str(name) if str(name).startswith("arn:") else account.arn(service, str(name or ""))


def asked_for(service: str, headers: Mapping[str, str], body: bytes) -> tuple[str, dict[str, Any]]:
    """The operation and its parameters, of either protocol."""
    if service in QUERY:
        form = dict(parse_qsl(body.decode(), keep_blank_values=True))
        return form.pop("Action", ""), form
    operation = headers.get("x-amz-target", "").rpartition(".")[2]
    try:
        given = json.loads(body or b"{}")
    except ValueError:
        raise Fault("SerializationException") from None
    return operation, given if isinstance(given, dict) else {}
