"""The documentation says what the code does: settings, commands, variables, links, examples."""

import re
import shlex
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import click
import pytest
from pydantic import BaseModel

from activities.catalog import CATALOG
from activities.systems.aws.config import AwsConfig
from activities.systems.gateway.config import GatewayConfig
from activities.systems.inference.config import InferenceConfig, Thresholds
from activities.systems.mlflow.config import MlflowConfig, Signing, Tags
from activities.systems.salesforce.config import PERMISSIONS, ReadingCredential, SalesforceConfig
from activities.systems.serving.config import ServingConfig
from activities.systems.stepca.config import StepCaConfig
from activities.systems.training.config import TrainingConfig
from activities.systems.vault.config import VaultConfig
from playbooks.compile import validate
from playbooks.loader import Library, load_text
from worker.alerts.intake import Intake
from worker.alerts.model import ENTITY_KINDS, KINDS
from worker.alerts.readers import READERS
from worker.alerts.routing import Rule
from worker.alerts.salesforce import mapping
from worker.alerts.signatures import SCHEMES
from worker.cli.main import stanch
from worker.desk.rights import RIGHTS
from worker.reference_commands import commands
from worker.settings import ApiSettings, FileSettings, SourceSettings
from worker.settings_paging import MailSettings, PagerDutySettings, PagingSettings, WebhookSettings
from worker.settings_policy import DemandSettings, PolicySettings
from worker.settings_slack import SlackSettings
from worker.settings_watches import WatchSettings
from worker.settings_workflows import WorkflowSettings
from worker.slack.buttons import LABELS
from worker.slack.manifest import SCOPES
from worker.slack.steering import VERBS, usage

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.rglob("*.md"), *ROOT.glob("*.md")])
TEXT = {path: path.read_text(encoding="utf-8") for path in PAGES}
GENERATED = "<!-- Generated"
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.M | re.S)
PARTS: dict[str, type[BaseModel]] = {
    "api": ApiSettings,
    "alerts.NAME": SourceSettings,
    "policy": PolicySettings,
    "policy.demands": DemandSettings,
    "slack": SlackSettings,
    "paging": PagingSettings,
    "paging.pagerduty": PagerDutySettings,
    "paging.mail": MailSettings,
    "paging.webhook": WebhookSettings,
    "systems.aws": AwsConfig,
    "systems.gateway": GatewayConfig,
    "systems.inference": InferenceConfig,
    "systems.inference.thresholds": Thresholds,
    "systems.salesforce": SalesforceConfig,
    "systems.serving": ServingConfig,
    "systems.stepca": StepCaConfig,
    "systems.vault": VaultConfig,
    "watches.NAME": WatchSettings,
    "workflows.NAME": WorkflowSettings,
    "systems.salesforce.reading": ReadingCredential,
    "systems.mlflow": MlflowConfig,
    "systems.training": TrainingConfig,
    "systems.mlflow.tags": Tags,
    "systems.mlflow.signing": Signing,
}


def name(path: Path) -> str:
    """Path from the top, with slashes."""
    return path.relative_to(ROOT).as_posix()


def page(relative: str) -> str:
    """A page's text."""
    return TEXT[ROOT / relative]


def fences(text: str, *languages: str) -> list[str]:
    """The code blocks of these languages (``""`` for none), without their indentation."""
    found = []
    for indent, language, body in FENCE.findall(text):
        if language in languages:
            found.append("".join(line.removeprefix(indent) for line in body.splitlines(keepends=True)))
    return found


# Settings and variables


def settings() -> Iterator[tuple[str, Any]]:
    """Every setting by its dotted name, with its field."""
    yield from FileSettings.model_fields.items()
    for prefix, model in PARTS.items():
        for key, field in model.model_fields.items():
            yield f"{prefix}.{key}", field


def shown(default: Any) -> str:
    """A default as the tables show it."""
    if default is None or default == "" or isinstance(default, dict | BaseModel) or default == ():
        return "–"
    return f"`{', '.join(map(str, default)) if isinstance(default, tuple) else default}`"


def documented() -> dict[str, str]:
    """Every setting of the tables in operations.md, with the default they give."""
    section = page("docs/operations.md").partition("## stanch.toml")[2].partition("\n## ")[0]
    return dict(re.findall(r"^\| `([^`]+)` \| (\S[^|]*?) \|", section, re.M))


def test_every_setting_and_no_other_is_documented_with_its_default() -> None:
    expected = {
        key: "–" if field.is_required() else shown(field.get_default(call_default_factory=True))
        for key, field in settings()
    }
    assert documented() == expected


