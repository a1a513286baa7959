"""Failures of a run, and the exceptions by which a walk ends early.

Wire:      PlaybookFailed(ApplicationError)      an author's or an input's error: fails the run, never hangs it
In a walk: WalkEnded -> Suspended                carry on in a new execution (continue-as-new)
                     -> StepFailed               a step failed and its policy is to stop
                     -> RunDenied                a denial whose policy is to stop
                     -> RunStopped               a ``stop:`` step, or a person's choice to stop
                     -> RunCancelled             somebody cancelled the run
"""

from enum import StrEnum

from temporalio.exceptions import ApplicationError


class PlaybookFailed(ApplicationError):
    """The playbook cannot go on, for a reason its author or starter can mend."""

    def __init__(self, message: str, code: str = "playbook_failed") -> None:
        super().__init__(message, code, type="PlaybookFailed", non_retryable=True)


class WalkEnded(Exception):
    """Base of what ends a walk early."""


class Suspended(WalkEnded):
    """Nothing is wrong: the run continues as new."""


class StepFailed(WalkEnded):
    """A step failed; its sequence ends."""

    def __init__(self, path: str, code: str, message: str) -> None:
        super().__init__(message)
        self.path, self.code, self.message = path, code, message


class RunDenied(WalkEnded):
    """A person denied, and the playbook says stop."""


class RunStopped(WalkEnded):
    """The run ends early but well."""


class RunCancelled(WalkEnded):
    """The run was cancelled."""


class Refusal(StrEnum):
    """Activity error types that the interpreter answers by asking people or waiting (see activities/errors.py)."""

    PLAN_CHANGED = "PlanChanged"
    HELD = "Held"
    EXPIRED = "Expired"
    PROTECTED = "Protected"
    STANDING = "StandingRevoked"
    JOURNAL = "JournalUnavailable"
    AMBIGUOUS = "Ambiguous"
