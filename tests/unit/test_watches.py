"""Watches in the settings: what they may say, and that each mistake is named with its place."""

from pathlib import Path
from typing import Any

import pytest

from worker.settings import Settings, SettingsError
from worker.watches.definition import every, watches_of
from workflows.watch import WatchInput

GOOD = {
    "action": '"aws.check_cryptoperiods"',
    "finds": '"{{ result.overdue > 0 or not result.complete }}"',
    "kind": '"key.overdue"',
    "title": '"Keys are in use for too long"',
}


def load(folder: Path, name: str = "keys", **changes: str | None) -> Settings:
    """Settings with one watch; a change of ``None`` leaves a key out."""
    given = {key: value for key, value in {**GOOD, **changes}.items() if value is not None}
    lines = [f"[watches.{name}]", *(f"{key} = {value}" for key, value in given.items())]
    (folder / "stanch.toml").write_text("\n".join(lines))
    return Settings.load({"STANCH_HOME": str(folder / "home")}, folder)


def test_a_watch_is_read_with_its_defaults(tmp_path: Path) -> None:
    settings = load(tmp_path, params='{ at_most = "90d" }', inputs='{ systems = ["aws"] }')
    (found,) = watches_of(settings).values()
    assert (found.name, found.queue, found.severity) == ("keys", "stanch-aws", 2)
    assert found.finds == "result.overdue > 0 or not result.complete"
    assert found.params == {"at_most": "90d"} and found.effect
    assert found.route == {"rule": "key-overdue", "playbook": "key-overdue", "inputs": {"systems": ["aws"]}}
    assert found.seconds == 900 and every(settings.file.watches["keys"]) == 24 * 3600


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"every": '"4m"'}, "watches.keys.every: from 5m to 366d"),
        ({"every": '"daily"'}, "watches.keys.every: 'daily' is no duration"),
        ({"finds": '"result.overdue > 0"'}, "watches.keys.finds: an expression in braces"),
        ({"finds": '"{{ inputs.x }}"'}, "watches.keys.finds: it knows result only, not inputs"),
        ({"finds": '"{{ result.__class__ }}"'}, "watches.keys.finds: "),
        ({"finds": '"{{ now() > result.due }}"'}, "watches.keys.finds: it has no now()"),
        ({"severity": "6"}, "watches.keys.severity: "),
        ({"title": None}, "watches.keys.title: "),
        ({"often": '"1d"'}, "watches.keys.often: there is no such setting"),
    ],
)
def test_a_malformed_watch_is_refused_with_its_line(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load(tmp_path, **changes)
    assert said in str(refused.value) and "stanch.toml:" in str(refused.value)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"action": '"aws.check_periods"'}, "watches.keys.action: there is no action aws.check_periods"),
        ({"action": '"aws.rotate_kms_key"'}, "watches.keys.action: aws.rotate_kms_key does not only read"),
        ({"finds": '"{{ result.late > 0 }}"'}, "watches.keys.finds: aws.check_cryptoperiods gives no late; it gives"),
        ({"params": '{ at_most = "soon" }'}, "watches.keys.params.at_most: "),
        ({"params": "{ at_least = 3 }"}, "watches.keys.params.at_least: "),
        ({"kind": '"key.old"'}, "watches.keys.kind: one of crm.oauth_token_theft"),
        ({"kind": '"unknown"'}, "watches.keys.kind: one of crm.oauth_token_theft"),
    ],
)
def test_what_does_not_fit_the_action_is_refused(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    settings = load(tmp_path, **changes)
    with pytest.raises(SettingsError) as refused:
        watches_of(settings)
    assert said in str(refused.value)


def test_the_routes_of_the_settings_decide_what_a_finding_starts(tmp_path: Path) -> None:
    load(tmp_path)
    file = tmp_path / "stanch.toml"
    watch = file.read_text()

    def found(rule: str, **changes: str) -> WatchInput:
        text = watch
        for key, value in changes.items():
            text = text.replace(f"{key} = {GOOD[key]}", f"{key} = {value}")
        file.write_text(f"{text}\n{rule}")
        return watches_of(Settings.load({"STANCH_HOME": str(tmp_path / "home")}, tmp_path))["keys"]

    mine = (
        '[[routes]]\nrule = "mine"\nkinds = ["key.*"]\nsources = ["watch/keys"]\nplaybook = "my-keys"\neffect = false'
    )
    assert found(mine).route == {"rule": "mine", "playbook": "my-keys", "inputs": {}} and not found(mine).effect
    assert found('[[routes]]\nrule = "mine"\nkinds = ["key.overdue"]\nplaybook = "none"').route is None
    assert found("", kind='"model.weights_exposed"').since == ("since",)
    file.write_text(f"{watch}\nseverity = 1")
    assert watches_of(Settings.load({"STANCH_HOME": str(tmp_path / "home")}, tmp_path))["keys"].route is None
    with pytest.raises(SettingsError, match=r"routes: "):
        found('[[routes]]\nrule = "mine"')


def test_a_workflow_of_others_is_no_watch(tmp_path: Path) -> None:
    settings = load(tmp_path, action='"workflow.sweep"', finds='"{{ result.count > 0 }}"')
    sweep = '\n[workflows.sweep]\nqueue = "q"\nrisk = "read"\nowner = "o"\noutputs.count = {type = "integer"}'
    (tmp_path / "stanch.toml").write_text((tmp_path / "stanch.toml").read_text() + sweep)
    settings = Settings.load({"STANCH_HOME": str(tmp_path / "home")}, tmp_path)
    with pytest.raises(SettingsError, match=r"watches\.keys\.action: workflow\.sweep is a workflow of others"):
        watches_of(settings)


def test_a_demo_and_an_exercise_watch_nothing(tmp_path: Path) -> None:
    settings = load(tmp_path)
    assert settings.for_home(tmp_path / "demo", mode=settings.mode).file.watches == {}
