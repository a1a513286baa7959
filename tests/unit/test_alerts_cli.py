import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from worker.cli.main import execute

DATA = Path(__file__).resolve().parent.parent / "data" / "alerts"
EVENT = json.loads((DATA / "panther_apache2" / "oauth_credential_abuse.json").read_text())[0]["event"]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("STANCH_TOKEN", "STANCH_URL", "STANCH_CONFIG", "STANCH_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("STANCH_HOME", str(tmp_path / "home"))


def write(tmp_path, content):
    path = tmp_path / "alert.json"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return str(path)


def test_check_needs_no_server_and_gives_the_document(tmp_path, capsys):
    assert execute(["alert", "check", write(tmp_path, EVENT), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert set(document) == {
        *("format", "verified", "kind", "action", "severity", "dedupe_key", "title", "first_seen"),
        *("time_suspect", "entities", "route", "problems"),
    }
    assert document["verified"] == "not_checked" and document["kind"] == "crm.oauth_token_theft"
    assert document["route"]["playbook"] == "crm-oauth-token-theft"
    assert not (tmp_path / "home").exists()


def test_check_of_an_event_without_a_rule_is_fine(tmp_path, capsys):
    assert execute(["alert", "check", write(tmp_path, {"EVENT_TYPE": "Login"}), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["kind"], document["severity"], document["route"]) == ("unknown", 0, None)


def test_check_reads_a_list_one_after_the_other(capsys):
    file = str(DATA / "panther_apache2" / "bulk_data_exfiltration.json")
    assert execute(["alert", "check", file, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["alerts"]
    assert [bool(each["route"]) for each in found] == [True, True, True, False, False]
    assert execute(["alert", "check", file]) == 0
    assert "opens an incident and starts nothing" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "code"),
    [(b"nope", "bad_json"), (b"7", "not_an_object"), (b"[" * 9000, "bad_json"), (b"[]", "bad_json")],
)
def test_check_of_no_alert_is_refused(tmp_path, capsys, content, code):
    assert execute(["alert", "check", write(tmp_path, content), "--json"]) == 1
    refused = json.loads(capsys.readouterr().out)
    assert (refused["ok"], refused["code"]) == (False, code) and refused["message"]


def test_check_shows_hostile_text_escaped(tmp_path, capsys):
    hostile = {**EVENT, "CONNECTED_APP_NAME": "\x1b[2J\u202eDrift\nall is well"}
    assert execute(["alert", "check", write(tmp_path, hostile)]) == 0
    shown = capsys.readouterr().out
    assert "\x1b" not in shown and "\u202e" not in shown and "\nall is well" not in shown
    assert execute(["alert", "check", write(tmp_path, hostile), "--json"]) == 0
    assert "\x1b[2J" in json.loads(capsys.readouterr().out)["title"]


def test_check_follows_the_settings_of_a_source(tmp_path, capsys):
    (tmp_path / "stanch.toml").write_text(
        '[alerts.siem]\nsecret = "secret:env/NOT_SET"\nformat = "ocsf"\n'
        '[[routes]]\nrule = "mine"\nkinds = ["crm.*"]\nplaybook = "own"\n'
    )
    file = write(tmp_path, EVENT)
    assert execute(["alert", "check", file, "--source", "siem", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["kind"] == "unknown"
    assert execute(["alert", "check", file, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["route"]["playbook"] == "own"


@pytest.fixture
def server(monkeypatch):
    got = []

    class Door(BaseHTTPRequestHandler):
        def do_POST(self):
            content = self.rfile.read(int(self.headers["Content-Length"]))
            got.append((self.path, self.headers["Authorization"], content))
            answer = json.dumps(
                {
                    "ok": True,
                    "incident": "INC-2026-1",
                    "created": len(got) == 1,
                    "count": len(got),
                    "replayed": False,
                    "route": {"playbook": "crm-oauth-token-theft"},
                    "problems": [],
                }
            ).encode()
            self.send_response(202)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_):
            pass

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    thread = threading.Thread(target=listening.serve_forever, args=(0.01,))
    thread.start()
    monkeypatch.setenv("STANCH_URL", f"http://127.0.0.1:{listening.server_port}")
    yield got
    listening.shutdown()
    thread.join()
    listening.server_close()


def test_send_passes_the_bytes_as_they_are(tmp_path, capsys, monkeypatch, server):
    monkeypatch.setenv("STANCH_TOKEN", "anas-token")
    content = b' {"EVENT_TYPE":"Login"} \n'
    assert execute(["alert", "send", write(tmp_path, content)]) == 0
    assert server == [("/v1/alerts/file", "Bearer anas-token", content)]
    assert "INC-2026-1: opened; starting crm-oauth-token-theft." in capsys.readouterr().out


def test_send_as_a_source_uses_its_own_token(tmp_path, capsys, monkeypatch, server):
    monkeypatch.setenv("SIEM", "the-sources-token")
    arguments = ["alert", "send", write(tmp_path, [EVENT, EVENT]), "--source", "siem", "--bearer", "secret:env/SIEM"]
    assert execute([*arguments, "--json"]) == 0
    assert [answer["count"] for answer in json.loads(capsys.readouterr().out)["alerts"]] == [1, 2]
    assert {(path, token) for path, token, _ in server} == {("/v1/alerts/siem", "Bearer the-sources-token")}
    assert json.loads(server[0][2]) == EVENT


def test_send_without_a_token_is_refused(tmp_path, capsys, server):
    assert execute(["alert", "send", write(tmp_path, EVENT), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["code"] == "no_token" and not server
