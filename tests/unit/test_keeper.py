"""The keeper: a child's exit code is its own, and the child does not outlive whoever wanted it."""

import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def keeper(*command):
    return subprocess.Popen(
        [sys.executable, "-m", "worker.keeper", *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        text=True,
    )


def test_a_child_that_ends_by_itself_gives_its_own_code_and_last_words():
    with keeper(sys.executable, "-c", "import sys; print('bad settings', file=sys.stderr); sys.exit(2)") as kept:
        assert kept.stdin is not None and kept.stderr is not None
        assert kept.wait(20) == 2
        assert kept.stderr.read() == "bad settings\n"


def test_a_child_ends_when_nobody_holds_the_pipe_any_more():
    with keeper(sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)") as kept:
        assert kept.stdin is not None and kept.stdout is not None
        assert kept.stdout.readline() == "up\n"
        kept.stdin.close()
        assert kept.wait(20) == 256 - signal.SIGTERM
