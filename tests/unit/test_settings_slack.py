"""The ``[slack]`` table: references only, one way to hear at least, and no simulated Slack in live."""

from pathlib import Path

import pytest

from playbooks.contract import Mode
from worker.settings import Settings, SettingsError

GOOD = """
[slack]
bot_token = "secret:env/SLACK_BOT_TOKEN"
app_token = "secret:file/app-token"
workspace = "T0ACME01"
"""


def loaded(folder: Path, text: str, **env: str) -> Settings:
    """The settings of a file with this text."""
    (folder / "stanch.toml").write_text(text)
    return Settings.load(env, folder)


def test_slack_is_absent_unless_configured_and_modest_by_default(tmp_path: Path) -> None:
    assert Settings.load({}, tmp_path).file.slack is None
    slack = loaded(tmp_path, GOOD).file.slack
    assert slack is not None
    assert (slack.private_from, slack.archive, slack.channel, slack.signing_secret) == (0, True, None, None)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"secret:env/SLACK_BOT_TOKEN"', '"xoxb-1-2"', "never the secret itself"),
        ('app_token = "secret:file/app-token"\n', "", "give app_token (Socket Mode) or signing_secret (HTTP)"),
        ('"T0ACME01"', '"acme"', "slack.workspace"),
        ('workspace = "T0ACME01"\n', "", "slack.workspace"),
        ("[slack]\n", "[slack]\nchanel = 'x'\n", "there is no such setting"),
        ("[slack]\n", "[slack]\nchannel = 'Incidents'\n", "slack.channel"),
        ("[slack]\n", "[slack]\nprivate_from = 7\n", "slack.private_from"),
    ],
)
def test_a_table_that_could_not_work_is_refused_with_its_place(tmp_path: Path, old: str, new: str, said: str) -> None:
    with pytest.raises(SettingsError) as refused:
        loaded(tmp_path, GOOD.replace(old, new))
    assert said in str(refused.value)
    assert "xoxb" not in str(refused.value)


@pytest.mark.parametrize("channel", ["C0123456789", "#incidents", "incidents-crm"])
def test_the_main_channel_is_an_id_or_a_name(tmp_path: Path, channel: str) -> None:
    slack = loaded(tmp_path, f"{GOOD}channel = '{channel}'\n").file.slack
    assert slack is not None and slack.channel == channel


def test_a_live_process_refuses_a_simulated_slack_and_an_exercise_takes_it(tmp_path: Path) -> None:
    text = f"{GOOD}endpoint = 'http://127.0.0.1:1/api/'\n"
    with pytest.raises(SettingsError, match=r"slack\.endpoint names a simulated Slack"):
        loaded(tmp_path, text).refuse_test_switches()
    loaded(tmp_path, text, STANCH_MODE="exercise").refuse_test_switches()


def test_a_demo_beside_a_live_home_tells_nobody_real(tmp_path: Path) -> None:
    demo = loaded(tmp_path, GOOD).for_home(tmp_path / "demo", mode=Mode.EXERCISE)
    assert demo.file.slack is None
