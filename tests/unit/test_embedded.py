"""The embedded server: ready, private, restarted, and gone with its parent."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from worker.embedded import EmbeddedError, EmbeddedServer, Ports, server_version


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def gone(pid: int) -> bool:
    for _ in range(200):
        if not alive(pid):
            return True
        await asyncio.sleep(0.05)
    return False


async def test_it_answers_and_leaves_its_home_free(temporal_binary, tmp_path):
    server = EmbeddedServer(temporal_binary, tmp_path / "t", namespace="lab")
    async with server.running():
        assert await server_version(server.address, "lab") >= (1, 29)
        with pytest.raises(EmbeddedError, match="Another Stanch"):
            await EmbeddedServer(temporal_binary, tmp_path / "t").start()
        pid = server.pid
    assert await gone(pid)
    async with EmbeddedServer(temporal_binary, tmp_path / "t", ports=server.ports).running() as again:
        assert again.address == server.address


async def test_a_killed_server_comes_back_on_its_port(temporal_binary, tmp_path):
    told: list[str] = []
    async with EmbeddedServer(temporal_binary, tmp_path / "t", namespace="lab").running() as server:
        keeping = asyncio.create_task(server.keep(told.append))
        first = server.pid
        os.kill(first, signal.SIGKILL)
        async with asyncio.timeout(20):
            while server.pid == first:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            while True:
                try:
                    assert await server_version(server.address, "lab")
                    break
                except Exception:
                    await asyncio.sleep(0.05)
        keeping.cancel()
        assert len(told) == 1


@pytest.mark.parametrize("thread", ["main", "other"])
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_it_dies_with_a_killed_parent(temporal_binary, tmp_path, thread):
    code = f"""
import asyncio, sys, threading
from pathlib import Path
from worker.embedded import EmbeddedServer

async def main():
    server = EmbeddedServer(Path({str(temporal_binary)!r}), Path({str(tmp_path / "t")!r}))
    await server.start()
    print(server.pid, server.ports.grpc, flush=True)
    await asyncio.sleep(60)

run = lambda: asyncio.run(main())
if {thread!r} == "main":
    run()
else:
    threading.Thread(target=run).start()
"""
    root = Path(__file__).parents[2]
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=root, stdout=subprocess.PIPE, text=True)  # noqa: ASYNC220
    try:
        pid, port = map(int, (await asyncio.to_thread(parent.stdout.readline)).split())
        assert alive(pid)
    finally:
        parent.kill()
        parent.wait()
        parent.stdout.close()
    assert await gone(pid)
    async with asyncio.timeout(10):
        while True:
            try:
                # The port and the database are free again for the next one.
                server = EmbeddedServer(temporal_binary, tmp_path / "t", ports=Ports(port))
                async with server.running():
                    break
            except EmbeddedError:
                await asyncio.sleep(0.2)


async def test_a_binary_that_is_none_is_told(tmp_path):
    with pytest.raises(EmbeddedError, match="cannot be started"):
        await EmbeddedServer(tmp_path / "none", tmp_path / "t").start()
    # The home is given back.
    with pytest.raises(EmbeddedError, match="cannot be started"):
        await EmbeddedServer(tmp_path / "none", tmp_path / "t").start()
