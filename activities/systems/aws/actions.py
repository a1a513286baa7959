"""All AWS actions. A new one goes into the file of its kind, whose ``ACTIONS`` is joined here."""

from activities.systems.aws import (
    actions_allow,
    actions_deny,
    actions_evidence,
    actions_keys,
    actions_rotate,
    actions_secrets,
)

ACTIONS = (
    *actions_evidence.ACTIONS,
    *actions_keys.ACTIONS,
    *actions_deny.ACTIONS,
    *actions_allow.ACTIONS,
    *actions_rotate.ACTIONS,
    *actions_secrets.ACTIONS,
)
