"""All serving actions. A new one goes into the file of its kind, whose ``ACTIONS`` is joined here."""

from activities.systems.serving import actions_contain, actions_evidence

ACTIONS = (*actions_evidence.ACTIONS, *actions_contain.ACTIONS)
