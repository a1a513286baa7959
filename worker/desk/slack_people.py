"""Who is who in Slack: people are linked to accounts that were looked up in the workspace itself."""

from collections.abc import Callable
from typing import Any

from worker.desk.people import People
from worker.desk.refusals import DeskRefusal
from worker.secrets import SecretError
from worker.settings_slack import SlackSettings

DOOR = "slack"


class SlackPeople:
    """Links and unlinks people. The caller has checked the right to.

    Args:
        people: Who is known.
        settings: Of the workspace, if one is configured.
        secret: Reads a secret by its reference.
    """

    def __init__(
        self, people: People, settings: SlackSettings | None = None, secret: Callable[[str], str] | None = None
    ) -> None:
        self._people, self._settings, self._secret = people, settings, secret

    @property
    def workspace(self) -> str | None:
        """Team id of the workspace."""
        return self._settings.workspace if self._settings else None

    async def link(self, name: str, *, user: str = "", email: str = "", by: str, at: str) -> dict[str, Any]:
        """Look an account up in Slack and make it somebody's: the person, with ``slack`` for who that is there.

        Raises:
            DeskRefusal: ``not_found``, ``identity_taken``, ``slack_user_refused`` for strangers, bots and deactivated
                accounts, or what keeps Slack from answering. Nothing was changed then.
        """
        if bool(user) == bool(email):
            raise DeskRefusal("bad_value", "Give a Slack user id or a mail address. Nothing was changed.")
        settings = self._configured()
        known = {row["name"] for row in self._people.list()}
        if name not in known:
            raise DeskRefusal(
                "not_found",
                f"Nobody is known as {name[:64]!r}. Nothing was changed.",
                "`stanch people add NAME --role ROLE` first.",
            )
        # Here, because its library takes long to load and most processes need none of it.
        from worker.slack.users import look_up

        try:
            assert self._secret is not None
            token = self._secret(settings.bot_token)
        except SecretError as error:
            raise DeskRefusal("slack_unreachable", f"{error} Nothing was changed.") from None
        found = await look_up(settings, token, user=user, email=email)
        person = self._people.identify(name, DOOR, settings.workspace, found["user"], by=by, at=at)
        return {**person, "slack": found}

    def unlink(self, name: str, *, by: str, at: str) -> dict[str, Any]:
        """Make somebody nobody in Slack, at once.

        Raises:
            DeskRefusal: ``not_found``, or ``no_change`` where they are nobody there.
        """
        return self._people.identify(name, DOOR, self._configured().workspace, None, by=by, at=at)

    def listed(self) -> list[dict[str, Any]]:
        """Everybody: ``name roles user``, with ``user`` the id in the workspace or ``None``."""
        workspace = self._configured().workspace
        found = []
        for row in self._people.list():
            here = [
                one["external_id"] for one in row["identities"] if (one["door"], one["workspace"]) == (DOOR, workspace)
            ]
            found.append({"name": row["name"], "roles": row["roles"], "user": here[0] if here else None})
        return found

    def _configured(self) -> SlackSettings:
        if self._settings is None:
            raise DeskRefusal(
                "slack_not_configured",
                "stanch.toml has no [slack]. Nothing was changed.",
                "docs/slack.md says how to set it up.",
            )
        return self._settings
