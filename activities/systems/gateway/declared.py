"""What gateway actions declare alike."""

from activities.action import Params, Result, Targets

OWNER = "platform_owner"
"""Role that owns every target."""
STATE = ("gateway_state",)
"""What the snapshot acquires, and what those that cut clients off need."""


class TheseTargets(Params):
    """A list step's target set, or at most 500 ids."""

    targets: Targets


class Counted(Result):
    """Targets that are now as wanted, changed by this step or already so."""

    count: int


class Nothing(Params):
    """No parameters."""
