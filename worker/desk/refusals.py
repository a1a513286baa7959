"""Why the desk says no: a stable code, what was not done, what to do next."""

from typing import Any

STATUS = {
    "unknown_person": 401,
    "wrong_role": 403,
    "delegated_away": 403,
    "requester": 403,
    "not_found": 404,
    "not_waiting": 409,
    "already_decided": 409,
    "closed": 409,
    "expired": 409,
    "digest_mismatch": 409,
    "nonce_used": 409,
    "plan_changed": 409,
    "ambiguous_step": 409,
    "clock_open": 409,
    "run_active": 409,
    "review_open": 409,
    "effect_unknown": 409,
    "no_change": 409,
    "ambiguous_run": 409,
    "already_offered": 409,
    "nothing_to_undo": 409,
    "nothing_failed": 409,
    "not_migratable": 409,
    "migration_conflict": 409,
    "step_in_flight": 409,
    "no_snapshot": 409,
    "unsupported_version": 409,
    "unknown_clock": 404,
    "unknown_event": 404,
    "too_many_events": 409,
    "already_started": 409,
    "identity_taken": 409,
    "slack_user_refused": 409,
    "slack_not_configured": 409,
    "slack_refused": 502,
    "slack_unreachable": 503,
    "held": 423,
    "bad_value": 422,
    "bad_verdict": 422,
    "bad_signature": 422,
    "playbook_problems": 422,
    "too_large": 413,
    "engine_unreachable": 503,
    "no_worker": 503,
    "store_unreachable": 503,
}
"""HTTP status of each code; 400 for any other."""

NEXT = {
    "unknown_person": "Set STANCH_TOKEN to a token of yours; `stanch people token NAME` makes one.",
    "requester": "Ask another person with the role; `stanch incident show` says who may.",
    "already_decided": "A second person has to decide; `stanch incident show` says who may.",
    "digest_mismatch": "Look at what waits now with `stanch incident show`, then decide by its digest.",
    "plan_changed": "Look at what waits now with `stanch incident show`, then decide by its digest.",
    "closed": "Nothing more can be decided here.",
    "expired": "`stanch incident show` says what happened instead.",
    "not_waiting": "`stanch incident show` lists what waits.",
    "wrong_role": "`stanch incident show` says who may decide; `stanch people list` who has the role.",
    "clock_open": "`stanch incident clock ID CLOCK submit --at INSTANT`, or `… all dismiss --reason T`.",
    "run_active": "`stanch incident show` says what they wait for. `stanch incident cancel` ends them, but for what is "
    "asked even then.",
    "effect_unknown": "`stanch incident show` lists the question; answer it with `stanch incident decide`.",
    "review_open": "`stanch incident review ID STEP --verdict justified|not_justified --reason T`.",
    "unknown_clock": "`stanch incident show` lists the clocks.",
    "nonce_used": "Look again with `stanch incident show`, then decide anew if you mean to.",
    "bad_verdict": "`stanch incident show` says what may be typed.",
    "ambiguous_step": "Say which with --run.",
    "ambiguous_run": "Say which with --run.",
    "already_offered": "`stanch incident show` shows the offer and how to decide it.",
    "nothing_to_undo": "Take it back by hand in the system; `stanch incident show` says what was changed.",
    "nothing_failed": "To do it all once more, start the playbook again.",
    "step_in_flight": "`stanch incident pause` it, wait until the step is done, then migrate.",
    "no_snapshot": "`stanch incident timeline` says how far it came; start the playbook again.",
    "unsupported_version": "Update Stanch, then ask again.",
    "too_large": "Put long text into a file and name the file.",
    "engine_unreachable": "Check the Temporal server with `stanch doctor`, then try again.",
    "no_worker": "Start `stanch worker`, then try again.",
}


class DeskRefusal(Exception):
    """The desk did not do what it was asked.

    Args:
        code: Stable code.
        message: What happened and what was not done.
        next_step: What to do next; the usual advice for the code if empty.
        details: Further keys for machines, e.g. ``problems``.
    """

    def __init__(self, code: str, message: str, next_step: str = "", *, details: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code, self.message = code, message
        self.next_step = next_step or NEXT.get(code, "")
        self.details = details or {}

    @property
    def status(self) -> int:
        """HTTP status for the code."""
        return STATUS.get(self.code, 400)
