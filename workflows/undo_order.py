"""In which order effects are taken back: newest first, but what takes up what others say comes after those others.

A reload makes a server serve what the registry says. Were it taken back before the alias that was moved before it, it
would load the very version that is to go, and the alias would then point to what nobody serves. Pure.
"""

from collections.abc import Mapping, Sequence

from playbooks.contract import ActionFacts
from workflows.state import Undoable


def undo_order(effects: Sequence[Undoable], actions: Mapping[str, ActionFacts]) -> list[Undoable]:
    """Effects, oldest first as they happened, in the order in which they are taken back."""

    def turn(at: int) -> tuple[int, bool, int]:
        sources = _sources(effects, at, actions)
        return (-sources[0], True, -at) if sources else (-at, False, -at)

    return [effects[at] for at in sorted(range(len(effects)), key=turn)]


def to_undo(effects: Sequence[Undoable], actions: Mapping[str, ActionFacts], only: str | None) -> list[Undoable]:
    """All effects in that order, or ``only`` the one of this key, unless it took up what still stands."""
    if only is None:
        return undo_order(effects, actions)
    return [effect for effect in effects if effect.key == only and not taken_up(effects, only, actions)]


def taken_up(effects: Sequence[Undoable], key: str, actions: Mapping[str, ActionFacts]) -> list[str]:
    """Keys of the effects whose outcome the effect ``key`` took up, oldest first: they are taken back before it."""
    at = next((at for at, effect in enumerate(effects) if effect.key == key), None)
    return [effects[source].key for source in _sources(effects, at, actions)] if at is not None else []


def taking_up(effects: Sequence[Undoable], key: str, actions: Mapping[str, ActionFacts]) -> list[str]:
    """Keys of the effects that took up the outcome of ``key``: without it they would take up the same once more."""
    return [effect.key for effect in effects if key in taken_up(effects, effect.key, actions)]


def _sources(effects: Sequence[Undoable], at: int, actions: Mapping[str, ActionFacts]) -> list[int]:
    """Positions of what the effect at ``at`` took up: older ones, back to when such an effect took things up last.

    Runs of one action beside each other, as for each of a list, share what they took up.
    """
    after, found = actions[effects[at].action].undone_after, []
    for older in range(at - 1, -1, -1) if after else ():
        action = effects[older].action
        if action in after:
            found.append(older)
        elif actions[action].undone_after and (found or action != effects[at].action):
            break
    return found[::-1]
