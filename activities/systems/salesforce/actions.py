"""All Salesforce actions. A new one goes into the file of its kind, whose ``ACTIONS`` is joined here."""

from activities.systems.salesforce import (
    actions_contain,
    actions_derived,
    actions_evidence,
    actions_lists,
    actions_tokens,
)

ACTIONS = (
    *actions_evidence.ACTIONS,
    *actions_lists.ACTIONS,
    *actions_contain.ACTIONS,
    *actions_tokens.ACTIONS,
    *actions_derived.ACTIONS,
)
