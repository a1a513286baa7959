"""Playbooks as people look at them: what there is, what one asks for, what it does in order."""

from collections.abc import Iterator, Mapping
from typing import Any

from playbooks.loader import Library
from playbooks.model_steps import BaseStep, Loc

SUBJECTS = ("action", "approve", "ask", "human", "run", "tell", "note", "require", "stop", "set", "clocks", "draft")


def sources(library: Library) -> Iterator[Any]:
    """Every playbook of a library, by id."""
    for name in sorted(library.ids()):
        source = library.get(name)
        if source is not None:
            yield source


def listing(library: Library) -> list[dict[str, Any]]:
    """One row for each playbook, with the inputs that a start takes."""
    return [
        {
            "id": source.playbook.id,
            "version": source.playbook.version,
            "title": source.playbook.title,
            "starts_on": list(source.playbook.starts_on),
            "digest": source.digest,
            "inputs": inputs(source),
        }
        for source in sources(library)
    ]


def inputs(source: Any) -> dict[str, dict[str, Any]]:
    """A playbook's inputs, by name, with their types."""
    return {
        name: {
            "type": declared.type,
            "required": declared.must_be_given,
            "default": declared.default,
            "options": list(declared.options),
            "description": declared.description,
        }
        for name, declared in source.playbook.inputs.items()
    }


def described(source: Any) -> dict[str, Any]:
    """One playbook: its header, its inputs, its steps as an outline to read aloud."""
    playbook = source.playbook
    return {
        "id": playbook.id,
        "version": playbook.version,
        "title": playbook.title,
        "starts_on": list(playbook.starts_on),
        "labels": playbook.model_dump(mode="json")["labels"],
        "digest": source.digest,
        "inputs": inputs(source),
        "outline": [line for loc, step in playbook.walk() for line in _line(loc, step)],
    }


def asked_roles(library: Library) -> set[str]:
    """Every role that a playbook waits for somewhere."""
    roles: set[str] = set()
    for source in sources(library):
        for _, step in source.playbook.walk():
            by = getattr(step, "by", None)
            roles |= {*by.roles, *by.each} if by is not None else set()
            owner = getattr(step, "owner", None)
            roles |= {owner} if owner else set()
    return roles


def _line(loc: Loc, step: BaseStep) -> Iterator[str]:
    depth = sum(1 for part in loc if isinstance(part, int)) - 1
    always = "always: " if loc and loc[0] == "always" else ""
    when = f"  when {step.when}" if step.when else ""
    loop = f"  for each of {step.for_each}" if step.for_each is not None else ""
    name = step.id or ""
    yield f"{'  ' * depth}{always}{step.kind:<8} {name:<14} {_subject(step)}{when}{loop}".rstrip()


def _subject(step: BaseStep) -> str:
    by = getattr(step, "by", None)
    who = f"  by {by.count} of {' or '.join(by.roles)}" if by is not None and by.roles else ""
    if by is not None and by.each:
        who = "  by " + ", ".join(f"{count} {role}" for role, count in by.each.items())
    value = getattr(step, step.kind, None) if step.kind in SUBJECTS else None
    if isinstance(value, Mapping):
        text = ", ".join(map(str, value))
    elif isinstance(value, list):
        text = ", ".join(str(getattr(each, "regime", each)) for each in value)
    elif value is not None and not isinstance(value, str):
        text = str(getattr(value, "playbook", None) or getattr(value, "fact", value))
    else:
        text = value or step.title or ""
    return f"{text}{who}"
