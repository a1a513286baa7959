"""Random playbooks that are valid by construction: every kind of step, nested, with conditions and failures."""

import json
from dataclasses import dataclass, field
from random import Random
from typing import Any

from tests.books import HEAD

EFFECTS = ("lab.cut", "lab.pause", "lab.change", "lab.destroy")
LONGEST = 4
DEEPEST = 3


@dataclass
class Scope:
    """What a step may refer to: ids whose ``meta`` it sees, and how deep it stands."""

    seen: list[str] = field(default_factory=list)
    depth: int = 0
    looping: bool = False


class Writer:
    """Writes one playbook by the choices of ``rnd``."""

    def __init__(self, rnd: Random, *, child: bool = False) -> None:
        self.rnd, self.child, self.count = rnd, child, 0

    def document(self) -> dict[str, Any]:
        """The whole file."""
        scope = Scope()
        found: dict[str, Any] = {"steps": self.steps(scope, LONGEST)}
        # Of what the main steps did, the rest sees only how they ended.
        if self.rnd.random() < 0.6:
            found["always"] = self.steps(Scope(seen=list(scope.seen)), 2, always=True)
        return found

    def steps(self, scope: Scope, most: int, *, always: bool = False) -> list[dict[str, Any]]:
        """A sequence."""
        made: list[dict[str, Any]] = []
        for _ in range(self.rnd.randint(1, most)):
            made += self.step(scope, always)
        return made

    def step(self, scope: Scope, always: bool) -> list[dict[str, Any]]:
        """A step, or an approval with what it covers."""
        flat = [
            "read",
            "effect",
            "ask",
            "human",
            "wait",
            "until",
            "event",
            "set",
            "note",
            "tell",
            "require",
            "approval",
            "approval",
        ]
        blocks = ["parallel", "if", "choose", "each", "do", "repeat"] if scope.depth < DEEPEST else []
        kinds = flat + blocks + ([] if always else ["stop"]) + ([] if self.child or scope.looping else ["run"])
        kind = self.rnd.choice(kinds)
        if kind == "approval":
            return self.approval(scope)
        made = getattr(self, f"_{kind}")(scope)
        return [self.finished(made, scope, kind)]

    def finished(self, made: dict[str, Any], scope: Scope, kind: str) -> dict[str, Any]:
        """With an id and, by chance, keys that every step may have."""
        rnd = self.rnd
        self.count += 1
        made = {"id": f"s{self.count}", **made}
        if scope.seen and rnd.random() < 0.2:
            made["when"] = self.condition(scope)
        if kind in ("read", "effect", "do", "each", "parallel", "run", "repeat", "require") and rnd.random() < 0.4:
            made["on_failure"] = rnd.choice(["stop", "continue", "ask"])
        if kind == "effect" and rnd.random() < 0.15:
            made["on_failure"] = "undo"
        if kind in ("read", "effect") and rnd.random() < 0.2:
            made["retry"] = {"times": rnd.randint(1, 2), "every": rnd.choice(["10s", "5m"])}
        if kind in ("do", "each", "parallel", "if", "choose", "repeat", "run") and rnd.random() < 0.2:
            made["retry"] = {"times": 1, "every": "5m"}
        if kind in ("do", "each", "parallel") and rnd.random() < 0.1:
            made["timeout"] = rnd.choice(["30m", "3h"])
        scope.seen.append(made["id"])
        return made

    def condition(self, scope: Scope) -> str:
        """Something that holds or not, of what can be seen."""
        if not scope.seen or self.rnd.random() < 0.3:
            return "{{ inputs.flag }}" if not self.child else "{{ incident.severity > 2 }}"
        step, word = self.rnd.choice(scope.seen), self.rnd.choice(["done", "failed", "skipped", "denied"])
        sign = self.rnd.choice(["==", "!="])
        return f"{{{{ steps.{step}.meta.status {sign} '{word}' }}}}"

    def targets(self) -> dict[str, Any]:
        """Parameters of an effect."""
        return {"targets": [f"t{number}" for number in range(self.rnd.randint(1, 3))]}

    def within(self, *ends: Any) -> dict[str, Any]:
        """How long to wait, and what follows silence."""
        chain: list[Any] = [{"escalate": "incident_commander", "within": "10m"}] if self.rnd.random() < 0.4 else []
        return {"within": self.rnd.choice(["15m", "2h"]), "on_timeout": [*chain, self.rnd.choice(ends)]}

    def approval(self, scope: Scope) -> list[dict[str, Any]]:
        """An approve step and the effects that it covers, one of them perhaps within a block."""
        rnd = self.rnd
        self.count += 1
        asking = f"s{self.count}"
        seen = list(scope.seen)
        effects = []
        for _ in range(rnd.randint(1, 3)):
            made = self.finished(self._effect(scope), Scope(seen=list(seen)), "effect")
            if rnd.random() < 0.15 and not scope.looping:
                made["for_each"] = ["x", "y"]
            effects.append(made)
        covered = [made["id"] for made in effects]
        if scope.depth < DEEPEST and rnd.random() < 0.3:
            last = effects.pop()
            self.count += 1
            effects.append({"id": f"s{self.count}", "if": self.condition(Scope(seen=seen)), "then": [last]})
        first = {
            "id": asking,
            "approve": covered,
            "by": {"roles": ["platform_owner"], "count": rnd.randint(1, 2)},
            **self.within("deny", "stop"),
            "on_deny": rnd.choice(["continue", "continue", "stop"]),
            "valid_for": rnd.choice(["1h", "5m"]),
        }
        scope.seen += [asking, *covered]
        return [first, *effects]

    # --- kinds ---------------------------------------------------------------------------------

    def _read(self, scope: Scope) -> dict[str, Any]:
        return {"action": "lab.look"}

    def _effect(self, scope: Scope) -> dict[str, Any]:
        return {"action": self.rnd.choice(EFFECTS), "with": self.targets()}

    def _ask(self, scope: Scope) -> dict[str, Any]:
        form = {"sure": {"type": "boolean"}, "more": {"type": "string", "required": False}}
        ends = self.within("unanswered", "unanswered", "stop", {"default": {"sure": False}})
        return {"ask": "Sure?", "by": {"roles": ["platform_owner"]}, "form": form, **ends}

    def _human(self, scope: Scope) -> dict[str, Any]:
        made = {"human": "Do it.", "owner": "platform_owner", **self.within("continue", "continue", "stop")}
        if self.rnd.random() < 0.4:
            until = self.rnd.choice(["{{ result.count >= 0 }}", "{{ result.count > 0 }}"])
            made["verify"] = {"action": "lab.look", "until": until, "every": "5m"}
        return made

    def _wait(self, scope: Scope) -> dict[str, Any]:
        return {"wait": {"for": self.rnd.choice(["30s", "10m"])}}

    def _until(self, scope: Scope) -> dict[str, Any]:
        until = self.rnd.choice(["{{ incident.severity > 2 }}", "{{ incident.subjects is defined }}"])
        end = {"within": "20m", "on_timeout": [self.rnd.choice(["continue", "stop"])]}
        return {"wait": {"until": until, "every": "5m"}, **end}

    def _event(self, scope: Scope) -> dict[str, Any]:
        end = {"within": "1h", "on_timeout": [self.rnd.choice(["continue", "stop"])]}
        return {"wait": {"event": self.rnd.choice(["found", "moved"])}, **end}

    def _set(self, scope: Scope) -> dict[str, Any]:
        return {"set": {"incident.subjects": self.rnd.randint(1, 9)}}

    def _note(self, scope: Scope) -> dict[str, Any]:
        return {"note": "As {{ incident.title }} says."}

    def _tell(self, scope: Scope) -> dict[str, Any]:
        return {"tell": "Look.", "to": self.rnd.choice(["channel", "page", "platform_owner"])}

    def _require(self, scope: Scope) -> dict[str, Any]:
        return {"require": self.condition(scope), "message": "It must hold."}

    def _stop(self, scope: Scope) -> dict[str, Any]:
        return {"stop": "Enough."}

    def _inner(self, scope: Scope, *, looping: bool = False, apart: bool = False) -> tuple[list[dict[str, Any]], Scope]:
        inner = Scope(list(scope.seen), scope.depth + 1, scope.looping or looping)
        made = self.steps(inner, 3 if apart else 2)
        return made, inner

    def _parallel(self, scope: Scope) -> dict[str, Any]:
        branches, found = {}, []
        for name in ("one", "two", "three")[: self.rnd.randint(2, 3)]:
            branches[name], inner = self._inner(scope, apart=True)
            found += inner.seen[len(scope.seen) :]
        scope.seen += found
        return {"parallel": branches, **({"fail_fast": True} if self.rnd.random() < 0.3 else {})}

    def _if(self, scope: Scope) -> dict[str, Any]:
        made: dict[str, Any] = {"if": self.condition(scope)}
        made["then"], inner = self._inner(scope)
        found = inner.seen[len(scope.seen) :]
        if self.rnd.random() < 0.5:
            made["else"], inner = self._inner(scope)
            found += inner.seen[len(scope.seen) :]
        scope.seen += found
        return made

    def _choose(self, scope: Scope) -> dict[str, Any]:
        ways: list[dict[str, Any]] = []
        for _ in range(self.rnd.randint(1, 2)):
            do, _ = self._inner(scope)
            ways.append({"when": self.condition(scope), "do": do})
        if self.rnd.random() < 0.5:
            ways.append({"else": self._inner(scope)[0]})
        return {"choose": ways}

    def _each(self, scope: Scope) -> dict[str, Any]:
        items = [f"i{number}" for number in range(self.rnd.randint(0, 3))]
        do, _ = self._inner(scope, looping=True)
        return {"for_each": items, "at_once": self.rnd.randint(1, 3), "do": do}

    def _do(self, scope: Scope) -> dict[str, Any]:
        do, inner = self._inner(scope)
        scope.seen[:] = inner.seen
        return {"do": do}

    def _repeat(self, scope: Scope) -> dict[str, Any]:
        do, _ = self._inner(scope, looping=True)
        until = self.rnd.choice(["{{ incident.severity > 2 }}", "{{ incident.subjects is defined }}"])
        every = {"every": "1m"} if self.rnd.random() < 0.5 else {}
        return {"repeat": {"do": do, "until": until, "at_most": self.rnd.randint(1, 3), **every}}

    def _run(self, scope: Scope) -> dict[str, Any]:
        return {"run": {"playbook": "child"}}


def written(rnd: Random) -> tuple[str, str]:
    """A playbook and the one that it may run, as texts."""
    parent, child = Writer(rnd).document(), Writer(rnd, child=True).document()
    inputs = {"inputs": {"flag": {"type": "boolean", "default": True}}}
    return HEAD + _body({**inputs, **parent}), HEAD.replace("id: example", "id: child") + _body(child)


def _body(document: dict[str, Any]) -> str:
    return "".join(f"{key}: {json.dumps(value)}\n" for key, value in document.items())
