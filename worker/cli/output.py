"""How a command speaks: one document on stdout, messages on stderr, failures with a code and an exit code."""

import json
import re
import sys
from collections.abc import Callable
from typing import Any, NoReturn

import click

JSON_KEY = "stanch.json"
INTEGRITY = 3
_CONTROL = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    r"\ud800-\udfff\U000e0000-\U000e007f]"
)


class Refused(Exception):
    """A command ended without doing what it was asked.

    Args:
        code: Stable code, as in the contract.
        message: What happened and what was not done.
        next_step: What to do next; shown below the message.
        exit_code: 1 refused or failed, 2 wrong usage, 3 integrity broken.
        details: Further keys of the JSON document.
    """

    def __init__(
        self,
        code: str,
        message: str,
        next_step: str = "",
        *,
        exit_code: int = 1,
        details: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.code, self.message, self.next_step = code, message, next_step
        self.exit_code, self.details = exit_code, details or {}


def _remember_json(ctx: click.Context, _param: click.Parameter, value: bool) -> bool:
    if value:
        ctx.find_root().meta[JSON_KEY] = True
    return value


def json_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """The flag ``--json`` of every command that gives a document; passed on as ``as_json``."""
    return click.option(
        "--json",
        "as_json",
        is_flag=True,
        callback=_remember_json,
        help="One JSON document on stdout.",
    )(command)


def emit(document: Any) -> None:
    """Write one JSON document to stdout."""
    click.echo(json.dumps(document, ensure_ascii=False, indent=2, default=str))


def show(text: str) -> None:
    """Write text for people to stdout."""
    click.echo(text)


def say(text: str) -> None:
    """Write a message to stderr, so that stdout stays one document."""
    click.echo(text, err=True)


def fail(code: str, message: str, next_step: str = "", *, exit_code: int = 1) -> NoReturn:
    """End the command with a code and a message.

    Raises:
        Refused: always.
    """
    raise Refused(code, message, next_step, exit_code=exit_code)


def report(refused: Refused, *, as_json: bool) -> int:
    """Tell the user of a refusal and return the exit code."""
    if as_json:
        document = {"ok": False, "code": refused.code, "message": refused.message}
        document |= {key: value for key, value in refused.details.items() if key not in document}
        if refused.next_step:
            document["next"] = refused.next_step
        emit(document)
    else:
        say(f"stanch: {clean(refused.message)} [{refused.code}]")
        if refused.next_step:
            say(f"  {clean(refused.next_step)}")
    sys.stdout.flush()
    return refused.exit_code


def clean(text: object, *, lines: bool = False) -> str:
    """Text from outside made safe for a terminal: control and direction characters shown as ``\\xNN``.

    ``lines`` keeps line breaks; without it they become spaces.
    """
    plain = str(text).replace("\r\n", "\n").replace("\t", " ")
    if not lines:
        plain = plain.replace("\n", " ")
    return _CONTROL.sub(lambda found: f"\\x{ord(found.group()):02x}", plain)
