"""``views.*``: modals and the App Home (docs.slack.dev/surfaces/modals).

A trigger id lives three seconds and serves once; a stack holds three views; ``hash`` guards against a race.
"""

import copy
import secrets

from worker.slack.peer.calls import Call, Json, method
from worker.slack.peer.limits import view_problems
from worker.slack.peer.messages import elements, with_ids
from worker.slack.peer.state import Refused, Trigger, Workspace

TRIGGER_SECONDS = 3.0
STACK = 3


def made(state: Workspace, given: Json, *, previous: Json | None = None) -> Json:
    """A view as Slack keeps it, after the one it is pushed on."""
    id_ = state.id("V")
    view: Json = {"id": id_, "team_id": state.team_id, "app_id": state.app_id, "bot_id": state.bot_id}
    view |= {"app_installed_team_id": state.team_id, "title": None, "close": None, "submit": None}
    view |= {"root_view_id": previous["root_view_id"] if previous else id_}
    view |= {"previous_view_id": previous["id"] if previous else None}
    fill(view, given)
    return view


def fill(view: Json, given: Json) -> None:
    """New content for a view, with a new hash; what was filled in at inputs that stay is kept."""
    for name in ("type", "title", "close", "submit"):
        view[name] = given.get(name)
    for name in ("private_metadata", "callback_id", "external_id"):
        view[name] = given.get(name) or ""
    view["clear_on_close"] = bool(given.get("clear_on_close"))
    view["notify_on_close"] = bool(given.get("notify_on_close"))
    view["submit_disabled"] = bool(given.get("submit_disabled"))
    view["blocks"] = with_ids(given["blocks"])
    kept = view.get("state", {}).get("values", {})
    view["state"] = {"values": {}}
    for block in view["blocks"]:
        held = kept.get(block["block_id"], {})
        same = {each["action_id"]: each["type"] for each in elements(block) if "action_id" in each}
        values = {name: value for name, value in held.items() if same.get(name) == value["type"]}
        if values:
            view["state"]["values"][block["block_id"]] = values
    view["hash"] = f"{int(view.get('hash', '0.').split('.')[0] or 0) + 1}.{secrets.token_hex(4)}"


def check(view: object) -> Json:
    """The view given, if it is valid.

    Raises:
        Refused: ``invalid_arguments``, ``view_too_large`` or ``invalid_blocks``.
    """
    if not isinstance(view, dict):
        raise Refused("invalid_arguments", "must be a valid view object [json-pointer:/view]")
    found = view_problems(view)
    if found and "250 kB" in found[0]:
        raise Refused("view_too_large")
    if found:
        raise Refused("invalid_arguments", *found)
    return view


def _trigger(call: Call) -> Trigger:
    found = call.state.triggers.get(call.text("trigger_id"))
    if found is None:
        raise Refused("invalid_trigger_id")
    if found.used:
        raise Refused("exchanged_trigger_id")
    if call.state.clock() - found.at > TRIGGER_SECONDS:
        raise Refused("expired_trigger_id")
    return found


@method("views.open", tier=4)
def open_(call: Call) -> Json:
    """A modal before the user who just did something."""
    trigger, given = _trigger(call), check(call.json("view"))
    if given.get("type") != "modal":
        raise Refused("invalid_arguments", "must be a modal [json-pointer:/view/type]")
    _unique(call.state, given)
    trigger.used = True
    view = made(call.state, given)
    call.state.stacks[trigger.user] = [view]
    return {"view": copy.deepcopy(view)}


@method("views.push", tier=4)
def push(call: Call) -> Json:
    """A modal on top of the one that the user just used."""
    trigger, given = _trigger(call), check(call.json("view"))
    stack = call.state.stacks.get(trigger.user, [])
    if trigger.view is None or all(view["id"] != trigger.view for view in stack):
        raise Refused("invalid_trigger_id")
    if len(stack) >= STACK:
        raise Refused("push_limit_reached")
    _unique(call.state, given)
    trigger.used = True
    view = made(call.state, given, previous=stack[-1])
    stack.append(view)
    return {"view": copy.deepcopy(view)}


@method("views.update", tier=4)
def update(call: Call) -> Json:
    """Other content for an open view."""
    given = check(call.json("view"))
    view_id, external_id = call.text("view_id"), call.text("external_id")
    if not view_id and not external_id:
        raise Refused("invalid_arguments", "either view_id or external_id is required")
    for view in call.state.views():
        if view["id"] == view_id or (external_id and view.get("external_id") == external_id):
            if call.text("hash") and call.text("hash") != view["hash"]:
                raise Refused("hash_conflict")
            fill(view, given)
            return {"view": copy.deepcopy(view)}
    raise Refused("not_found")


@method("views.publish", tier=4)
def publish(call: Call) -> Json:
    """The App Home of one user."""
    user, given = call.state.user(call.required("user_id")), check(call.json("view"))
    if not call.state.installed.home:
        raise Refused("not_enabled")
    if given.get("type") != "home":
        raise Refused("invalid_arguments", "must be a home [json-pointer:/view/type]")
    if call.text("hash") and user.home is not None and call.text("hash") != user.home["hash"]:
        raise Refused("hash_conflict")
    if user.home is None:
        user.home = made(call.state, given)
    else:
        fill(user.home, given)
    return {"view": copy.deepcopy(user.home)}


def _unique(state: Workspace, given: Json) -> None:
    if given.get("external_id") and any(view.get("external_id") == given["external_id"] for view in state.views()):
        raise Refused("duplicate_external_id")
