"""The way out of a short command.

Temporal's native threads may abort an interpreter that is being torn down, after all work is done (exit code
134 in about one of twenty-five runs). So a command closes its clients, flushes, and leaves without teardown.
"""

import asyncio
import contextlib
import logging
import os
import sys
from collections.abc import Coroutine
from typing import Any, NoReturn

BROKEN_PIPE = 141
"""128 + SIGPIPE, as a shell shows a program whose reader went away."""


def leave(code: int) -> NoReturn:
    """Flush what was written and end the process with ``code``, skipping the interpreter's teardown."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            code = code or BROKEN_PIPE
        except (OSError, ValueError):
            code = code or 1
    logging.shutdown()
    os._exit(code)


def run_and_leave(main: Coroutine[Any, Any, int]) -> NoReturn:
    """Run ``main`` to its end and leave with the code it returns; 130 if interrupted from the keyboard."""
    code = 1
    try:
        code = asyncio.run(main)
    except KeyboardInterrupt:
        code = 130
    except BrokenPipeError:
        code = BROKEN_PIPE
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    except Exception as error:
        # The text may hold what a system answered; the log has the place.
        logging.getLogger("stanch").critical("ended by %s", type(error).__name__, exc_info=True)
        with contextlib.suppress(OSError):
            sys.stderr.write(f"stanch: it ended by an unexpected {type(error).__name__}; see the log above.\n")
    leave(code)
