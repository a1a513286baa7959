"""The box of one step: its outline by kind, its texts broken to fit, its risk as a colour and as a count of bars."""

from dataclasses import dataclass

from playbooks.contract import Risk
from playbooks.graph import Node
from playbooks.graph_text import clean, width, wrap, xml

BOX = 320
"""Width of a step."""
LINE, SMALL, HEAD = 15, 11, 13
PEOPLE = ("approve", "ask", "human")


@dataclass(frozen=True)
class Drawing:
    """A finished part of a picture."""

    width: float
    height: float
    svg: str


@dataclass(frozen=True)
class Line:
    """One line of text in a box, before it has its place."""

    text: str
    style: str
    size: float
    high: float


def at(x: float, y: float, svg: str) -> str:
    """A drawing at a place."""
    return f'<g transform="translate({x:.1f} {y:.1f})">{svg}</g>' if svg else ""


def text(x: float, y: float, said: str, style: str, *, anchor: str = "start") -> str:
    """A line of text; ``y`` is its base line."""
    where = "" if anchor == "start" else f' text-anchor="{anchor}"'
    return f'<text class="{style}" x="{x:.1f}" y="{y:.1f}"{where}>{xml(said)}</text>'


def box(node: Node, *, width: float = BOX, frame: bool = False) -> Drawing:
    """A step, or with ``frame`` only the head of one that holds others."""
    inset = {"approve": 18, "human": 24, "if": 26, "choose": 26, "require": 26, "ask": 20}.get(node.kind, 16)
    lines = _lines(node, width - 2 * inset)
    high = 30 + sum(line.high for line in lines) + 9
    parts = [f'<g class="step {_colour(node)}" data-path="{xml(node.path)}">', f"<title>{xml(_spoken(node))}</title>"]
    if not frame:
        parts += _outline(node, width, high)
    parts += _head(node, width, inset)
    y = 30.0
    for line in lines:
        y += line.high
        parts.append(text(inset, y - 4, line.text, line.style))
    if node.seal is not None:
        parts += _seal(node, width)
    return Drawing(width, high, "".join([*parts, "</g>"]))


def _lines(node: Node, room: float) -> list[Line]:
    if node.speaks:
        found = [Line(said, "words", 12, 16) for said in wrap(node.title, 12, room, lines=4)]
    else:
        found = [Line(said, "name", HEAD, 17) for said in wrap(node.title, HEAD, room, bold=True)]
    if node.when:
        found += _small(f"only when {node.when}", "small when", room, 2)
    if node.loop:
        found += _small(f"↻ {node.loop}", "small", room, 2)
    for said in node.lines:
        found += _small(said, "small", room, 2)
    for said in node.marks:
        found += _small(f"▸ {said}", "small mark", room, 2)
    return found


def _small(said: str, style: str, room: float, lines: int) -> list[Line]:
    return [Line(part, style, SMALL, LINE) for part in wrap(said, SMALL, room, lines=lines, bold="mark" in style)]


def _head(node: Node, wide: float, inset: float) -> list[str]:
    """The kind, its risk as bars, and at the right the id."""
    word = node.word.upper()
    parts, x = [text(inset, 21, word, "word")], inset + width(word, 10, bold=True) + 8
    if node.risk is not None:
        parts.append(pips(node.risk, x, 13))
        x += len(Risk) * 8 + 6
    right = wide - inset - (16 if node.seal is not None else 0)
    name = wrap(node.shown, 10, right - x, lines=1) if right - x > 24 else []
    return [*parts, *(text(right, 21, said, "id", anchor="end") for said in name)]


def pips(risk: Risk, x: float, y: float) -> str:
    """A risk as bars: one for read, all for destroy."""
    return "".join(
        f'<rect class="{"pip on" if number <= risk.rank else "pip"}" x="{x + number * 8:.1f}" y="{y}" width="6" '
        'height="8" rx="1.5"/>'
        for number in range(len(Risk))
    )


def _outline(node: Node, w: float, h: float) -> list[str]:
    style = "shape conditional" if node.when else "shape"
    style += " unapproved" if node.unapproved else ""
    path = _path(node.kind, w, h)
    behind = f'<path class="{style} behind" transform="translate(5 5)" d="{path}"/>' if node.loop else ""
    drawn = [behind, f'<path class="{style}" d="{path}"/>']
    if node.risk is not None:
        side = f"M5 .8h3.5v{h - 1.6:.1f}h-3.5a4.2 4.2 0 0 1-4.2-4.2v-{h - 10:.1f}a4.2 4.2 0 0 1 4.2-4.2z"
        drawn.append(f'<path class="stripe" d="{side}"/>')
    return drawn


def _path(kind: str, w: float, h: float) -> str:
    if kind == "approve":
        return f"M12 0H{w - 12:.1f}L{w:.1f} 12V{h - 12:.1f}L{w - 12:.1f} {h:.1f}H12L0 {h - 12:.1f}V12z"
    if kind == "human":
        return f"M0 0H{w:.1f}L{w - 14:.1f} {h:.1f}H14z"
    if kind in ("if", "choose", "require"):
        return f"M16 0H{w - 16:.1f}L{w:.1f} {h / 2:.1f}L{w - 16:.1f} {h:.1f}H16L0 {h / 2:.1f}z"
    r = {"ask": 20.0, "stop": min(h, 60) / 2}.get(kind, 5.0)
    return (
        f"M{r} 0H{w - r:.1f}A{r} {r} 0 0 1 {w:.1f} {r}V{h - r:.1f}A{r} {r} 0 0 1 {w - r:.1f} {h:.1f}"
        f"H{r}A{r} {r} 0 0 1 0 {h - r:.1f}V{r}A{r} {r} 0 0 1 {r} 0z"
    )


def _seal(node: Node, wide: float) -> list[str]:
    x, style = wide - 18, "seal own" if node.kind == "approve" else "seal"
    number = text(x, 20.5, str(node.seal), "number" + (" own" if node.kind == "approve" else ""), anchor="middle")
    return [f'<circle class="{style}" cx="{x:.1f}" cy="17" r="9.5"/>', number]


def _colour(node: Node) -> str:
    if node.risk is not None:
        return str(node.risk)
    return "people" if node.kind in PEOPLE else "plain"


def _spoken(node: Node) -> str:
    """All that a step says, for a screen reader and for what did not fit."""
    said = [f"{node.shown}: {node.word}", node.title, f"only when {node.when}" if node.when else "", node.loop]
    return ". ".join(clean(part) for part in (*said, *node.lines, *node.marks) if part)
