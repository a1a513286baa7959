"""``auth.test``, ``users.*`` and ``usergroups.*`` (docs.slack.dev/reference/methods/users.info and its neighbours)."""

from worker.slack.peer.calls import Call, Json, method
from worker.slack.peer.methods_conversations import channel_json
from worker.slack.peer.state import Refused, User


@method("auth.test", tier=4)
def auth_test(call: Call) -> Json:
    """Whose token this is."""
    state = call.state
    return {
        "url": f"https://{state.domain}.slack.com/",
        "team": state.team_name,
        "user": state.users[state.bot_user_id].name,
        "team_id": state.team_id,
        "user_id": state.bot_user_id,
        "bot_id": state.bot_id,
        "is_enterprise_install": False,
    }


def user_json(call: Call, user: User) -> Json:
    """Somebody as the app sees them; the address only with ``users:read.email``."""
    profile: Json = {
        "real_name": user.real_name,
        "display_name": user.name,
        "team": user.team,
    }
    if "users:read.email" in call.state.scopes and user.email and not user.stranger:
        profile["email"] = user.email
    given: Json = {
        "id": user.id,
        "team_id": user.team,
        "name": user.name,
        "deleted": user.deleted,
        "real_name": user.real_name,
        "profile": profile,
        "is_bot": user.is_bot,
        "is_app_user": False,
        "is_restricted": False,
        "is_ultra_restricted": False,
        "tz": "Etc/UTC",
    }
    if user.stranger:
        given["is_stranger"] = True
    return given


@method("users.info", "users:read", tier=4)
def users_info(call: Call) -> Json:
    """One user."""
    return {"user": user_json(call, call.state.user(call.required("user")))}


@method("users.list", "users:read", tier=2)
def users_list(call: Call) -> Json:
    """All users of the team."""
    page, cursor = call.page([each for each in call.state.users.values() if each.team == call.state.team_id])
    return {"members": [user_json(call, each) for each in page], "response_metadata": {"next_cursor": cursor}}


@method("users.lookupByEmail", "users:read.email", tier=3)
def lookup_by_email(call: Call) -> Json:
    """The user with an address."""
    wanted = call.required("email").lower()
    for user in call.state.users.values():
        if user.email.lower() == wanted and not user.stranger and not user.deleted:
            return {"user": user_json(call, user)}
    raise Refused("users_not_found")


@method("users.conversations", tier=3)
def users_conversations(call: Call) -> Json:
    """Channels that somebody is in, by default the app."""
    user = call.text("user", call.state.bot_user_id)
    types = call.text("types", "public_channel").split(",")
    found = [
        each
        for each in call.state.channels.values()
        if user in each.members
        and not each.is_im
        and ("private_channel" if each.is_private else "public_channel") in types
        and (not each.is_private or call.state.bot_user_id in each.members)
        and not (call.flag("exclude_archived") and each.archived)
    ]
    for each in types:
        call.need("groups:read" if each == "private_channel" else "channels:read")
    page, cursor = call.page(found)
    return {"channels": [channel_json(call, each) for each in page], "response_metadata": {"next_cursor": cursor}}


@method("usergroups.list", "usergroups:read", tier=2)
def usergroups_list(call: Call) -> Json:
    """Groups of users, with their members if asked for."""
    hide = set() if call.flag("include_users") else {"users"}
    groups = [{k: v for k, v in each.items() if k not in hide} for each in call.state.usergroups.values()]
    return {"usergroups": groups}


@method("usergroups.users.list", "usergroups:read", tier=2)
def usergroups_users(call: Call) -> Json:
    """Members of a group."""
    group = call.state.usergroups.get(call.required("usergroup"))
    if group is None:
        raise Refused("no_such_subteam")
    return {"users": list(group["users"])}
