"""A real mail server that keeps what it takes."""

import contextlib
import socket
from collections.abc import Iterator
from email import message_from_bytes
from email.policy import default
from typing import Any

from aiosmtpd.controller import Controller


class Letters:
    """What it took: ``taken`` the mails, ``envelopes`` how each came."""

    def __init__(self) -> None:
        self.taken: list[Any] = []
        self.envelopes: list[Any] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        """Take a mail."""
        self.envelopes.append(envelope)
        self.taken.append(message_from_bytes(envelope.content, policy=default))
        return "250 OK"


@contextlib.contextmanager
def mail_server() -> Iterator[tuple[Letters, int]]:
    """The box of a server that listens, and its port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    box = Letters()
    controller = Controller(box, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield box, port
    finally:
        controller.stop()
