"""The stage, with its workers running."""

from collections.abc import AsyncIterator
from typing import Any

import pytest_asyncio

from tests.stage import Stage


@pytest_asyncio.fixture(loop_scope="session")
async def stage(worker_env: Any) -> AsyncIterator[Stage]:
    """One installation on the session's server."""
    async with worker_env.workers():
        yield Stage(worker_env)
