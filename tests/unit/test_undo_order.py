"""In which order effects are taken back, where one takes up what another did."""

import pytest

from activities.catalog import CATALOG
from workflows.state import Undoable
from workflows.undo_order import taken_up, taking_up, undo_order

SHORT = {
    "A": "mlflow.roll_back_alias",
    "P": "mlflow.promote_version",
    "Q": "mlflow.quarantine_versions",
    "F": "mlflow.freeze_aliases",
    "D": "gateway.deny_digests",
    "R": "serving.reload_model",
    "U": "serving.unload_model",
}
ACTIONS = CATALOG.facts()


def effects(story: str) -> list[Undoable]:
    """Effects in the order in which they happened, each named by its letter and a number."""
    return [
        Undoable(key=name, path=name, item=None, tries=1, epoch=0, action=SHORT[name[0]], version=1, params={},
                 undo_args={}, summary="")
        for name in story.split()
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("story", "order"),
    [
        ("", ""),
        ("F Q A", "A Q F"),
        # Without the rule R1 would load once more what is to go.
        ("A1 R1", "A1 R1"),
        ("F Q A1 R1 D", "D A1 Q R1 F"),
        ("A1 R1 P2 R2", "P2 R2 A1 R1"),
        ("A1 R1 A2 R2 D", "D A2 R2 A1 R1"),
        # For each of a list, or side by side: all of them took up the same.
        ("A1 R1 R2", "A1 R2 R1"),
        ("A1 R1 F R2", "F A1 R2 R1"),
        # What was loaded is taken off: loading it again comes first.
        ("A1 R1 U1", "U1 A1 R1"),
        ("A1 U1", "A1 U1"),
        ("R1 A1", "A1 R1"),
        ("U1 D", "D U1"),
    ],
)
def test_what_takes_up_what_others_did_is_taken_back_after_them(story: str, order: str) -> None:
    assert [effect.key for effect in undo_order(effects(story), ACTIONS)] == order.split()


def test_what_is_not_taken_back_keeps_what_took_it_up() -> None:
    found = effects("F Q A1 R1 P2 R2 D")
    assert taken_up(found, "R1", ACTIONS) == ["Q", "A1"] and taken_up(found, "R2", ACTIONS) == ["P2"]
    assert taking_up(found, "Q", ACTIONS) == ["R1"] and taking_up(found, "P2", ACTIONS) == ["R2"]
    assert taking_up(found, "F", ACTIONS) == [] == taken_up(found, "A1", ACTIONS) == taken_up(found, "gone", ACTIONS)


def test_only_what_can_be_undone_waits_for_others() -> None:
    for facts in ACTIONS.values():
        assert not facts.undone_after or facts.reversible
        assert set(facts.undone_after) <= set(ACTIONS)
