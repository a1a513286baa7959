"""What the inference actions declare and take alike."""

from typing import Annotated

from pydantic import Field

OWNER = "platform_owner"
"""Role that owns the logs."""
LOGS = ("inference_logs",)
"""What sealing acquires."""
Model = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$")]
