"""The range's Slack: a simulated workspace with the people of the company, and what a worker needs to reach it."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from worker.slack.peer.control import snapshot
from worker.slack.peer.driver import Person
from worker.slack.peer.server import SlackPeer
from worker.slack.peer.transcript import as_html, as_text

CHANNEL = "security"
"""The main channel; everybody is in it."""


class RangeSlack:
    """From ``open`` to ``close``. ``people`` are the names of its users."""

    def __init__(self, people: Iterable[str], company: str) -> None:
        self.peer = SlackPeer()
        self.peer.state.team_name = company.capitalize()
        self.users = {name: self.peer.add_user(name, name.title(), f"{name}@{company}.example") for name in people}
        self.channel = self.peer.add_channel(CHANNEL, tuple(self.users.values()))

    def open(self) -> None:
        """Serve."""
        self.peer.start()

    def close(self) -> None:
        """No longer serve; what was said can still be read."""
        self.peer.stop()

    @property
    def url(self) -> str:
        """Address of the page that shows the conversation."""
        return f"{self.peer.url}/"

    def person(self, name: str) -> Person:
        """One of its users, to act as."""
        return Person(self.peer, self.users[name])

    def identities(self, name: str) -> list[tuple[str, str, str]]:
        """What a desk must know to tell who a user is: door, workspace, user id."""
        return [("slack", self.peer.team_id, self.users[name])]

    def settings(self, folder: Path) -> dict[str, Any]:
        """What ``[slack]`` must hold; the tokens go into ``folder``."""
        references = {}
        for name in ("bot_token", "app_token"):
            path = (folder / f"slack_{name}").resolve()
            path.touch(mode=0o600)
            path.write_text(str(getattr(self.peer, name)), encoding="utf-8")
            references[name] = f"secret:file/{path}"
        where = {"workspace": self.peer.team_id, "channel": self.channel, "endpoint": self.peer.api_url}
        return references | where

    def state(self) -> dict[str, Any]:
        """Everything it holds, as JSON."""
        return self.peer.do(lambda: json.loads(json.dumps(snapshot(self.peer.state))))

    def write_transcript(self, path: Path) -> list[Path]:
        """The transcript beside ``path``, as ``.txt`` and as ``.html``; the files."""
        state, sent = self.state(), list(self.peer.sent)
        written = []
        for suffix, text in ((".txt", as_text(state, sent)), (".html", as_html(state, sent))):
            written.append(path.with_name(path.name + suffix))
            written[-1].touch(mode=0o600)
            written[-1].write_text(text, encoding="utf-8")
        return written
