"""Listening: one socket, bound before anything is announced, and a server that leaves signals to its owner."""

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from worker.cli.client import SERVER_FILE

STARTING = 20.0


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """The process has its own signal handling; the server must not take it over."""
        yield


class PortTaken(Exception):
    """The address cannot be bound."""

    code = "port_taken"


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one.

    Raises:
        PortTaken: somebody else listens there, or the address is not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise PortTaken(
            f"{host}:{port} cannot be listened on: {error.strerror}. Nothing was started. "
            "Stop what listens there, or set STANCH_PORT."
        ) from None
    listener.listen(256)
    return listener


@contextlib.asynccontextmanager
async def listening(app: ASGIApp, host: str, port: int) -> AsyncIterator[str]:
    """Serve an application while the block runs; gives its base address.

    Raises:
        PortTaken: the address cannot be bound.
    """
    listener = bind(host, port)
    shown = f"[{host}]" if ":" in host else host
    url = f"http://{shown}:{listener.getsockname()[1]}"
    config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=3)
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        async with asyncio.timeout(STARTING):
            while not server.started:
                if serving.done():
                    serving.result()
                await asyncio.sleep(0.01)
        yield url
    finally:
        server.should_exit = True
        await serving
        listener.close()


@contextlib.contextmanager
def announced(home: Path, url: str, engine: str | None = None) -> Iterator[None]:
    """Let the command line on this machine find the server while the block runs, and the Temporal it brought."""
    path = home / SERVER_FILE
    path.write_text(json.dumps({"url": url, "pid": os.getpid(), "temporal": engine}), encoding="utf-8")
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
