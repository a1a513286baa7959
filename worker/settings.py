"""Settings: ``stanch.toml`` and ``STANCH_*``, read once at the edge into frozen values.

A blank variable counts as unset; a variable outranks the file. Nothing here is a secret: credentials are
references (``worker/secrets.py``), except ``STANCH_TOKEN``, a person's own token for the command line.
"""

import re
import tomllib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError

from activities.extension import installed
from playbooks.contract import Mode
from worker.settings_paging import PagingSettings
from worker.settings_policy import PolicySettings
from worker.settings_slack import SlackSettings
from worker.settings_watches import WatchSettings
from worker.settings_workflows import WorkflowSettings, checked

FILE = "stanch.toml"
TEST_HOLD = "STANCH_TEST_HOLD"
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


class SettingsError(Exception):
    """The settings cannot be used; the message says where and what to write instead."""

    code = "settings"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ApiSettings(_Part):
    """Where ``stanch serve`` listens, and who may be believed about client addresses."""

    host: str = "127.0.0.1"
    port: int = Field(default=8724, ge=0, le=65535)
    url: str | None = None
    """Where the command line finds it; by default made of host and port."""


class SourceSettings(_Part):
    """One alert source. ``scheme`` is how a delivery is signed; the rest stands at ``worker.alerts.sources``."""

    format: str = "auto"
    scheme: Literal[
        "bearer", "hmac", "standard_webhooks", "github", "pagerduty", "slack", "splunk_observability", "none"
    ] = "bearer"
    secret: str | None = None
    """Reference; two with a space between while a secret is being changed."""
    starts_per_hour: int = Field(default=20, ge=0)
    tolerance: int = Field(default=300, ge=1, le=3600)
    max_bytes: int = Field(default=1024 * 1024, ge=1, le=2 * 1024 * 1024)
    org: str = ""


class FileSettings(_Part):
    """What ``stanch.toml`` may hold."""

    mode: Mode = Mode.LIVE
    organisation: str = "default"
    organisation_facts: dict[str, Any] = Field(default_factory=dict)
    """Standing facts for clocks and drafts, by name without ``organisation.``"""
    namespace: str = "stanch"
    store_url: str | None = None
    log_level: str = "INFO"
    playbooks: tuple[str, ...] = ()
    """Folders of further playbooks."""
    policy: PolicySettings = PolicySettings()
    protected: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """System to names or ids of protected targets; ``"*"`` for every system."""
    payload_keys: str | None = None
    """Reference of the payload key ring; by default ``keys/payload.json`` in STANCH_HOME."""
    metrics: str | None = None
    """``host:port`` for Prometheus; none by default."""
    api: ApiSettings = ApiSettings()
    systems: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """System to its own configuration, checked by the system's ``config.py``."""
    alerts: dict[str, SourceSettings] = Field(default_factory=dict)
    """Alert source to how its deliveries are read and checked."""
    workflows: dict[Annotated[str, AfterValidator(checked)], WorkflowSettings] = Field(default_factory=dict)
    """Workflows of others that playbooks may start, by the name that a playbook writes."""
    routes: tuple[dict[str, Any], ...] = ()
    """Routing rules tried before the shipped ones."""
    watches: dict[Annotated[str, AfterValidator(checked)], WatchSettings] = Field(default_factory=dict)
    """What is looked at by itself, by the watch's name."""
    slack: SlackSettings | None = None
    """Slack, if people use it."""
    paging: PagingSettings | None = None
    """How people are woken; without it nobody is, and pages show as undelivered."""


