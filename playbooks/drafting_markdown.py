"""Makes text from outside harmless in Markdown (CommonMark and GitHub's additions), and keeps it readable."""

import re

MAX_SHOWN = 4000
_ANYWHERE = re.compile(r"[\\`*_\[\]<>&#|~!@{}$^]")
_LINE_START = re.compile(r"^([-+=:]|\d{1,9}(?=[.)]))")
_SCHEME = re.compile(r"(?<=[A-Za-z0-9+.-]):(?=//)|(?<=mailto):|(?<=xmpp):", re.IGNORECASE)
_WWW = re.compile(r"(?<=www)\.", re.IGNORECASE)
_UNSEEN = re.compile(
    "[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff"
    "\U000e0000-\U000e007f]"
)


class Safe(str):
    """Markdown of our own, or text that ``escape`` has been through: a template takes it as it is."""

    __slots__ = ()


def escape(text: str) -> Safe:
    """Return ``text`` as Markdown that shows exactly it and nothing more.

    No heading, list, quote, code, table, emphasis, link, image, HTML or bare address comes of it. Characters
    that nobody sees (controls, directions, zero widths) are named instead; at most 4,000 characters are shown.
    """
    plain = str(text).replace("\r\n", "\n").replace("\r", "\n").replace("\t", " ")
    plain = plain.replace("\u2028", "\n").replace("\u2029", "\n").replace("\u0085", "\n")
    cut = len(plain) - MAX_SHOWN
    if cut > 0:
        plain = plain[:MAX_SHOWN]
    plain = _UNSEEN.sub(lambda found: f"(U+{ord(found[0]):04X})", plain)
    lines = [_line(line) for line in plain.split("\n")]
    shown = re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()
    return Safe(f"{shown} … ({cut} more characters in the JSON)" if cut > 0 else shown)


def _line(line: str) -> str:
    text = _ANYWHERE.sub(lambda found: f"\\{found[0]}", line.strip())
    text = text.replace("](", "]\\(")
    text = _SCHEME.sub(r"\\:", text)
    text = _WWW.sub(r"\\.", text)
    return _LINE_START.sub(lambda found: f"\\{found[0]}" if not found[0].isdigit() else found[0] + "\\", text)


def finalize(value: object) -> str:
    """What a template does with every value: escapes it unless it is ``Safe``."""
    return value if isinstance(value, Safe) else escape("" if value is None else str(value))
