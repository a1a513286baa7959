"""What ``stanch doctor`` measures of a Temporal server: one with its defaults is told from one that is tuned."""

import asyncio

from temporalio.client import Client

from worker.embedded import EmbeddedServer
from worker.start_checks_engine import SLOW_STEP
from worker.start_probe import milliseconds_a_step, partitions


class AsItComes(EmbeddedServer):
    """A server with its defaults."""

    def command(self) -> list[str]:
        """The same command line without the tuning."""
        whole = super().command()
        return whole[: whole.index("--dynamic-config-value")]


async def test_a_server_with_its_defaults_is_found_to_be_slow(temporal_binary, temporal_server):
    async with AsItComes(temporal_binary, None, namespace="tests").running() as server:
        client = await Client.connect(server.address, namespace="tests")
        # A server that has rested has its allowance; a check must not be taken in by that.
        await asyncio.sleep(4)
        assert await milliseconds_a_step(client) > SLOW_STEP
        assert await partitions(client, "any") > 1
    assert await partitions(await Client.connect(temporal_server.address, namespace="tests"), "any") == 1
