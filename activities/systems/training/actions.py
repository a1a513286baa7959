"""Actions on a training service: what it may not use, what it may not start, a job of our own and how it ends."""

from activities.systems.training import actions_hold, actions_job

ACTIONS = (*actions_hold.ACTIONS, *actions_job.ACTIONS)
