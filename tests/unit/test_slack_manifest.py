"""The manifest is made of one table, asks for no more than that, and says how it is heard."""

import subprocess
import sys

from worker.slack.manifest import BOT_EVENTS, SCOPES, manifest


def test_every_scope_has_a_reason_and_says_what_fails_without_it() -> None:
    assert all(scope.why and scope.without for scope in SCOPES)
    names = [scope.name for scope in SCOPES]
    assert manifest()["oauth_config"]["scopes"]["bot"] == names
    assert len(set(names)) == len(names)
    # What lets an app read everything or be everybody is never asked for.
    assert not {"chat:write.public", "chat:write.customize", "admin", "search:read"} & set(names)


def test_socket_mode_has_no_addresses_and_http_has_one_for_all() -> None:
    socket = manifest()
    assert socket["settings"]["socket_mode_enabled"] is True
    assert "http" not in str(socket)
    http = manifest(url="https://stanch.example.com/")
    assert http["settings"]["socket_mode_enabled"] is False
    wanted = "https://stanch.example.com/slack/events"
    assert http["features"]["slash_commands"][0]["url"] == wanted
    assert http["settings"]["event_subscriptions"] == {"request_url": wanted, "bot_events": list(BOT_EVENTS)}
    assert http["settings"]["interactivity"] == {"is_enabled": True, "request_url": wanted}


def test_it_keeps_to_slacks_limits_and_an_exercise_is_marked() -> None:
    for made in (manifest(), manifest(exercise=True)):
        shown = made["display_information"]
        assert len(shown["name"]) <= 35 and len(shown["description"]) <= 140
        assert 174 <= len(shown["long_description"]) <= 4000
        (shortcut,) = made["features"]["shortcuts"]
        assert len(shortcut["name"]) <= 24 and len(shortcut["description"]) <= 150
    assert "EXERCISE" in manifest(exercise=True)["display_information"]["name"]


def test_commands_and_the_worker_load_nothing_of_slack() -> None:
    code = (
        "import sys, worker.cli.main, worker.run, worker.api.app, worker.start_work, worker.start, worker.start_checks\n"
        "heavy = {'slack_bolt', 'slack_sdk', 'aiohttp', 'pagerduty', 'icalendar', 'recurring_ical_events'}\n"
        "print(sorted(heavy & {name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
