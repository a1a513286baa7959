"""Expressions: what an author writes between ``{{`` and ``}}``. Pure, bounded, the same on every replay.

Jinja's sandbox evaluates a tree that has passed a closed grammar (``playbooks.expr_grammar``). Names read keys of
mappings only, never attributes of Python's; nothing can be called but the listed functions and filters. There is
no clock here: ``now()`` is handed in.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from jinja2 import StrictUndefined, TemplateError, Undefined
from jinja2.exceptions import SecurityError, TemplateSyntaxError, UndefinedError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from playbooks.contract import Json
from playbooks.expr_grammar import FILTERS, FUNCTIONS, TESTS, parse
from playbooks.expr_names import Chain, Read, calls, established, is_known, names, reads, sole_chain
from playbooks.expr_text import ExprError, bare, parts, sole, templates
from playbooks.expr_values import (
    FILTER_FUNCTIONS,
    MAX_ITEMS,
    MAX_RESULT,
    PURE_FUNCTIONS,
    Instant,
    bounded,
    duration_in,
    instant_in,
    kind_of,
    known,
    mismatch,
    number,
    plain,
    text,
    too_large,
)

__all__ = [
    "FILTERS",
    "FUNCTIONS",
    "TESTS",
    "Chain",
    "ExprError",
    "Read",
    "bare",
    "calls",
    "check",
    "established",
    "evaluate",
    "is_known",
    "names",
    "reads",
    "render",
    "sole",
    "sole_chain",
    "templates",
]

_OPERATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "+": lambda left, right: left + right,
    "-": lambda left, right: left - right,
    "*": lambda left, right: left * right,
    "/": lambda left, right: left / right,
    "//": lambda left, right: left // right,
    "%": lambda left, right: left % right,
}


class _Sandbox(ImmutableSandboxedEnvironment):
    """Keys of mappings and entries of lists; arithmetic on numbers, instants, durations; ``+`` on text and lists."""

    # Constant folding would run arithmetic while compiling, past every check below.
    intercepted_binops = frozenset(_OPERATIONS)

    def __init__(self) -> None:
        super().__init__(optimized=False, cache_size=0, autoescape=False, undefined=StrictUndefined)
        self.globals.clear()
        self.globals.update(PURE_FUNCTIONS)
        self.filters = {name: FILTER_FUNCTIONS[name] for name in FILTERS}
        self.tests = {
            "defined": lambda value: not isinstance(value, Undefined),
            "none": known(lambda value: value is None),
        }

    def getattr(self, obj: Any, attribute: str) -> Any:
        return self.getitem(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        if isinstance(obj, Undefined):
            return obj
        if isinstance(obj, Mapping) and isinstance(argument, str):
            if argument.startswith("_"):
                raise ExprError("unsafe_expression", f"{argument[:40]}: names never begin with _.")
            if argument in obj:
                return obj[argument]
        elif isinstance(obj, list | tuple) and type(argument) is int and -len(obj) <= argument < len(obj):
            return obj[argument]
        return self.undefined(hint=f"{str(argument)[:80]} is not set")

    def is_safe_callable(self, obj: Any) -> bool:
        return obj in PURE_FUNCTIONS.values() or isinstance(obj, _Now)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        for side in (left, right):
            if isinstance(side, Undefined):
                side._fail_with_undefined_error()
        return _calculate(operator, left, right)


class _Now:
    """``now()`` of one evaluation."""

    def __init__(self, moment: datetime | None) -> None:
        self._moment = moment

    def __call__(self) -> Instant:
        if self._moment is None:
            raise ExprError("undefined", "now() is not known here.")
        return Instant.of(self._moment)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _calculate(operator: str, left: Any, right: Any) -> Any:
    if _is_number(left) and _is_number(right):
        return number(_OPERATIONS[operator](left, right))
    if operator in "+-":
        timed = _calculate_time(operator, left, right)
        if timed is not None:
            return timed
    if operator == "+":
        if isinstance(left, str) and isinstance(right, str):
            if len(left) + len(right) > MAX_RESULT:
                raise too_large("The text")
            return left + right
        if isinstance(left, list | tuple) and isinstance(right, list | tuple):
            if len(left) + len(right) > MAX_ITEMS:
                raise too_large("The list")
            return [*left, *right]
    if operator == "*" and isinstance(right, timedelta):
        left, right = right, left
    if isinstance(left, timedelta) and (
        (operator in ("*", "/") and _is_number(right)) or (operator in ("/", "//") and isinstance(right, timedelta))
    ):
        return _OPERATIONS[operator](left, right)
    raise mismatch(f"{operator} does not work on {kind_of(left)} and {kind_of(right)}.")


def _calculate_time(operator: str, left: Any, right: Any) -> Instant | timedelta | None:
    """Instants and durations, also as their text; ``None`` if this is not about time."""
    start, end = instant_in(left), instant_in(right)
    if start is not None:
        if operator == "-" and end is not None:
            return start - end
        span = duration_in(right)
        return None if span is None else Instant.of(start + span if operator == "+" else start - span)
    span, other = duration_in(left), duration_in(right)
    if span is not None and end is not None and operator == "+":
        return Instant.of(end + span)
    if span is not None and other is not None and (isinstance(left, timedelta) or isinstance(right, timedelta)):
        return span + other if operator == "+" else span - other
    return None


_SANDBOX = _Sandbox()


def check(source: str) -> None:
    """Refuse an expression that leaves the grammar or its limits; nothing is evaluated.

    Raises:
        ExprError: ``unsafe_expression`` or ``too_large``.
    """
    parse(source)


@lru_cache(maxsize=2048)
def _compiled(source: str) -> Callable[..., Any]:
    parse(source)
    return _SANDBOX.compile_expression(source, undefined_to_none=False)


def evaluate(source: str, scope: Mapping[str, Any], *, now: datetime | None) -> Json:
    """Evaluate a bare expression over plain JSON.

    Args:
        source: The expression, without braces.
        scope: Names to values: ``inputs incident steps run``, the item of a loop, ``result``.
        now: The world's instant at which the step began, aware; ``None`` where there is none.

    Returns:
        Plain JSON. Instants are RFC 3339 in UTC, durations ``5400s``.

    Raises:
        ExprError: Whatever goes wrong, with its code; nothing else is ever raised but ``MemoryError``.
    """
    try:
        with bounded():
            value = plain(_compiled(source)(**{**scope, "now": _Now(now)}))
    except (ExprError, MemoryError):
        raise
    except UndefinedError as error:
        chain = sole_chain(source)
        said = f"{'.'.join(chain)} is not set" if chain else str(error)
        raise ExprError("undefined", f"{said}. Use default(), or test it with is defined.") from None
    except (SecurityError, TemplateSyntaxError) as error:
        raise ExprError("unsafe_expression", str(error)[:200]) from None
    except OverflowError:
        raise ExprError("too_large", "A value in the expression is too large.") from None
    except ZeroDivisionError:
        raise ExprError("type", "The expression divides by zero.") from None
    except RecursionError:
        raise ExprError("too_large", "The expression is nested too deeply.") from None
    except TemplateError as error:
        raise ExprError("type", str(error)[:200]) from None
    except Exception as error:
        # Anything that escaped would fail the workflow's task again and again instead of the run.
        raise ExprError("type", f"The values do not go together: {str(error)[:200]}.") from None
    return value


def render(value: Json, scope: Mapping[str, Any], *, now: datetime | None) -> Json:
    """Render every expression within a value, at any depth.

    A text that is exactly one ``{{ expr }}`` becomes the result with its type; any other becomes text. Keys, and
    text that comes in as data, are never rendered.

    Raises:
        ExprError: As :func:`evaluate` does.
    """
    if isinstance(value, str):
        return _rendered(value, scope, now)
    if isinstance(value, dict):
        return {key: render(item, scope, now=now) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [render(item, scope, now=now) for item in value]
    return value


def _rendered(template: str, scope: Mapping[str, Any], now: datetime | None) -> Json:
    found = parts(template)
    if not any(part.is_expression for part in found):
        return template
    only = sole(template)
    if only is not None:
        return evaluate(only, scope, now=now)
    pieces = [text(evaluate(part.text, scope, now=now)) if part.is_expression else part.text for part in found]
    if sum(map(len, pieces)) > MAX_RESULT:
        raise too_large("The text")
    return "".join(pieces)
