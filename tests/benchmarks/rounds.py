"""Going round: each side of each measure once, in turn, so that whatever else the machine does falls on all alike."""

import asyncio
import os
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx
from temporalio.client import WorkflowHistory

from tests.benchmarks import door, sides
from tests.benchmarks.figures import Sample
from tests.benchmarks.house import House
from tests.benchmarks.spans import history_of

SECONDS = 230.0
"""After so long no further round begins: a machine that needs longer says so instead."""
SETTLE = 0.05
SHAPES = (sides.SEQUENCE, sides.PARALLEL)


@dataclass
class Results:
    """Everything measured, by measure and side."""

    samples: dict[str, dict[str, list[Sample]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))
    histories: dict[str, dict[str, list[WorkflowHistory]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )
    stored: dict[str, dict[str, list[float]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))
    """Milliseconds that activities spent in the store."""
    ways: dict[str, list[dict[str, float]]] = field(default_factory=lambda: defaultdict(list))
    first_actions: Counter[str] = field(default_factory=Counter)
    compiling: list[float] = field(default_factory=list)
    load: list[float] = field(default_factory=list)
    rounds: int = 0


async def measured(built: House, rounds: int, warm_up: int, say: Callable[[str], None]) -> Results:
    """Warm up, then go round."""
    results, until = Results(), time.monotonic() + SECONDS
    headers = {"Authorization": f"Bearer {built.secret}"}
    async with httpx.AsyncClient(base_url=built.url, headers=headers, trust_env=False, timeout=30) as http:
        for _ in range(warm_up):
            await _round(built, http, Results())
        say(f"Warm; {rounds} rounds. Load {os.getloadavg()[0]:.1f}.")
        for _ in range(rounds):
            if time.monotonic() > until:
                say(f"Stopped after {results.rounds} rounds: the machine is too busy for more.")
                break
            await _round(built, http, results)
    results.compiling = door.compiling(built, rounds)
    return results


async def _round(built: House, http: httpx.AsyncClient, results: Results) -> None:
    for shape in SHAPES:
        for side in sides.sides(built):
            stored = built.store.seconds
            sample, workflow = await sides.measure(built, side, shape)
            results.samples[shape.name][side.name].append(sample)
            results.stored[shape.name][side.name].append((built.store.seconds - stored) * 1000)
            results.histories[shape.name][side.name].append(await history_of(built.client, workflow))
            await asyncio.sleep(SETTLE)
    for name in door.SIDES:
        way = await door.measure(built, http, name)
        results.samples["door"][name].append(way.sample)
        results.ways[name].append(way.parts)
        results.first_actions[way.action] += name == door.SIDES[-1]
        await asyncio.sleep(SETTLE)
    results.load.append(os.getloadavg()[0])
    results.rounds += 1
