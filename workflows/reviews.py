"""After-reviews of broken glass: who may give one, and what people see of it. Pure; no Temporal."""

from playbooks.contract import Json, Notice, Urgency
from playbooks.digest import digest_of
from workflows.messages import Receipt, ReviewOpened, ReviewRequest
from workflows.state import IncidentState, Review

REVIEWER = "incident_commander"
VERDICTS = ("justified", "not_justified")


def open_review(state: IncidentState, report: ReviewOpened, incident: str, now: str) -> Notice | None:
    """Open the after-review of a broken glass, and what its reviewers are told; ``None`` where it is known already."""
    if any((held.run, held.step, held.round) == (report.run, report.step, report.round) for held in state.reviews):
        return None
    roles = list(dict.fromkeys((REVIEWER, *report.roles)))
    review = Review(
        run=report.run,
        step=report.step,
        round=report.round,
        person=report.person,
        roles=roles,
        opened_at=report.at,
        reason=report.reason,
    )
    state.reviews.append(review)
    return _notice(incident, review, now)


def _notice(incident: str, review: Review, now: str) -> Notice:
    text = (
        f"{review.person} broke the glass at {review.step}. Somebody else has to review it before the incident can be "
        f"closed: stanch incident review {incident} {review.step} --verdict justified|not_justified --reason WHY"
    )
    return Notice(
        id=f"{incident}:review:{review.run}:{review.step}:{review.round}",
        incident=incident,
        run=review.run,
        step=review.step,
        to=tuple(f"role:{role}" for role in review.roles),
        urgency=Urgency.HIGH,
        body={"kind": "text", "text": text},
        at=now,
    )


def take_review(state: IncidentState, request: ReviewRequest, now: str) -> tuple[Receipt, dict[str, Json]]:
    """Count what somebody found. Returns the receipt, and what the record says of it."""
    review, code, message = _meant(state, request)
    if review is None:
        return Receipt(accepted=False, code=code, message=message), {"code": code, "step": request.step[:200]}
    review.verdict, review.by, review.at = request.verdict, request.person, now
    about: dict[str, Json] = {"run": review.run, "step": review.step, "round": review.round, "verdict": review.verdict}
    return Receipt(accepted=True, message=f"Recorded: the break-glass at {review.step} was {review.verdict}."), about


def _meant(state: IncidentState, request: ReviewRequest) -> tuple[Review | None, str, str]:
    if request.verdict not in VERDICTS:
        return None, "bad_verdict", f"A review takes one of: {', '.join(VERDICTS)}."
    if not request.reason.strip():
        return None, "bad_value", "A review takes a reason."
    held = [one for one in state.reviews if one.step == request.step and request.run in (None, one.run)]
    waiting = [one for one in held if one.verdict is None]
    if not waiting:
        return None, "closed" if held else "not_waiting", "No break-glass waits for a review there."
    if len({one.run for one in waiting}) > 1:
        return None, "ambiguous_step", f"It waits in more than one run: {', '.join(one.run for one in waiting)}."
    if request.person == waiting[0].person:
        return None, "requester", "You broke this glass, so somebody else must review it. Nothing was recorded."
    if not set(request.roles) & set(waiting[0].roles):
        return (
            None,
            "wrong_role",
            f"Your roles do not review this. Nothing was recorded. It takes: {' or '.join(waiting[0].roles)}.",
        )
    return waiting[0], "ok", ""


def _question(review: Review) -> str:
    why = f' and gave as reason: "{review.reason}".' if review.reason else "."
    return f"{review.person} broke the glass at {review.step}{why} Was that justified?"


def shown_review(review: Review) -> dict[str, Json]:
    """A review as people see it; while it waits it looks like any question."""
    return {
        "run": review.run,
        "step": review.step,
        "item": None,
        "kind": "review",
        "digest": digest_of({"review": review.step, "run": review.run, "round": review.round}),
        "question": _question(review),
        "who": {
            "needs": [{"roles": review.roles, "count": 1, "why": "the after-review of a break-glass"}],
            "excluded": [review.person],
            "deny_count": 1,
        },
        "verdicts": list(VERDICTS),
        "form": {},
        "decided": [],
        "until": None,
        "next": "The incident cannot be closed before somebody has said so.",
        "preview": [],
        "difference": [],
        "opened_at": review.opened_at,
        "round": review.round,
        "verdict": review.verdict,
        "by": review.by,
        "at": review.at,
    }
