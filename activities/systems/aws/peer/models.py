"""SageMaker of the peer: endpoints with weighted variants, model packages, pipelines."""

from collections.abc import Callable, Mapping
from typing import Any

from activities.systems.aws.peer.answer import Fault
from activities.systems.aws.peer.state import AwsAccount

Given = Mapping[str, Any]
Work = Callable[[AwsAccount, Given, Given], dict[str, Any]]


def _not_found(what: str) -> Fault:
    # SageMaker has no code of its own for it.
    return Fault("ValidationException", 400, f"Could not find {what}.")


def _page(account: AwsAccount, rows: list[Any], given: Given, name: str) -> dict[str, Any]:
    start, size = int(given.get("NextToken") or 0), min(int(given.get("MaxResults") or account.page), account.page)
    more = {"NextToken": str(start + size)} if start + size < len(rows) else {}
    return {name: rows[start : start + size], **more}


def _endpoint(account: AwsAccount, given: Given) -> dict[str, Any]:
    found = account.endpoints.get(str(given.get("EndpointName")))
    if found is None:
        raise _not_found("endpoint")
    return found


def list_endpoints(account: AwsAccount, given: Given, caller: Given) -> dict[str, Any]:
    """ListEndpoints."""
    rows = [
        {
            "EndpointName": name,
            "EndpointArn": account.arn("sagemaker", f"endpoint/{name}"),
            "CreationTime": found["at"],
            "LastModifiedTime": found["at"],
            "EndpointStatus": found["status"],
        }
        for name, found in account.endpoints.items()
    ]
    return _page(account, rows, given, "Endpoints")


def describe_endpoint(account: AwsAccount, given: Given, caller: Given) -> dict[str, Any]:
    """DescribeEndpoint; an update ends after it was looked at so often."""
    found, name = _endpoint(account, given), str(given["EndpointName"])
    if found["status"] == "Updating":
        found["updates"] -= 1
        if found["updates"] <= 0:
            found["status"] = "InService"
    serving = found["status"] == "InService"
    variants = [
        {
            "VariantName": variant,
            "CurrentWeight": weight if serving else found.get("old", found["weights"])[variant],
            "DesiredWeight": weight,
            "CurrentInstanceCount": 1,
            "DesiredInstanceCount": 1,
        }
        for variant, weight in found["weights"].items()
    ]
    return {
        "EndpointName": name,
        "EndpointArn": account.arn("sagemaker", f"endpoint/{name}"),
        "EndpointConfigName": found["config"],
        "ProductionVariants": variants,
        "EndpointStatus": found["status"],
        "CreationTime": found["at"],
        "LastModifiedTime": found["at"],
    }


