"""Settings: file, variables, secrets, and errors that say where."""

import os

import pytest

from playbooks.contract import Mode, Risk
from playbooks.policy import Policy
from worker.edge import stop_points
from worker.secrets import SecretError, Secrets
from worker.settings import Settings, SettingsError
from worker.settings_policy import PolicySettings

RULE = "[[policy.demands]]\nname = 'one'\nnever = true\n[[policy.demands]]\nname = 'two'\n"


def test_without_anything_the_defaults_hold(tmp_path):
    settings = Settings.load({"STANCH_HOME": "  "}, tmp_path)
    assert settings.home == tmp_path / ".stanch"
    assert (settings.mode, settings.queue_prefix) == (Mode.LIVE, "stanch")
    assert settings.store_url == f"sqlite:///{tmp_path}/.stanch/stanch.db"
    assert settings.api_url == "http://127.0.0.1:8724"


def test_variables_outrank_the_file(tmp_path):
    (tmp_path / "stanch.toml").write_text(
        'mode = "live"\norganisation = "Acme"\nplaybooks = ["books"]\n'
        '[api]\nport = 9000\n[protected]\nsalesforce = ["005A"]\n"*" = ["root"]\n'
    )
    env = {"STANCH_MODE": "exercise", "STANCH_HOME": "home", "STANCH_PORT": "9001", "STANCH_TOKEN": "t0ken"}
    settings = Settings.load(env, tmp_path)
    assert (settings.mode, settings.queue_prefix) == (Mode.EXERCISE, "stanch-exercise")
    assert settings.home == tmp_path / "home"
    assert settings.file.organisation == "Acme"
    assert settings.api_url == "http://127.0.0.1:9001"
    assert settings.protected_of("salesforce") == ("root", "005A")
    assert settings.playbook_folders == (tmp_path / "books",)
    assert "t0ken" not in repr(settings)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ('mode = "live"\ncolour = 3\n', r"stanch\.toml:2: colour: there is no such setting"),
        ("[api]\nhost = 'x'\nport = 'many'\n", r"stanch\.toml:3: api\.port"),
        ("[alerts.panther]\nscheme = 'trust'\n", r"stanch\.toml:2: alerts\.panther\.scheme"),
        ("[policy]\nlarge = 5\n", r"stanch\.toml:2: policy\.large: there is no such setting"),
        ("[policy.rules.contian]\ncount = 2\n", r"stanch\.toml:1: policy\.rules\.contian"),
        ("[policy.rules.contain]\ncuont = 2\ncount = 1\n", r"stanch\.toml:2: policy\.rules\.contain\.cuont"),
        ("[policy]\nprotected_extra = -1\n", r"stanch\.toml:2: policy\.protected_extra"),
        ('[policy.owners]\naws = ["a"]\n"aws.*" = ["No One"]\n', r"stanch\.toml:3: policy\.owners\.aws\.\*\.0"),
        ("[policy.owners]\naws = []\n", r"stanch\.toml:2: policy\.owners\.aws"),
        ('[policy.owners]\n"a ws" = ["a"]\n', r"stanch\.toml:2: policy\.owners\.a ws"),
        ("[policy.maximum]\nlegal = -1\n", r"stanch\.toml:2: policy\.maximum\.legal"),
        (f"{RULE}nevr = true\n", r"stanch\.toml:6: policy\.demands\.1\.nevr: there is no such setting"),
        ("[[policy.demands]]\ncount = 1\n", r"stanch\.toml:1: policy\.demands\.0\.name: Field required"),
        (f"{RULE}roles = ['a']\n", r"stanch\.toml:4: policy\.demands\.1: it demands nothing; write count = N"),
        (f"{RULE}extra = 1\nroles = ['a']\n", r"stanch\.toml:4: policy\.demands\.1: it names roles, but not how many"),
        (f"{RULE}count = 1\nnever = true\n", r"stanch\.toml:4: policy\.demands\.1: it says never"),
        (f"{RULE}count = -1\n", r"stanch\.toml:6: policy\.demands\.1\.count"),
        (f"{RULE}extra = 1\nrisks = ['read']\n", r"stanch\.toml:7: policy\.demands\.1\.risks\.0: read is always free"),
        (f"{RULE}extra = 1\nactions = ['aws *']\n", r"stanch\.toml:7: policy\.demands\.1\.actions\.0"),
        (f"{RULE}extra = 1\nseverity_below = 6\n", r"stanch\.toml:7: policy\.demands\.1\.severity_below"),
        ("mode = live\n", r"stanch\.toml is not TOML: .*line 1"),
    ],
)
def test_a_wrong_file_is_told_with_its_line(tmp_path, text, where):
    (tmp_path / "stanch.toml").write_text(text)
    with pytest.raises(SettingsError, match=where):
        Settings.load({}, tmp_path)