class Settings(_Part):
    """Everything the process was told, frozen.

    Attributes:
        home: ``STANCH_HOME``, absolute; not necessarily there yet.
        config_file: The file that was read, if there is one.
        environment: The variables as given, for Temporal's own ``TEMPORAL_*`` and secret references.
    """

    home: Path
    config_file: Path | None = None
    file: FileSettings = FileSettings()
    token: SecretStr | None = None
    temporal_bin: Path | None = None
    test_hold: str | None = None
    test_hold_dir: Path | None = None
    continue_after_events: int | None = None
    """Lowers the continue-as-new threshold, for tests of it."""
    environment: Mapping[str, str] = Field(default_factory=dict, repr=False)

    @classmethod
    def load(cls, env: Mapping[str, str], cwd: Path | None = None) -> "Settings":
        """Read the file and the variables.

        Raises:
            SettingsError: a file cannot be read, or a value does not fit; with file and line.
        """
        given = {name: value.strip() for name, value in env.items() if value.strip()}
        here = (cwd or Path.cwd()).resolve()
        path = _config_file(given, here)
        file = _read(path) if path else FileSettings()
        changes = {
            field: given[variable]
            for field, variable in (
                ("mode", "STANCH_MODE"),
                ("organisation", "STANCH_ORGANISATION"),
                ("namespace", "STANCH_NAMESPACE"),
                ("store_url", "STANCH_STORE_URL"),
                ("log_level", "STANCH_LOG_LEVEL"),
                ("payload_keys", "STANCH_PAYLOAD_KEYS"),
                ("metrics", "STANCH_METRICS"),
            )
            if variable in given
        }
        api = {
            field: given[variable]
            for field, variable in (
                ("host", "STANCH_HOST"),
                ("port", "STANCH_PORT"),
                ("url", "STANCH_URL"),
            )
            if variable in given
        }
        whole = file.model_dump()
        whole |= changes
        whole["api"] |= api
        try:
            file = FileSettings.model_validate(whole)
        except ValidationError as error:
            raise SettingsError(_wrong_variable(error)) from None
        if file.log_level.upper() not in LOG_LEVELS:
            raise SettingsError(f"log_level is one of {', '.join(LOG_LEVELS)}, not {file.log_level!r}.")
        threshold = given.get("STANCH_TEST_CONTINUE_AFTER")
        if threshold is not None and not threshold.isdigit():
            raise SettingsError(f"STANCH_TEST_CONTINUE_AFTER is a number of events, not {threshold!r}.")
        return cls(
            home=(here / Path(given.get("STANCH_HOME", ".stanch")).expanduser()).resolve(),
            config_file=path,
            file=file,
            token=SecretStr(given["STANCH_TOKEN"]) if "STANCH_TOKEN" in given else None,
            temporal_bin=_path(given, "STANCH_TEMPORAL_BIN", here),
            test_hold=given.get(TEST_HOLD),
            test_hold_dir=_path(given, f"{TEST_HOLD}_DIR", here),
            continue_after_events=int(threshold) if threshold else None,
            environment=given,
        )

    @property
    def mode(self) -> Mode:
        """``live`` or ``exercise``."""
        return self.file.mode

    @property
    def namespace(self) -> str:
        """Temporal namespace, unless ``TEMPORAL_NAMESPACE`` names one."""
        return self.file.namespace

    @property
    def queue_prefix(self) -> str:
        """Of task queues: an exercise has its own, so that its calls never reach live credentials."""
        return "stanch" if self.mode is Mode.LIVE else "stanch-exercise"

    @property
    def store_url(self) -> str:
        """SQLAlchemy URL of the store; SQLite in ``home`` by default."""
        return self.file.store_url or f"sqlite:///{self.home / 'stanch.db'}"

    @property
    def api_url(self) -> str:
        """Where the command line finds ``/v1``."""
        return (self.file.api.url or f"http://{self.file.api.host}:{self.file.api.port}").rstrip("/")

    @property
    def playbook_folders(self) -> tuple[Path, ...]:
        """Folders of further playbooks, absolute: the settings' own, then those of installed extensions.

        Raises:
            ExtensionError: An installed extension cannot be loaded.
        """
        own = tuple((self.base / Path(folder).expanduser()).resolve() for folder in self.file.playbooks)
        return (*own, *installed().playbooks)

    @property
    def base(self) -> Path:
        """Where relative paths of the settings file start."""
        return self.config_file.parent if self.config_file else Path.cwd()

    def protected_of(self, system: str) -> tuple[str, ...]:
        """Protected names and ids of a system."""
        return (*self.file.protected.get("*", ()), *self.file.protected.get(system, ()))

    def for_home(self, home: Path, *, mode: Mode) -> "Settings":
        """The same settings for another home and mode: a demo's or an exercise's. Nobody real hears of it."""
        file = self.file.model_copy(
            update={"mode": mode, "store_url": None, "payload_keys": None, "slack": None, "paging": None, "watches": {}}
        )
        return self.model_copy(update={"home": home.resolve(), "file": file})

    def refuse_test_switches(self) -> None:
        """Refuse to run for real with what exists for tests and exercises only.

        Raises:
            SettingsError: a test's switch is set, or a system is a simulated one; the command ends with 2.
        """
        if self.mode is Mode.LIVE and self.test_hold:
            raise SettingsError(
                f"{TEST_HOLD} is set. It stops a worker in the middle of an action and exists for tests, so a live "
                "worker does not start with it. Unset it."
            )
        if self.mode is not Mode.LIVE:
            return
        simulated = [name for name, system in self.file.systems.items() if system.get("endpoint")]
        if simulated:
            raise SettingsError(
                f"systems.{simulated[0]}.endpoint names a simulated system, and this worker is live: what it contains "
                'must be real. Take the endpoint out, or set mode = "exercise".'
            )
        if self.file.slack is not None and self.file.slack.endpoint:
            raise SettingsError(
                "slack.endpoint names a simulated Slack, and this process is live: whom it asks must be real. "
                'Take the endpoint out, or set mode = "exercise".'
            )
        paging = self.file.paging
        if paging is not None and paging.pagerduty is not None and paging.pagerduty.endpoint:
            raise SettingsError(
                "paging.pagerduty.endpoint names a simulated PagerDuty, and this process is live: whom it wakes must "
                'be real. Take the endpoint out, or set mode = "exercise".'
            )


