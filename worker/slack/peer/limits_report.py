"""What is wrong with blocks, gathered in the words and with the pointers that Slack uses."""

from typing import Any


class Report:
    """Problems found so far, and the checks that most blocks share."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def add(self, message: str, pointer: str) -> None:
        """One more problem."""
        self.found.append(f"{message} [json-pointer:{pointer}]")

    def unknown(self, given: dict[str, Any], known: set[str], at: str) -> None:
        """Keys that Slack does not know there."""
        for name in given:
            if name not in known:
                self.add(f"no more keys allowed: {name}", at)

    def text(self, given: dict[str, Any], name: str, least: int, most: int, at: str) -> None:
        """A text that must be there, of this length."""
        if name not in given:
            self.add(f"missing required field: {name}", at)
            return
        self._measure(given[name], least, most, f"{at}/{name}")

    def length(self, given: dict[str, Any], name: str, most: int, at: str) -> None:
        """A text that may be missing or empty, and is no longer than this."""
        if given.get(name) is not None:
            self._measure(given[name], 0, most, f"{at}/{name}")

    def items(self, given: dict[str, Any], name: str, least: int, most: int, at: str) -> list[Any]:
        """A list of this size that must be there; its items, none if it is no list."""
        value = given.get(name)
        if name not in given:
            self.add(f"missing required field: {name}", at)
            return []
        if not isinstance(value, list):
            self.add("must be an array", f"{at}/{name}")
            return []
        if len(value) < least:
            self.add(f"no fewer than {least} items allowed", f"{at}/{name}")
        if len(value) > most:
            self.add(f"no more than {most} items allowed", f"{at}/{name}")
        return value

    def _measure(self, value: object, least: int, most: int, pointer: str) -> None:
        if not isinstance(value, str):
            self.add("must be a string", pointer)
        elif len(value) > most:
            self.add(f"must be less than {most + 1} characters", pointer)
        elif len(value) < least:
            self.add(f"must be more than {least - 1} characters", pointer)
