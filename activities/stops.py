"""Points at which a test may stop a worker and kill it. A live worker refuses to start with any set.

``STANCH_TEST_HOLD="point[@substring],…"``: at ``point`` of a call whose place contains ``substring`` the
worker writes a marker into ``STANCH_TEST_HOLD_DIR`` and waits until it is killed, or until a file named like
the marker with ``.release`` at its end appears. Each call stops once at a point, however often it is retried.
"""

import asyncio
import hashlib
import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from playbooks.contract import ActionCall

POINTS = ("before_start", "before_intent", "after_intent", "after_send", "before_outcome", "before_completion")
"""In the order of a call. A read has neither intent; a preview has the first and the last."""


@dataclass(frozen=True)
class StopPoints:
    """Where to stop: pairs of point and substring of ``RUN STEP ITEM VERB ACTION KEY``."""

    wanted: Sequence[tuple[str, str]]
    folder: Path

    @classmethod
    def parse(cls, text: str, folder: Path) -> "StopPoints":
        """Read the variable's value.

        Raises:
            ValueError: a point has no such name.
        """
        wanted = []
        for part in filter(None, (piece.strip() for piece in text.split(","))):
            point, _, substring = part.partition("@")
            if point not in POINTS:
                raise ValueError(f"{point!r} is none of {', '.join(POINTS)}")
            wanted.append((point, substring))
        return cls(tuple(wanted), folder)

    def marker(self, point: str, call: ActionCall, key: str) -> Path | None:
        """Create the marker of this place and return it; ``None`` if nothing stops here (any more)."""
        place = f"{call.run} {call.step} {call.item or ''} {call.verb} {call.action} {key}"
        if not any(point == name and substring in place for name, substring in self.wanted):
            return None
        self.folder.mkdir(parents=True, exist_ok=True)
        # Named by the call, so that a new worker does not stop at the same place again.
        name = hashlib.sha256(f"{point} {place} {call.tries}".encode()).hexdigest()[:24]
        marker = self.folder / f"{point}-{name}.json"
        partial = self.folder / f".{point}-{name}.{os.getpid()}"
        seen = {
            "point": point,
            "run": call.run,
            "step": call.step,
            "item": call.item,
            "action": call.action,
            "verb": call.verb.value,
            "key": key,
            "pid": os.getpid(),
        }
        partial.write_text(json.dumps(seen))
        try:
            os.link(partial, marker)
        except FileExistsError:
            return None
        finally:
            partial.unlink()
        return marker

    async def reach(self, point: str, call: ActionCall, key: str) -> None:
        """Stop here if wanted."""
        marker = self.marker(point, call, key)
        while marker is not None and not marker.with_suffix(".release").exists():  # noqa: ASYNC110
            await asyncio.sleep(0.02)  # a file of another process cannot set an event

    def reach_in_thread(self, point: str, call: ActionCall, key: str) -> None:
        """Stop the calling thread here if wanted."""
        marker = self.marker(point, call, key)
        while marker is not None and not marker.with_suffix(".release").exists():
            time.sleep(0.02)
