"""The ``[slack]`` table of ``stanch.toml``. Tokens and the signing secret are references, never themselves."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from worker.secrets import is_reference


def _reference(text: str) -> str:
    if not is_reference(text):
        raise ValueError("write a reference, secret:env/NAME or secret:file/PATH, never the secret itself")
    return text


Reference = Annotated[str, AfterValidator(_reference)]
Workspace = Annotated[str, StringConstraints(pattern=r"^T[A-Z0-9]{2,30}$")]
Channel = Annotated[str, StringConstraints(pattern=r"^(?:[CG][A-Z0-9]{2,30}|#?[^\s#A-Z][^\s#A-Z]{0,79})$")]


class SlackSettings(BaseModel):
    """How Slack is reached. ``app_token`` gives Socket Mode, ``signing_secret`` HTTP at ``POST /slack/events``.

    Attributes:
        bot_token: Reference of the app's bot token (``xoxb-…``).
        app_token: Reference of the app-level token (``xapp-…``).
        signing_secret: Reference of the app's signing secret.
        workspace: Team id; clicks from any other workspace are refused.
        channel: Main channel, by id or name: every incident is announced there.
        private_from: Severity from which incident channels are private; 0 makes all private, 6 none.
        archive: Whether an incident's channel is archived when the incident is closed.
        endpoint: Base address of a simulated Slack; for exercises only.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    bot_token: Reference
    app_token: Reference | None = None
    signing_secret: Reference | None = None
    workspace: Workspace
    channel: Channel | None = None
    private_from: int = Field(default=0, ge=0, le=6)
    archive: bool = True
    endpoint: str | None = None

    @model_validator(mode="after")
    def _heard(self) -> "SlackSettings":
        if not (self.app_token or self.signing_secret):
            raise ValueError("nothing could be heard from Slack; give app_token (Socket Mode) or signing_secret (HTTP)")
        return self
