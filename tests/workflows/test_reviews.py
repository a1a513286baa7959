"""Break-glass opens an after-review: the incident stays open until somebody else has said what they think of it."""

import asyncio

from tests.stage import Stage, actor
from worker.cli import card

HEAD = "stanch: 1\nid: probe\nversion: 1.0.0\ntitle: Probe\n"


async def test_a_broken_glass_keeps_the_incident_open_until_somebody_else_reviewed_it(stage: Stage) -> None:
    desk = stage.desk()
    for name, roles in (("cleo", ("incident_commander", "crm_owner")), ("amal", ("crm_owner",))):
        desk.people.add(name, roles)
    run = await stage.start(HEAD + "steps:\n  - {id: one, action: lab.touch_once, with: {name: x}}\n")
    await run.waiting("one")
    assert (await run.decide("one", "cleo", "break_glass", reason="it burns")).accepted
    assert (await run.ended())["status"] == "done"
    for _ in range(200):
        waiting = await desk.views.waiting(run.incident)
        if waiting:
            break
        await asyncio.sleep(0.05)
    review = waiting[0]
    assert (review["kind"], review["step"], review["who"]["may"]) == ("review", "one", ["amal"])
    assert review["question"] == 'cleo broke the glass at one and gave as reason: "it burns". Was that justified?'
    assert card.commands(run.incident, review)[0] == (
        f"stanch incident review {run.incident} one --verdict justified --reason 'WHY'"
    )
    shut = await desk.life.close(run.incident, actor("cleo"), "closed", "over")
    assert (shut.accepted, shut.code) == (False, "review_open")
    said = [
        (await desk.aftermath.review(run.incident, actor(person), step, verdict, reason)).code
        for person, step, verdict, reason in (
            ("cleo", "one", "justified", "I had to"),
            ("dara", "one", "justified", "fine"),
            ("amal", "two", "justified", "fine"),
            ("amal", "one", "perhaps", "fine"),
            ("amal", "one", "justified", " "),
            ("amal", "one", "not_justified", "the owner was awake"),
            ("amal", "one", "justified", "after all"),
        )
    ]
    assert said == ["requester", "wrong_role", "not_waiting", "bad_verdict", "bad_value", "ok", "closed"]
    assert (await desk.life.close(run.incident, actor("cleo"), "closed", "over")).code in ("ok", "clock_open")
    for _ in range(100):
        if "review.done" in run.kinds():
            break
        await asyncio.sleep(0.05)
    done = next(entry for entry in run.entries() if entry["kind"] == "review.done")
    assert (done["actor"], done["body"]["verdict"], done["body"]["step"]) == ("amal", "not_justified", "one")
    told = [notice for notice in stage.store.notices.of(run.incident) if ":review:" in notice["id"]]
    assert told and set(told[0]["to"]) == {"role:incident_commander", "role:crm_owner"}
