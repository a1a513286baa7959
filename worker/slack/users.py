"""Looking an account up in Slack before it is linked: who it is, and why it can be nobody here."""

from typing import Any

import aiohttp
from slack_sdk.errors import SlackApiError, SlackClientError

from worker.desk.refusals import DeskRefusal
from worker.settings_slack import SlackSettings
from worker.slack.checks import client_of

SLACKBOT = "USLACKBOT"
UNKNOWN = frozenset({"users_not_found", "user_not_found", "user_not_visible"})


async def look_up(settings: SlackSettings, token: str, *, user: str = "", email: str = "") -> dict[str, Any]:
    """An account by its id or its mail address: ``user name real_name guest``.

    Raises:
        DeskRefusal: ``not_found``, ``slack_user_refused``, ``slack_refused`` or ``slack_unreachable``.
    """
    web = client_of(settings, token)
    try:
        here = (await web.auth_test()).get("team_id")
        if here != settings.workspace:
            said = f"The bot token is of workspace {here}, and the settings name {settings.workspace}."
            raise DeskRefusal("slack_refused", f"{said} Nothing was changed.", "`stanch doctor` says more.")
        answer = await (web.users_info(user=user) if user else web.users_lookupByEmail(email=email))
    except SlackApiError as error:
        raise _refused(str(error.response.get("error", "unknown")), user or email) from None
    except (aiohttp.ClientError, SlackClientError, TimeoutError, OSError) as error:
        said = f"Slack cannot be reached ({type(error).__name__}). Nothing was changed."
        raise DeskRefusal("slack_unreachable", said, "Try again.") from None
    found = dict(answer["user"])
    problem = _problem(found, settings.workspace)
    if problem:
        raise DeskRefusal("slack_user_refused", f"{found['id']} {problem}. Nothing was changed.")
    return {
        "user": str(found["id"]),
        "name": str(found.get("name") or ""),
        "real_name": str(found.get("real_name") or ""),
        "guest": bool(found.get("is_restricted") or found.get("is_ultra_restricted")),
    }


def _problem(found: dict[str, Any], workspace: str) -> str:
    """Why an account cannot be a person here; empty if it can."""
    if found.get("team_id") != workspace or found.get("is_stranger"):
        return f"belongs to another workspace than {workspace}"
    if found.get("deleted"):
        return "is deactivated"
    if found.get("is_bot") or found["id"] == SLACKBOT:
        return "is a bot"
    return ""


def _refused(code: str, asked: str) -> DeskRefusal:
    if code in UNKNOWN:
        said = f"Slack knows nobody as {asked[:320]} in this workspace. Nothing was changed."
        return DeskRefusal("not_found", said, "In Slack: their profile, ⋮, Copy member ID; then --user ID.")
    if code == "missing_scope":
        said = "The app may not look people up by address: it lacks users:read.email. Nothing was changed."
        return DeskRefusal("slack_refused", said, "Use --user ID, or install the app with `stanch slack manifest`.")
    return DeskRefusal(
        "slack_refused", f"Slack refuses to look anybody up: {code}. Nothing was changed.", "`stanch doctor` says more."
    )
