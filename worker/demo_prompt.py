"""The attended demo: the terminal shows each card and the person at it decides, as whoever is asked.

Whoever decides elsewhere instead, in Slack or in another terminal, is not waited for: the prompt goes on to what
waits then.
"""

import os
import select
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from worker.cli import card
from worker.cli.output import Refused, clean, say
from worker.cli.values import typed
from worker.demo_people import CAST, Script, Undecided

LOOK = 1.0
"""Seconds between two looks at whether the question still waits."""


class _Elsewhere(Exception):
    """The question was decided at another door meanwhile."""


class Keyboard:
    """Lines that somebody types, waited for only as long as somebody wants them."""

    def __init__(self, descriptor: int = 0) -> None:
        """``descriptor`` is read from; by default standard input."""
        self._descriptor, self._held = descriptor, b""

    def line(self, wanted: Callable[[], bool]) -> str | None:
        """The next line; nothing once ``wanted`` says no.

        Raises:
            Undecided: nobody is there to type.
        """
        while b"\n" not in self._held:
            ready, _, _ = select.select([self._descriptor], [], [], LOOK)
            if not ready:
                if not wanted():
                    return None
                continue
            typed_now = os.read(self._descriptor, 4096)
            if not typed_now:
                raise Undecided("Nobody is at the terminal to decide. Use --unattended to let scripted people do it.")
            self._held += typed_now
        line, _, self._held = self._held.partition(b"\n")
        return line.decode(errors="replace").strip()


@dataclass
class Prompted(Script):
    """Asks at the terminal instead of following the script."""

    waits_for_people = True
    keyboard: Keyboard = field(default_factory=Keyboard)
    _wanted: Callable[[], bool] = lambda: True

    def _decide(self, incident: str, name: str, entry: Mapping[str, Any]) -> int:
        current = self._waiting(incident, name, entry)
        if current is None:
            return 0
        say("\n" + card.question(incident, current, datetime.now(UTC), card.Paint(sys.stderr.isatty())))
        say(f"  You are {name} ({', '.join(CAST[name])}).")
        self._wanted = lambda: self._waiting(incident, name, entry) is not None
        try:
            return super()._decide(incident, name, current)
        except _Elsewhere:
            say("\n  That was decided elsewhere.")
            return 0

    def _waiting(self, incident: str, name: str, entry: Mapping[str, Any]) -> dict[str, Any] | None:
        """The question as it waits now, if it still waits for this person."""
        for current in self.people[name].get("/v1/decisions", incident=incident)["decisions"]:
            if current["yours"] and all(current[key] == entry[key] for key in ("run", "step", "digest")):
                return dict(current)
        return None

    def _answer(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        verdicts = entry["verdicts"]
        if "answer" in verdicts:
            return {"verdict": "answer", "values": self._form(entry["form"])}
        if "done" in verdicts:
            self._ask("  Press Enter when it is done (the simulated world does it for you): ")
            return super()._answer(entry)
        choices = [verdict for verdict in verdicts if verdict != "break_glass"]
        while True:
            given = self._ask(f"  {' / '.join(choices)}? ").lower()
            found = [choice for choice in choices if given and choice.startswith(given)]
            if len(found) == 1:
                return {"verdict": found[0], "reason": "Decided at the terminal."}
            say(f"  Type one of: {', '.join(choices)}.")

    def _form(self, form: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for name, wanted in form.items():
            while True:
                text = self._ask(f"  {name} ({wanted['type']}{'' if wanted['required'] else ', optional'}): ")
                if not text and (not wanted["required"] or wanted.get("default") is not None):
                    break
                try:
                    values |= typed({name: text}, form, "")
                    break
                except Refused as refused:
                    say(f"  {clean(refused.message)}")
        return values

    def _ask(self, prompt: str) -> str:
        sys.stderr.write(prompt)
        sys.stderr.flush()
        line = self.keyboard.line(self._wanted)
        if line is None:
            raise _Elsewhere
        return line
