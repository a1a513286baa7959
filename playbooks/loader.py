"""Loading playbooks: from a file or a text, and whole folders of them. The only part of the language that reads.

A file that is refused yields problems with their places, never an exception.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from playbooks.contract import Json
from playbooks.digest import sha256_hex
from playbooks.loader_shape import translate
from playbooks.loader_yaml import Document, Loc, Place, YamlDefect, read
from playbooks.model import Playbook
from playbooks.problems import Problem, in_order

MAX_BYTES = 1_000_000
_KEYS: dict[str | int, str] = {"with_": "with", "if_": "if", "else_": "else", "as_": "as", "for_": "for"}
"""Names of fields that are words of Python, as they stand in the file."""
TESTS = ".test.yaml"
"""How the name of a playbook's test file ends; it lies beside the playbook, and is none itself."""
LIBRARY = Path(__file__).resolve().parent / "library"


@dataclass(frozen=True)
class Source:
    """A playbook whose shape is right. ``digest`` is the SHA-256 of the file; ``name`` is the file's."""

    playbook: Playbook
    digest: str
    text: str
    name: str
    _document: Document = field(repr=False, compare=False)

    def where(self, loc: Loc, *, key: bool = False) -> Place:
        """Line and column of a part of the playbook, such as ``("steps", 0, "with", "app")``.

        Scalars have the place of their value, all else that of its key or its start; with ``key`` always the
        key. For a part that is not there: the place of what would hold it.
        """
        return self._document.where(tuple(_KEYS.get(part, part) for part in loc), key=key)

    def problem(
        self, loc: Loc, code: str, message: str, hint: str = "", *, warning: bool = False, key: bool = False
    ) -> Problem:
        """A problem that stands at a part of this playbook."""
        line, column = self.where(loc, key=key)
        severity = "warning" if warning else "error"
        return Problem(self.name, line, column, code, severity, message, hint)  # type: ignore[arg-type]

    def characters(self) -> int:
        """Of all texts of its steps and outputs. Comments and keys do not count; a plan holds what does."""
        return sum(_characters(self._document.at((part,))) for part in ("steps", "always", "outputs"))


def _characters(value: Json) -> int:
    if isinstance(value, dict):
        return sum(map(_characters, value.values()))
    if isinstance(value, list):
        return sum(map(_characters, value))
    return len(value) if isinstance(value, str) else 0


def load(path: Path | str) -> tuple[Source | None, list[Problem]]:
    """Load a file. Without a source there is at least one error."""
    path = Path(path)
    try:
        if not path.is_file():
            return None, [_refused(str(path), "not_found", "There is no such file.", "")]
        if path.stat().st_size > MAX_BYTES:
            return None, [_too_big(str(path))]
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        said = f"The file cannot be read: {error.strerror}."
        return None, [_refused(str(path), "not_found", said, "Check its permissions.")]
    return _load(content, str(path))


def load_text(text: str, name: str = "playbook.yaml") -> tuple[Source | None, list[Problem]]:
    """Load a text; ``name`` stands for the file in problems."""
    return _load(text.encode("utf-8", "surrogatepass"), name)


def _load(content: bytes, name: str) -> tuple[Source | None, list[Problem]]:
    if len(content) > MAX_BYTES:
        return None, [_too_big(name)]
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = error.start - content.rfind(b"\n", 0, error.start)
        return None, [
            Problem(name, line, column, "yaml_syntax", "error", "The file is not UTF-8.", "Save it as UTF-8.")
        ]
    try:
        document = read(text)
    except YamlDefect as defect:
        return None, [Problem(name, *defect.place, defect.code, "error", defect.message, defect.hint)]
    if not isinstance(document.value, dict):
        said, hint = "A playbook is a mapping of keys to values.", "Begin with stanch: 1."
        return None, [Problem(name, *document.where(()), "wrong_type", "error", said, hint)]
    try:
        playbook = Playbook.model_validate(document.value)
    except ValidationError as error:
        found = [
            Problem(name, *document.where(entry.loc, key=entry.key), entry.code, "error", entry.message, entry.hint)
            for entry in translate(error, document)
        ]
        return None, in_order(found)
    source = Source(playbook, sha256_hex(content), text, name, document)
    twice = _duplicates(source)
    return (None, twice) if twice else (source, [])


def _refused(name: str, code: str, message: str, hint: str) -> Problem:
    return Problem(name, 1, 1, code, "error", message, hint)


def _too_big(name: str) -> Problem:
    said = f"The file is larger than {MAX_BYTES // 1_000_000} MB and was not read."
    return _refused(name, "yaml_too_big", said, "Split it into several playbooks.")


def _duplicates(source: Source) -> list[Problem]:
    seen: dict[str, Loc] = {}
    found = []
    for loc, step in source.playbook.walk():
        if step.id is None:
            continue
        if step.id in seen:
            line = source.where((*seen[step.id], "id"))[0]
            said = f"The id {step.id} is already taken by the step in line {line}."
            found.append(source.problem((*loc, "id"), "duplicate_id", said, "Every id in a file is unique."))
        seen.setdefault(step.id, loc)
    return found


class Library:
    """Playbooks by id. What cannot be loaded, or bears an id twice, is left out and told in ``problems``."""

    def __init__(self, sources: Iterable[Source] = (), problems: Iterable[Problem] = ()) -> None:
        """The first of several sources with the same id stays."""
        self._sources: dict[str, Source] = {}
        self.problems: list[Problem] = list(problems)
        for source in sources:
            first = self._sources.setdefault(source.playbook.id, source)
            if first is not source:
                said = f"The playbook {source.playbook.id} is already in {first.name}; this one is left out."
                self.problems.append(source.problem(("id",), "duplicate_id", said, "Give it an id of its own."))

    @classmethod
    def shipped(cls, *added: Path | str) -> "Library":
        """The playbooks that come with Stanch, and those of further folders, which cannot replace them."""
        return cls.of(LIBRARY, *added)

    @classmethod
    def of(cls, *folders: Path | str) -> "Library":
        """All ``*.yaml`` under the folders but their tests, in order."""
        sources, problems = [], []
        for folder in map(Path, folders):
            if not folder.is_dir():
                problems.append(_refused(str(folder), "not_found", "There is no such folder of playbooks.", ""))
                continue
            for path in sorted(folder.rglob("*.yaml")):
                if path.name.endswith(TESTS):
                    continue
                source, found = load(path)
                problems += found
                if source is not None:
                    sources.append(source)
        return cls(sources, problems)

    def get(self, playbook: str) -> Source | None:
        """A playbook by its id."""
        return self._sources.get(playbook)

    def ids(self) -> list[str]:
        """All ids, sorted."""
        return sorted(self._sources)

    def sources(self) -> list[Source]:
        """All playbooks, by id."""
        return [self._sources[name] for name in self.ids()]

    def __contains__(self, playbook: object) -> bool:
        return playbook in self._sources
