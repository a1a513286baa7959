"""The command line as a person meets it: a real process, a real server or none."""

import json
import os
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


def stanch(*arguments, home, **env):
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("STANCH_", "TEMPORAL_"))}
    environment |= {"STANCH_HOME": str(home), "PYTHONPATH": os.getcwd(), **env}
    return subprocess.run(
        [sys.executable, "-m", "worker.cli.main", *arguments],
        capture_output=True,
        text=True,
        env=environment,
        cwd=home,
        timeout=60,
        check=False,
    )


@pytest.fixture
def answering():
    """A server that gives one answer to everything and keeps what it was asked."""
    asked = []

    class Answer(BaseHTTPRequestHandler):
        status, body = 200, {}

        def _answer(self):
            length = int(self.headers.get("content-length") or 0)
            asked.append((self.command, self.path, dict(self.headers), self.rfile.read(length)))
            content = json.dumps(type(self).body).encode()
            self.send_response(type(self).status)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_DELETE = _answer

        def log_message(self, *_):
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", Answer, asked
        server.shutdown()


def test_help_is_fast_and_lists_every_command(tmp_path):
    begun = time.perf_counter()
    done = stanch("--help", home=tmp_path)
    span = time.perf_counter() - begun
    assert done.returncode == 0
    for name in ("demo", "up", "worker", "serve", "doctor", "incident", "decision", "playbook", "people"):
        assert f"\n  {name} " in done.stdout
    assert span < 2, "the help must not import the product"


def test_without_a_token_nothing_is_sent(tmp_path):
    done = stanch("incident", "list", home=tmp_path)
    assert done.returncode == 1
    assert "[no_token]" in done.stderr
    assert "Traceback" not in done.stderr


def test_in_a_demos_home_nobody_is_told_to_make_a_token(tmp_path):
    (tmp_path / "exercise-tokens.json").write_text('{"amal": "t"}')
    done = stanch("incident", "list", home=tmp_path)
    assert done.returncode == 1
    assert "[no_token]" in done.stderr and "--as NAME" in done.stderr and "STANCH_TOKEN" not in done.stderr


def test_the_timeline_says_which_clock_started(tmp_path, answering):
    url, answer, _asked = answering
    entry = {"seq": 7, "at": "2026-11-24T10:00:00.000000Z", "actor": "stanch", "kind": "clock.started"}
    answer.body = {"entries": [{**entry, "body": {"clock": "eu_gdpr_art33/sa_notification", "state": "candidate"}}]}
    done = stanch("incident", "timeline", "INC-2026-1", home=tmp_path, STANCH_URL=url, STANCH_TOKEN="t")
    assert "clock.started" in done.stdout and "clock=eu_gdpr_art33/sa_notification state=candidate" in done.stdout


def test_an_unreachable_server_is_said_as_one_json_document(tmp_path):
    done = stanch("incident", "list", "--json", home=tmp_path, STANCH_TOKEN="t", STANCH_URL="http://127.0.0.1:1")
    assert done.returncode == 1
    document = json.loads(done.stdout)
    assert document["ok"] is False
    assert document["code"] == "unreachable"


def test_as_works_in_exercise_homes_only(tmp_path):
    done = stanch("incident", "list", "--as", "amal", home=tmp_path)
    assert done.returncode == 1
    assert "[as_refused]" in done.stderr


def test_wrong_usage_ends_with_two(tmp_path):
    assert stanch("incident", "start", home=tmp_path).returncode == 2
    assert stanch("nonsense", home=tmp_path).returncode == 2
    assert stanch("incident", "approve", "INC-2026-1", "go", home=tmp_path).returncode == 2
    bad = stanch(
        *("incident", "approve", "INC-2026-1", "go", "--digest", "xyz"),
        home=tmp_path,
        STANCH_TOKEN="t",
        STANCH_URL="http://127.0.0.1:1",
    )
    assert bad.returncode in (1, 2)


def test_token_and_reason_reach_the_server_and_its_refusal_the_person(tmp_path, answering):
    url, answer, asked = answering
    answer.status = 403
    answer.body = {"code": "wrong_role", "detail": "Not yours. Nothing was done.", "next": "Ask ana."}
    done = stanch("hold", "on", "--reason", "look first", home=tmp_path, STANCH_TOKEN="secret-token", STANCH_URL=url)
    assert done.returncode == 1
    assert "Not yours. Nothing was done. [wrong_role]" in done.stderr
    assert "Ask ana." in done.stderr
    method, path, headers, body = asked[0]
    assert (method, path, json.loads(body)) == ("PUT", "/v1/hold", {"reason": "look first"})
    assert headers["Authorization"] == "Bearer secret-token"
    assert "secret-token" not in done.stdout + done.stderr


def test_hostile_titles_stay_text(tmp_path, answering):
    url, answer, _ = answering
    answer.status = 200
    answer.body = {
        "incidents": [
            {
                "incident": "INC-2026-1",
                "title": "\x1b[2J\x1b]0;owned\x07x",
                "status": "open",
                "severity": 5,
                "waiting": 1,
                "alerts": 1,
            }
        ]
    }
    done = stanch("incident", "list", home=tmp_path, STANCH_TOKEN="t", STANCH_URL=url)
    assert done.returncode == 0
    assert "\x1b" not in done.stdout
    assert "\\x1b[2J" in done.stdout


def test_a_missing_playbook_file_is_said_with_its_name(tmp_path):
    done = stanch("playbook", "validate", "nowhere.yaml", home=tmp_path)
    assert done.returncode == 1
    assert "nowhere.yaml" in done.stderr
    assert "Traceback" not in done.stderr
