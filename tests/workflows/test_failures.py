"""Failures, unknown outcomes, cancel and undo: people are asked where only people can say."""

import asyncio

from tests.stage import Stage

HEAD = "stanch: 1\nid: probe\nversion: 1.0.0\ntitle: Probe\n"


def step_of(status: dict, path: str) -> dict:
    """A step of a status."""
    return next(step for step in status["steps"] if step["path"] == path)


async def test_a_failed_effect_asks_and_a_retry_mends_it(stage: Stage) -> None:
    stage.world.fault("rejected", 1)
    run = await stage.start(HEAD + "steps:\n  - {id: one, action: lab.touch, with: {name: x}}\n", facts={"severity": 5})
    gate = await run.waiting("one", kind="failure")
    assert "rejected" in gate["question"] and gate["verdicts"] == ["retry", "skip", "stop"]
    assert (await run.decide("one", "amal", "retry")).accepted
    status = await run.ended()
    assert status["status"] == "done" and len(stage.world.effects()) == 1


async def test_skip_goes_on_with_a_warning_and_stop_ends(stage: Stage) -> None:
    for verdict, ends in (("skip", "done"), ("stop", "failed")):
        stage.world.fault("rejected", 1)
        run = await stage.start(
            HEAD + f"steps:\n  - {{id: one, action: lab.touch, with: {{name: {verdict}}}}}\n  - {{note: after}}\n",
            facts={"severity": 5},
        )
        await run.waiting("one", kind="failure")
        await run.decide("one", "amal", verdict)
        status = await run.ended()
        assert status["status"] == ends
        assert bool(status["warnings"]) is (verdict == "skip")


async def test_an_effect_that_may_be_sent_once_is_asked_about_when_its_answer_is_lost(stage: Stage) -> None:
    stage.world.fault("lost", 1)
    run = await stage.start(HEAD + "steps:\n  - {id: one, action: lab.touch_once, with: {name: x}}\n")
    await run.decide("one", "amal")
    gate = await run.waiting("one", kind="unknown")
    assert gate["verdicts"] == ["happened", "not_happened", "verify"]
    assert step_of(await run.status(), "one")["status"] == "unknown"
    await run.decide("one", "amal", "verify")
    status = await run.ended()
    assert status["status"] == "done" and step_of(status, "one")["verified"] is True
    assert len(stage.world.effects()) == 1


async def test_a_natural_effect_whose_answer_is_lost_is_done_by_itself(stage: Stage) -> None:
    stage.world.fault("lost", 1)
    run = await stage.start(HEAD + "steps:\n  - {id: one, action: lab.touch, with: {name: x}}\n", facts={"severity": 5})
    status = await run.ended()
    assert status["status"] == "done" and step_of(status, "one")["changed"] is True
    assert len(stage.world.effects()) == 1


async def test_a_cancel_offers_to_undo_and_duties_still_run(stage: Stage) -> None:
    run = await stage.start(
        HEAD
        + """
steps:
  - {id: one, action: lab.touch, with: {name: x}}
  - {id: two, action: lab.touch, with: {name: y}}
  - {id: wait, wait: {for: 1h}}
  - {id: never, action: lab.read}
always:
  - {id: duty, action: lab.read}
""",
        facts={"severity": 5},
    )
    await run.until(lambda status: step_of(status, "wait")["status"] == "waiting")
    await run.handle.cancel()
    gate = await run.waiting("@undo")
    assert [part["step"] for part in gate["preview"]] == ["two", "one"]
    assert (await run.decide("@undo", "amal")).accepted
    status = await run.ended()
    assert status["status"] == "undone"
    assert step_of(status, "duty")["status"] == "done" and step_of(status, "never")["status"] == "pending"
    assert [(effect["kind"], effect["id"]) for effect in stage.world.effects()][2:] == [
        ("untouch", "y"),
        ("untouch", "x"),
    ]


async def test_the_undo_of_a_step_that_took_two_tries_covers_both(stage: Stage) -> None:
    stage.world.fault("rejected", 1)
    run = await stage.start(
        HEAD
        + "steps:\n  - {id: end, action: lab.end_things, with: {targets: [a, b]}}\n  - {id: wait, wait: {for: 1h}}\n",
        facts={"severity": 5},
    )
    gate = await run.waiting("end", kind="failure")
    half = step_of(await run.status(), "end")
    assert (half["changed"], half["verified"], half["affected"]["count"]) == (True, False, 1), gate
    await run.decide("end", "amal", "retry")
    await run.until(lambda status: step_of(status, "wait")["status"] == "waiting")
    assert step_of(await run.status(), "end")["affected"]["count"] == 2
    await run.handle.cancel()
    assert (await run.decide("@undo", "amal")).accepted
    assert (await run.ended())["status"] == "undone"
    assert sorted(effect["id"] for effect in stage.world.effects() if effect["kind"] == "untouch") == ["a", "b"]


