"""What a comparison finds: less safe, safer, or neither but worth a look."""

from dataclasses import dataclass
from enum import StrEnum

from playbooks.contract import Json
from playbooks.diff_view import Seen

CODES: dict[str, str] = {
    "action": "A step runs another action.",
    "alert": "It answers other alerts.",
    "approval": "An effect is covered by an approval, or no longer is.",
    "condition": "A step runs under other conditions.",
    "decider_count": "The number of people who must agree.",
    "decider_each": "Roles that must each be heard.",
    "decider_roles": "Roles whose people may decide.",
    "deny_count": "How many denials end it.",
    "draft": "Other drafts are written.",
    "effect": "An effect is new, or gone.",
    "escalation": "Who is asked next when nobody answers.",
    "evidence": "Evidence that is secured, and what is secured before an effect.",
    "form": "What people are asked for.",
    "guard": "A condition or a stop that ends the run.",
    "input": "What the playbook must be told.",
    "on_deny": "What follows a denial.",
    "on_failure": "What follows a failure.",
    "place": "A step moved into `always`, or out of it.",
    "question": "A question or a person's task is new, or gone.",
    "recipients": "Who is told, and how loudly.",
    "renamed": "A step has another id.",
    "order": "Effects happen in another order.",
    "output": "What the playbook gives back to one that runs it.",
    "owner": "Who answers for a step.",
    "parameters": "An action has other parameters.",
    "silence": "What follows when nobody answers.",
    "step": "A step without an effect of its own is new, or gone.",
    "text": "What people read is worded otherwise.",
    "timeout": "How long a step may take.",
    "timing": "How often, how long and how much at once.",
    "duty": "A clock, a draft, a fact or a word to people is new, or gone.",
    "undo": "Whether a step can be undone.",
    "valid_for": "How long an approval holds.",
    "verification": "What is looked at afterwards, to see that it is so.",
    "within": "How long people have.",
}
"""Every code of a finding and what it is about. Whether a finding is for the better is its severity, not its code."""


class Weight(StrEnum):
    """What a change means for safety."""

    LESS_SAFE = "less_safe"
    SAFER = "safer"
    NEUTRAL = "neutral"


@dataclass(frozen=True)
class Finding:
    """One change. ``line`` in ``old_file`` and ``new_file``; ``None`` where it is not in that file."""

    code: str
    weight: Weight
    step: str
    said: str
    old_file: str
    old_line: int | None
    new_file: str
    new_line: int | None

    def as_json(self) -> dict[str, Json]:
        """As ``playbook diff --json`` prints it."""
        old = None if self.old_line is None else {"file": self.old_file, "line": self.old_line}
        new = None if self.new_line is None else {"file": self.new_file, "line": self.new_line}
        return {
            "code": self.code,
            "severity": self.weight.value,
            "step": self.step,
            "message": self.said,
            "old": old,
            "new": new,
        }


class Findings:
    """Gathers findings, each with its places."""

    def __init__(self) -> None:
        """None yet."""
        self.found: list[Finding] = []

    def add(
        self,
        code: str,
        weight: Weight,
        said: str,
        *,
        old: Seen | None = None,
        new: Seen | None = None,
        at: tuple[str | int, ...] = (),
    ) -> None:
        """Keep one about a step; ``at`` is the part that changed."""
        seen = new or old
        assert seen is not None and code in CODES
        self.found.append(
            Finding(
                code,
                weight,
                seen.path,
                said,
                old.source.name if old else "",
                old.line(*at) if old else None,
                new.source.name if new else "",
                new.line(*at) if new else None,
            )
        )

    def change(self, code: str, weight: Weight, old: Seen, new: Seen, said: str, *at: str | int) -> None:
        """Keep one about a step that is in both."""
        self.add(code, weight, said, old=old, new=new, at=at)


def weigh(less: object, safer: object) -> Weight:
    """What a change means: less safe if anything about it is."""
    return Weight.LESS_SAFE if less else Weight.SAFER if safer else Weight.NEUTRAL
