"""All MLflow actions. A new one goes into the file of its kind, whose ``ACTIONS`` is joined here."""

from activities.systems.mlflow import (
    actions_contain,
    actions_evidence,
    actions_gate,
    actions_gate_checks,
    actions_release,
)

ACTIONS = (
    *actions_evidence.ACTIONS,
    *actions_gate.ACTIONS,
    *actions_gate_checks.ACTIONS,
    *actions_contain.ACTIONS,
    *actions_release.ACTIONS,
)
