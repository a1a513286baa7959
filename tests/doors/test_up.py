"""``stanch up``: everything on one machine. It ends cleanly at any moment, and leaves nothing behind."""

import json
import signal
import socket
import time

import httpx
import pytest

from worker.cli.client import SERVER_FILE
from worker.range import Range

END = 15.0


def test_first_steps_as_readme_tells_them(up):
    """Two people and their tokens without a server, `up`, doctor, an alert, and nothing readable in Temporal's file."""
    with Range(5) as world:
        lines = ['mode = "exercise"', "[systems.salesforce]"]
        settings = world.settings(up.home)["salesforce"]
        lines += [f"{key} = {json.dumps(value)}" for key, value in settings.items()]
        (up.home / "stanch.toml").write_text("\n".join(lines))
        (up.home / "alert.json").write_bytes(world.alert())
        assert up.run("people", "add", "amal", "--role", "crm_owner", "--role", "incident_commander").returncode == 0
        made = up.run("people", "token", "amal")
        assert made.returncode == 0 and made.stdout.startswith("stanch_") and "cannot be shown again" in made.stderr
        token = made.stdout.strip()
        up.begin()
        up.until_ready()
        healthy = json.loads(up.run("doctor", "--json").stdout)
        state = {check["name"]: check["state"] for check in healthy["checks"]}
        assert (state["temporal"], state["worker stanch-exercise"], state["people"]) == ("ok", "ok", "warn")
        again = up.run("up")
        assert again.returncode == 1 and "Another Stanch" in again.stderr and "Traceback" not in again.stderr
        sent = up.run("alert", "send", "alert.json", "--json", STANCH_TOKEN=token)
        incident = json.loads(sent.stdout)["incident"]
        limit = time.monotonic() + 60
        while True:
            shown = json.loads(up.run("incident", "show", incident, "--json", STANCH_TOKEN=token).stdout)
            if shown["waiting"]:
                break
            assert time.monotonic() < limit, shown["steps"]
            time.sleep(0.2)
        assert [entry["step"] for entry in shown["waiting"]] == ["go"]
        assert shown["waiting"][0]["who"]["reachable"] is False, "one owner, and two are needed"
        card = up.run("incident", "show", incident, STANCH_TOKEN=token).stdout
        assert "NOT ENOUGH PEOPLE" in card
        assert json.loads(up.run("replay", "--json").stdout)["ok"] is True
        up.process.send_signal(signal.SIGTERM)
        assert up.ended() == 0
        app = json.loads(world.alert())["CONNECTED_APP_NAME"].encode()
        kept = b"".join(path.read_bytes() for path in (up.home / "home" / "temporal").iterdir())
        assert len(kept) > 100_000 and app not in kept and token.encode() not in kept
    assert f"PAGE {incident}" in up.log(), "the terminal is a channel"
    assert token not in up.log() and "detectors-own" not in up.log()
    assert up.servers() == [] and not (up.home / "home" / SERVER_FILE).exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_a_signal_ends_it_within_fifteen_seconds_and_it_can_begin_again(up, number):
    up.begin()
    up.until_ready()
    assert len(up.servers()) == 1
    up.process.send_signal(number)
    assert up.ended() == 0
    assert up.servers() == [] and up.port_is_free()
    (up.home / "up.log").unlink()
    up.begin()
    up.until_ready()
    up.process.send_signal(number)
    assert up.ended() == 0 and "Traceback" not in up.log()


@pytest.mark.parametrize("moment", ["told where its server is from", "the server is starting", "serving"])
def test_a_signal_while_it_starts_ends_it_too(up, moment):
    reached = {
        "told where its server is from": lambda: "Temporal server: STANCH_TEMPORAL_BIN" in up.log(),
        "the server is starting": up.servers,
        "serving": lambda: "Serving /v1" in up.log(),
    }[moment]
    up.begin()
    limit = time.monotonic() + 60
    while not reached():
        assert up.process.poll() is None and time.monotonic() < limit, up.log()
        time.sleep(0.01)
    up.process.send_signal(signal.SIGTERM)
    assert up.ended() == 0
    assert up.servers() == [] and up.port_is_free() and "Traceback" not in up.log()


def test_a_killed_up_leaves_no_server_and_no_lock(up):
    up.begin()
    up.until_ready()
    (server,) = up.servers()
    up.process.kill()
    up.process.wait()
    limit = time.monotonic() + 10
    while up.servers():
        assert time.monotonic() < limit, f"{server} outlived its parent"
        time.sleep(0.05)
    (up.home / "up.log").unlink()
    up.begin()
    up.until_ready()
    up.process.send_signal(signal.SIGTERM)
    assert up.ended() == 0


def test_metrics_have_a_port_of_their_own(up):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    up.env["STANCH_METRICS"] = f"127.0.0.1:{port}"
    up.begin()
    up.until_ready()
    text = httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text
    assert "temporal_" in text
    for path in ("/openapi.json", "/healthz", "/readyz"):
        assert httpx.get(f"http://127.0.0.1:{up.port}{path}", trust_env=False).status_code == 200
    other = up.run("doctor", "--json", STANCH_METRICS="nonsense")
    assert other.returncode in (0, 1), "a command that stays not long serves no metrics"
    up.process.send_signal(signal.SIGTERM)
    assert up.ended() == 0
    done = up.run("up", STANCH_METRICS="nonsense")
    assert done.returncode == 2 and "STANCH_METRICS" in done.stderr


def test_a_taken_port_is_said_and_nothing_stays(up):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", up.port))
        taken.listen()
        done = up.run("up")
    assert done.returncode == 1 and "[port_taken]" in done.stderr and "STANCH_PORT" in done.stderr
    assert up.servers() == []
