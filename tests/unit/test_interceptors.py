"""What stands before the workflows' doors knows every door, and what each takes."""

import typing

import pytest
from temporalio import workflow

from playbooks.contract import Decision
from worker.interceptors import TAKEN, fits
from workflows.incident import Incident
from workflows.messages import Attach
from workflows.playbook_run import PlaybookRun


def doors():
    for class_ in (Incident, PlaybookRun):
        defined = workflow._Definition.must_from_class(class_)
        for name, door in {**defined.signals, **defined.updates}.items():
            (kind,) = door.arg_types
            yield pytest.param(name, kind, id=f"{class_.__name__}.{name}")


@pytest.mark.parametrize(("name", "kind"), list(doors()))
def test_every_door_takes_what_its_handler_takes(name, kind):
    assert TAKEN[name] == (typing.get_origin(kind) or kind).__name__


def test_there_is_no_other_door():
    assert set(TAKEN) == {param.values[0] for param in doors()}


@pytest.mark.parametrize(
    ("name", "given", "through"),
    [
        ("attach", [Attach()], True),
        ("attach", [], False),
        ("attach", [None], False),
        ("attach", [Attach(), None], False),
        ("decide", [Attach()], False),
        ("decide", [{"person": "bo"}], False),
        ("desk_keys_changed", [{"k1": "ab" * 32}], True),
        ("desk_keys_changed", [b"k1"], False),
        ("elsewhere", [Decision.model_construct()], False),
    ],
)
def test_only_the_one_thing_passes(name, given, through):
    assert fits(name, given) is through
