"""Alerts: checked, kept, read, routed. What a detector says is evidence and a claim, never a command."""
