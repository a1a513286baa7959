"""What step-ca actions declare alike."""

OWNER = "platform_owner"
"""Role that owns every certificate."""
