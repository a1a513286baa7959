"""Serves an ASGI application of the range over a real socket of 127.0.0.1, in a thread of its own."""

import asyncio
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import uvicorn

T = TypeVar("T")
START_SECONDS = 15.0
ANSWER_SECONDS = 10.0


class LoopbackServer:
    """From ``open`` to ``close``; its thread alone changes the state of what it shows."""

    def __init__(self, app: Any, tls: tuple[Path, Path] | None = None) -> None:
        """``app`` is the ASGI application; ``tls`` names the PEM files of certificate chain and key, for https."""
        self._app = app
        self._tls = tls
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def open(self) -> str:
        """Listen on a free port; the URL.

        Raises:
            RuntimeError: It does not answer.
        """
        listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
        self._server = uvicorn.Server(
            uvicorn.Config(
                self._app,
                log_config=None,
                access_log=False,
                lifespan="off",
                http="h11",
                ws="none",
                loop="asyncio",
                timeout_keep_alive=120,
                timeout_graceful_shutdown=2,
                ssl_certfile=self._tls and self._tls[0],
                ssl_keyfile=self._tls and self._tls[1],
            )
        )
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(listening)), name="range", daemon=True)
        self._thread.start()
        # The socket listens only once uvicorn is up; until then a connection would be refused.
        if not self._answers():
            raise RuntimeError("The range did not start. Look whether this machine allows listening on 127.0.0.1.")
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{port}"

    def close(self) -> None:
        """Stop serving and close the port."""
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join(timeout=ANSWER_SECONDS)

    def run(self, act: Callable[[], T]) -> T:
        """Run something in the server's thread; what it returns."""
        assert self._loop is not None

        async def run() -> T:
            return act()

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(timeout=ANSWER_SECONDS)

    @property
    def serving(self) -> bool:
        """Whether it is up."""
        return self._thread is not None and self._thread.is_alive()

    async def _serve(self, listening: socket.socket) -> None:
        self._loop = asyncio.get_running_loop()
        assert self._server is not None
        await self._server.serve(sockets=[listening])

    def _answers(self) -> bool:
        pause = threading.Event()
        for _ in range(int(START_SECONDS / 0.01)):
            assert self._server is not None
            if self._server.started:
                return True
            if not self.serving:
                return False
            pause.wait(0.01)
        return False
