"""The client of SageMaker in one account and region: endpoints, model packages and pipelines, typed.

SageMaker has no error code for a thing that is not there: it rejects the request.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from activities.connecting import settings_of
from activities.errors import NotFound, Rejected
from activities.ports import Vault
from activities.systems.aws.account import Account, pinged
from activities.systems.aws.config import AwsConfig
from activities.systems.aws.models import instant_of

SETTLED = "InService"


@dataclass(frozen=True)
class Variant:
    """A production variant of an endpoint. ``wanted`` differs from ``weight`` while an update is under way."""

    name: str
    model: str
    weight: float
    wanted: float


@dataclass(frozen=True)
class Endpoint:
    """An endpoint with its variants."""

    name: str
    status: str
    variants: tuple[Variant, ...]


@dataclass(frozen=True)
class Execution:
    """An execution of a pipeline."""

    arn: str
    status: str
    ended: datetime | None


def connect(config: Mapping[str, Any] | AwsConfig, vault: Vault) -> "SageMaker":
    """A client; nothing is sent before its first use.

    Raises:
        AuthFailed: The settings cannot be used; the message says which.
    """
    return SageMaker(settings_of(AwsConfig, "sagemaker", config), vault)


def connect_reading(config: Mapping[str, Any] | AwsConfig, vault: Vault) -> "SageMaker":
    """A client that can only read: any other request is refused before it leaves this process.

    Raises:
        AuthFailed: As of ``connect``.
    """
    return SageMaker(settings_of(AwsConfig, "sagemaker", config), vault, reading=True)


class SageMaker(Account):
    """SageMaker, as Stanch's user sees it."""

    system = "sagemaker"

    def ping(self) -> str:
        """Sign in and try the first read; a sentence for ``stanch doctor``.

        Raises:
            ConnectorError: What is missing, by name.
        """
        return pinged(self, {"sagemaker:ListEndpoints": lambda: self.ask("ListEndpoints", "listing", MaxResults=1)})

    def ask(self, operation: str, doing: str, **params: Any) -> dict[str, Any]:
        """One request.

        Raises:
            ConnectorError: As of ``Account.call``.
        """
        return self.call("sagemaker", operation, doing=doing, **params)

    def _described(self, operation: str, doing: str, **params: Any) -> dict[str, Any]:
        try:
            return self.ask(operation, doing, **params)
        except Rejected as error:
            raise NotFound(f"{error.message} It is not there, or its name is none.") from None

    def endpoints(self) -> list[str]:
        """Names of every endpoint."""
        rows = self.pages("sagemaker", "ListEndpoints", "Endpoints", doing="listing endpoints")
        return [str(row["EndpointName"]) for row in rows]

    def endpoint(self, name: str) -> Endpoint:
        """One endpoint, each variant with the model that it serves.

        Raises:
            NotFound: There is none.
        """
        found = self._described("DescribeEndpoint", "reading an endpoint", EndpointName=name)
        config = found.get("EndpointConfigName")
        models: dict[str, str] = {}
        if config:
            rows = self._described("DescribeEndpointConfig", "reading a configuration", EndpointConfigName=config)
            models = {row["VariantName"]: str(row.get("ModelName") or "") for row in rows["ProductionVariants"]}
        variants = [
            Variant(
                str(row["VariantName"]),
                models.get(str(row["VariantName"]), ""),
                float(row.get("CurrentWeight") or 0.0),
                float(row.get("DesiredWeight") or 0.0),
            )
            for row in found.get("ProductionVariants") or ()
        ]
        return Endpoint(name, str(found["EndpointStatus"]), tuple(variants))

    def package_of(self, model: str) -> str:
        """ARN of the model package that a model was made of; empty if it was made otherwise."""
        found = self._described("DescribeModel", "reading a model", ModelName=model)
        containers = [found.get("PrimaryContainer") or {}, *(found.get("Containers") or ())]
        return next((str(one["ModelPackageName"]) for one in containers if one.get("ModelPackageName")), "")

    def set_weights(self, endpoint: str, weights: Mapping[str, float]) -> None:
        """Give variants other weights; SageMaker needs a moment for it."""
        rows = [{"VariantName": name, "DesiredWeight": weight} for name, weight in weights.items()]
        self.ask(
            "UpdateEndpointWeightsAndCapacities",
            "shifting traffic",
            EndpointName=endpoint,
            DesiredWeightsAndCapacities=rows,
        )

    def package(self, arn: str) -> tuple[str, str]:
        """Approval status of a model package, and its description.

        Raises:
            NotFound: There is none.
        """
        found = self._described("DescribeModelPackage", "reading a model package", ModelPackageName=arn)
        return str(found.get("ModelApprovalStatus") or ""), str(found.get("ApprovalDescription") or "")

    def set_package(self, arn: str, status: str, description: str) -> None:
        """Approve or reject a model package; natural."""
        given = {"ModelApprovalStatus": status, "ApprovalDescription": description or None}
        self.ask("UpdateModelPackage", "changing a model package", ModelPackageArn=arn, **given)

    def pipeline(self, name: str) -> None:
        """Look for a pipeline.

        Raises:
            NotFound: There is none.
        """
        self._described("DescribePipeline", "reading a pipeline", PipelineName=name)

    def started(self, pipeline: str, name: str) -> str | None:
        """ARN of the execution of a display name, if there is one."""
        rows = self.pages(
            "sagemaker",
            "ListPipelineExecutions",
            "PipelineExecutionSummaries",
            doing="listing executions",
            PipelineName=pipeline,
        )
        return next(
            (str(row["PipelineExecutionArn"]) for row in rows if row.get("PipelineExecutionDisplayName") == name), None
        )

    def start(self, pipeline: str, name: str, token: str, parameters: Sequence[tuple[str, str]]) -> str:
        """Start an execution; sent twice with one token it is one execution. Its ARN."""
        answer = self.ask(
            "StartPipelineExecution",
            "starting a pipeline",
            PipelineName=pipeline,
            PipelineExecutionDisplayName=name,
            ClientRequestToken=token,
            PipelineParameters=[{"Name": key, "Value": value} for key, value in parameters],
        )
        return str(answer["PipelineExecutionArn"])

    def stop(self, arn: str, token: str) -> None:
        """Stop an execution that still runs."""
        self.ask("StopPipelineExecution", "stopping a pipeline", PipelineExecutionArn=arn, ClientRequestToken=token)

    def execution(self, arn: str) -> Execution:
        """One execution.

        Raises:
            NotFound: There is none.
        """
        found = self._described("DescribePipelineExecution", "reading an execution", PipelineExecutionArn=arn)
        status = str(found["PipelineExecutionStatus"])
        ended = instant_of(found.get("LastModifiedTime")) if status not in ("Executing", "Stopping") else None
        return Execution(arn, status, ended)
