"""What Salesforce actions declare alike."""

from activities.action import Result

OWNER = "crm_owner"
"""Role that owns every target."""
LOGS = ("access_logs",)
"""What evidence actions acquire, and what those that destroy traces need."""


class Counted(Result):
    """Targets that are now as wanted, changed by this step or already so."""

    count: int
