"""Single expressions: do they keep to the grammar, and is what they read in sight and surely set?"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from playbooks.contract import Json
from playbooks.expr_grammar import ROOTS
from playbooks.expr_names import Chain, Read, calls, reads
from playbooks.expr_text import ExprError, templates
from playbooks.model_steps import Loc, WaitStep
from playbooks.problems import did_you_mean
from playbooks.review_scope import ALWAYS_KNOWN, META, RUN, TARGET_FIELDS, Env, outputs
from playbooks.types import repeats_text, spoken

if TYPE_CHECKING:
    from playbooks.review import Review

_HINTS = {
    "result": "result is known only in until of a verify.",
    **dict.fromkeys(("yes", "on", "Yes", "On"), "Write true."),
    **dict.fromkeys(("no", "off", "No", "Off"), "Write false."),
}
TEST = "Use default(), test it with is defined, or put the step under a when or if that tests it."


class Reads:
    """Checks expressions for one review."""

    def __init__(self, review: "Review") -> None:
        """Problems go to the review."""
        self._review = review
        self._unsure: list[Chain] | None = None

    def expressions(self, at: Loc, value: Json, *, report: bool = False) -> Iterator[str]:
        """The expressions of a value. Braces without an end are a problem, reported where asked."""
        try:
            yield from list(templates(value))
        except ExprError as error:
            if report:
                self._review.report(at, "unsafe_expression", str(error))

    def check(self, at: Loc, source: str, env: Env, *, only_incident: bool = False) -> None:
        """Check one bare expression that stands at a place."""
        try:
            found = reads(source)
        except ExprError as error:
            self._review.report(at, "unsafe_expression", str(error))
            return
        if only_incident and "now" in calls(source):
            said = "now() is not allowed in the default of an input: it is filled in before the run begins."
            self._review.report(at, "unsafe_expression", said)
        for read in found:
            head = read.chain[0]
            if only_incident and head in ROOTS and head != "incident":
                code = "used_before" if head in ("steps", "inputs") else "unsafe_expression"
                said = f"The default of an input can read the incident only, not {'.'.join(read.chain)}."
                self._review.report(at, code, said, "It is filled in before the run begins.")
            else:
                self._read(at, read, env)
        operator = repeats_text(source, lambda chain: self._review.types.of(chain, env))
        if operator is not None:
            said = f"{operator} works on numbers and durations only, not on text or lists."
            self._review.report(at, "unsafe_expression", said)

    def unsure(self, at: Loc, value: Json, env: Env) -> bool:
        """Check a value that may stay unset, and say whether it may."""
        found: list[Chain] = []
        self._unsure = found
        try:
            self._review.value(at, value, env)
        finally:
            self._unsure = None
        return bool(found)

    def _read(self, at: Loc, read: Read, env: Env) -> None:
        head = read.chain[0]
        if head in env.names:
            self._below(at, read.chain, env)
        elif head == "steps":
            self._step(at, read, env)
        elif head == "inputs":
            self._input(at, read, env)
        elif head == "incident":
            if (
                len(read.chain) > 1
                and read.chain[1] not in ALWAYS_KNOWN
                and not read.guarded
                and not env.holds(read.chain[:2])
            ):
                self._unset(at, read.chain[:2], "a fact that an incident may lack")
            self._below(at, read.chain, env)
        elif head == "run":
            if len(read.chain) > 1 and read.chain[1] not in RUN:
                said = f"run has no field {read.chain[1]}."
                self._review.report(at, "unknown_key", said, f"It has {', '.join(RUN)}.")
            self._below(at, read.chain, env)
        else:
            known = sorted((*ROOTS, *env.names))
            hint = _HINTS.get(head, "")
            hint = hint or did_you_mean(head, known) or f"Known here: {', '.join(known)}."
            self._review.report(at, "unsafe_expression", f"Nothing is named {head} here.", hint)

    def _below(self, at: Loc, chain: Chain, env: Env) -> None:
        """A plain value has no fields: what is read below it would only ever be unset."""
        for length in range(1, len(chain)):
            kind = self._review.types.of(chain[:length], env)
            fields = TARGET_FIELDS if kind in ("targets", "grants") else ()
            if kind not in ("any", "map") and chain[length] not in fields:
                named = ".".join(chain[:length])
                hint = f"It has {', '.join(fields)}." if fields else ""
                said = f"{named} is {spoken(kind)} and has no {chain[length]}."
                self._review.report(at, "unknown_key", said, hint)
                return

    def _input(self, at: Loc, read: Read, env: Env) -> None:
        declared = self._review.source.playbook.inputs
        name = read.chain[1] if len(read.chain) > 1 else ""
        field = declared.get(name)
        if field is None:
            hint = did_you_mean(name, declared) or "Declare it under inputs."
            self._review.report(at, "unknown_key", f"The playbook has no input {name}.", hint)
        elif not field.required and field.default is None and not read.guarded and not env.holds(read.chain[:2]):
            self._unset(at, read.chain[:2], "an input that may be left out")
        self._below(at, read.chain, env)

    def _step(self, at: Loc, read: Read, env: Env) -> None:
        outline = self._review.outline
        name = read.chain[1] if len(read.chain) > 1 else ""
        loc = outline.by_id.get(name)
        if loc is None:
            hint = did_you_mean(name, outline.by_id)
            self._review.report(at, "unknown_step", f"There is no step with the id {name}.", hint)
            return
        if name in env.loops:
            loop = env.loops[name]
            said = f"{name} is inside of a for_each and cannot be read from outside of it."
            hint = f"Read steps.{loop}.items." if loop else "Give the loop an id and read its items."
            self._review.report(at, "unknown_step", said, hint)
        elif len(read.chain) > 2 and read.chain[2] == "meta":
            if len(read.chain) > 3 and read.chain[3] not in META:
                said = f"steps.{name}.meta has no field {read.chain[3]}."
                self._review.report(at, "unknown_key", said, f"It has {', '.join(sorted(META))}.")
        elif name not in env.seen:
            said = f"{name} has not run when this is evaluated."
            hint = "Branches of a parallel do not see each other; put the step after the block, or move it up."
            self._review.report(at, "used_before", said, hint)
        else:
            self._field(at, read, env, name)

    def _field(self, at: Loc, read: Read, env: Env, name: str) -> None:
        step = self._review.outline.steps[self._review.outline.by_id[name]]
        if isinstance(step, WaitStep) and step.wait.event is not None and step.for_each is None:
            if len(read.chain) > 2 and not read.guarded and not env.holds(read.chain):
                self._unset(at, read.chain[:3], "nobody says beforehand what an event holds")
            return
        known = outputs(step, self._review.actions, self._review.gives)
        if len(read.chain) < 3 or known is None:
            return
        field = read.chain[2]
        if field not in known:
            has = f"It leaves {', '.join(known)}." if known else f"A step of kind {step.kind} leaves no output."
            said = f"The step {name} leaves no {field}."
            self._review.report(at, "unknown_key", said, did_you_mean(field, known) or has)
        elif not read.guarded and not env.holds(read.chain):
            self._unset(at, read.chain[:3], f"{name} may end without it")
        self._below(at, read.chain, env)

    def _unset(self, at: Loc, chain: Chain, why: str) -> None:
        if self._unsure is not None:
            self._unsure.append(chain)
            return
        self._review.report(at, "maybe_unset", f"{'.'.join(chain)} may be unset: {why}.", TEST)
