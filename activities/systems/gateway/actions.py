"""All gateway actions. A new one goes into the file of its kind, whose ``ACTIONS`` is joined here."""

from activities.systems.gateway import actions_clients, actions_contain, actions_releases, actions_servers

ACTIONS = (
    *actions_clients.ACTIONS,
    *actions_contain.ACTIONS,
    *actions_servers.ACTIONS,
    *actions_releases.ACTIONS,
)
