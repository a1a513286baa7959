"""A training job that is built in isolation, and twice: what shows that a version was made of its inputs alone."""

import dataclasses
from typing import Any

from activities.systems.training.models import Build, Job
from tests.systems.acme import Bench
from tests.systems.training_site import Site, order


async def followed(training_bench: Bench, training: Site, barred: list[str], **more: Any) -> dict[str, Any]:
    """How a job ended that was ordered like this."""
    started = await training_bench.apply("training.start_job", **order(training, **more))
    ended = await training_bench.apply("training.follow_job", job=started.output["job"], not_on=barred)
    return dict(ended.output)


async def test_two_builders_that_make_the_same_reproduce_it(training: Site, training_bench: Bench) -> None:
    preview = await training_bench.preview("training.start_job", **order(training, builds=2, not_on=["builder-2"]))
    assert "on 2 builders, each for itself, to compare them" in preview.impact
    assert "not on builder-2" in preview.impact
    ended = await followed(training_bench, training, ["builder-2"], builds=2, not_on=["builder-2"])
    assert (ended["builders"], ended["trusted"], ended["reproduced"]) == (["builder-3", "builder-4"], True, True)
    assert len(ended["release_digest"]) == 64
    kept = training_bench.files()["training.job"].decode()
    assert kept.count(ended["release_digest"]) == 2


async def test_one_build_or_another_result_is_no_reproduction(training: Site, training_bench: Bench) -> None:
    training.service.drifting.add("builder-4")
    ended = await followed(training_bench, training, [], builds=2)
    assert (ended["trusted"], ended["reproduced"]) == (True, False)
    training.service.drifting.clear()
    view = next(iter(training.service.jobs.values())).view()
    once = dataclasses.replace(Job.of(view), builds=(Build("builder-3", True, "d"),))
    assert not once.reproduced
    assert not dataclasses.replace(once, builds=once.builds * 2).reproduced, "the same builder twice"
    assert not dataclasses.replace(once, builds=(Build("a", True, ""), Build("b", True, ""))).reproduced


async def test_a_build_on_a_barred_or_shared_builder_is_not_trusted(training: Site, training_bench: Bench) -> None:
    assert not (await followed(training_bench, training, ["Builder-3"], builds=2))["trusted"]
    training.service.shared.add("builder-4")
    assert not Job.of(next(iter(training.service.jobs.values())).view() | {"result": None}).trusted([])
    started = await training_bench.run(
        training_bench.call("training.start_job", order(training, builds=2), step="shared")
    )
    ended = await training_bench.run(
        training_bench.call("training.follow_job", {"job": started.output["job"]}, step="follow")
    )
    assert (ended.output["trusted"], ended.output["reproduced"]) == (False, True)


async def test_a_job_goes_to_no_builder_that_is_barred(training: Site, training_bench: Bench) -> None:
    error = await training_bench.refused(
        training_bench.call("training.start_job", order(training, builds=2, not_on=["builder-3"]))
    )
    assert (error.type, "no_builder" in error.message) == ("Conflict", True)
    assert not training.service.jobs
    assert (await followed(training_bench, training, [], not_on=["builder-3"]))["builders"] == ["builder-4"]