def _path(given: Mapping[str, str], name: str, here: Path) -> Path | None:
    return (here / Path(given[name]).expanduser()).resolve() if name in given else None


def _config_file(given: Mapping[str, str], here: Path) -> Path | None:
    named = _path(given, "STANCH_CONFIG", here)
    if named is not None:
        if not named.is_file():
            raise SettingsError(f"STANCH_CONFIG names {named}, and there is no such file.")
        return named
    path = here / FILE
    return path if path.is_file() else None


def _read(path: Path) -> FileSettings:
    try:
        text = path.read_text()
        return FileSettings.model_validate(tomllib.loads(text))
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is not TOML: {error}.") from None
    except ValidationError as error:
        first = error.errors()[0]
        place = [str(part) for part in first["loc"]]
        line = _line_of(text, place)
        where = f"{path}:{line}" if line else str(path)
        raise SettingsError(f"{where}: {'.'.join(place)}: {_reason(first)}.") from None


def _reason(problem: Any) -> str:
    if problem["type"] == "extra_forbidden":
        return "there is no such setting"
    return str(problem["msg"]).removeprefix("Value error, ")


def _line_of(text: str, place: list[str]) -> int | None:
    """The line of the innermost key of ``place`` that stands in the file, under its table."""
    table, best, rows = list[str](), None, Counter[str]()
    for number, line in enumerate(text.splitlines(), start=1):
        header = re.match(r"\s*(\[\[?)\s*([^\]]+?)\s*\]", line)
        key = re.match(r'\s*((?:"[^"]*"|[\w*-]+)(?:\.(?:"[^"]*"|[\w*-]+))*)\s*=', line)
        if header:
            whole = table = _words(header.group(2))
            if header.group(1) == "[[":
                table.append(str(rows[header.group(2)]))
                rows[header.group(2)] += 1
        elif key:
            whole = [*table, *_words(key.group(1))]
        else:
            continue
        if place[: len(whole)] == whole:
            best = number
    return best


def _words(dotted: str) -> list[str]:
    """The parts of a key of TOML, each without its quotes."""
    return [quoted or plain for quoted, plain in re.findall(r'"([^"]*)"|([^\s."]+)', dotted)]


def _wrong_variable(error: ValidationError) -> str:
    first = error.errors()[0]
    name = str(first["loc"][-1]).upper()
    return f"STANCH_{name}: {_reason(first)}."
