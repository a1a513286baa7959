"""What a pickle would do, read from its opcodes; it is never loaded. Pure.

A pickle is a program: its opcodes run in order until one fails, so a stream that breaks off later has already done
what came before (nullifAI, February 2025: scanners that wanted a whole pickle saw nothing). ``pickletools.genops`` only
reads opcodes and their arguments (https://docs.python.org/3/library/pickletools.html).
"""

import io
import pickletools
from collections import deque
from dataclasses import dataclass

from activities.systems.mlflow.shown import shown

IMPORTS = frozenset({"GLOBAL", "INST", "STACK_GLOBAL", "EXT1", "EXT2", "EXT4"})
"""Opcodes that fetch something by its name, or by a number registered for it."""
CALLS = frozenset({"REDUCE", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "BUILD"})
"""Opcodes that call what was fetched, or a method of it."""
TEXTS = frozenset(
    {"SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "UNICODE", "STRING", "BINSTRING", "SHORT_BINSTRING"}
)
MOST_OPCODES = 1_000_000
MOST_NAMES = 10


@dataclass(frozen=True)
class Pickled:
    """What a stream of opcodes holds.

    Attributes:
        imports: What it would fetch, ``module.name``; ``?`` where the names are computed. At most ten.
        calls: Whether it would call something.
        whole: Whether the stream ends as it should; one that does not has still run until there.
        opcodes: How many were read.
    """

    imports: tuple[str, ...]
    calls: bool
    whole: bool
    opcodes: int

    @property
    def acts(self) -> bool:
        """Whether loading it would run something."""
        return bool(self.imports) and self.calls

    def __str__(self) -> str:
        """A phrase: ``a broken pickle that would call posix.system``."""
        kind = "a pickle" if self.whole else "a broken pickle"
        if not self.imports:
            return kind
        return f"{kind} that would {'call' if self.calls else 'import'} {', '.join(self.imports)}"


def read_opcodes(content: bytes) -> Pickled | None:
    """What the content holds if it begins as a pickle; ``None`` if it does not.

    Content that begins with the PROTO opcode (protocols 2 to 5) is a pickle, whole or broken. Anything else is one if
    it ends as one should, or if it would import and call something before it breaks off: protocols 0 and 1 begin with
    any opcode, and plain text happens to be a few harmless ones.
    """
    imports: dict[str, None] = {}
    recent: deque[str] = deque(maxlen=2)
    memo: dict[int, str] = {}
    calls = whole = False
    count = end = 0
    try:
        for opcode, argument, place in pickletools.genops(content):
            count += 1
            if opcode.name in TEXTS and isinstance(argument, str):
                recent.append(argument)
            elif opcode.name == "MEMOIZE":
                memo[len(memo)] = recent[-1] if recent else ""
            elif opcode.name in ("BINGET", "LONG_BINGET", "GET") and isinstance(argument, int):
                recent.append(memo.get(argument, "?"))
            elif opcode.name in ("BINPUT", "LONG_BINPUT", "PUT") and isinstance(argument, int):
                memo[argument] = recent[-1] if recent else ""
            if opcode.name in IMPORTS and len(imports) < MOST_NAMES:
                imports[_named(opcode.name, argument, recent)] = None
            calls = calls or opcode.name in CALLS
            whole, end = opcode.name == "STOP", (place or 0) + 1
            if count >= MOST_OPCODES:
                break
    except Exception:
        # Whatever the reader trips over, the loader would have run what was read so far.
        whole = False
    found = Pickled(tuple(imports), calls, whole, count)
    begins = len(content) >= 2 and content[0] == 0x80 and 2 <= content[1] <= 5
    return found if begins or found.acts or (whole and _adds_up(content[:end])) else None


def _adds_up(content: bytes) -> bool:
    """Whether each opcode finds on the stack what it needs; words such as ``tea.`` are opcodes, but no pickle."""
    try:
        pickletools.dis(content, out=io.StringIO())
    except Exception:
        return False
    return True


def _named(opcode: str, argument: object, recent: deque[str]) -> str:
    if opcode == "STACK_GLOBAL":
        parts = list(recent)
        return shown(".".join(parts)) if len(parts) == 2 else "?"
    if opcode.startswith("EXT"):
        return f"extension {argument}"
    return shown(str(argument).replace(" ", ".", 1))
