"""A queue of threads: whoever comes first is served first."""

import contextlib
import threading
from collections import deque
from collections.abc import Iterator


class StoreBusy(Exception):
    """Somebody else writes, and this caller does not wait longer."""

    code = "store_busy"


class Turns:
    """A lock that is handed on in the order of asking, so that nobody is overtaken for long."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._taken = False
        self._waiting: deque[threading.Lock] = deque()

    @contextlib.contextmanager
    def turn(self, patience: float) -> Iterator[None]:
        """Wait for one's turn, at most so many seconds, and keep it for the block.

        Raises:
            StoreBusy: it did not come.
        """
        if not self._take(patience):
            raise StoreBusy("another thread of this process is writing to the store")
        try:
            yield
        finally:
            self._hand_on()

    def _take(self, patience: float) -> bool:
        with self._guard:
            if not self._taken:
                self._taken = True
                return True
            mine = threading.Lock()
            mine.acquire()
            self._waiting.append(mine)
        if mine.acquire(timeout=patience):
            return True
        with self._guard:
            if mine not in self._waiting:
                # It was handed over between the end of patience and now.
                return True
            self._waiting.remove(mine)
            return False

    def _hand_on(self) -> None:
        with self._guard:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._taken = False
