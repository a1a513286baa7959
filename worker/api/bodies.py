"""What ``/v1`` takes: bodies of requests. Unknown keys are refused, never ignored."""

from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

Text = Annotated[str, Field(max_length=2000)]
Word = Annotated[str, Field(min_length=1, max_length=200)]


class Body(BaseModel):
    """Base of all bodies."""

    model_config = ConfigDict(extra="forbid")


class StartIncident(Body):
    """Open an incident and start a playbook in it."""

    playbook: Word
    inputs: dict[str, Any] = Field(default_factory=dict)
    title: str = Field(default="", max_length=300)
    severity: int = Field(default=3, ge=0, le=5)
    kind: str = Field(default="unknown", max_length=100)


class PlanWanted(Body):
    """Compile a playbook as a start would, without starting."""

    inputs: dict[str, Any] = Field(default_factory=dict)
    severity: int = Field(default=3, ge=0, le=5)


class Decide(Body):
    """Decide a waiting question. ``nonce`` is what ``/v1/decisions`` gave; without one a new is made.

    ``digest`` is of what the person was shown: its first 12 hex digits or more.
    """

    step: Word
    verdict: Word
    run: Word | None = None
    digest: str | None = Field(default=None, pattern=r"^[0-9a-f]{12,64}$")
    reason: Text = ""
    values: dict[str, Any] = Field(default_factory=dict)
    nonce: Word | None = None


class OfRun(Body):
    """Pause, resume or cancel: one run, or all that go on."""

    run: Word | None = None
    reason: Text = ""


class Undo(OfRun):
    """Offer to undo: all that a run did, or one step of it."""

    step: Word | None = None


class Migrate(OfRun):
    """Move a run to another version of its playbook: ``text`` is that version, or ``version`` the installed one's.

    Without ``digest``, or with ``dry_run``, it is only shown.
    """

    text: str = Field(default="", max_length=512 * 1024)
    version: str = Field(default="", max_length=100)
    digest: str | None = Field(default=None, pattern=r"^[0-9a-f]{12,64}$")
    dry_run: bool = False


class Review(Body):
    """What somebody finds of a broken glass."""

    step: Word
    verdict: Word
    reason: Text
    run: Word | None = None


class SetFact(Body):
    """Set a fact; ``null`` clears it."""

    fact: str = Field(pattern=r"^[a-z][a-z0-9_.]{0,99}$")
    value: Any = None
    reason: Text = ""


class Event(Body):
    """Something that happened outside, for the runs that wait for its name. Sent again with the same ``nonce`` it
    counts once."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")
    body: dict[Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")], Any] = Field(default_factory=dict)
    run: Word | None = None
    nonce: Word | None = None


class Note(Body):
    """Something for the timeline."""

    text: Annotated[str, Field(min_length=1, max_length=3000)]


class Tell(Body):
    """Something to tell the incident's channel (without ``to``), or roles, or by mail; ``page`` wakes people."""

    text: Annotated[str, Field(min_length=1, max_length=3000)]
    to: list[Word] = Field(default_factory=list, max_length=50)
    urgency: Word = "normal"


class SayOfClock(Body):
    """What a person says of a legal clock."""

    clock: Word
    verb: Word
    at: Word | None = None
    reason: Text = ""


class Close(Body):
    """Close an incident."""

    status: str = "closed"
    reason: Text = ""


class Reason(Body):
    """A reason, where one may be given."""

    reason: Text = ""


class Identity(Body):
    """Who a person is at a door."""

    door: Word
    workspace: str = Field(default="", max_length=200)
    external_id: Word


class Delegate(Body):
    """Hand a role to somebody else; ``until`` is an instant, or a duration such as ``8h``."""

    role: Word
    to: Word
    until: Word


class AddPerson(Body):
    """Add or change a person; identities that are not given stay."""

    name: Word
    roles: list[Word] = Field(default_factory=list, max_length=50)
    identities: list[Identity] | None = Field(default=None, max_length=50)


class SlackUser(Body):
    """Who somebody is in Slack: a user id, or a mail address by which to look."""

    user: Word | None = None
    email: str | None = Field(default=None, max_length=320)


class Contact(Body):
    """How somebody is woken; what is not given stays, an empty word takes it away."""

    mail: str | None = Field(default=None, max_length=500)
    pagerduty: str | None = Field(default=None, max_length=500)
    webhook: str | None = Field(default=None, max_length=500)
    rule: str | None = Field(default=None, max_length=500)


class Standing(Body):
    """Approve an action in advance: calls with these parameters, on so many targets at most, until an instant."""

    action: Word
    params: dict[str, Any] = Field(default_factory=dict)
    max_affected: int = Field(ge=1, le=1_000_000)
    until: AwareDatetime
    kinds: list[Word] = Field(default_factory=list, max_length=50)
    severity_from: int = Field(default=0, ge=0, le=5)
    reason: Text
