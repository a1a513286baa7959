"""HAProxy's runtime API: one command a connection, over its socket. The only file that speaks it.

An empty line is how it says that a change was made, so no answer at all is not a yes, and what a change did is
read back by ``show``.
"""

import socket
from contextlib import closing

from activities.errors import (
    Ambiguous,
    ConnectorError,
    Forbidden,
    NotFound,
    Rejected,
    Timeout,
    Unavailable,
)

MAX_ANSWER = 64 * 1024 * 1024
READS = ("show ", "get ")
ABSENT = (
    "no such ",
    "unknown map",
    "unknown acl",
    "key not found",
    "entry not found",
    "can't find",
    "unknown server",
)


class Runtime:
    """One gateway's runtime API. Safe to use from several threads."""

    def __init__(self, where: str, *, connect: float, read: float, reading: bool = False) -> None:
        """``where`` is a socket's path or ``tcp:HOST:PORT``; ``reading`` refuses every change before it is sent."""
        self._where, self._connect, self._read, self._reading = where, connect, read, reading

    def show(self, command: str) -> str:
        """What a reading command answers.

        Raises:
            Unavailable: The gateway does not answer.
            NotFound: What the command names is not there.
        """
        if not command.startswith(READS):
            raise Rejected("A command that changes the gateway was about to be sent as a reading. Nothing was sent.")
        answer = self._ask(command, write=False)
        self._refused(answer, command)
        return answer

    def change(self, command: str, *, says: str = "") -> None:
        """Make a change. A good answer is empty, or ends with what ``says`` names.

        Raises:
            Ambiguous: It was sent, and nothing came back.
            NotFound: What the command names is not there.
            Rejected: The gateway refused it; nothing was changed.
        """
        if self._reading:
            raise Rejected("This client only reads. Nothing was sent.")
        answer = self._ask(command, write=True)
        self._refused(answer, command)
        if (says and says not in answer) or (not says and answer.strip()):
            raise Rejected(f"The gateway refused to {_verb(command)}. Nothing was changed by that command.")

    def _ask(self, command: str, *, write: bool) -> str:
        doing = _verb(command)
        try:
            link = self._open()
        except OSError as error:
            if isinstance(error, PermissionError):
                raise Forbidden(
                    "The gateway's socket may not be opened by this user. Nothing was sent. Mend its mode or group."
                ) from None
            raise Unavailable("The gateway's runtime socket cannot be reached. Nothing was sent.") from None
        with closing(link):
            sent = False
            try:
                link.sendall(f"{command}\n".encode())
                sent = True
                answer = self._all(link)
            except OSError as error:
                raise self._lost(write and sent, doing, timed_out=isinstance(error, TimeoutError)) from None
        if not answer:
            raise self._lost(write, doing, timed_out=False)
        return answer.decode(errors="replace")

    def _lost(self, ambiguous: bool, doing: str, *, timed_out: bool) -> ConnectorError:
        if ambiguous:
            return Ambiguous(f"The gateway was told to {doing}; its answer was lost.")
        if timed_out:
            return Timeout(f"The gateway did not answer in time when told to {doing}. Nothing was changed.")
        return Unavailable(f"The gateway broke off when told to {doing}. Nothing was changed.")

    def _open(self) -> socket.socket:
        if self._where.startswith("tcp:"):
            host, _, port = self._where.removeprefix("tcp:").rpartition(":")
            link = socket.create_connection((host, int(port)), timeout=self._connect)
        else:
            link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            link.settimeout(self._connect)
            try:
                link.connect(self._where)
            except OSError:
                link.close()
                raise
        link.settimeout(self._read)
        return link

    def _all(self, link: socket.socket) -> bytes:
        parts, size = [], 0
        while part := link.recv(65536):
            parts.append(part)
            size += len(part)
            if size > MAX_ANSWER:
                raise Rejected("The gateway's answer is larger than 64 MB. Nothing was done with it.")
        return b"".join(parts)

    def _refused(self, answer: str, command: str) -> None:
        said = answer.strip().lower()
        if said.startswith("permission denied"):
            raise Forbidden(
                f"The gateway's socket may not {_verb(command)}. Nothing was changed. Give it `level admin`."
            )
        if said.startswith("unknown command"):
            raise Rejected(f"This gateway does not know how to {_verb(command)}. Nothing was changed.")
        if said.startswith(ABSENT):
            raise NotFound(f"The gateway has nothing to {_verb(command)} under that name. Nothing was changed.")


def _verb(command: str) -> str:
    """The command without what it is about, which may be long or somebody's name."""
    words = command.split()
    return " ".join(words[: 3 if words[:2] in (["set", "ssl"], ["show", "ssl"], ["commit", "ssl"]) else 2])
