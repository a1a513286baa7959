"""Whether a real server is here for a test: where it is required its absence fails, elsewhere it skips by name."""

import os
from pathlib import Path

import pytest

from worker.servers.obtain import Missing, find


def executable(name: str) -> Path:
    """Of a real server; on CI (``STANCH_REAL=required``) a missing one is a failure, not a hole in the tests."""
    found = find(name, os.environ)
    if isinstance(found, Missing):
        reason = f"{name}: {found.reason}. To get it: {found.how}, or `make servers`."
        if os.environ.get("STANCH_REAL") == "required":
            pytest.fail(reason)
        pytest.skip(reason)
    return found.path
