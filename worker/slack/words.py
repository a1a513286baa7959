"""What people are told privately at this door: receipts and refusals, and what to do next in Slack's own terms."""

from playbooks.contract import DecisionReceipt
from worker.desk.refusals import NEXT as DESK_NEXT
from worker.desk.refusals import DeskRefusal
from worker.slack.blocks import Bold, Code, Line, Message, message, paragraph, small
from worker.slack.marks import worded
from worker.slack.steering import VERBS, nearest, usage
from workflows.messages import Receipt

NEXT = {
    "unknown_person": "Ask an administrator to link you: `/stanch` works once they have.",
    "requester": "Ask another person with the role; the card names who may.",
    "already_decided": "A second person has to decide; the card names who may.",
    "digest_mismatch": "Look at the newest card and decide there.",
    "plan_changed": "Look at the newest card and decide there.",
    "closed": "The card says who decided and when.",
    "expired": "The incident's channel says what happened instead.",
    "not_waiting": "/stanch mine lists what waits for you.",
    "wrong_role": "The card names who may decide.",
    "delegated_away": "Whoever stands in for you decides.",
    "nonce_used": "Click anew on the card if you mean to decide.",
    "held": "/stanch hold status says who holds and why.",
    "not_found": "/stanch list shows the incidents.",
    "engine_unreachable": "Look at the card, then do it again if it was not counted.",
    "no_worker": "Look at the card, then do it again if it was not counted.",
    "slack_off": "Decide with the stanch command; stanch slack status says more.",
    "clock_open": "Settle each first: /stanch clock CLOCK dismiss REASON, handover REASON, or submit INSTANT.",
    "unknown_clock": "/stanch clock lists those that are open.",
}
"""What to do next, by code; where it is silent the desk's own advice is told."""


def refusal(code: str, text: str, next_step: str = "") -> Message:
    """A refusal: what happened, what was not done, what to do next."""
    told: list[Line] = [[Bold("Not done. "), text]]
    if next_step:
        told.append([next_step.replace("`", "")])
    return message(f"Not done: {text} {next_step}".strip(), [paragraph(*told), small(code)])


def refused(refusal_: DeskRefusal) -> Message:
    """The desk's refusal in this door's words."""
    advice = refusal_.next_step
    if advice in ("", DESK_NEXT.get(refusal_.code)) or "`stanch incident" in advice:
        advice = NEXT.get(refusal_.code, advice)
    return refusal(refusal_.code, refusal_.message, advice)


def received(receipt: DecisionReceipt | Receipt, *, held: bool = False) -> Message:
    """What came of a decision or a request; while effects are ``held``, an approval says that it waits."""
    if not receipt.accepted:
        return refusal(receipt.code, receipt.message, NEXT.get(receipt.code, ""))
    told = receipt.message or "Done."
    if isinstance(receipt, DecisionReceipt):
        # A sentence with names of roles; others name steps too, which are written as they are.
        told = worded(told) + (HELD if held else "")
    if isinstance(receipt, DecisionReceipt) and receipt.votes and receipt.needed > 1:
        counted = f"Counted: {receipt.votes} of {max(receipt.votes, receipt.needed)}. "
        return message(f"{counted}{told}", [paragraph([Bold(counted), told])])
    return message(told, [paragraph([told])])


def waits() -> Message:
    """Told once where what was asked is kept, but cannot be done yet."""
    text = "Kept, but not done yet: Temporal does not answer. It is done as soon as it can be, and you are told then."
    return message(text, [paragraph([text])])


def failed() -> Message:
    """Told where something broke that should not."""
    return refusal(
        "failed", "Something failed here. It is in the log.", "Look at the card, then do it again if needed."
    )


def said(*lines: str) -> Message:
    """Plain sentences."""
    return message(" ".join(lines), [paragraph(*([line] for line in lines))])


OFF = "Stanch is switched off in Slack. Nothing is done from here, and nothing is counted."
HELD = " There is a hold: nothing changes before it is lifted (/stanch hold status)."
STRANGER = "This Stanch does not know you. You can see and do nothing here."


def help_for(word: str) -> Message:
    """All words; for one that is none, which was probably meant."""
    lines: list[Line] = [[Code(usage(verb)), f"  {VERBS[verb].help}"] for verb in VERBS]
    if word in VERBS:
        return message("What /stanch can do", [paragraph(*lines)])
    near = nearest(word)
    meant = f"Did you mean {usage(near)}?" if near else "This is what there is:"
    text = f"There is no {word[:40]}. {meant}"
    return message(text, [paragraph([text]), paragraph(*lines)])
