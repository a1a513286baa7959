"""Random playbooks that fail at random, go on by reruns, and are undone: nothing is done twice, and nothing is left."""

import itertools
import json
import random
from collections import Counter

import pytest

from tests.stage import Running, Stage, actor
from workflows.messages import Thresholds

HEAD = "stanch: 1\nid: probe\nversion: 1.0.0\ntitle: Probe\n"


class Author:
    """Writes playbooks whose every effect is on a thing of its own and can be taken back."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self._numbers = itertools.count()

    def names(self, most: int) -> list[str]:
        """Things that no other step touches."""
        return [f"t{next(self._numbers)}" for _ in range(self.chance.randint(1, most))]

    def step(self, depth: int) -> dict:
        """One step, perhaps a block."""
        kind = self.chance.choice(["touch", "end", "each", "do", "parallel"] if depth else ["touch", "end", "each"])
        step: dict = {"id": f"s{next(self._numbers)}"}
        if kind == "touch":
            step |= {"action": "lab.touch", "with": {"name": self.names(1)[0]}}
        elif kind == "end":
            step |= {"action": "lab.end_things", "with": {"targets": self.names(4)}}
        elif kind == "each":
            step |= {"for_each": self.names(4), "action": "lab.touch", "with": {"name": "{{ item }}"}}
        elif kind == "do":
            step |= {"do": self.steps(depth - 1)}
        else:
            step |= {"parallel": {"left": self.steps(depth - 1), "right": self.steps(depth - 1)}}
        if kind in ("touch", "end", "each"):
            step["on_failure"] = self.chance.choice(["stop", "continue"])
        return step

    def steps(self, depth: int) -> list[dict]:
        """A block."""
        return [self.step(depth) for _ in range(self.chance.randint(1, 3))]


def done(stage: Stage) -> Counter[str]:
    """How often each thing was touched."""
    return Counter(effect["id"] for effect in stage.world.effects() if effect["kind"] == "touch")


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
async def test_nothing_is_done_twice_and_an_undo_leaves_the_world_as_it_was(stage: Stage, seed: int) -> None:
    author = Author(seed)
    limits = Thresholds(soft_events=author.chance.choice([15, 40, 2000]))
    text = HEAD + f"steps: {json.dumps(author.steps(2))}\nalways: {json.dumps([author.step(0)])}\n"
    desk = stage.desk(limits)
    stage.world.fault("rejected", author.chance.randint(1, 5))
    run = await stage.start(text, facts={"severity": 5}, thresholds=limits)
    status = await run.ended()
    for left in (1, 1, 1, 0):
        if all(step["status"] == "done" for step in status["steps"]):
            break
        stage.world.fault("rejected", author.chance.randint(0, left))
        later = await desk.aftermath.rerun(run.incident, actor("bo"))
        status = await _of(stage, run, later.run).ended()
    assert (status["status"], {step["status"] for step in status["steps"]}) == ("done", {"done"}), text
    assert set(done(stage).values()) == {1}, text
    everything = set(done(stage))
    lost = author.chance.choice(sorted(everything))
    stage.world.change("untouch", lost)
    undo = await desk.aftermath.undo(run.incident, actor("bo"))
    last = _of(stage, run, undo.run)
    assert (await last.decide("@undo", "amal")).accepted
    status = await last.ended()
    assert not [name for name in everything if stage.world.touched(name)], text
    said = {step["code"] for step in status["steps"]}
    assert (status["code"], said - {None}) == ("undo_incomplete", {"not_ours"}), "somebody had taken one back"
    restored = Counter(effect["id"] for effect in stage.world.effects() if effect["kind"] == "untouch")
    assert set(restored.values()) == {1}, "by hand, or by Stanch"


def _of(stage: Stage, run: Running, later: str | None) -> Running:
    assert later is not None
    return stage.running(run.incident, later)