def describe_endpoint_config(account: AwsAccount, given: Given, caller: Given) -> dict[str, Any]:
    """DescribeEndpointConfig."""
    name = str(given.get("EndpointConfigName"))
    if name not in account.configs:
        raise _not_found("endpoint configuration")
    variants = [
        {"VariantName": variant, "ModelName": model, "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}
        for variant, model in account.configs[name].items()
    ]
    arn = account.arn("sagemaker", f"endpoint-config/{name}")
    made = account.now()
    return {"EndpointConfigName": name, "EndpointConfigArn": arn, "ProductionVariants": variants, "CreationTime": made}


def describe_model(account: AwsAccount, given: Given, caller: Given) -> dict[str, Any]:
    """DescribeModel."""
    name = str(given.get("ModelName"))
    if name not in account.models:
        raise _not_found("model")
    package = account.models[name].get("package")
    container = {"ModelPackageName": package} if package else {"Image": "image"}
    arn = account.arn("sagemaker", f"model/{name}")
    return {"ModelName": name, "ModelArn": arn, "PrimaryContainer": container, "CreationTime": account.now()}


def update_weights(account: AwsAccount, given: Given, caller: Given) -> dict[str, Any]:
    """UpdateEndpointWeightsAndCapacities; refused while an update is under way."""
    found = _endpoint(account, given)
    if found["status"] != "InService":
        raise Fault("ValidationException", 400, "Cannot update in-progress endpoint.")
    wanted = {row["VariantName"]: float(row["DesiredWeight"]) for row in given.get("DesiredWeightsAndCapacities") or []}
    if not wanted or set(wanted) - set(found["weights"]):
        raise Fault("ValidationException", 400, "Variant not found.")
    found["old"] = dict(found["weights"])
    found["weights"].update(wanted)
    found["status"], found["updates"] = "Updating", 2
    return {"EndpointArn": account.arn("sagemaker", f"endpoint/{given['EndpointName']}")}


def _package(account: AwsAccount, arn: Any) -> dict[str, Any]:
    if str(arn) not in account.packages:
        raise _not_found("model package")
    return account.packages[str(arn)]


def describe_package(account: AwsAccount, given: Given, caller: Given) -> dict[str, Any]:
    """DescribeModelPackage."""
    arn = str(given.get("ModelPackageName"))
    found = _package(account, arn)
    return {
        "ModelPackageName": found["group"],
        "ModelPackageGroupName": found["group"],
        "ModelPackageVersion": found["version"],
        "ModelPackageArn": arn,
        "CreationTime": found["at"],
        "ModelPackageStatus": "Completed",
        "ModelPackageStatusDetails": {"ValidationStatuses": []},
        "ModelApprovalStatus": found["status"],
        "ApprovalDescription": found["description"] or None,
    }


def update_package(account: AwsAccount, given: Given, caller: Given) -> dict[str, Any]:
    """UpdateModelPackage."""
    found = _package(account, given.get("ModelPackageArn"))
    found["status"] = str(given.get("ModelApprovalStatus") or found["status"])
    found["description"] = str(given.get("ApprovalDescription") or "")
    return {"ModelPackageArn": given["ModelPackageArn"]}


def _pipeline(account: AwsAccount, given: Given) -> dict[str, Any]:
    found = account.pipelines.get(str(given.get("PipelineName")))
    if found is None:
        raise Fault("ResourceNotFound", 400, "Pipeline not found.")
    return found


def describe_pipeline(account: AwsAccount, given: Given, caller: Given) -> dict[str, Any]:
    """DescribePipeline."""
    found, name = _pipeline(account, given), str(given["PipelineName"])
    arn = account.arn("sagemaker", f"pipeline/{name}")
    return {"PipelineName": name, "PipelineArn": arn, "PipelineStatus": "Active", "CreationTime": found["at"]}


def start_execution(account: AwsAccount, given: Given, caller: Given) -> dict[str, Any]:
    """StartPipelineExecution: the same token is the same execution."""
    found, name, token = _pipeline(account, given), str(given["PipelineName"]), str(given["ClientRequestToken"])
    for arn, run in account.executions.items():
        if run["token"] == token:
            return {"PipelineExecutionArn": arn}
    arn = account.arn("sagemaker", f"pipeline/{name}/execution/{account.letters(12).lower()}")
    account.executions[arn] = {
        "pipeline": name,
        "token": token,
        "name": str(given.get("PipelineExecutionDisplayName") or ""),
        "parameters": list(given.get("PipelineParameters") or []),
        "status": "Executing",
        "left": found["polls"],
        "at": account.now(),
        "ended": None,
    }
    return {"PipelineExecutionArn": arn}


def list_executions(account: AwsAccount, given: Given, caller: Given) -> dict[str, Any]:
    """ListPipelineExecutions, newest first."""
    _pipeline(account, given)
    rows = [
        {
            "PipelineExecutionArn": arn,
            "StartTime": run["at"],
            "PipelineExecutionStatus": run["status"],
            "PipelineExecutionDisplayName": run["name"] or None,
        }
        for arn, run in account.executions.items()
        if run["pipeline"] == given["PipelineName"]
    ]
    return _page(account, rows[::-1], given, "PipelineExecutionSummaries")


def describe_execution(account: AwsAccount, given: Given, caller: Given) -> dict[str, Any]:
    """DescribePipelineExecution; it ends after it was looked at so often."""
    arn = str(given.get("PipelineExecutionArn"))
    run = account.executions.get(arn)
    if run is None:
        raise Fault("ResourceNotFound", 400, "Pipeline execution not found.")
    if run["status"] == "Executing":
        run["left"] -= 1
        if run["left"] < 0:
            run["status"], run["ended"] = account.pipelines[run["pipeline"]]["ends"], account.now()
    return {
        "PipelineArn": account.arn("sagemaker", f"pipeline/{run['pipeline']}"),
        "PipelineExecutionArn": arn,
        "PipelineExecutionDisplayName": run["name"] or None,
        "PipelineExecutionStatus": run["status"],
        "CreationTime": run["at"],
        "LastModifiedTime": run["ended"] or run["at"],
    }


def stop_execution(account: AwsAccount, given: Given, caller: Given) -> dict[str, Any]:
    """StopPipelineExecution."""
    run = account.executions.get(str(given.get("PipelineExecutionArn")))
    if run is None:
        raise Fault("ResourceNotFound")
    if run["status"] != "Executing":
        raise Fault("ConflictException")
    run["status"], run["ended"] = "Stopped", account.now()
    return {"PipelineExecutionArn": given["PipelineExecutionArn"]}


SAGEMAKER: dict[str, Work] = {
    "ListEndpoints": list_endpoints,
    "DescribeEndpoint": describe_endpoint,
    "DescribeEndpointConfig": describe_endpoint_config,
    "DescribeModel": describe_model,
    "UpdateEndpointWeightsAndCapacities": update_weights,
    "DescribeModelPackage": describe_package,
    "UpdateModelPackage": update_package,
    "DescribePipeline": describe_pipeline,
    "StartPipelineExecution": start_execution,
    "ListPipelineExecutions": list_executions,
    "DescribePipelineExecution": describe_execution,
    "StopPipelineExecution": stop_execution,
}
