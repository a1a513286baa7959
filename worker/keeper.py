"""Keeps a child process for a parent: ``python -m worker.keeper COMMAND…`` ends it when stdin closes.

For systems that do not tell a child of its parent's death. However the parent ends, its end of the pipe is
closed.
"""

import os
import subprocess
import sys
import threading

GRACE_SECONDS = 5


def main(command: list[str]) -> int:
    """Run the command until it ends or stdin closes; its exit code."""
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL)

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
    return child.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
