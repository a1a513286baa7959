"""Forms: defaults are worked out when the question is asked, and silence answers by them."""

import json
from typing import Any

from tests.stage import Running, Stage

HEAD = "stanch: 1\nid: probe\nversion: 1.0.0\ntitle: Probe\n"
ASK = """
steps:
  - id: question
    ask: How far did it go?
    by: {roles: [privacy_officer]}
    form:
      since: {type: datetime, default: "{{ incident.first_seen - hours(1) }}"}
      what: {type: string}
      level: {type: integer, default: 2}
      more: {type: string, required: false}
    within: %s
    on_timeout: [{default: {what: "About {{ incident.title }}"}}]
  - {note: "{{ steps.question.what }} {{ steps.question.since }} {{ steps.question.level }}"}
"""
FACTS = {"first_seen": "2026-11-23T10:00:00Z", "title": "{{ 7 * 7 }}"}


def told(run: Running) -> str:
    """Everything that the incident's record holds, texts included."""
    texts: list[Any] = run.entries()
    for entry in run.entries():
        ref = entry["body"].get("text_ref")
        if ref:
            texts.append(run.stage.store.evidence.read(ref).decode())
    return json.dumps(texts, ensure_ascii=False)


async def test_silence_answers_by_the_defaults_of_now(stage: Stage) -> None:
    run = await stage.start(HEAD + ASK % "1s", facts=FACTS)
    assert (await run.ended())["status"] == "done"
    assert "About {{ 7 * 7 }} 2026-11-23T09:00:00Z 2" in told(run)


async def test_people_see_the_defaults_and_may_leave_them(stage: Stage) -> None:
    run = await stage.start(HEAD + ASK % "1h", facts=FACTS)
    gate = await run.waiting("question")
    assert gate["form"]["since"]["default"] == "2026-11-23T09:00:00Z"
    assert (await run.decide("question", "dara", "answer", values={"what": "all", "level": 3})).accepted
    assert (await run.ended())["status"] == "done"
    assert "all 2026-11-23T09:00:00Z 3" in told(run)


async def test_a_default_that_is_of_the_wrong_type_fails_the_step(stage: Stage) -> None:
    text = HEAD + ASK.replace("About {{ incident.title }}", "{{ incident.any }}") % "1h"
    text = text.replace("steps:\n", "steps:\n  - set: {incident.any: [1]}\n", 1)
    run = await stage.start(text, facts=FACTS)
    status = await run.ended()
    assert status["status"] == "failed"
    step = next(step for step in status["steps"] if step["path"] == "question")
    assert (step["status"], step["code"]) == ("failed", "wrong_type")
