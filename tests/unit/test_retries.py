"""Trying again: a block does again what failed in it, a loop's items are decided for once, a time-out begins anew."""

from pathlib import Path
from typing import Any

import pytest

from worker.trial.stubs import Stub

HEAD = "stanch: 1\nid: tries\nversion: 1.0.0\ntitle: Tries\nsteps:\n"
LOGS = '  - {id: logs, action: salesforce.collect_event_logs, with: {since: "2026-11-23T10:00:00Z"}}\n'
READ = "action: salesforce.count_oauth_tokens, with: {app: Mailer}"


@pytest.fixture
def played(stanch_playbook: Any, tmp_path: Path) -> Any:
    """Runs steps written as text."""

    def play(steps: str, systems: dict[str, Any], **more: Any) -> Any:
        file = tmp_path / "tries.yaml"
        file.write_text(HEAD + steps)
        return stanch_playbook(file, systems=systems, **more)

    return play


def tried(run: Any, step: str) -> int:
    return sum(entry.kind == "action.outcome" and entry.body["step"] == step for entry in run.outcome.journal)


BLOCKS = {
    "do": f"""
  - id: block
    retry: {{times: 2, every: 10s}}
    do:
      - {{id: first, {READ}}}
      - {{id: second, {READ}}}
""",
    "parallel": f"""
  - id: block
    retry: {{times: 2, every: 10s}}
    parallel:
      one: [{{id: first, {READ}}}]
      two: [{{id: second, {READ}}}]
""",
    "if": f"""
  - id: block
    retry: {{times: 2, every: 10s}}
    if: "{{{{ incident.severity > 0 }}}}"
    then: [{{id: first, {READ}}}, {{id: deeper, do: [{{id: second, {READ}}}]}}]
""",
    "repeat": f"""
  - id: block
    retry: {{times: 2, every: 10s}}
    repeat: {{do: [{{id: first, {READ}}}, {{id: second, {READ}}}], until: true, at_most: 1}}
""",
}


@pytest.mark.parametrize("steps", BLOCKS.values(), ids=BLOCKS)
def test_a_block_that_is_tried_again_does_again_only_what_failed(played: Any, steps: str) -> None:
    run = played(steps, {"second": Stub({"count": 3}, fails="rejected", times=2)})
    run.finish()
    assert run.status == "done"
    assert run.step("second")["output"] == {"count": 3}
    assert (tried(run, "first"), tried(run, "second")) == (1, 1)


@pytest.mark.parametrize("steps", BLOCKS.values(), ids=BLOCKS)
def test_a_blocks_attempts_have_an_end(played: Any, steps: str) -> None:
    run = played(steps, {"second": Stub(fails="rejected")})
    run.finish()
    assert (run.status, run.step("second")["status"]) == ("failed", "failed")
    ends = [entry.body["step"] for entry in run.outcome.journal if entry.kind == "step.failed"]
    assert (ends.count("second"), ends.count("block")) == (3, 1)


LOOP = (
    LOGS
    + """
  - {id: go, approve: [each], by: {roles: [crm_owner]}, within: 10m, on_timeout: [deny]}
  - id: each
    for_each: [a, b, c]
    at_once: 1
    action: salesforce.abort_bulk_jobs
    with: {targets: ["{{ item }}"]}
    retry: {times: 1, every: 10s}
"""
)


def test_a_loops_item_is_decided_once(played: Any) -> None:
    """The owner of an item that failed is asked about it; nobody is asked about the loop again, nor is it tried."""
    run = played(LOOP, {"each": [Stub(), Stub(fails="rejected", times=2), Stub()]}, roles={"amal": ["crm_owner"]})
    run.answer("go", "amal")
    run.advance("1m")
    asked = run.waiting
    assert [(one.kind, one.step) for one in asked] == [("failure", "each[1]")]
    run.answer("each[1]", "amal", "stop")
    assert run.status == "failed"
    assert [one.kind for one in run.outcome.asked].count("failure") == 1


SLOW = (
    LOGS
    + """
  - id: go
    approve: [end]
    by: {roles: [crm_owner]}
    within: 10m
    on_timeout: [deny]
  - {id: end, action: salesforce.end_sessions, with: {targets: [s1]}, timeout: 5m, retry: {times: 2, every: 20m}}
"""
)


def test_a_time_out_is_a_failure_like_others_and_begins_anew(played: Any) -> None:
    """When an effect's time is over its owner is asked, and another try has the same time again."""
    run = played(SLOW, {"end": Stub(fails="rejected", times=2)})
    run.answer("go", "amal")
    run.advance("4m")
    assert not run.waiting
    run.advance("1m")
    (asked,) = run.waiting
    assert asked.kind == "failure" and "(timeout)" in asked.question
    run.advance("1m")
    run.answer("end", "amal", "retry")
    run.advance("4m")
    assert not run.waiting
    run.advance("1m")
    assert [asked.kind for asked in run.waiting] == ["failure"]
    run.answer("end", "amal", "retry")
    assert (run.status, run.effects) == ("done", ["end"])
