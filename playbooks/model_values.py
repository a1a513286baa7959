"""The small values of a playbook file: names, durations, conditions, types, what follows a time-out.

Each says in its error what it takes. The ``type`` of such an error is the problem's code.
"""

import re
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictInt,
    StrictStr,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from playbooks.contract import Json
from playbooks.expr_text import ExprError, bare

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
MAX_DURATION = 3650 * 86400
RESERVED = frozenset(
    ("inputs", "incident", "steps", "run", "result", "now", "seconds", "minutes", "hours", "days", "len", "min", "max")
)
"""Names that expressions already know."""
WORDS = frozenset(("and", "or", "not", "in", "is", "if", "else", "true", "false", "none", "True", "False", "None"))
"""Words of the expression grammar, which cannot be names."""
OUTPUT_RESERVED = frozenset(("meta", "items", "outputs"))
ENDS = ("deny", "stop", "continue", "unanswered")
SCALARS = ("string", "integer", "number", "boolean", "datetime", "duration", "choice")
READ_ONLY_FACTS = frozenset(("id", "kind", "opened_at", "first_seen", "org"))

_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_DURATION = re.compile(r"([1-9][0-9]{0,8})([smhd])")
_TEXT = {"type": "string"}
_LABEL = [{"type": "string"}, {"type": "integer"}]


def wrong(
    code: str, message: str, hint: str = "", *, at: tuple[str | int, ...] = (), key: bool = False
) -> PydanticCustomError:
    """An error of a value: ``code`` is the problem's code, ``at`` the part of the value that it stands at, ``key``
    whether it stands at that part's key."""
    context = {"said": message, "hint": hint, "at": at, "key": key}
    return PydanticCustomError(code, "{said}", context)


def seconds(duration: str) -> int:
    """Seconds of a duration such as ``90s``, ``15m``, ``2h``, ``3d``.

    Raises:
        ValueError: It is none.
    """
    found = _DURATION.fullmatch(duration)
    if found is None:
        raise ValueError(f"{duration[:40]!r} is no duration; write 30s, 5m, 2h or 3d")
    return int(found[1]) * UNITS[found[2]]


def _duration(text: str) -> str:
    try:
        length = seconds(text)
    except ValueError:
        raise wrong("bad_value", f"{text[:40]!r} is no duration.", "Write 30s, 5m, 2h or 3d.") from None
    if length > MAX_DURATION:
        raise wrong("bad_value", f"{text} is longer than ten years.")
    return text


def _name(text: str) -> str:
    if _NAME.fullmatch(text) is None:
        hint = "Small letters, digits and _, beginning with a letter; expressions read it as steps.NAME."
        raise wrong("bad_value", f"{text[:70]!r} cannot be a name.", hint)
    if text in WORDS:
        raise wrong("name_taken", f"{text} is a word of the expression language.", "Choose another name.")
    return text


def _loop_name(text: str) -> str:
    if _name(text) in RESERVED:
        raise wrong("name_taken", f"{text} already means something in expressions.", "Choose another name.")
    return text


def _output_name(text: str) -> str:
    if _name(text) in OUTPUT_RESERVED:
        raise wrong("name_taken", f"steps.ID.{text} already means something else.", "Choose another name.")
    return text


def _slug(text: str) -> str:
    if _SLUG.fullmatch(text) is None or len(text) > 64:
        hint = "Small letters, digits and hyphens, such as crm-oauth-token-theft."
        raise wrong("bad_value", f"{text[:70]!r} cannot be the id of a playbook.", hint)
    return text


def _fact(text: str) -> str:
    name = text.removeprefix("incident.")
    if name == text or _NAME.fullmatch(name) is None:
        raise wrong("bad_value", f"{text[:70]!r} is no fact of the incident.", "Write incident.NAME.")
    if name in READ_ONLY_FACTS:
        raise wrong("bad_value", f"{text} belongs to the incident and cannot be set.")
    return text


def _condition(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str):
        return value
    try:
        source = bare(value)
    except ExprError as error:
        raise wrong(error.code, str(error)) from None
    if not source:
        raise wrong("bad_value", "The condition is empty.")
    return source


def _flag(value: Any) -> Any:
    return {"yes": True, "no": False}.get(value, value) if isinstance(value, str) else value


def _not_blank(text: str) -> str:
    if not text.strip():
        raise wrong("bad_value", "The text is empty.")
    return text


