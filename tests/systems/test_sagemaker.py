"""SageMaker: traffic between variants, model packages, pipelines; on a simulated account and on moto alike."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from activities.systems.sagemaker.actions import shares
from playbooks.contract import ActionResult, Preview, Verb
from tests.systems.acme import Bench
from tests.systems.aws_site import Site
from worker.store import Store

SHIFT, REJECT, START = "sagemaker.shift_variants", "sagemaker.reject_package", "sagemaker.start_pipeline"


@pytest.fixture
def bench(aws: Site, empty_database: Path, tmp_path: Path) -> Iterator[Bench]:
    """Calls of SageMaker actions."""
    shutil.copy(empty_database, tmp_path)
    store = Store(f"sqlite:///{tmp_path / 'stanch.db'}", tmp_path / "home")
    yield Bench(aws.sagemaker(), store, "sagemaker")
    store.close()


async def undone(bench: Bench, name: str, result: ActionResult, **params: Any) -> tuple[Preview, ActionResult]:
    """The preview of an undo, and the undo."""
    changes = {"undo_args": result.undo_args, "epoch": 1, "tries": 2}
    preview: Any = await bench.run(bench.call(name, params, verb=Verb.PREVIEW, **changes))
    return preview, await bench.run(bench.call(name, params, verb=Verb.UNDO, **changes))


def weights(aws: Site, endpoint: str) -> dict[str, float]:
    """Of an endpoint's variants, as they serve."""
    return {each.name: each.weight for each in aws.sagemaker().endpoint(endpoint).variants}


@pytest.fixture
def endpoint(aws: Site) -> str:
    """Two variants: the poisoned model has all traffic."""
    mark = aws.mark
    return aws.endpoint("churn", {"bad": (f"churn-5-{mark}", 1.0), "good": (f"churn-2-{mark}", 0.0)})


def test_the_rest_of_the_traffic_is_shared_as_before() -> None:
    assert shares({"a": 1.0, "b": 0.0}, "b", 1.0) == {"a": 0.0, "b": 1.0}
    assert shares({"a": 3.0, "b": 1.0, "c": 0.0}, "c", 0.2) == {"a": 0.6, "b": 0.2, "c": 0.2}
    assert shares({"a": 1.0, "b": 0.0, "c": 0.0}, "a", 0.0) == {"a": 0.0, "b": 0.5, "c": 0.5}


async def test_endpoints_are_listed_by_the_model_that_they_serve(aws, bench, endpoint):
    listed = await bench.apply("sagemaker.list_endpoints", model=f"churn-5-{aws.mark}")
    assert (listed.output["count"], listed.output["complete"]) == (1, True)
    (row,) = bench.rows(listed.output["targets"])
    assert row["id"] == endpoint
    assert {each["name"]: each["weight"] for each in row["variants"]} == {"bad": 1.0, "good": 0.0}
    other = await bench.run(bench.call("sagemaker.list_endpoints", {"model": "no-such"}, step="other"))
    assert other.output["count"] == 0


async def test_pages_are_read_to_their_end(aws, bench, endpoint):
    if aws.account is not None:
        aws.account.page = 1
    aws.endpoint("second", {"only": (f"second-{aws.mark}", 1.0)})
    aws.endpoint("third", {"only": (f"third-{aws.mark}", 1.0)})
    listed = await bench.apply("sagemaker.list_endpoints")
    names = {row["id"] for row in bench.rows(listed.output["targets"])}
    assert {endpoint, aws.name("second"), aws.name("third")} <= names


async def test_traffic_is_shifted_proven_and_given_back(aws, bench, endpoint):
    params = {"endpoint": endpoint, "variant": "good", "weight": 1}
    preview = await bench.preview(SHIFT, **params)
    assert (preview.count, preview.reversible) == (2, True)
    assert any("no traffic any more" in line for line in preview.impact)
    result = await bench.apply(SHIFT, **params)
    assert (result.changed, result.verified, result.affected.count) == (True, True, 2)
    assert weights(aws, endpoint) == {"bad": 0.0, "good": 1.0}
    again = await bench.run(bench.call(SHIFT, params, step="again"))
    assert (again.changed, again.items.already) == (False, 2)
    _, back = await undone(bench, SHIFT, result, **params)
    assert (back.verified, back.items.done) == (True, 2)
    assert weights(aws, endpoint) == {"bad": 1.0, "good": 0.0}


