"""Reads regime files: YAML without tags, anchors or surprises, every problem with its place.

Beside ``loader`` the only module of this package that opens files.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from playbooks.clocks_time import TimeError, zone
from playbooks.facts import full_name, near
from playbooks.facts_vocabulary import KINDS
from playbooks.problems import Problem
from playbooks.regimes_model import SUBMITTED, Regime, RegimeLibrary, Stage

MAX_BYTES = 256 * 1024
MAX_NODES = 20_000
MAX_DEPTH = 24
_HERE = Path(__file__).parent
_SCALARS = {f"tag:yaml.org,2002:{name}" for name in ("str", "bool", "int", "null", "timestamp", "float")}
_PLAIN = {"tag:yaml.org,2002:bool", "tag:yaml.org,2002:int", "tag:yaml.org,2002:null"}
_MISSING, _EXTRA = "missing", "extra_forbidden"


class _Defect(Exception):
    def __init__(self, code: str, message: str, mark: yaml.Mark | None, hint: str = "") -> None:
        super().__init__(message)
        self.code, self.message, self.mark, self.hint = code, message, mark, hint


def load_regime(path: Path) -> tuple[Regime | None, list[Problem]]:
    """Read one regime file; ``None`` if anything is wrong with it."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        return None, [_problem(str(path), None, "unreadable", f"Cannot read the file: {error.strerror}.", "")]
    if len(raw) > MAX_BYTES:
        message = f"The file has {len(raw)} bytes; a regime has at most {MAX_BYTES}."
        return None, [_problem(str(path), None, "yaml_too_big", message, "Split it into several regimes.")]
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return None, [_problem(str(path), None, "yaml_syntax", "The file is not UTF-8 text.", "")]
    return load_regime_text(text, str(path))


def load_regime_text(text: str, name: str) -> tuple[Regime | None, list[Problem]]:
    """Read a regime from text; ``name`` stands for the file in problems."""
    try:
        root = yaml.compose(text, Loader=_Bounded)
        if root is None:
            raise _Defect("yaml_syntax", "The file is empty.", None)
        document = _plain(root)
        if not isinstance(document, dict):
            raise _Defect("yaml_syntax", "A regime is a mapping of keys to values.", root.start_mark)
    except _Defect as defect:
        return None, [_problem(name, defect.mark, defect.code, defect.message, defect.hint)]
    except yaml.MarkedYAMLError as error:
        return None, [_problem(name, error.problem_mark, "yaml_syntax", f"{error.problem or error}".capitalize(), "")]
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        return None, [_problem(name, None, "yaml_syntax", str(error).splitlines()[0], "")]
    try:
        regime = Regime.model_validate(document)
    except ValidationError as error:
        found = [_of_shape(name, root, entry) for entry in error.errors()]
        return None, sorted(found, key=lambda problem: (problem.line, problem.column))
    problems = [_problem(name, _mark(root, at), code, said, hint) for at, code, said, hint in _meaning(regime)]
    return (None if problems else regime), problems


def read_mapping(text: str) -> dict[str, Any]:
    """Read a YAML or JSON mapping of facts, without tags, anchors or floods; dates stay text as written.

    Raises:
        ValueError: It is none; says where.
    """
    try:
        if text.lstrip().startswith("{"):
            found = json.loads(text)
        else:
            root = yaml.compose(text, Loader=_Bounded)
            found = _plain(root) if root is not None else None
    except _Defect as defect:
        at = f" (line {defect.mark.line + 1})" if defect.mark else ""
        raise ValueError(f"{defect.message}{at}") from None
    except yaml.MarkedYAMLError as error:
        at = f" (line {error.problem_mark.line + 1})" if error.problem_mark else ""
        raise ValueError(f"{error.problem or error}{at}") from None
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(str(error).splitlines()[0]) from None
    if not isinstance(found, dict):
        raise ValueError("it holds no mapping; write organisation: and incident: with facts below")
    return found


def load_library(*folders: Path) -> tuple[RegimeLibrary, list[Problem]]:
    """Read folders that hold ``regimes/*.yaml`` and ``notices/``; a later folder replaces regimes by id.

    Every stage with fields needs a template ``notices/REGIME/STAGE.md.j2``.
    """
    regimes: dict[str, Regime] = {}
    digests: dict[str, str] = {}
    templates: dict[str, str] = {}
    problems: list[Problem] = []
    places: dict[str, Path] = {}
    for folder in folders:
        for path in sorted((folder / "regimes").glob("*.yaml")):
            regime, found = load_regime(path)
            problems.extend(found)
            if regime is None:
                continue
            if regime.id != path.stem:
                said = f"The regime {regime.id} lies in {path.name}."
                problems.append(_problem(str(path), None, "bad_value", said, f"Name the file {regime.id}.yaml."))
                continue
            regimes[regime.id], places[regime.id] = regime, path
            digests[regime.id] = hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted((folder / "notices").rglob("*.j2")):
            templates[path.relative_to(folder / "notices").as_posix()] = path.read_text(encoding="utf-8")
    for name, regime in regimes.items():
        for stage in regime.stages:
            wanted = f"{name}/{stage.id}.md.j2"
            if stage.fields and wanted not in templates:
                said = f"The stage {stage.id} has no template."
                problems.append(_problem(str(places[name]), None, "missing_template", said, f"Add notices/{wanted}."))
    return RegimeLibrary(dict(sorted(regimes.items())), digests, templates), problems


@lru_cache(maxsize=1)
def shipped() -> RegimeLibrary:
    """The regimes that come with Stanch.

    Raises:
        ValueError: They are damaged; names the first problem.
    """
    library, problems = load_library(_HERE)
    if problems:
        first = problems[0]
        raise ValueError(f"{first.file}:{first.line}: {first.message}")
    return library


