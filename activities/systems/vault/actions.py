"""All Vault actions. A new one goes into the file of its kind, whose ``ACTIONS`` is joined here."""

from activities.systems.vault import actions_access, actions_evidence, actions_keys

ACTIONS = (*actions_evidence.ACTIONS, *actions_keys.ACTIONS, *actions_access.ACTIONS)
