"""What a playbook gives back to the one that runs it, and what of it is not there."""

from playbooks.loader import Library
from tests.books import loaded
from tests.stage import Stage, shown
from tests.workflows.test_passes import output_of

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
