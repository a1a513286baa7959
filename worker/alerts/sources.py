"""Alert sources: who may send, how a delivery is signed, and what a source may do."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from worker.alerts.readers import READERS
from worker.alerts.signatures import SCHEMES
from worker.settings import SettingsError

MAX_BODY = 1024 * 1024


class Source(BaseModel):
    """One sender of alerts.

    Attributes:
        scheme: A name in ``SCHEMES``; ``none`` believes anyone who can reach the door.
        secrets: References of what proves a delivery: the current one, and during a rotation the previous.
        tolerance: Seconds that a signed timestamp may be away from now.
        max_bytes: Of a body.
        starts_per_hour: Starts with effect; 0 lets it open incidents only.
        org: Organisation of alerts that name none.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str
    scheme: str = "bearer"
    secrets: tuple[str, ...] = ()
    format: str = "auto"
    tolerance: int = Field(default=300, ge=1, le=3600)
    max_bytes: int = Field(default=MAX_BODY, ge=1, le=2 * MAX_BODY)
    starts_per_hour: int = Field(default=20, ge=0)
    org: str = ""

    @field_validator("scheme")
    @classmethod
    def _known_scheme(cls, scheme: str) -> str:
        if scheme not in SCHEMES:
            raise ValueError(f"the scheme is one of {', '.join(SCHEMES)}")
        return scheme

    @field_validator("format")
    @classmethod
    def _known_format(cls, format_: str) -> str:
        if format_ != "auto" and format_ not in READERS:
            raise ValueError(f"the format is auto or one of {', '.join(READERS)}")
        return format_


class Sources:
    """The configured sources, and what anyone known to the desk may send by hand."""

    def __init__(self, sources: Mapping[str, Source]) -> None:
        self._sources = dict(sources)

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> "Sources":
        """From settings: source name to a mapping or model with the fields of ``Source``.

        ``secret`` is one reference, or two with a space between while a secret is being changed.

        Raises:
            SettingsError: a source is malformed.
        """
        return cls({name: _source(name, fields) for name, fields in given.items()})

    def get(self, name: str) -> Source | None:
        """A source by its name."""
        return self._sources.get(name)

    def by_person(self, name: str) -> Source:
        """The source that a person's own delivery counts as, under a name that may also be configured."""
        return self._sources.get(name) or Source(name=name)

    def __iter__(self) -> Any:
        return iter(self._sources.values())


def _source(name: str, fields: Any) -> Source:
    given = dict(fields.model_dump() if isinstance(fields, BaseModel) else fields)
    secret = given.pop("secret", None)
    if secret and not given.get("secrets"):
        given["secrets"] = tuple(str(secret).split())
    try:
        return Source.model_validate({**given, "name": name})
    except ValidationError as error:
        raise malformed(f"alerts.{name}", error) from None


def malformed(place: str, error: ValidationError) -> SettingsError:
    """What is wrong with a part of the settings; the value itself is left out, it may be a secret."""
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"])
    return SettingsError(f"{place}: {field}: {first['msg']}.")
