"""No arguments and no answer of a server make a command show its inside: a code, words, and an exit code of 0 to 3."""

import json
import random
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from worker.cli.main import execute

HOSTILE = [
    "",
    " ",
    "--",
    "-",
    "..",
    "../people",
    "INC-2026-1",
    "inc 2026/1?x=1#y",
    "\x00",
    "\x1b[2J",
    "\ud800",
    "\u202eevil",
    "é" * 300,
    "x" * 70_000,
    "-1",
    "1e999",
    "9" * 30,
    "{",
    "[" * 2000,
    "a=b",
    "=",
    "%s%n",
    "2026-13-45",
    "secret:env/NOPE",
    "~/nowhere",
    "/dev/null",
]
COMMANDS = [
    ("incident", "start"),
    ("incident", "start", "--alert"),
    ("incident", "start", "crm-triage", "-i"),
    ("incident", "start", "crm-triage", "--severity"),
    ("incident", "list"),
    ("incident", "show"),
    ("incident", "timeline"),
    ("incident", "timeline", "INC-2026-1", "--after"),
    ("incident", "approve", "INC-2026-1", "go", "--digest"),
    ("incident", "approve", "INC-2026-1", "--digest", "ab" * 32),
    ("incident", "deny", "--digest", "ab" * 32, "go"),
    ("incident", "answer", "INC-2026-1", "data", "-f"),
    ("incident", "answer", "INC-2026-1"),
    ("incident", "done", "INC-2026-1"),
    ("incident", "break-glass", "INC-2026-1", "go", "--reason"),
    ("incident", "decide", "INC-2026-1", "go"),
    ("incident", "undo", "INC-2026-1", "--digest"),
    ("incident", "ack"),
    ("incident", "take"),
    ("incident", "pause", "INC-2026-1", "--run"),
    ("incident", "resume"),
    ("incident", "cancel", "INC-2026-1", "--reason"),
    ("incident", "set", "INC-2026-1", "fact"),
    ("incident", "set", "INC-2026-1"),
    ("incident", "clock", "INC-2026-1", "x", "submit", "--at"),
    ("incident", "close"),
    ("incident", "export", "-o"),
    ("decision", "list", "--incident"),
    ("decision", "show"),
    ("hold", "on", "--reason"),
    ("hold", "status", "--as"),
    ("people", "list", "--as"),
    ("people", "add"),
    ("people", "add", "ana", "--role"),
    ("people", "add", "ana", "--identity"),
    ("people", "token"),
    ("people", "revoke"),
    ("alert", "check"),
    ("alert", "send"),
    ("alert", "send", "--bearer"),
    ("playbook", "show"),
    ("playbook", "validate"),
    ("playbook", "plan"),
    ("playbook", "plan", "crm-triage", "-i"),
    ("clock",),
    ("clock", "eu_gdpr_art33", "--from"),
    ("clock", "eu_gdpr_art33", "--from", "2026-11-24", "--zone"),
    ("clock", "eu_gdpr_art33", "--from", "2026-11-24", "--set"),
    ("regimes", "show"),
    ("regimes", "applicable", "--facts"),
    ("draft", "eu_gdpr_art33"),
    ("draft", "eu_gdpr_art33", "sa_notification", "--facts"),
    ("evidence", "verify"),
    ("evidence", "verify", "--key"),
    ("replay", "--since"),
    ("replay", "--histories"),
    ("nonsense",),
    ("demo", "--seed"),
    ("demo", "--json", "--alert"),
]


class Answer(BaseHTTPRequestHandler):
    """Answers everything with what the test wants."""

    status, content, kind = 200, b"{}", "application/json"

    def _answer(self):
        self.rfile.read(int(self.headers.get("content-length") or 0))
        self.send_response(type(self).status)
        self.send_header("content-type", type(self).kind)
        self.send_header("content-length", str(len(type(self).content)))
        self.end_headers()
        self.wfile.write(type(self).content)

    do_GET = do_POST = do_PUT = do_DELETE = _answer

    def log_message(self, *_):
        return


