"""Text in pictures: made safe, measured without a font, broken to fit.

Widths are an upper estimate over the usual sans-serif fonts, so that what fits here fits on the reader's screen.
"""

import re
import unicodedata
from functools import lru_cache
from html import escape

_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufffe\uffff\ud800-\udfff]"
)
_WIDTHS = {
    **dict.fromkeys("ijlI|'", 0.31), **dict.fromkeys(" .,:;!/\\", 0.35), **dict.fromkeys("frt()[]-`J", 0.42),
    **dict.fromkeys("sczk_*?\"", 0.57), **dict.fromkeys("vxyeaoLFPTY", 0.63), **dict.fromkeys("w+=<>~^#", 0.85),
    **dict.fromkeys("CDGHNOQRUAVXZBK", 0.79), **dict.fromkeys("mMW@%&", 1.0),
}  # fmt: skip
"""Advance of a character in ems, in the widest of the usual fonts."""


def clean(text: str) -> str:
    """A text on one line, without what XML forbids or what turns its direction around."""
    return " ".join(_UNSEEN.sub("�", text).split())


def xml(text: str) -> str:
    """Cleaned and escaped for an element or an attribute."""
    return escape(clean(text), quote=True)


@lru_cache(maxsize=4096)
def _em(char: str) -> float:
    if char in _WIDTHS:
        return _WIDTHS[char]
    if unicodedata.combining(char):
        return 0.0
    if char.isascii():
        return 0.66
    return 1.05 if unicodedata.east_asian_width(char) in "WF" else 0.8


def width(text: str, size: float, *, bold: bool = False) -> float:
    """Width of a line in the unit of ``size``, rather too large than too small."""
    return sum(map(_em, text)) * size * (1.13 if bold else 1)


def wrap(text: str, size: float, room: float, *, lines: int = 3, bold: bool = False) -> list[str]:
    """A text broken into at most ``lines`` lines of at most ``room``; what does not fit ends in an ellipsis."""
    found, rest = list[str](), clean(text)
    while rest and len(found) < lines:
        count = _fitting(rest, size, room, bold)
        if count < len(rest) and len(found) == lines - 1:
            count = _fitting(rest, size, room - width("…", size, bold=bold), bold)
            found.append(rest[:count].rstrip() + "…")
            break
        if count < len(rest) and (space := rest.rfind(" ", 0, count + 1)) > 0:
            count = space
        found.append(rest[:count].rstrip())
        rest = rest[count:].lstrip()
    return found


def _fitting(text: str, size: float, room: float, bold: bool) -> int:
    """How many characters fit, at least one."""
    used = 0.0
    for number, char in enumerate(text):
        used += width(char, size, bold=bold)
        if used > room:
            return max(1, number)
    return len(text)
