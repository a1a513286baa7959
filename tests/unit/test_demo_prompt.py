"""The attended demo's prompt: it takes what is typed, and lets go of what somebody decided in another terminal."""

import json
import os
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from worker.cli.client import ApiClient
from worker.demo_people import Undecided
from worker.demo_prompt import Keyboard, Prompted

ENTRY = {
    "incident": "INC-2026-1",
    "run": "r",
    "step": "go",
    "kind": "approve",
    "digest": "d" * 64,
    "question": "Cut it off?",
    "until": None,
    "next": "",
    "decided": [],
    "who": {"needs": [{"roles": ["crm_owner"], "count": 2, "why": ""}], "excluded": []},
    "verdicts": ["approve", "deny"],
    "preview": [],
    "difference": [],
    "form": {},
    "yours": True,
}


@contextmanager
def desk(waiting):
    """A door that lists ``waiting`` and keeps what is decided."""
    decided = []

    class Door(BaseHTTPRequestHandler):
        def do_GET(self):
            self._send({"decisions": waiting})

        def do_POST(self):
            decided.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self._send({"ok": True})

        def _send(self, document):
            body = json.dumps(document).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    serving = threading.Thread(target=server.serve_forever, args=(0.05,))
    serving.start()
    try:
        with ApiClient(f"http://127.0.0.1:{server.server_port}") as client:
            yield client, decided
    finally:
        server.shutdown()
        serving.join()
        server.server_close()


@pytest.fixture
def typing():
    reader, writer = os.pipe()
    yield reader, writer
    for descriptor in (reader, writer):
        os.close(descriptor)


def prompted(client, reader, acted=None):
    act = (acted if acted is not None else []).append
    return Prompted(people={"amal": client, "bruno": client}, act=act, keyboard=Keyboard(reader))


def test_what_is_typed_is_decided_for_each_person_asked(typing):
    reader, writer = typing
    os.write(writer, b"maybe\na\nd\n")
    with desk([ENTRY]) as (client, decided):
        assert prompted(client, reader).round("INC-2026-1") == 2
    assert [body["verdict"] for body in decided] == ["approve", "deny"]


def test_a_question_decided_in_another_terminal_is_let_go(typing):
    reader, _writer = typing
    waiting = [ENTRY]
    with desk(waiting) as (client, decided):
        elsewhere = threading.Timer(0.3, waiting.clear)
        elsewhere.start()
        begun = time.monotonic()
        assert prompted(client, reader).round("INC-2026-1") == 0
        elsewhere.join()
    assert time.monotonic() - begun < 5
    assert decided == []


def test_work_by_hand_is_done_in_the_world_and_only_once_enter_is_pressed(typing):
    reader, writer = typing
    needs = {"needs": [{"roles": ["crm_owner"], "count": 1, "why": ""}], "excluded": []}
    entry = {**ENTRY, "kind": "human", "verdicts": ["done"], "who": needs}
    acted = []
    os.write(writer, b"\n")
    with desk([entry]) as (client, decided):
        assert prompted(client, reader, acted).round("INC-2026-1") == 1
    assert [each["step"] for each in acted] == ["go"]
    assert [body["verdict"] for body in decided] == ["done"]


def test_nobody_at_the_terminal_ends_the_demo():
    reader, writer = os.pipe()
    os.close(writer)
    try:
        with desk([ENTRY]) as (client, _decided), pytest.raises(Undecided):
            prompted(client, reader).round("INC-2026-1")
    finally:
        os.close(reader)
