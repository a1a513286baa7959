"""Keeps a child process for a parent: ``python -m worker.keeper [--group] COMMAND…`` ends it when stdin closes.

For systems that do not tell a child of its parent's death. However the parent ends, its end of the pipe is
closed. With ``--group`` this process leads a process group, and whatever the child has started ends too.
"""

import os
import signal
import subprocess
import sys
import threading

GRACE_SECONDS = 5
GROUP = "--group"


def main(command: list[str]) -> int:
    """Run the command until it ends or stdin closes; its exit code."""
    group = command[:1] == [GROUP]
    child = subprocess.Popen(command[group:], stdin=subprocess.DEVNULL)

    def watch() -> None:
        # Not through sys.stdin: its lock, held here, would abort this process once the child has ended.
        while os.read(0, 65536):
            pass
        child.terminate()
        try:
            child.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()

    threading.Thread(target=watch, daemon=True).start()
    code = child.wait()
    if group and os.getpgid(0) == os.getpid():
        # Itself too, at last: nobody is left who could outlive it.
        os.killpg(0, signal.SIGKILL)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
