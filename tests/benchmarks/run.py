"""``make bench``: what Stanch costs against Temporal by hand, in one run, interleaved, as ratios.

Figures are printed and written to ``.bench/``. The goals are goals: a missed one is told with where the time goes.
The exit is 1 only where a limit is broken.
"""

import argparse
import asyncio
import json
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.benchmarks.figures import Spread
from tests.benchmarks.house import house
from tests.benchmarks.rounds import measured
from tests.benchmarks.told import told
from worker.leave import leave

FOLDER = Path(__file__).resolve().parents[2] / ".bench"
LEAST = 20
WARM_UP = 2


def machine() -> dict[str, Any]:
    """Where it is measured."""
    return {
        "processors": os.cpu_count(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "load": list(os.getloadavg()),
    }


async def bench(
    rounds: int, home: Path, say: Callable[[str], None], *, warm_up: int = WARM_UP
) -> tuple[dict[str, Any], bool]:
    """Build everything in ``home``, measure, tell; the document, and whether every limit held."""
    began, before = time.monotonic(), machine()
    say(
        f"{before['processors']} processors, Python {before['python']}, {before['system']}; load {before['load'][0]:.1f}"
    )
    async with house(home) as built:
        results = await measured(built, rounds, warm_up, say)
        lines, document, held = await told(built, results)
    for line in lines:
        say(line)
    load = Spread.of(results.load)
    say(f"\n{results.rounds} rounds in {time.monotonic() - began:.0f} s; load {load.least:.1f} to {load.most:.1f}")
    if results.rounds < min(LEAST, rounds):
        say(f"Fewer than {LEAST} rounds: these figures are weak. Run it on a machine that does nothing else.")
    return {**document, "machine": before, "load": [load.least, load.most], "rounds": results.rounds}, held


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.run", description=__doc__)
    parser.add_argument("--rounds", type=int, default=LEAST + 2, help=f"measured rounds, default {LEAST + 2}")
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder of the figures, default .bench")
    given = parser.parse_args()
    folder, at = given.out.resolve(), datetime.now(UTC)
    folder.mkdir(parents=True, exist_ok=True)
    home = Path(tempfile.mkdtemp(prefix="home-", dir=folder))
    try:
        document, held = asyncio.run(bench(given.rounds, home, lambda line: print(line, flush=True)))
    finally:
        shutil.rmtree(home, ignore_errors=True)
    path = folder / f"{at:%Y%m%dT%H%M%S}.json"
    path.write_text(json.dumps({"at": at.isoformat(), **document}, indent=1) + "\n", encoding="utf-8")
    print(f"Written to {path}")
    if not held:
        print("A limit is broken; see above.", file=sys.stderr)
    return 0 if held else 1


if __name__ == "__main__":
    leave(main())
