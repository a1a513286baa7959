"""What becomes of a modal when its submission was acknowledged (docs.slack.dev/surfaces/modals#updating_response)."""

from typing import Any

from worker.slack.peer.inputs import fields
from worker.slack.peer.limits import view_problems
from worker.slack.peer.methods_views import STACK, fill, made
from worker.slack.peer.state import Workspace

Json = dict[str, Any]


class BadAnswer(Exception):
    """The app acknowledged with something that Slack does not take; the user sees that it did not work."""


def answered(state: Workspace, user: str, view: Json, answer: Any) -> dict[str, str]:
    """Carry out an acknowledgement; by label, the errors that the user now sees.

    Raises:
        BadAnswer: It is none that Slack takes.
    """
    stack = state.stacks.get(user, [])
    kind = answer.get("response_action") if isinstance(answer, dict) else None
    state.view_errors.pop(view["id"], None)
    if kind is None:
        if view in stack:
            stack.remove(view)
        return {}
    if kind == "errors":
        errors = _errors(view, answer.get("errors"))
        state.view_errors[view["id"]] = dict(answer["errors"])
        return errors
    if kind == "clear":
        stack.clear()
        return {}
    if kind not in ("update", "push"):
        raise BadAnswer(f"response_action {kind!r} is none of errors, clear, update, push")
    given = answer.get("view")
    wrong = view_problems(given)
    if wrong or not isinstance(given, dict):
        raise BadAnswer("; ".join(wrong))
    if kind == "update":
        fill(view, given)
    elif len(stack) >= STACK:
        raise BadAnswer("push_limit_reached")
    else:
        stack.append(made(state, given, previous=view))
    return {}


def _errors(view: Json, given: Any) -> dict[str, str]:
    labels = {block["block_id"]: label for label, block, _ in fields(view["blocks"]) if block["type"] == "input"}
    if not isinstance(given, dict) or not given:
        raise BadAnswer("errors must name at least one block")
    for block in given:
        if block not in labels:
            raise BadAnswer(f"errors names {block!r}, which is no input of this view; there are {sorted(labels)}")
    return {labels[block]: str(message) for block, message in given.items()}


def closed(state: Workspace, user: str, *, everything: bool) -> list[Json]:
    """Close the modal on top, or all; those of which the app wants to be told."""
    stack = state.stacks.get(user, [])
    everything = everything or bool(stack and stack[-1]["clear_on_close"])
    gone = stack[::-1] if everything else stack[-1:]
    del stack[len(stack) - len(gone) :]
    return [view for view in gone if view["notify_on_close"]]
