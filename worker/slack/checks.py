"""What ``stanch doctor`` finds out about Slack: tokens, scopes, workspace, main channel, people. It changes nothing."""

from collections.abc import Sequence
from typing import Any

from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from worker.edge import secrets_of
from worker.secrets import SecretError
from worker.settings import Settings
from worker.settings_slack import SlackSettings
from worker.slack.identity import DOOR
from worker.slack.manifest import SCOPES
from worker.start_findings import PATIENCE, Finding
from worker.store.outbox import InForce
from worker.store.people import Person

REINSTALL = "Paste `stanch slack manifest` into the app's manifest, then install it to the workspace again."


async def examine_slack(settings: Settings, people: Sequence[Person], off: InForce | None = None) -> list[Finding]:
    """Every check of Slack, in the order in which they depend on each other; none where it is not configured.

    ``off`` is the switch, while it is set.
    """
    slack = settings.file.slack
    if slack is None:
        return []
    secrets = secrets_of(settings)
    try:
        token = secrets.get(slack.bot_token)
        app_token = secrets.get(slack.app_token) if slack.app_token else None
        if slack.signing_secret:
            secrets.get(slack.signing_secret)
    except SecretError as error:
        return [Finding("slack", "fail", str(error), "Set it where `stanch serve` runs.")]
    web = client_of(slack, token)
    found = await _bot(slack, web)
    if found[0].state != "fail":
        found += await _channel(slack, web)
    if app_token is not None:
        found.append(await _socket(web, app_token))
    if off is not None:
        said = f"Switched off by {off.person} at {off.at[:16]}Z: nothing from there counts, nothing is posted."
        found.append(Finding("slack switch", "warn", said, "`stanch slack on` ends it (incident commander)."))
    return [*found, _people(slack, people)]


def client_of(slack: SlackSettings, token: str) -> AsyncWebClient:
    """A client that asks once."""
    more: dict[str, Any] = {"base_url": slack.endpoint} if slack.endpoint else {}
    return AsyncWebClient(token=token, timeout=int(PATIENCE), retry_handlers=[], **more)


async def _bot(slack: SlackSettings, web: AsyncWebClient) -> list[Finding]:
    try:
        answer = await web.auth_test()
    except Exception as error:
        return [Finding("slack", "fail", f"The bot token does not work: {_why(error)}.", REINSTALL)]
    if answer.get("team_id") != slack.workspace:
        said = f"The bot token is of workspace {answer.get('team_id')}, and the settings name {slack.workspace}."
        return [Finding("slack", "fail", said, "Write the team id of the workspace that the app is installed to.")]
    found = [Finding("slack", "ok", f"Signed in to {slack.workspace} as {answer.get('user_id')}.")]
    return [*found, _scopes(_granted(answer.headers))]


def _granted(headers: Any) -> set[str] | None:
    """The granted scopes, which Slack tells in a header; ``None`` where it does not."""
    told = {str(name).lower(): value for name, value in dict(headers).items()}.get("x-oauth-scopes")
    if told is None:
        return None
    whole = ",".join(told) if isinstance(told, list | tuple) else str(told)
    return {each.strip() for each in whole.split(",") if each.strip()}


def _scopes(granted: set[str] | None) -> Finding:
    if granted is None:
        return Finding("slack scopes", "warn", "Slack did not say which scopes the token has.", REINSTALL)
    missing = [scope for scope in SCOPES if scope.name not in granted]
    if missing:
        told = "; ".join(f"{scope.name} ({scope.without})" for scope in missing)
        return Finding("slack scopes", "fail", f"Missing: {told}.", REINSTALL)
    more = sorted(granted - {scope.name for scope in SCOPES})
    if more:
        return Finding("slack scopes", "warn", f"More than needed: {', '.join(more)}.", REINSTALL)
    return Finding("slack scopes", "ok", f"All {len(SCOPES)} that are needed, and no more.")


async def _socket(web: AsyncWebClient, app_token: str) -> Finding:
    mend = "Make an app-level token with the scope connections:write, and turn Socket Mode on."
    try:
        await web.apps_connections_open(app_token=app_token)
    except Exception as error:
        return Finding("slack socket", "fail", f"No connection can be opened: {_why(error)}.", mend)
    return Finding("slack socket", "ok", "A connection can be opened.")


async def _channel(slack: SlackSettings, web: AsyncWebClient) -> list[Finding]:
    if slack.channel is None:
        return []
    try:
        found = await _find(web, slack.channel)
    except Exception as error:
        return [Finding("slack channel", "warn", f"The main channel cannot be looked at: {_why(error)}.", REINSTALL)]
    if found is None or not found.get("is_member"):
        said = "is not there, or the app cannot see it" if found is None else "does not have the app in it"
        mend = "Invite the app there (`/invite @Stanch`), or write the channel's id."
        return [Finding("slack channel", "fail", f"{slack.channel} {said}: nothing is announced.", mend)]
    return [Finding("slack channel", "ok", f"Announces in {slack.channel}.")]


async def _find(web: AsyncWebClient, channel: str) -> dict[str, Any] | None:
    name = channel.removeprefix("#")
    if name[:1] in "CG" and name.isupper():
        try:
            return dict((await web.conversations_info(channel=name))["channel"])
        except SlackApiError as error:
            if error.response.get("error") == "channel_not_found":
                return None
            raise
    cursor = ""
    for _ in range(50):
        page = await web.conversations_list(
            types="public_channel,private_channel", exclude_archived=True, limit=200, cursor=cursor
        )
        for each in page["channels"]:
            if each.get("name") == name:
                return dict(each)
        cursor = (page.get("response_metadata") or {}).get("next_cursor") or ""
        if not cursor:
            return None
    return None


def _people(slack: SlackSettings, people: Sequence[Person]) -> Finding:
    if not people:
        return Finding("slack people", "warn", "Nobody is known yet.", "`stanch people add NAME`")
    unlinked = [each.name for each in people if not any(one[:2] == (DOOR, slack.workspace) for one in each.identities)]
    if unlinked:
        mend = "`stanch slack link NAME --email ADDRESS`, or they decide by other doors."
        return Finding("slack people", "warn", f"Without a Slack identity: {', '.join(unlinked)}.", mend)
    return Finding("slack people", "ok", f"All {len(people)} people have a Slack identity.")


def _why(error: Exception) -> str:
    if isinstance(error, SlackApiError):
        return str(error.response.get("error", "unknown"))
    return f"Slack cannot be reached ({type(error).__name__})"