def _type(value: Any) -> Any:
    if isinstance(value, dict) and list(value) == ["list"]:
        if value["list"] in SCALARS:
            return f"list[{value['list']}]"
        value = value["list"]
    elif isinstance(value, str) and value in SCALARS:
        return value
    raise wrong("bad_value", f"{str(value)[:40]!r} is no type.", f"One of {', '.join(SCALARS)}, or {{list: TYPE}}.")


def _one_or_more(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _recipient(text: str) -> str:
    if _NAME.fullmatch(text) is None:
        raise wrong("bad_value", f"{text[:70]!r} is nobody.", "Write channel, mail, page or the name of a role.")
    return text


def _label(value: Any) -> Any:
    for number, item in enumerate(value if isinstance(value, list) else [value]):
        if isinstance(item, bool) or not isinstance(item, str | int):
            at = (number,) if isinstance(value, list) else ()
            raise wrong("wrong_type", "A label is text, a whole number or a list of them.", at=at)
    return value


Text = Annotated[StrictStr, AfterValidator(_not_blank), Field(max_length=20_000)]
Name = Annotated[StrictStr, AfterValidator(_name)]
LoopName = Annotated[StrictStr, AfterValidator(_loop_name)]
OutputName = Annotated[StrictStr, AfterValidator(_output_name)]
Slug = Annotated[StrictStr, AfterValidator(_slug)]
ActionName = Annotated[StrictStr, AfterValidator(_not_blank)]
FactName = Annotated[StrictStr, AfterValidator(_fact)]
Role = Annotated[StrictStr, AfterValidator(_name)]
Duration = Annotated[StrictStr, AfterValidator(_duration), WithJsonSchema({**_TEXT, "pattern": "^[1-9][0-9]*[smhd]$"})]
Condition = Annotated[
    StrictStr,
    BeforeValidator(_condition),
    Field(max_length=2_100),
    WithJsonSchema({"type": ["string", "boolean"]}),
]
"""A bare expression, without its braces."""
Flag = Annotated[
    bool,
    Field(strict=True),
    BeforeValidator(_flag),
    WithJsonSchema({"anyOf": [{"type": "boolean"}, {"enum": ["yes", "no"]}]}),
]
Type = Annotated[
    StrictStr,
    BeforeValidator(_type),
    WithJsonSchema(
        {
            "anyOf": [
                {"enum": list(SCALARS)},
                {
                    "type": "object",
                    "properties": {"list": {"enum": list(SCALARS)}},
                    "required": ["list"],
                    "additionalProperties": False,
                },
            ]
        }
    ),
]
"""``string`` and so on, or ``list[string]``."""
Count = Annotated[StrictInt, Field(ge=1, le=50)]
Label = Annotated[
    Json,
    AfterValidator(_label),
    WithJsonSchema({"anyOf": [*_LABEL, {"type": "array", "items": {"anyOf": _LABEL}}]}),
]
Labels = dict[StrictStr, Label]
Recipients = Annotated[
    list[Annotated[StrictStr, AfterValidator(_recipient)]],
    BeforeValidator(_one_or_more),
    Field(min_length=1),
    WithJsonSchema({"anyOf": [_TEXT, {"type": "array", "items": _TEXT, "minItems": 1}]}),
]


class Authored(BaseModel):
    """A part of a playbook file: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=False)

    @model_validator(mode="before")
    @classmethod
    def _given(cls, value: Any) -> Any:
        # An empty `when:` must not mean that the step always runs.
        for key in value if isinstance(value, dict) else ():
            if value[key] is None:
                raise wrong(
                    "wrong_type", f"{key} has no value.", "Write one, or leave the key out.", at=(key,), key=True
                )
        return value


class InputField(Authored):
    """An input of a playbook or a field of a form."""

    type: Type = Field(description="`string integer number boolean datetime duration choice`, or `{list: TYPE}`")
    description: StrictStr = Field(default="", description="What it means, for the person who fills it in")
    required: Flag = Field(default=True, description="Whether it must be given; a default makes it optional")
    default: Json = Field(default=None, description="Value if none is given; may be an expression")
    options: list[StrictStr] = Field(default=[], description="The choices of a `choice`")

    @model_validator(mode="after")
    def _choices(self) -> "InputField":
        if ("choice" in self.type) != bool(self.options):
            said = "A choice names its options." if "choice" in self.type else "Only a choice has options."
            raise wrong("bad_value", said, "Write {type: choice, options: [a, b]}.")
        return self

    @property
    def must_be_given(self) -> bool:
        """Whether it has neither a default nor ``required: false``."""
        return self.required and self.default is None


class OutputValue(Authored):
    """What a playbook gives back to the one that runs it."""

    type: Type = Field(description="`string integer number boolean datetime duration`, or `{list: TYPE}`")
    value: Json = Field(description="The value, evaluated when the steps have ended and before `always`")

    @model_validator(mode="after")
    def _no_choice(self) -> "OutputValue":
        if "choice" in self.type:
            raise wrong("bad_value", "An output has no options to choose from.", "Write string.", at=("type",))
        return self


class By(Authored):
    """Who decides: any of `roles`, or `each` role its own number."""

    roles: list[Role] = Field(default=[], description="People who hold any of these roles count")
    count: Count = Field(default=1, description="How many different people must agree")
    each: dict[Role, Count] = Field(default={}, description="Role to number, when each role must be heard")
    deny_count: Count = Field(default=1, description="How many denials end it")

    @model_validator(mode="after")
    def _somebody(self) -> "By":
        if not self.roles and not self.each:
            raise wrong("approval_unreachable", "Nobody can decide: no role is named.", "Write {roles: [ROLE]}.")
        if self.roles and self.each:
            raise wrong("bad_value", "It names both roles and each.", "Use one of the two.")
        return self


class Link(Authored):
    """One entry of `on_timeout`: an escalation (a role, and how long to wait again), or how it ends."""

    escalate: Role | None = Field(default=None, description="Role that is added and paged; votes stay")
    within: Duration | None = Field(default=None, description="How long to wait after escalating")
    outcome: Literal["deny", "stop", "continue", "unanswered", "default"] | None = Field(
        default=None, exclude=True, description="How it ends; written as the bare word"
    )
    default: dict[Name, Json] | None = Field(default=None, description="Values taken when nobody answers")

    @model_validator(mode="before")
    @classmethod
    def _word(cls, value: Any) -> Any:
        if isinstance(value, str):
            if value not in ENDS:
                raise wrong("bad_value", f"{value[:40]!r} is no end of a wait.", _LINK_HINT)
            return {"outcome": value}
        if isinstance(value, dict):
            if "outcome" in value or ("escalate" in value) == ("default" in value):
                raise wrong("bad_value", "This is neither an escalation nor an end.", _LINK_HINT)
            if "default" in value:
                return {**value, "outcome": "default"}
            if "within" not in value and value.keys() == {"escalate"}:
                raise wrong("wait_without_end", "The escalation does not say how long to wait.", _LINK_HINT)
        return value

    @property
    def is_end(self) -> bool:
        """Whether it ends the chain."""
        return self.outcome is not None


_LINK_HINT = "Write {escalate: ROLE, within: 15m}, or end with deny, stop, continue, unanswered or {default: {…}}."


def chain(*ends: str) -> Any:
    """Type of an `on_timeout` that ends in one of ``ends``."""

    def check(links: list[Link]) -> list[Link]:
        if not links or not links[-1].is_end:
            raise wrong("wait_without_end", "on_timeout never ends.", f"End it with {' or '.join(ends)}.")
        for number, link in enumerate(links[:-1]):
            if link.is_end:
                raise wrong("bad_value", f"Nothing can follow {link.outcome}.", "An end stands last.", at=(number,))
        if links[-1].outcome not in ends:
            said, last = f"It cannot end with {links[-1].outcome}.", len(links) - 1
            raise wrong("wait_without_end", said, f"End it with {' or '.join(ends)}.", at=(last,))
        return links

    words = [end for end in ends if end != "default"]
    link: list[dict[str, Any]] = [
        {"enum": words},
        {
            "type": "object",
            "properties": {"escalate": _TEXT, "within": _TEXT},
            "required": ["escalate", "within"],
            "additionalProperties": False,
        },
    ]
    if "default" in ends:
        link.append({"type": "object", "properties": {"default": {"type": "object"}}, "required": ["default"]})
    schema = {"type": "array", "minItems": 1, "items": {"anyOf": link}}
    return Annotated[list[Link], AfterValidator(check), WithJsonSchema(schema)]


class Retry(Authored):
    """Further attempts after a failure."""

    times: Annotated[StrictInt, Field(ge=0, le=20)] = Field(default=3, description="Further attempts after the first")
    every: Duration = Field(default="10s", description="Wait before the first further attempt")
    backoff: Annotated[float, Field(strict=True, ge=1, le=10)] = Field(default=2, description="Growth of each wait")


class Undo(Authored):
    """Opting out of undo."""

    no: Text = Field(description="Why this step is not undone")