@pytest.fixture
def server(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name in ("STANCH_CONFIG", "STANCH_MODE", "TEMPORAL_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("STANCH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("STANCH_TOKEN", "anas-own-token")
    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as listening:
        thread = threading.Thread(target=listening.serve_forever, args=(0.01,))
        thread.start()
        monkeypatch.setenv("STANCH_URL", f"http://127.0.0.1:{listening.server_port}")
        yield Answer
        listening.shutdown()
        thread.join()


def run(arguments, capsys):
    """The exit code and what was printed; a bug would be the code ``internal``."""
    code = execute([*arguments, "--json"])
    shown = capsys.readouterr()
    assert code in (0, 1, 2, 3), (arguments, code)
    assert "Traceback" not in shown.out + shown.err and "anas-own-token" not in shown.out + shown.err
    if code:
        told = json.loads(shown.out)
        assert told["code"] != "internal", (arguments, told)
        if told.get("code"):
            assert told["ok"] is False and told["message"]
    return code


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_hostile_arguments(command, server, capsys):
    server.status, server.content = 404, b'{"code": "not_found", "detail": "Nothing is there. Nothing was done."}'
    for word in HOSTILE:
        if (command[0] == "demo" and word in ("9" * 30, "-1", "")) or word == "-":
            continue  # standard input is not a test's
        if command[:2] == ("demo", "--seed") and word.isdigit():
            continue
        run([*command, word], capsys)


ANSWERS = [
    (200, b"{}"),
    (200, b"[]"),
    (200, b"null"),
    (200, b'"text"'),
    (200, b""),
    (200, b"<html>a proxy</html>"),
    (200, b"\xff\xfe"),
    (200, b'{"incidents": [{}], "decisions": [{}], "entries": [{}], "people": [{}], "playbooks": [{}]}'),
    (302, b""),
    (401, b'{"code": "unknown_person", "detail": "Nobody."}'),
    (500, b"{"),
    (502, b"<html>bad gateway \x1b[2J</html>"),
    (503, b'["not", "a", "problem"]'),
    (418, b'{"code": 5, "detail": {"a": 1}, "next": ["x"]}'),
]
READS = [
    ("incident", "list"),
    ("incident", "show", "INC-2026-1"),
    ("incident", "timeline", "INC-2026-1"),
    ("incident", "approve", "INC-2026-1", "go", "--digest", "ab" * 32),
    ("incident", "answer", "INC-2026-1", "data", "-f", "left=yes"),
    ("incident", "undo", "INC-2026-1"),
    ("incident", "ack", "INC-2026-1"),
    ("incident", "export", "INC-2026-1", "-o", "out.zip"),
    ("incident", "start", "crm-triage", "-i", "a=b"),
    ("decision", "list"),
    ("decision", "show", "INC-2026-1"),
    ("hold", "status"),
    ("people", "list"),
    ("people", "token", "ana"),
]


@pytest.mark.parametrize("command", READS, ids=" ".join)
def test_answers_of_something_that_is_no_stanch(command, server, capsys):
    for server.status, server.content in ANSWERS:
        for flags in (["--json"], []):
            code = execute([*command, *flags])
            shown = capsys.readouterr()
            assert code in (0, 1), (command, server.content, shown)
            assert "Traceback" not in shown.err + shown.out and "[internal]" not in shown.err, (server.content, shown)
            assert '"internal"' not in shown.out, (server.content, shown)
            assert "\x1b" not in shown.out + shown.err
            assert code == 1 or server.status < 400


def test_random_words(server, capsys):
    server.status, server.content = 404, b'{"code": "not_found", "detail": "Nothing is there."}'
    dice = random.Random(7)
    words = [word for word in HOSTILE if word != "-"] + ["--json", "--run", "--reason", "--as", "--digest", "--help"]
    for _ in range(300):
        command = [word for word in dice.choice(COMMANDS) if word != "demo"]
        run([*command, *(dice.choice(words) for _ in range(dice.randrange(4)))], capsys)


@pytest.mark.parametrize(
    "url", ["http://[", "nonsense", "ftp://x", "http://127.0.0.1:99999", "http://\x00", "http://é"]
)
def test_an_address_that_is_none(url, server, monkeypatch, capsys):
    monkeypatch.setenv("STANCH_URL", url) if "\x00" not in url else None
    if "\x00" not in url:
        assert run(["incident", "list"], capsys) == 1


@pytest.mark.parametrize("token", ["é", "two words", "x" * 20_000, "a\tb"])
def test_a_token_that_is_none(token, server, monkeypatch, capsys):
    server.status, server.content = 401, b'{"code": "unknown_person", "detail": "Nobody."}'
    monkeypatch.setenv("STANCH_TOKEN", token)
    assert run(["incident", "list"], capsys) == 1
