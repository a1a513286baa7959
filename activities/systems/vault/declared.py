"""What Vault actions declare alike."""

from activities.action import Result

OWNER = "platform_owner"
"""Role that owns every secret and key."""
STATE = ("secret_state",)
"""What the snapshot acquires."""


class Counted(Result):
    """Targets that are now as wanted, changed by this step or already so."""

    count: int