async def test_a_cancel_whose_undo_is_declined_ends_cancelled(stage: Stage) -> None:
    run = await stage.start(
        HEAD + "steps:\n  - {id: one, action: lab.touch, with: {name: x}}\n  - {id: wait, wait: {for: 1h}}\n",
        facts={"severity": 5},
    )
    await run.until(lambda status: step_of(status, "wait")["status"] == "waiting")
    await run.handle.cancel()
    await run.decide("@undo", "amal", "deny")
    status = await run.ended()
    assert status["status"] == "cancelled" and len(stage.world.effects()) == 1


async def test_a_cancel_never_cuts_an_effect_in_flight(stage: Stage) -> None:
    run = await stage.start(
        HEAD + "steps:\n  - {id: one, action: lab.touch, with: {name: x, seconds: 1}}\n  - {note: after}\n",
        facts={"severity": 5},
    )
    await run.until(lambda status: step_of(status, "one")["status"] == "running")
    await asyncio.sleep(0.4)
    await run.handle.cancel()
    await run.decide("@undo", "amal", "deny")
    status = await run.ended()
    assert status["status"] == "cancelled" and step_of(status, "one")["status"] == "done"


async def test_a_hold_stops_effects_and_lets_reads_go_on(stage: Stage) -> None:
    stage.store.hold.set("drill", "cleo")
    run = await stage.start(
        HEAD + "steps:\n  - {id: look, action: lab.read}\n  - {id: one, action: lab.touch, with: {name: x}}\n",
        facts={"severity": 5},
    )
    status = await run.until(lambda status: step_of(status, "one")["waiting_for"] == "held")
    assert step_of(status, "look")["status"] == "done" and stage.world.effects() == []
    stage.store.hold.clear("cleo")
    assert (await run.ended())["status"] == "done"


async def test_pause_starts_no_further_step(stage: Stage) -> None:
    run = await stage.start(
        HEAD + "steps:\n  - {id: slow, action: lab.read, with: {seconds: 0.5}}\n  - {id: next, action: lab.read}\n"
    )
    await run.handle.execute_update("pause", {"person": "cleo", "reason": "look first"})
    status = await run.until(lambda status: step_of(status, "slow")["status"] == "done")
    await asyncio.sleep(0.3)
    status = await run.status()
    assert status["status"] == "paused" and step_of(status, "next")["status"] == "pending"
    await run.handle.execute_update("resume", {"person": "cleo"})
    assert (await run.ended())["status"] == "done"
    assert {"run.paused", "run.resumed"} <= set(run.kinds())


async def test_a_cancel_does_not_end_the_question_whether_an_effect_happened(stage: Stage) -> None:
    stage.world.fault("lost", 1)
    run = await stage.start(HEAD + "steps:\n  - {id: one, action: lab.touch_once, with: {name: x}}\n  - {note: next}\n")
    await run.decide("one", "amal")
    await run.waiting("one", kind="unknown")
    await run.handle.cancel()
    await asyncio.sleep(0.5)
    status = await run.status()
    assert status["status"] == "waiting" and step_of(status, "one")["status"] == "unknown"
    await run.decide("one", "amal", "verify")
    status = await run.until(lambda status: step_of(status, "one")["status"] == "done")
    assert len(stage.world.effects()) == 1


async def test_stanchs_own_integration_is_never_touched(stage: Stage) -> None:
    run = await stage.start(
        HEAD + "steps:\n  - {id: one, action: lab.touch, with: {name: stanch}, on_failure: stop}\n",
        facts={"severity": 5},
    )
    status = await run.ended()
    assert status["status"] == "failed" and status["code"] == "protected"
    assert stage.world.effects() == []


async def test_an_author_error_fails_the_run_with_words_and_never_hangs_it(stage: Stage) -> None:
    run = await stage.start(
        HEAD
        + 'steps:\n  - {id: one, action: lab.read, with: {value: 1}}\n  - {require: "{{ 1 / (steps.one.value - 1) > 0 }}",'
        " message: no}\n"
    )
    status = await run.ended()
    assert status["status"] == "failed" and status["code"].startswith("expression")
