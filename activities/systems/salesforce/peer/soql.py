"""The subset of SOQL that the simulated org understands; all else is ``MALFORMED_QUERY``, as in Salesforce."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

TOKEN = re.compile(
    r"\s*(?:(?P<string>'(?:\\.|[^'\\])*')|(?P<instant>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d))"
    r"|(?P<number>-?\d+(?:\.\d+)?)|(?P<word>[A-Za-z_][\w.]*)|(?P<mark><=|>=|!=|<>|[=<>(),]))"
)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}


class QueryError(Exception):
    """A query is refused; ``code`` is Salesforce's."""

    def __init__(self, message: str, code: str = "MALFORMED_QUERY") -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Instant:
    """An unquoted date-time literal."""

    at: datetime


Test = Callable[[Mapping[str, Any]], bool]


@dataclass(frozen=True)
class Query:
    """A parsed query. ``fields`` is empty for COUNT()."""

    table: str
    fields: tuple[str, ...]
    where: Test | None
    named: tuple[tuple[str, Any], ...]
    """Fields that the filter names, each with a literal it is compared to."""
    order: tuple[tuple[str, bool], ...]
    limit: int | None
    offset: int

    def select(self, rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """The rows that it selects, in order."""
        found = [row for row in rows if self.where is None or self.where(row)]
        for name, down in reversed(self.order):
            found.sort(key=lambda row: _sortable(value_of(row, name)), reverse=down)
        found = found[self.offset :]
        return found if self.limit is None else found[: self.limit]


def parse(text: str) -> Query:
    """Parse a query.

    Raises:
        QueryError: It is not of the subset.
    """
    return _Parser(text).query()


def value_of(row: Mapping[str, Any], name: str) -> Any:
    """A field of a row, without regard to case; ``Owner.Name`` walks into the related record."""
    if name in row:
        return row[name]
    value: Any = row
    for part in name.split("."):
        if not isinstance(value, Mapping):
            return None
        value = next((found for key, found in value.items() if key.lower() == part.lower()), None)
    return value


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens: list[tuple[str, str]] = []
        self._at = 0
        at = 0
        while at < len(text.rstrip()):
            match = TOKEN.match(text, at)
            if match is None:
                raise QueryError(f"unexpected token: '{text[at : at + 10].strip()}'")
            self._tokens.append((str(match.lastgroup), match.group(str(match.lastgroup))))
            at = match.end()
        self._named: list[tuple[str, Any]] = []

    def query(self) -> Query:
        self._word("SELECT")
        fields = self._fields()
        self._word("FROM")
        table = self._name()
        where = None
        if self._maybe("WHERE"):
            where = self._either()
        order: list[tuple[str, bool]] = []
        if self._maybe("ORDER"):
            self._word("BY")
            order.append(self._ordering())
            while self._mark(","):
                order.append(self._ordering())
        limit = self._whole() if self._maybe("LIMIT") else None
        offset = self._whole() if self._maybe("OFFSET") else 0
        if self._at < len(self._tokens):
            raise QueryError(f"unexpected token: '{self._tokens[self._at][1]}'")
        return Query(table, tuple(fields), where, tuple(self._named), tuple(order), limit, offset)

    def _fields(self) -> list[str]:
        first = self._name()
        if first.upper() == "COUNT" and self._mark("("):
            self._need(")")
            return []
        fields = [first]
        while self._mark(","):
            fields.append(self._name())
        return fields

    def _ordering(self) -> tuple[str, bool]:
        name = self._name()
        down = self._maybe("DESC")
        if not down:
            self._maybe("ASC")
        if self._maybe("NULLS") and not (self._maybe("FIRST") or self._maybe("LAST")):
            raise QueryError("NULLS needs FIRST or LAST")
        return name, down

    def _either(self) -> Test:
        tests = [self._both()]
        while self._maybe("OR"):
            tests.append(self._both())
        return tests[0] if len(tests) == 1 else lambda row: any(test(row) for test in tests)

    def _both(self) -> Test:
        tests = [self._single()]
        while self._maybe("AND"):
            tests.append(self._single())
        return tests[0] if len(tests) == 1 else lambda row: all(test(row) for test in tests)

    def _single(self) -> Test:
        if self._maybe("NOT"):
            inner = self._single()
            return lambda row: not inner(row)
        if self._mark("("):
            inner = self._either()
            self._need(")")
            return inner
        name = self._name()
        if self._maybe("NOT"):
            self._word("IN")
            inside = self._inside(name)
            return lambda row: not inside(row)
        if self._maybe("IN"):
            return self._inside(name)
        if self._maybe("LIKE"):
            return self._like(name)
        kind, sign = self._next()
        if kind != "mark" or sign not in ("=", "!=", "<>", "<", ">", "<=", ">="):
            raise QueryError(f"unexpected token: '{sign}'")
        wanted = self._literal(name)
        return lambda row: _compare(value_of(row, name), sign, wanted)

    def _inside(self, name: str) -> Test:
        self._need("(")
        wanted = [self._literal(name)]
        while self._mark(","):
            wanted.append(self._literal(name))
        self._need(")")
        keys = {_key(value) for value in wanted}
        return lambda row: _key(value_of(row, name)) in keys

    def _like(self, name: str) -> Test:
        pattern = self._literal(name)
        if not isinstance(pattern, str):
            raise QueryError("LIKE needs a string")
        shape = re.escape(pattern).replace("%", ".*").replace("_", ".")
        regex = re.compile(shape, re.IGNORECASE | re.DOTALL)
        return lambda row: isinstance(value_of(row, name), str) and bool(regex.fullmatch(value_of(row, name)))

    def _literal(self, name: str) -> Any:
        kind, text = self._next()
        value: Any
        if kind == "string":
            value = re.sub(r"\\(.)", lambda found: _ESCAPES.get(found[1], found[1]), text[1:-1])
        elif kind == "instant":
            value = _instant(text)
        elif kind == "number":
            value = float(text) if "." in text else int(text)
        elif kind == "word" and text.lower() in ("true", "false", "null"):
            value = {"true": True, "false": False, "null": None}[text.lower()]
        else:
            raise QueryError(f"unexpected token: '{text}'")
        self._named.append((name, value))
        return value

    def _next(self) -> tuple[str, str]:
        if self._at >= len(self._tokens):
            raise QueryError("unexpected token: '<EOF>'")
        self._at += 1
        return self._tokens[self._at - 1]

    def _maybe(self, word: str) -> bool:
        if self._at < len(self._tokens):
            kind, text = self._tokens[self._at]
            if kind == "word" and text.upper() == word:
                self._at += 1
                return True
        return False

    def _word(self, word: str) -> None:
        if not self._maybe(word):
            found = self._tokens[self._at][1] if self._at < len(self._tokens) else "<EOF>"
            raise QueryError(f"expecting {word}, found '{found}'")

    def _mark(self, sign: str) -> bool:
        if self._at < len(self._tokens) and self._tokens[self._at] == ("mark", sign):
            self._at += 1
            return True
        return False

    def _need(self, sign: str) -> None:
        if not self._mark(sign):
            raise QueryError(f"expecting '{sign}'")

    def _name(self) -> str:
        kind, text = self._next()
        if kind != "word":
            raise QueryError(f"unexpected token: '{text}'")
        return text

    def _whole(self) -> int:
        kind, text = self._next()
        if kind != "number" or not text.isdigit():
            raise QueryError(f"unexpected token: '{text}'")
        return int(text)


def _instant(text: str) -> Instant:
    try:
        return Instant(datetime.fromisoformat(re.sub(r"([+-]\d\d)(\d\d)$", r"\1:\2", text.replace("Z", "+00:00"))))
    except ValueError:
        raise QueryError(f"no such date-time: '{text}'") from None


def _key(value: Any) -> Any:
    """Text compares without case, except that ids are told apart by case and match in both lengths."""
    if isinstance(value, Instant):
        return value.at
    return _text_key(value) if isinstance(value, str) else value


@lru_cache(maxsize=20_000)
def _text_key(text: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9]{15}([A-Z0-5]{3})?", text) and any(char.isdigit() for char in text[:5]):
        return text[:15]
    return text.lower()


def _compare(value: Any, sign: str, wanted: Any) -> bool:
    if sign == "=":
        return bool(_key(value) == _key(wanted))
    if sign in ("!=", "<>"):
        return bool(_key(value) != _key(wanted))
    if value is None or wanted is None:
        return False
    left, right = _key(value), _key(wanted)
    try:
        return bool({"<": left < right, ">": left > right, "<=": left <= right, ">=": left >= right}[sign])
    except TypeError:
        raise QueryError("value of filter criterion does not fit the field", "INVALID_FIELD") from None


def _sortable(value: Any) -> Any:
    if isinstance(value, datetime):
        return (1, value.astimezone(UTC).timestamp(), "")
    if isinstance(value, bool | int | float):
        return (1, float(value), "")
    return (0, 0.0, "") if value is None else (1, 0.0, str(value).lower())
