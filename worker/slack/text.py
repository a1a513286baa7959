r"""Text from outside made safe for Slack, in one place: every constructor of :mod:`worker.slack.blocks` calls it.

Nothing that Stanch shows uses Slack's markup: blocks hold ``plain_text`` and ``rich_text`` only, in which ``*``,
``<@U1>`` or a line that begins with ``>`` are what they look like. What is left to do is done here: addresses (clients
make links of them), control, direction and invisible characters (shown as ``\xNN``), line breaks, towers of combining
marks, and length. Right-to-left runs are isolated: they change nothing around them.
"""

import re
import unicodedata
from functools import lru_cache

ELLIPSIS = "…"
_MARKS_IN_A_ROW = 8
_FSI, _PDI = "\u2068", "\u2069"

_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\u2800\u3164\ufe00-\ufe0e\ufeff\uffa0\ufff0-\ufffb\ud800-\udfff"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_SPACES = re.compile(r"[\t\n\v\f \u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]+")
_SCHEME = re.compile(r"(?i)\b([a-z][a-z0-9+.-]{1,30})://")
_MAILTO = re.compile(r"(?i)\b(mailto|tel|javascript|data|slack):(?=\S)")
_DOMAIN = re.compile(
    r"(?i)(?<![@\w.-])((?:[a-z0-9-]+\.)+)(?=(?:[a-z]{2,24}(?:/|:\d)|(?:com|net|org|io|co|info|biz|app|dev|xyz|top|ru|cn|"
    r"link|click|site|online|me|to|gl|ly|page|zip|mov)\b)(?![\w.-]*@))"
)
_EVERYBODY = re.compile(r"(?i)@(?=(?:channel|here|everyone|group)\b)")
_RIGHT = "\u0590-\u05ff\u0600-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\U00010800-\U00010fff\U0001e800-\U0001efff"
_RIGHT_RUN = re.compile(rf"[{_RIGHT}](?:[{_RIGHT} '’.\-\u0300-\u036f\u200c\u200d]*[{_RIGHT}])?")
_JOINS = "\u200c\u200d"
_MARKUP = str.maketrans({"*": "∗", "`": "'", "~": "∼", "|": "¦", "&": "&amp;", "<": "&lt;", ">": "&gt;"})
_EMOJI_NAME = re.compile(r":(?=[a-z0-9_+'-]+:)")
_EDGE = re.compile(r"(?<!\w)_|_(?!\w)")


def shown(text: object, *, lines: bool = False) -> str:
    r"""Any text as Slack may show it; what is hidden is shown as ``\xNN``.

    ``lines`` keeps line breaks (at most one empty line between two); without it they become spaces.
    """
    plain = str(text).replace("\r\n", "\n").replace("\r", "\n")
    if lines:
        parts = [_line(part) for part in plain.split("\n")]
        return re.sub(r"\n{3,}", "\n\n", "\n".join(parts)).strip("\n")
    return _line(plain)


def fallback(text: object) -> str:
    """A message's ``text``: one line, for notifications, in which Slack would read markup."""
    plain = _EVERYBODY.sub("＠", _EDGE.sub("\u02cd", _EMOJI_NAME.sub("∶", shown(text))))
    return plain.translate(_MARKUP)


def short(text: object, most: int) -> str:
    """At most so many UTF-16 units of a text, ending in ``…`` if it was longer; a character is never cut in two."""
    plain = str(text)
    if units(plain) <= most:
        return plain
    room, kept = most - units(ELLIPSIS), 0
    for at, character in enumerate(plain):
        room -= units(character)
        if room < 0:
            break
        kept = at + 1
    while kept:
        cut = plain[:kept].rstrip()
        # What was isolated is closed again, or it would turn what follows.
        cut += _PDI * (cut.count(_FSI) - cut.count(_PDI)) + ELLIPSIS
        whole = not (_mark(plain[kept]) or plain[kept] in _JOINS or plain[kept - 1] in _JOINS)
        if whole and units(cut) <= most:
            return cut
        kept -= 1
    return ELLIPSIS


def units(text: str) -> int:
    """Length in UTF-16 units: what Slack counts at most."""
    return len(text) + sum(character > "\uffff" for character in text)


@lru_cache(maxsize=4096)
def _line(text: str) -> str:
    """One line. Isolates come last: they are characters that the first step would show."""
    joined = _SPACES.sub(" ", text).strip()
    visible = _HIDDEN.sub(_visible, joined)
    return _RIGHT_RUN.sub(lambda found: f"{_FSI}{found.group()}{_PDI}", _dead(_marks(visible)))


def _visible(found: re.Match[str]) -> str:
    """A hidden character, kept only where writing needs it: joiners in a script or an emoji."""
    character, text, at = found.group(), found.string, found.start()
    if character in _JOINS and 0 < at < len(text) - 1 and _joinable(text[at - 1]) and _joinable(text[at + 1]):
        return character
    return f"\\x{ord(character):02x}"


def _joinable(character: str) -> bool:
    """Whether a joiner beside this character means something: emoji, and scripts whose letters join."""
    if character == "\ufe0f" or unicodedata.category(character) in ("So", "Sk"):
        return True
    return "\u0600" <= character <= "\u0dff" and unicodedata.category(character)[0] in "LM"


def _marks(text: str) -> str:
    """A letter carries a few marks; towers of them cover the lines around."""
    kept: list[str] = []
    row = 0
    for character in text:
        row = row + 1 if _mark(character) else 0
        if row <= _MARKS_IN_A_ROW:
            kept.append(character)
        elif row == _MARKS_IN_A_ROW + 1:
            kept.append(ELLIPSIS)
    return "".join(kept)


def _mark(character: str) -> bool:
    return unicodedata.category(character) in ("Mn", "Me", "Mc") or "\U0001f3fb" <= character <= "\U0001f3ff"


def _dead(text: str) -> str:
    """Addresses that no client makes a link of: ``hxxp[:]//evil[.]example``."""
    text = _SCHEME.sub(lambda found: f"{_unlinked(found[1])}[:]//", text)
    text = _MAILTO.sub(lambda found: f"{found[1]}[:]", text)
    return _DOMAIN.sub(lambda found: found[1][:-1] + "[.]", text)


def _unlinked(scheme: str) -> str:
    return re.sub("(?i)^http", "hxxp", scheme)
