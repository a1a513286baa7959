"""The attended demo: the terminal shows each card and the person at it decides, as whoever is asked."""

import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from worker.cli import card
from worker.cli.output import Refused, clean, say
from worker.cli.values import typed
from worker.demo_people import CAST, Script, Undecided


class Prompted(Script):
    """Asks at the terminal instead of following the script."""

    waits_for_people = True

    def _decide(self, incident: str, name: str, entry: Mapping[str, Any]) -> int:
        say("\n" + card.question(incident, entry, datetime.now(UTC), card.Paint(sys.stderr.isatty())))
        say(f"  You are {name} ({', '.join(CAST[name])}).")
        return super()._decide(incident, name, entry)

    def _answer(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        verdicts = entry["verdicts"]
        if "answer" in verdicts:
            return {"verdict": "answer", "values": self._form(entry["form"])}
        if "done" in verdicts:
            _ask("  Press Enter when it is done (the simulated world does it for you): ")
            return super()._answer(entry)
        choices = [verdict for verdict in verdicts if verdict != "break_glass"]
        while True:
            given = _ask(f"  {' / '.join(choices)}? ").lower()
            found = [choice for choice in choices if given and choice.startswith(given)]
            if len(found) == 1:
                return {"verdict": found[0], "reason": "Decided at the terminal."}
            say(f"  Type one of: {', '.join(choices)}.")

    def _form(self, form: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for name, wanted in form.items():
            while True:
                text = _ask(f"  {name} ({wanted['type']}{'' if wanted['required'] else ', optional'}): ")
                if not text and (not wanted["required"] or wanted.get("default") is not None):
                    break
                try:
                    values |= typed({name: text}, form, "")
                    break
                except Refused as refused:
                    say(f"  {clean(refused.message)}")
        return values


def _ask(prompt: str) -> str:
    sys.stderr.write(prompt)
    sys.stderr.flush()
    line = sys.stdin.readline()
    if not line:
        raise Undecided("Nobody is at the terminal to decide. Use --unattended to let scripted people do it.")
    return line.strip()