def test_a_policy_of_the_file_is_the_policy(tmp_path):
    assert Settings.load({}, tmp_path).file.policy == PolicySettings()
    assert Settings.load({}, tmp_path).file.policy.model_dump() == Policy().model_dump()
    (tmp_path / "stanch.toml").write_text("[policy]\nlarge_over = 10\n[policy.rules.contain]\ncount = 2\n")
    policy = Settings.load({}, tmp_path).file.policy
    assert (policy.large_over, policy.rules["contain"].count) == (10, 2)
    assert "destroy" not in policy.rules, "a risk without a rule is refused, so nothing is filled in"


def test_every_part_of_a_policy_can_be_written(tmp_path):
    (tmp_path / "stanch.toml").write_text(
        '[policy.owners]\nsalesforce = ["crm_owner", "privacy_officer"]\n'
        '[policy.environments]\n"lab*" = "staging"\n'
        "[policy.maximum]\nlegal = 1\n"
        '[[policy.demands]]\nname = "A lawyer looks"\nactions = ["salesforce.*"]\nrisks = ["contain"]\n'
        'environments = ["production"]\nirreversible = true\nprotected = true\naffected_over = 5\n'
        'severity_below = 5\ncount = 1\nroles = ["legal"]\nextra = 2\n'
    )
    policy = Settings.load({}, tmp_path).file.policy
    assert Policy.model_validate(policy.model_dump(mode="json")).model_dump() == policy.model_dump()
    assert policy.owners == {"salesforce": ("crm_owner", "privacy_officer")}
    assert (policy.environments, policy.maximum) == ({"lab*": "staging"}, {"legal": 1})
    assert policy.demands[0].model_dump() == {
        "name": "A lawyer looks",
        "actions": ("salesforce.*",),
        "risks": (Risk.CONTAIN,),
        "environments": ("production",),
        "irreversible": True,
        "protected": True,
        "affected_over": 5,
        "severity_below": 5,
        "count": 1,
        "roles": ("legal",),
        "extra": 2,
        "never": False,
    }


@pytest.mark.parametrize(
    ("env", "message"),
    [
        ({"STANCH_MODE": "practice"}, "STANCH_MODE"),
        ({"STANCH_PORT": "many"}, "STANCH_PORT"),
        ({"STANCH_CONFIG": "none.toml"}, "there is no such file"),
        ({"STANCH_LOG_LEVEL": "loud"}, "log_level"),
    ],
)
def test_a_wrong_variable_is_named(tmp_path, env, message):
    with pytest.raises(SettingsError, match=message):
        Settings.load(env, tmp_path)


def test_a_live_worker_refuses_the_tests_switch(tmp_path):
    env = {"STANCH_TEST_HOLD": "after_intent@revoke"}
    with pytest.raises(SettingsError, match="live worker does not start"):
        stop_points(Settings.load(env, tmp_path))
    exercise = stop_points(Settings.load({**env, "STANCH_MODE": "exercise"}, tmp_path))
    assert exercise is not None
    assert exercise.wanted == (("after_intent", "revoke"),)
    with pytest.raises(SettingsError, match="none of"):
        stop_points(Settings.load({"STANCH_TEST_HOLD": "soon", "STANCH_MODE": "exercise"}, tmp_path))


def test_a_live_worker_reaches_no_simulated_system(tmp_path):
    (tmp_path / "stanch.toml").write_text('[systems.salesforce]\nendpoint = "http://127.0.0.1:1"\n')
    with pytest.raises(SettingsError, match="what it contains must be real"):
        stop_points(Settings.load({}, tmp_path))
    assert stop_points(Settings.load({"STANCH_MODE": "exercise"}, tmp_path)) is None


def test_secrets_come_from_variables_and_private_files(tmp_path):
    (tmp_path / "key").write_text("from-file\n")
    (tmp_path / "key").chmod(0o600)
    secrets = Secrets({"KEY": "from-env"}, tmp_path)
    assert secrets.get("secret:env/KEY") == "from-env"
    assert secrets.get("secret:file/key") == "from-file"


@pytest.mark.parametrize(
    "reference", ["hunter2", "secret:env/NONE", "secret:file/none", "secret:vault/a#b", "secret:env/"]
)
def test_a_reference_that_leads_nowhere_is_told_without_its_secret(tmp_path, reference):
    with pytest.raises(SecretError) as caught:
        Secrets({}, tmp_path).get(reference)
    assert "hunter2" not in str(caught.value)


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX")
def test_a_secret_that_everyone_can_read_is_refused(tmp_path):
    (tmp_path / "key").write_text("x")
    (tmp_path / "key").chmod(0o644)
    with pytest.raises(SecretError, match="chmod 600"):
        Secrets({}, tmp_path).get("secret:file/key")
