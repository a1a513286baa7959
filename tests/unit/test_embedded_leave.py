"""The way out of a short command: its code is what it returned, run after run."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

RUNS = 8
ROOT = Path(__file__).parents[2]


async def test_a_command_with_a_client_leaves_with_its_own_code(temporal_server):
    code = f"""
import asyncio
from temporalio.client import Client
from worker.leave import run_and_leave

async def main():
    client = await Client.connect({temporal_server.address!r}, namespace="tests")
    await client.count_workflows()
    print("done")
    return 3

run_and_leave(main())
"""

    def once() -> tuple[int, str, str]:
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
        return done.returncode, done.stdout, done.stderr

    results = {await asyncio.to_thread(once) for _ in range(RUNS)}
    assert results == {(3, "done\n", "")}


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_went_away_is_no_traceback(unbuffered):
    code = """
import sys
from worker.leave import run_and_leave

async def main():
    sys.stdout.write("x" * 10)
    return 0

run_and_leave(main())
"""
    with subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
    ) as process:
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait() == 141


def test_an_unexpected_end_is_told_without_a_traceback():
    code = """
from worker.leave import run_and_leave
from worker.telemetry import start_logging

async def main():
    raise KeyError("sid=hunter2")

start_logging("info")
run_and_leave(main())
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "hunter2" not in done.stderr
    assert "KeyError" in done.stderr
