"""Short commands leave with the right exit code, run after run: native threads must not abort a finished command."""

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

RUNS = 24
AT_ONCE = 2
SIGNALS = {-6, -11, 134, 139}


async def test_many_runs_of_a_command_that_opens_a_temporal_client(acme):
    """``replay`` of nothing: it connects, asks, and leaves."""

    def one(_number):
        done = acme.run(None, "replay", "--since", "2099-01-01", "--json", seconds=60)
        assert json.loads(done.stdout) == {"ok": True, "replayed": 0, "results": []}, done.stderr
        return done.returncode

    with ThreadPoolExecutor(AT_ONCE) as pool:
        codes = Counter(pool.map(one, range(RUNS)))
    assert codes == {0: RUNS}


async def test_commands_that_fail_leave_with_one_and_not_by_a_signal(acme):
    def one(number):
        nowhere = {"TEMPORAL_ADDRESS": "127.0.0.1:1"}
        asked = [
            (None, ("replay", "--json"), nowhere),
            ("amal", ("incident", "show", "INC-1999-1", "--json"), {}),
            ("stranger", ("incident", "list", "--json"), {}),
            (None, ("alert", "check", "--json", "nowhere.json"), {}),
        ]
        person, arguments, env = asked[number % len(asked)]
        done = acme.run(person, *arguments, **env)
        assert json.loads(done.stdout)["ok"] is False and done.stderr == ""
        return done.returncode

    with ThreadPoolExecutor(AT_ONCE) as pool:
        codes = list(pool.map(one, range(12)))
    assert codes == [1, 1, 1, 2] * 3


async def test_doctor_knows_every_part_of_a_healthy_installation(acme):
    found = await acme.document(None, "doctor")
    state = {check["name"]: check["state"] for check in found["checks"]}
    assert found["ok"] is True
    assert {name for name, each in state.items() if each == "fail"} == set()
    for name in ("settings", "home", "store", "keys", "playbooks", "temporal", "salesforce", "alerts siem", "server"):
        assert state[name] == "ok", (name, found)
    assert state["people"] == "ok"
    assert {state[f"worker stanch-exercise{part}"] for part in ("", "-salesforce")} == {"ok"}
    assert state["temporal speed"] in ("ok", "warn")


async def test_doctor_says_what_is_broken_and_how_to_mend_it(acme, tmp_path):
    broken = acme.home / "broken.toml"
    text = (acme.home / "stanch.toml").read_text()
    pem = next(line for line in text.splitlines() if line.startswith("private_key"))
    broken.write_text(
        text.replace(pem, 'private_key = "secret:file/nowhere.pem"').replace(
            '"secret:env/DETECTOR"', '"secret:env/GONE"', 1
        )
        + '[alerts.open]\nscheme = "none"\n[alerts.mute]\nscheme = "hmac"\n'
    )
    env = {"STANCH_CONFIG": str(broken), "TEMPORAL_ADDRESS": "127.0.0.1:1"}
    done = await acme.stanch(None, "doctor", "--json", **env)
    assert done.returncode == 1
    found = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert (found["salesforce"]["state"], found["temporal"]["state"]) == ("fail", "fail")
    assert "nowhere.pem" in found["salesforce"]["message"] and found["salesforce"]["mend"]
    assert "TEMPORAL_ADDRESS" in found["temporal"]["mend"]
    assert (found["alerts siem"]["state"], found["alerts open"]["state"]) == ("warn", "warn")
    assert found["alerts mute"]["state"] == "fail"
    told = await acme.stanch(None, "doctor", **env)
    assert told.returncode == 1 and "✗ salesforce" in told.stdout and "→ " in told.stdout


async def test_doctor_makes_nothing_where_nothing_is(acme, tmp_path):
    empty = {"STANCH_HOME": str(tmp_path / "none"), "STANCH_CONFIG": ""}
    done = await acme.stanch(None, "doctor", "--json", **empty, TEMPORAL_ADDRESS="127.0.0.1:1")
    assert done.returncode == 1
    assert not (tmp_path / "none").exists()
