"""Changes of who decides or answers, in what time, and of what follows silence."""

from playbooks.diff_findings import Findings, Weight, weigh
from playbooks.diff_view import Meaning, Seen
from playbooks.model_steps import ApproveStep, AskStep, BaseStep, HumanStep, WaitStep
from playbooks.model_values import By, Link, seconds

_STRENGTH = {"deny": 3, "stop": 3, "continue": 1, "unanswered": 2, "default": 1}
"""How safe an end of a chain is: to end, to know that it is not known, to go on as if."""


def deciders(by: By) -> str:
    """Who decides, as people say it."""
    if by.each:
        return " and ".join(f"{count} of {role}" for role, count in by.each.items())
    return f"{by.count} of {' or '.join(by.roles)}"


def _roles(by: By) -> set[str]:
    return {*by.roles, *by.each}


def _total(by: By) -> int:
    return sum(by.each.values()) if by.each else by.count


def _demands(by: By, role: str) -> int:
    """How many people of one role must agree, whoever else does."""
    return by.each.get(role, by.count if by.roles == [role] else 0)


def compare_by(old: Seen, new: Seen, was: By, now: By, about: str, found: Findings) -> None:
    """Who may decide: their number, their roles, which role must be heard, how many denials end it."""
    at, said = ("by",), f"{deciders(now)} now, {deciders(was)} before."
    if _total(was) != _total(now):
        fewer = _total(now) < _total(was)
        found.change(
            "decider_count",
            weigh(fewer, not fewer),
            old,
            new,
            f"{about}: {'fewer' if fewer else 'more'} people, {said}",
            *at,
        )
    came, left = sorted(_roles(now) - _roles(was)), sorted(_roles(was) - _roles(now))
    if came or left:
        who = [f"{role} may decide now" for role in came] + [f"{role} no longer may" for role in left]
        found.change("decider_roles", weigh(came, left), old, new, f"{about}: {', '.join(who)}.", *at)
    elif _total(was) == _total(now):
        less = [role for role in sorted(_roles(was)) if _demands(now, role) < _demands(was, role)]
        more = [role for role in sorted(_roles(now)) if _demands(now, role) > _demands(was, role)]
        if less or more:
            found.change("decider_each", weigh(less, more), old, new, f"{about}: {said}", *at)
    if was.deny_count != now.deny_count:
        harder = now.deny_count > was.deny_count
        what = f"{about}: {now.deny_count} denial(s) end it now, {was.deny_count} before."
        found.change("deny_count", weigh(harder, not harder), old, new, what, *at)


def compare_waiting(old: Seen, new: Seen, about: str, found: Findings) -> None:
    """How long people have, who is asked next, what follows silence."""
    was, now = old.step, new.step
    compare_length(old, new, "within", f"{about}: people have", found)
    before, after = _chain(was), _chain(now)
    if not before or not after:
        return
    approve = isinstance(now, ApproveStep)
    asked, asks = [link.escalate for link in before[:-1]], [link.escalate for link in after[:-1]]
    came, left = [role for role in asks if role not in asked], [role for role in asked if role not in asks]
    if came or left:
        who = [f"{role} is asked next now" for role in came] + [f"{role} is no longer asked" for role in left]
        # Of an approval one more may decide; of a question one fewer is asked before it stays open.
        weight = weigh(came, left) if approve else weigh(left, came)
        said = f"{about}: when nobody answers, {', '.join(who)}."
        found.change("escalation", weight, old, new, said, "on_timeout")
    elif [link.within for link in before] != [link.within for link in after] or asked != asks:
        said = f"{about}: escalation goes otherwise: {_said(after)}; before {_said(before)}."
        found.change("escalation", Weight.NEUTRAL, old, new, said, "on_timeout")
    end, last = before[-1], after[-1]
    if end.outcome != last.outcome:
        weaker = _STRENGTH[str(last.outcome)] - _STRENGTH[str(end.outcome)]
        said = f"{about}: silence ends in {last.outcome} now, in {end.outcome} before."
        found.change("silence", weigh(weaker < 0, weaker > 0), old, new, said, "on_timeout")
    elif Meaning({})(end.default) != Meaning({})(last.default):
        said = f"{about}: what is taken when nobody answers has changed."
        found.change("silence", Weight.NEUTRAL, old, new, said, "on_timeout")


def _chain(step: BaseStep) -> list[Link]:
    return list(step.on_timeout or []) if isinstance(step, ApproveStep | AskStep | HumanStep | WaitStep) else []


def _said(chain: list[Link]) -> str:
    links = [f"{link.escalate} within {link.within}" for link in chain[:-1]]
    return ", then ".join([*links, str(chain[-1].outcome)])


def compare_length(
    old: Seen, new: Seen, key: str, about: str, found: Findings, *, code: str = "within", longer_is_worse: bool = False
) -> None:
    """A duration that both steps may have under one key."""
    was, now = getattr(old.step, key, None), getattr(new.step, key, None)
    before, after = (seconds(was) if was else None), (seconds(now) if now else None)
    if before == after:
        return
    longer = before is not None and (after is None or after > before)
    weight = weigh(longer, not longer) if longer_is_worse else Weight.NEUTRAL
    found.change(code, weight, old, new, f"{about} {now or 'no limit'} now, {was or 'no limit'} before.", key)


def compare_approve(old: Seen, new: Seen, about: str, found: Findings) -> None:
    """Everything about an approval but what it covers."""
    was, now = old.step, new.step
    assert isinstance(was, ApproveStep) and isinstance(now, ApproveStep)
    compare_by(old, new, was.by, now.by, about, found)
    compare_waiting(old, new, about, found)
    told = f"{about} holds for"
    compare_length(old, new, "valid_for", told, found, code="valid_for", longer_is_worse=True)
    if was.on_deny != now.on_deny:
        goes_on = now.on_deny == "continue"
        what = "goes on" if goes_on else "ends"
        said = f"{about}: after a denial the run {what} now."
        found.change("on_deny", weigh(goes_on, not goes_on), old, new, said, "on_deny")