class _Bounded(yaml.SafeLoader):
    """Refuses anchors, aliases, tags and floods while it reads, before anything is built."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._nodes = 0
        self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise _Defect("yaml_tag", "Anchors and aliases are not taken.", event.start_mark, "Write it out.")
        if getattr(event, "tag", None):
            raise _Defect("yaml_tag", f"The tag {event.tag} is not taken.", event.start_mark, "Leave it out.")
        self._nodes += 1
        self._depth += 1
        if self._nodes > MAX_NODES or self._depth > MAX_DEPTH:
            raise _Defect("yaml_too_big", "The file has too many or too deep values.", event.start_mark)
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


def _plain(node: yaml.Node) -> Any:
    """Plain values of a node. Dates and numbers with a point stay text, as they are written."""
    if isinstance(node, yaml.SequenceNode):
        return [_plain(entry) for entry in node.value]
    if isinstance(node, yaml.ScalarNode):
        return yaml.safe_load(node.value) if node.tag in _PLAIN and not node.style else node.value
    found: dict[str, Any] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode) or key.tag not in _SCALARS:
            raise _Defect("bad_value", "A key is a plain word.", key.start_mark)
        if key.value in found:
            raise _Defect("duplicate_key", f"The key {key.value} stands here twice.", key.start_mark)
        found[key.value] = _plain(value)
    return found


def _of_shape(name: str, root: yaml.Node, error: Any) -> Problem:
    place = tuple(error["loc"])
    what = ".".join(map(str, place)) or "the file"
    if error["type"] == _EXTRA:
        return _problem(name, _mark(root, place, key=True), "unknown_key", f"{what} is no key of a regime.", "")
    if error["type"] == _MISSING:
        return _problem(name, _mark(root, place[:-1]), "missing_key", f"{what} is missing.", "")
    message = f"{what}: {error['msg'].removeprefix('Value error, ')}."
    return _problem(name, _mark(root, place), "bad_value", message, "")


def _mark(root: yaml.Node, place: Iterable[Any], *, key: bool = False) -> yaml.Mark:
    """Where a value stands, or its key; the nearest enclosing value if it is not there."""
    node, mark = root, root.start_mark
    for part in place:
        if isinstance(node, yaml.MappingNode):
            pair = next(((k, v) for k, v in node.value if k.value == part), None)
            if pair is None:
                break
            mark, node = (pair[0] if key else pair[1]).start_mark, pair[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            mark = node.start_mark
        else:
            break
    return mark


def _problem(file: str, mark: yaml.Mark | None, code: str, message: str, hint: str) -> Problem:
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    return Problem(file=file, line=line, column=column, code=code, severity="error", message=message, hint=hint)


Loc = tuple[str | int, ...]


def _meaning(regime: Regime) -> Iterator[tuple[Loc, str, str, str]]:
    """Problems that only the whole file shows: (place, code, message, hint)."""
    ids = [stage.id for stage in regime.stages]
    for number, stage in enumerate(regime.stages):
        at = ("stages", number)
        if stage.id in ids[:number]:
            yield (*at, "id"), "duplicate_id", f"The stage {stage.id} stands here twice.", ""
        for key in stage.sources:
            if key not in regime.sources:
                yield (*at, "sources"), "unknown_source", f"No source {key} under sources.", ""
        names = [entry.id for entry in stage.fields]
        for place, entry in enumerate(stage.fields):
            if entry.id in names[:place]:
                yield (*at, "fields", place), "duplicate_id", f"The field {entry.id} stands here twice.", ""
            yield from _unknown((*at, "fields", place, "facts"), entry.facts)
        yield from _starts(regime, stage, at)
        if stage.applies:
            yield from _unknown((*at, "applies"), stage.applies.facts())
        for shorter in stage.clock.shorter:
            yield from _unknown((*at, "clock", "shorter"), shorter.when.facts())
    yield from _unknown(("applies",), regime.applies.facts())
    for number, exemption in enumerate(regime.exemptions):
        yield from _unknown(("exemptions", number, "when"), exemption.when.facts())
    for key in ("fact", "holidays"):
        yield from _unknown(("place", key), (getattr(regime.place, key),))
    yield from _unknown(("recipient",), (regime.recipient,))
    if regime.fan_out:
        yield from _unknown(("fan_out",), (regime.fan_out.fact, *regime.fan_out.when.facts()))
    for name in regime.place.if_unknown:
        try:
            zone(name)
        except TimeError as error:
            yield ("place", "if_unknown"), "bad_value", error.message, ""


def _starts(regime: Regime, stage: Stage, at: Loc) -> Iterator[tuple[Loc, str, str, str]]:
    filed = {f"incident.{other.id}{SUBMITTED}" for other in regime.stages}
    for key, names in (("start", (stage.clock.start,)), ("or_from", stage.clock.or_from)):
        for name in names:
            named = full_name(name)
            kind = KINDS.get(named)
            if named not in filed and (kind is None or kind.type != "datetime"):
                yield (*at, "clock", key), "unknown_fact", f"{name} is no dated fact.", _hint(name)


def _unknown(at: Loc, names: Iterable[str]) -> Iterator[tuple[Loc, str, str, str]]:
    for name in names:
        if full_name(name) not in KINDS:
            yield at, "unknown_fact", f"{name} is no known fact.", _hint(name)


def _hint(name: str) -> str:
    like = near(name)
    return f"Did you mean {like}?" if like else "`stanch regimes facts` lists them."