def test_every_key_of_a_route_is_documented() -> None:
    routes = page("docs/alerts.md").partition("## Routes")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)` \| [^|]*\|$", routes, re.M)) == set(Rule.model_fields)


def test_every_variable_is_documented() -> None:
    sources = [*(path for folder in ("playbooks", "workflows", "activities", "worker") for path in _python(folder))]
    used = {word for path in sources for word in re.findall(r"""["'](STANCH_[A-Z_]+[A-Z])["']""", path.read_text())}
    used |= {"STANCH_TEST_HOLD_DIR", "STANCH_TEST_STORE_URL"}
    assert len(used) > 15
    everything = "\n".join(TEXT.values())
    assert not {variable for variable in used if f"`{variable}`" not in everything}


def test_no_variable_is_documented_that_nobody_reads() -> None:
    sources = "\n".join(
        path.read_text()
        for folder in ("playbooks", "workflows", "activities", "worker", "tests")
        for path in _python(folder)
    )
    named = {word for text in TEXT.values() for word in re.findall(r"\bSTANCH_[A-Z_]+[A-Z]\b", text)}
    read = {
        word for word in named if word in sources or f"{{TEST_HOLD}}{word.removeprefix('STANCH_TEST_HOLD')}" in sources
    }
    assert named == read


def _python(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_settings_in_examples_load(path: Path) -> None:
    for example in fences(TEXT[path], "toml"):
        given = tomllib.loads(example)
        file = FileSettings.model_validate(given)
        for system, config in file.systems.items():
            # Systems of one's own are checked by their packages' tests.
            if system == "salesforce":
                SalesforceConfig.model_validate(config)
        Intake.of(file.alerts, file.routes, lambda reference: "")


# Commands


def known() -> dict[str, click.Command]:
    """Every command by its words."""
    return dict(commands())


def test_every_command_is_explained_outside_of_the_generated_page() -> None:
    written = "\n".join(text for text in TEXT.values() if not text.startswith(GENERATED))
    # Of what a group holds, the tutorial and operations show the common ones; the reference has them all.
    assert all(f"`{words}`" in page("docs/commands.md") for words, command in known().items() if _leaf(command))
    top = {words for words in known() if words.count(" ") == 1}
    assert not {words for words in top if words not in written}


def _leaf(command: click.Command) -> bool:
    return not isinstance(command, click.Group)


def command_lines(text: str) -> Iterator[str]:
    """What a reader would type: lines of code blocks and inline code that call stanch."""
    for body in fences(text, "sh", ""):
        for line in body.replace("\\\n", " ").splitlines():
            found = re.match(r"\s*(?:\$ )?(?:[A-Z_]+=\S+ )*(?:export [A-Z_]+=\$\()?(stanch( |$).*)", line)
            if found:
                yield found[1].partition("   ")[0].partition("  #")[0].rstrip(")")
    outside = FENCE.sub("", text)
    for code in re.findall(r"`(stanch [^`]+)`", outside):
        yield from _alternatives(code)


def _alternatives(code: str) -> Iterator[str]:
    """``stanch decision list|show`` stands for two commands."""
    match = re.fullmatch(r"(.*?)(\S+(?:\|\S+)+)(.*)", code)
    if match is None:
        yield code
        return
    for choice in match[2].split("|"):
        yield f"{match[1]}{choice}{match[3]}"


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_commands_in_examples_exist_and_take_what_they_are_given(path: Path) -> None:
    for line in command_lines(TEXT[path]):
        words = shlex.split(line.replace("…", ""), comments=True)
        command: click.Command = stanch
        rest = words[1:]
        while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
            found = command.get_command(click.Context(command), rest[0])
            assert found is not None, f"{line}: there is no {rest[0]}"
            command, rest = found, rest[1:]
        taken = {spelling for option in command.get_params(click.Context(command)) for spelling in option.opts}
        for word in rest:
            if word.startswith("-") and not word[1:2].isdigit():
                assert word.partition("=")[0] in taken, f"{line}: {word}"


def test_what_the_page_of_slack_lists_is_what_there_is() -> None:
    text = page("docs/slack.md")
    scopes = [f"| `{scope.name}` | {scope.why} | {scope.without} |" for scope in SCOPES]
    assert _rows(text, "| scope |") == scopes
    verbs = ["| `{}` | {} |".format(usage(verb).replace("|", "\\|"), VERBS[verb].help) for verb in VERBS]
    assert _rows(text, "| line |") == verbs
    labels = [each.strip() for row in _rows(text, "| button |") for each in row.split("|")[1].split(",")]
    assert {"Approve", "Deny…", "Answer…", "Done…", "Break glass…", *LABELS.values()} <= set(labels)
    tutorial = text[: text.index("## Over HTTP")]
    assert len(re.findall(r"^\d+\. ", tutorial, re.M)) <= 10


def test_the_playbooks_of_the_page_of_slack_are_fine(tmp_path: Path) -> None:
    first, second = fences(page("docs/slack.md"), "yaml")
    for name, text in (("say-hello", first), ("first-card", second)):
        (tmp_path / f"{name}.yaml").write_text(text)
    library = Library.of(tmp_path)
    for name in ("say-hello", "first-card"):
        source = library.get(name)
        assert source is not None and validate(source, library=library, actions=CATALOG.facts()) == [], name


def _rows(text: str, head: str) -> list[str]:
    """The rows of the table with this head."""
    after = text[text.index(f"\n{head}") + 1 :].split("\n\n", 1)[0]
    return after.splitlines()[2:]


# Links and other examples


def slug(heading: str) -> str:
    """The anchor of a heading, as GitHub makes it."""
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")


def anchors(text: str) -> set[str]:
    """Every anchor of a page."""
    return {slug(heading) for heading in re.findall(r"^#+ (.+)$", FENCE.sub("", text), re.M)}


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_links_resolve(path: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", TEXT[path])):
        if target.startswith("https://"):
            continue
        file, _, anchor = target.partition("#")
        there = (path.parent / file).resolve() if file else path
        assert there.exists(), f"{name(path)} links to {target}"
        if anchor:
            assert anchor in anchors(TEXT[there]), f"{name(path)} links to {target}"


def test_every_page_can_be_reached_from_the_index() -> None:
    linked = set(re.findall(r"\]\(([^)#\s]+)", page("docs/index.md")))
    lonely = {path.name for path in DOCS.glob("*.md")} - {"index.md"} - linked
    assert not lonely, "link them from docs/index.md"


def test_the_tutorials_playbook_has_its_one_mistake_and_none_once_it_is_mended() -> None:
    tutorial = page("docs/tutorial.md")
    (wrong,) = [example for example in fences(tutorial, "yaml") if example.startswith("stanch: 1")]
    (mended,) = [example for example in fences(tutorial, "yaml") if example.startswith("    when:")]
    (problem,) = problems(wrong)
    assert f"my-playbooks/odd-login.yaml:{problem.line}:{problem.column}: error {problem.code}: " in tutorial
    assert problem.message in tutorial and f"Line {problem.line} becomes" in tutorial
    lines = wrong.splitlines()
    lines[problem.line - 1] = mended.rstrip("\n")
    assert problems("\n".join(lines) + "\n") == []


def problems(text: str) -> list[Any]:
    """What is wrong with a playbook."""
    source, found = load_text(text, "odd-login.yaml")
    if source is not None:
        found = validate(source, library=Library.shipped(), actions=CATALOG.facts())
    return list(found)


def test_the_alert_of_the_alerts_page_is_read_as_it_says() -> None:
    text = page("docs/alerts.md")
    (body,) = fences(text, "json")
    alert = Intake.of({}, (), lambda reference: "").check(body.encode(), "siem", datetime(2026, 11, 25, tzinfo=UTC))
    assert alert.route is not None
    filled = ", ".join(f"{key}={value}" for key, value in alert.route.inputs.items())
    assert f"{alert.format}, {alert.kind}, severity {alert.severity}, {alert.action}" in text
    assert f"starts {alert.route.playbook} by rule {alert.route.rule}: {filled}" in text


def test_what_alerts_may_say_is_listed_whole() -> None:
    text, events = page("docs/alerts.md"), mapping()["events"]
    for word in (
        *KINDS,
        *ENTITY_KINDS,
        *READERS,
        *events,
        *get_args(Rule.model_fields["inputs"].annotation)[1].__args__,
    ):
        assert f"`{word}`" in text, word
    operations = page("docs/operations.md")
    for scheme in SCHEMES:
        assert f"`{scheme}`" in operations, scheme


def test_roles_and_permissions_are_listed_whole() -> None:
    operations = page("docs/operations.md")
    for word in (*PERMISSIONS, *(role for roles in RIGHTS.values() for role in roles)):
        assert f"`{word}`" in operations, word
