"""What a playbook gives back to the one that runs it, and what of it is not there."""

from playbooks.loader import Library
from tests.books import loaded
from tests.stage import Stage, shown
from tests.workflows.test_passes import output_of, statuses

HEAD = "stanch: 1\nid: %s\nversion: 1.0.0\ntitle: Outputs\n"
PARENT = (
    HEAD % "parent"
    + """
steps:
  - {id: child, run: {playbook: child, with: {number: 4}}}
  - {id: end, action: lab.read, with: {value: "{{ steps.child.double | default('nothing') }} {{ steps.child.text }}"}}
outputs:
  whole: {type: string, value: "{{ steps.child.text }}!"}
"""
)
CHILD = (
    HEAD % "child"
    + """
inputs: {number: {type: integer}}
steps:
  - {id: look, action: lab.read, with: {value: "{{ inputs.number * 2 }}"}, when: STARTS}
  - {when: inputs.number > LIMIT, stop: Enough.}
  - {id: late, action: lab.read, with: {value: 1}}
always:
  - {set: {incident.seen: "{{ steps.late.meta.status }}"}}
outputs:
  double: {type: integer, value: "{{ steps.look.value }}"}
  text: {type: string, value: "{{ steps.late.meta.status }}"}
"""
)


def children(starts: str = "true", limit: str = "9") -> Library:
    """The child, with what decides how it ends."""
    return Library([loaded(CHILD.replace("STARTS", starts).replace("LIMIT", limit))])


async def test_outputs_come_back_with_their_types(stage: Stage) -> None:
    run = await stage.start(PARENT, library=children())
    status = await run.ended()
    assert status["status"] == "done", shown(status)
    assert output_of(run, "end") == "8 done"
    assert status["outputs"] == {"whole": "done!"}
    assert (await run.handle.result())["outputs"] == {"whole": "done!"}


async def test_after_a_stop_what_has_no_value_is_unset(stage: Stage) -> None:
    run = await stage.start(PARENT, library=children(starts="false", limit="3"))
    status = await run.ended()
    assert status["status"] == "done", shown(status)
    assert output_of(run, "end") == "nothing pending"


async def test_an_output_of_another_type_fails_the_step(stage: Stage) -> None:
    child = (
        CHILD.replace("type: integer, value", "type: boolean, value").replace("STARTS", "true").replace("LIMIT", "9")
    )
    run = await stage.start(PARENT, library=Library([loaded(child)]))
    status = await run.ended()
    assert (status["status"], status["code"]) == ("failed", "wrong_type"), shown(status)
    assert "double of child must be boolean" in status["reason"]


COVERED = (
    HEAD % "covered"
    + """
steps:
  - {id: go, approve: [child], by: {roles: [crm_owner]}, within: 1h, on_timeout: [deny], on_deny: CONTINUE}
  - {set: {incident.number: SET}}
  - {id: child, run: {playbook: child, with: {number: "{{ incident.number | default(4) }}"}}}
"""
)


def covered(then: str = "continue", number: int = 4) -> str:
    """A playbook whose sub-playbook an approve step names."""
    return COVERED.replace("CONTINUE", then).replace("SET", str(number))


async def test_an_approval_of_a_run_covers_its_start(stage: Stage) -> None:
    run = await stage.start(covered(), library=children())
    gate = await run.waiting("go")
    assert [part["action"] for part in gate["preview"]] == ["run child"]
    assert gate["preview"][0]["params"] == {"number": 4}
    await run.decide("go", "amal")
    status = await run.ended()
    assert status["status"] == "done" and statuses(status)["child/late"] == "done", shown(status)


async def test_a_denied_run_does_not_start(stage: Stage) -> None:
    run = await stage.start(covered(), library=children())
    await run.decide("go", "amal", "deny")
    status = await run.ended()
    assert (status["status"], statuses(status)["child"], statuses(status)["child/look"]) == (
        "done",
        "denied",
        "pending",
    )
    stops = await stage.start(covered("stop"), library=children())
    await stops.decide("go", "amal", "deny")
    assert (await stops.ended())["status"] == "denied"


async def test_a_run_with_other_inputs_than_approved_asks_anew(stage: Stage) -> None:
    run = await stage.start(covered(number=5), library=children())
    await run.decide("go", "amal")
    gate = await run.waiting("child")
    assert gate["difference"] == ["number: approved 4, now 5."]
    await run.decide("child", "bo", "deny")
    status = await run.ended()
    assert (statuses(status)["child"], statuses(status)["child/look"]) == ("denied", "pending")
