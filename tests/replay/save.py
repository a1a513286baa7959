"""Saves a history of each shipped playbook under a key made for tests: ``python -m tests.replay.save VERSION``.

Run once per release; a saved history is never changed and must replay forever. Two worlds are played: one whole
(``plain`` or ``approval``, by whether people had to approve), one that continues as new every 25 events.
"""

import asyncio
import gzip
import shutil
import sys
import tempfile
from pathlib import Path

from tests.shipped.played import Played, play
from worker.codec import KeyRing

HERE = Path(__file__).parent
KEYS = HERE / "test-keys.json"
"""The codec key of the saved histories. It protects nothing: what it encrypts is made up."""
HISTORIES = HERE / "histories"
CONTINUE_AFTER = 25


def main() -> None:
    """Save into ``histories/VERSION``, which must not be there yet."""
    folder = HISTORIES / sys.argv[1]
    folder.mkdir(parents=True)
    ring = KeyRing.at(KEYS)
    for threshold in (None, CONTINUE_AFTER):
        home = Path(tempfile.mkdtemp(prefix="stanch-histories-"))
        try:
            for playbook, played in asyncio.run(play(home, ring, continue_after=threshold)).items():
                _write(folder, playbook, _kind(played, threshold), played)
        finally:
            shutil.rmtree(home)


def _kind(played: Played, threshold: int | None) -> str:
    if threshold is not None:
        return "continued"
    asked = any(entry["body"].get("gate") == "approve" for entry in played.entries)
    return "approval" if asked else "plain"


def _write(folder: Path, playbook: str, kind: str, played: Played) -> None:
    for number, history in enumerate(played.histories, start=1):
        workflow = history.workflow_id.partition("/")[0]
        path = folder / f"{playbook}.{kind}.{workflow}.{number:02d}.json.gz"
        # Without an instant of making in it, so that the same history gives the same file.
        path.write_bytes(gzip.compress(history.to_json().encode(), mtime=0))


if __name__ == "__main__":
    main()
