"""What the serving actions declare and take alike."""

from typing import Annotated

from pydantic import Field

from activities.action import Params, Result

OWNER = "platform_owner"
"""Role that owns every replica."""
STATE = ("serving_state",)
"""What the list action acquires."""
Model = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$")]


class OneModel(Params):
    """Which model, as its servers name it."""

    model: Model


class Counted(Result):
    """Replicas that are now as wanted, changed by this step or already so."""

    count: int
