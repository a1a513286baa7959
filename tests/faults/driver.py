"""What kills workers: at a stop point in every step, or while the vendor holds an answer back."""

import time
from collections.abc import Mapping
from typing import Any

from activities.catalog import CATALOG
from tests.faults.scene import Kill, Scene

COMMITTED = "committed"
"""The vendor has carried a request out, and its answer is held back."""
TOGETHER = 0.6
"""Branches of a block reach the same point within this time, and then share a death."""
WRITES = ("POST", "PATCH", "DELETE")


def place_of(seen: Mapping[str, Any]) -> str:
    """The step instance of a mark, as ``step`` or ``step[item]``."""
    return str(seen["step"]) + (f"[{seen['item']}]" if seen["item"] else "")


class AtPoint:
    """SIGKILLs the worker wherever an apply of an action stands at ``point``."""

    def __init__(self, scene: Scene, point: str) -> None:
        self._scene, self._point = scene, point
        self.missed: list[str] = []

    @staticmethod
    def hold(point: str) -> str:
        """Value of the stop variable for this driver."""
        return f"{point}@ apply"

    def turn(self) -> None:
        """Kill if somebody stands there."""
        scene = self._scene
        if not scene.marks(self._point):
            return
        time.sleep(TOGETHER)
        pid = scene.marks(self._point)[0][1]["pid"]
        scene.kill_worker(pid)
        # A mark that came while the signal was on its way counts too: the worker stopped there and died.
        stood = [(path, seen) for path, seen in scene.marks(self._point) if seen["pid"] == pid]
        scene.kills.append(Kill(self._point, tuple(place_of(seen) for _, seen in stood)))
        for path, _ in stood:
            scene.release(path)


class AtCommit:
    """SIGKILLs the worker while the vendor holds back the answer to a request of each step.

    One call runs at a time, so that the request that is held is surely that step's: every call stops before
    its start and before its completion.
    """

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        scene.paced = True
        self._turn: dict[str, Any] | None = None
        self._armed = False
        self._killed: set[str] = set()
        world = scene.stage.range.world
        self._requests = {"abort": len(world.running_jobs), "revoke": len(world.stolen_grants)}
        self.missed: list[str] = []

    @staticmethod
    def hold() -> str:
        """Value of the stop variable for this driver."""
        return "before_start,before_completion"

    def turn(self) -> None:
        """Go on by one thing, if there is anything to do."""
        if self._turn is None:
            self._next()
        elif self._armed and self._scene.world("hold"):
            self._kill()
        else:
            self._finish()

    def _next(self) -> None:
        scene = self._scene
        for path, seen in scene.marks("before_start"):
            self._turn = seen
            place = place_of(seen)
            self._armed = seen["verb"] == "apply" and place not in self._killed
            if self._armed:
                self._arm(seen)
            scene.release(path)
            return

    def _arm(self, seen: Mapping[str, Any]) -> None:
        effect = CATALOG.specs[seen["action"]].facts.risk.is_effect
        for method in WRITES if effect else ("GET",):
            self._scene.order(
                "hold",
                phase="after_commit",
                actor="stanch",
                method=method,
                path=r"^/services/(data/|oauth2/revoke)",
                # Of several requests the second: then one is known to be done, one is not, and some are to do.
                skip=int(self._requests.get(seen["step"], 1) > 1),
            )

    def _kill(self) -> None:
        scene, seen = self._scene, self._turn
        assert seen is not None
        place = place_of(seen)
        scene.kill_worker(seen["pid"])
        scene.kills.append(Kill(COMMITTED, (place,)))
        self._killed.add(place)
        self._disarm()
        for path, other in scene.marks("before_start"):
            if other["pid"] == seen["pid"]:
                # It died too; a new worker's call is to stop there again.
                path.unlink()

    def _finish(self) -> None:
        scene, now = self._scene, self._turn
        assert now is not None
        for path, seen in scene.marks("before_completion"):
            if all(seen[name] == now[name] for name in ("step", "item", "verb", "action")):
                if self._armed:
                    self.missed.append(place_of(seen))
                    self._disarm()
                self._turn = None
            scene.release(path)

    def _disarm(self) -> None:
        self._armed = False
        self._scene.order("faults/clear")