async def test_undo_leaves_weights_that_somebody_changed_since(aws, bench, endpoint):
    params = {"endpoint": endpoint, "variant": "good", "weight": 1}
    result = await bench.apply(SHIFT, **params)
    bench.client.set_weights(endpoint, {"bad": 0.3, "good": 0.7})
    while bench.client.endpoint(endpoint).status != "InService":
        pass
    _, back = await undone(bench, SHIFT, result, **params)
    assert (back.items.unknown, back.verified) == (2, False)
    assert weights(aws, endpoint) == {"bad": 0.3, "good": 0.7}


async def test_a_shift_whose_answer_was_lost_is_not_sent_again(aws, bench, endpoint):
    aws.front.add("drop_after", path="/UpdateEndpointWeights")
    params = {"endpoint": endpoint, "variant": "good", "weight": 0.25}
    lost = await bench.refused(bench.call(SHIFT, params))
    assert lost.type == "Ambiguous"
    while bench.client.endpoint(endpoint).status != "InService":
        pass
    result = await bench.run(bench.call(SHIFT, params), attempt=2)
    assert (result.verified, result.affected.count) == (True, 2)
    assert weights(aws, endpoint) == {"bad": 0.75, "good": 0.25}
    assert aws.front.asked("/UpdateEndpointWeights") == 1


async def test_what_cannot_be_shifted_is_refused_in_words(aws, bench, endpoint):
    none = await bench.refused(bench.call(SHIFT, {"endpoint": "no-such", "variant": "a", "weight": 1}))
    assert none.type == "NotFound"
    odd = await bench.refused(bench.call(SHIFT, {"endpoint": endpoint, "variant": "c", "weight": 1}, step="odd"))
    assert odd.type == "NotFound"
    single = aws.endpoint("single", {"only": (f"only-{aws.mark}", 1.0)})
    alone = await bench.refused(bench.call(SHIFT, {"endpoint": single, "variant": "only", "weight": 0}, step="alone"))
    assert alone.type == "Conflict" and "nowhere to go" in alone.message
    over = await bench.refused(bench.call(SHIFT, {"endpoint": endpoint, "variant": "bad", "weight": 25}, step="over"))
    assert over.type == "InvalidParams"


async def test_a_package_is_rejected_and_approved_again(aws, bench):
    arn = aws.package("churn")
    aws.front.add("drop_after", path="/UpdateModelPackage")
    result = await bench.after_lost(bench.call(REJECT, {"package": arn}))
    assert (result.changed, result.verified, result.affected.count) == (True, True, 1)
    assert bench.client.package(arn)[0] == "Rejected"
    assert aws.front.asked("/UpdateModelPackage") == 1
    _, back = await undone(bench, REJECT, result, package=arn)
    assert back.verified
    assert bench.client.package(arn)[0] == "Approved"


async def test_a_package_that_somebody_rejected_for_another_reason_is_theirs(aws, bench):
    arn = aws.package("churn")
    result = await bench.apply(REJECT, package=arn)
    bench.client.set_package(arn, "Rejected", "by the owner, after review")
    _, back = await undone(bench, REJECT, result, package=arn)
    assert (back.items.unknown, back.verified) == (1, False)
    assert bench.client.package(arn) == ("Rejected", "by the owner, after review")


async def test_a_pipeline_is_started_once_and_followed_to_its_end(aws, bench):
    pipeline = aws.pipeline("retrain")
    aws.front.add("drop_after", path="/StartPipelineExecution")
    params = {"pipeline": pipeline, "parameters": ["dataset=ds-7", "seed=1"]}
    result = await bench.after_lost(bench.call(START, params))
    assert (result.changed, result.verified, result.affected.count) == (True, True, 1)
    rows = list(
        bench.client.pages(
            "sagemaker", "ListPipelineExecutions", "PipelineExecutionSummaries", doing="looking", PipelineName=pipeline
        )
    )
    assert [row["PipelineExecutionArn"] for row in rows] == [result.output["execution"]], "one, not two"
    ended = await bench.apply("sagemaker.follow_pipeline", execution=result.output["execution"])
    assert ended.output["status"] == "succeeded" and ended.output["finished_at"]
    missing = await bench.refused(bench.call(START, {"pipeline": "no-such"}, step="none"))
    assert missing.type == "NotFound"


async def test_a_client_for_reading_only_changes_nothing(aws, bench, endpoint):
    from activities.errors import Rejected
    from activities.systems.sagemaker.client import connect_reading
    from worker.secrets import Secrets

    client = connect_reading(aws.settings(), Secrets(aws.env, Path()))
    assert client.endpoint(endpoint).status == "InService"
    with pytest.raises(Rejected, match="only reads are allowed"):
        client.set_weights(endpoint, {"bad": 0.0, "good": 1.0})
    assert aws.front.asked("/UpdateEndpointWeights") == 0
    assert "ListEndpoints answered" in client.ping()
    client.close()
