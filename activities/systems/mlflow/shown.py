"""Text of others as it may stand in a sentence of ours: printable, on one line, not endless. Pure."""

LONGEST = 100


def shown(text: str, longest: int = LONGEST) -> str:
    """The text with everything replaced that is not printable, cut with an ellipsis."""
    clean = "".join(char if char.isprintable() else "�" for char in text[: longest + 1])
    return clean if len(clean) <= longest else f"{clean[: longest - 1]}…"
