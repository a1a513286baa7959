"""Reading a test file part by part: every defect becomes a located problem, and reading goes on."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

from playbooks.contract import Json
from playbooks.loader_yaml import Document, Loc
from playbooks.model_values import seconds
from playbooks.problems import Problem, did_you_mean

T = TypeVar("T")
D = TypeVar("D")


@dataclass(frozen=True)
class Part:
    """A part of a document, with the list that its problems go to."""

    file: str
    document: Document
    problems: list[Problem]
    loc: Loc = ()

    @property
    def value(self) -> Json:
        """As it was written."""
        return self.document.at(self.loc)

    @property
    def line(self) -> int:
        """Where it stands."""
        return self.document.where(self.loc, key=True)[0]

    @property
    def name(self) -> str:
        """Its key."""
        return str(self.loc[-1]) if self.loc else "The file"

    def at(self, key: str | int) -> "Part":
        """A part of it."""
        return Part(self.file, self.document, self.problems, (*self.loc, key))

    def refuse(self, code: str, message: str, hint: str = "", *, key: bool = False) -> None:
        """Write a problem that stands here."""
        line, column = self.document.where(self.loc, key=key)
        self.problems.append(Problem(self.file, line, column, code, "error", message, hint))

    def entries(self, known: Iterable[str] | None = None) -> Iterator[tuple[str, "Part"]]:
        """Entries of a mapping; with ``known``, only those, and a problem for each other."""
        if self.value is None:
            return
        if not isinstance(self.value, Mapping):
            self.refuse("wrong_type", f"{self.name} takes a mapping.")
            return
        names = None if known is None else list(known)
        for key in self.value:
            if names is not None and key not in names:
                hint = did_you_mean(key, names) or f"It takes {', '.join(names)}."
                self.at(key).refuse("unknown_key", f"There is no key {key[:60]} in {self.name}.", hint, key=True)
                continue
            yield key, self.at(key)

    def fields(self, *known: str) -> dict[str, "Part"]:
        """The entries of a mapping with fixed keys, as far as they are given."""
        return dict(self.entries(known))

    def items(self) -> list["Part"]:
        """Entries of a list; what is no list is the one entry of one."""
        if self.value is None:
            return []
        if isinstance(self.value, list):
            return [self.at(number) for number in range(len(self.value))]
        return [self]

    def text(self) -> str:
        """A text."""
        if isinstance(self.value, str) and self.value.strip():
            return self.value
        self.refuse("wrong_type", f"{self.name} takes text.")
        return ""

    def texts(self) -> list[str]:
        """A list of texts, or one."""
        return [item.text() for item in self.items()]

    def mapping(self) -> dict[str, Json]:
        """A mapping of any keys."""
        return {key: part.value for key, part in self.entries()}

    def truth(self) -> bool:
        """Yes or no."""
        if not isinstance(self.value, bool):
            self.refuse("wrong_type", f"{self.name} takes true or false.")
        return self.value is True

    def whole(self) -> int:
        """A whole number."""
        if isinstance(self.value, int) and not isinstance(self.value, bool) and self.value >= 0:
            return self.value
        self.refuse("wrong_type", f"{self.name} takes a whole number.")
        return 0

    def length(self) -> timedelta:
        """A length of time."""
        try:
            return timedelta(seconds=0 if self.value == "0s" else seconds(str(self.value)))
        except ValueError:
            self.refuse("bad_value", f"{str(self.value)[:40]!r} is no duration.", "Write 30s, 5m, 2h or 3d.")
            return timedelta(0)

    def one_of(self, known: Iterable[str]) -> str:
        """A word out of some."""
        words, word = list(known), str(self.value)
        if word not in words:
            hint = did_you_mean(word, words) or f"It takes {', '.join(words)}."
            self.refuse("bad_value", f"{self.name} cannot be {word[:60]!r}.", hint)
        return word


def given(parts: Mapping[str, Part], name: str, read: Callable[[Part], T], default: D) -> T | D:
    """A part if it is there."""
    return read(parts[name]) if name in parts else default
