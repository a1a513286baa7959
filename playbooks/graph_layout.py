"""Where the boxes of a picture stand: sequences go down, branches side by side, groups around their steps.

A drawing is a size and SVG of its own, drawn from its upper left corner; larger ones are made of smaller ones. All
that leads into a drawing meets it at the middle of its upper edge, all that leads out leaves at that of its lower.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from playbooks.graph import Branch, Node
from playbooks.graph_shapes import BOX, Drawing, at, box, text
from playbooks.graph_text import width, wrap

DOWN = 26
"""Length of the arrow between two steps."""
GAP = 24
PAD = 16
PASS = 84
"""Width of a way without steps."""
BUS = 34
"""Height of the lines that lead to branches."""


@dataclass(frozen=True)
class Column:
    """One branch, drawn."""

    label: str
    drawing: Drawing
    ends: bool


def sequence(nodes: Sequence[Node]) -> Drawing:
    """Steps below each other."""
    return stack([draw(node) for node in nodes])


def stack(drawings: Sequence[Drawing]) -> Drawing:
    """Drawings below each other, an arrow between two."""
    wide = max(drawing.width for drawing in drawings)
    top, parts = 0.0, list[str]()
    for number, drawing in enumerate(drawings):
        if number:
            parts.append(arrow(wide / 2, top, top + DOWN))
            top += DOWN
        parts.append(at((wide - drawing.width) / 2, top, drawing.svg))
        top += drawing.height
    return Drawing(wide, top, "".join(parts))


def draw(node: Node) -> Drawing:
    """One step with all that is inside of it."""
    if not node.branches:
        return box(node)
    if node.chooses:
        head = box(node)
        ways = _branches([_column(branch) for branch in node.branches])
        wide = max(head.width, ways.width)
        parts = at((wide - head.width) / 2, 0, head.svg) + at((wide - ways.width) / 2, head.height, ways.svg)
        return Drawing(wide, head.height + ways.height, parts)
    if node.side_by_side:
        return _group(node, _branches([_column(branch) for branch in node.branches], bars=True))
    inner = [_titled(branch) for branch in node.branches]
    return _group(node, stack(inner))


def _column(branch: Branch) -> Column:
    inner = sequence(branch.nodes) if branch.nodes else Drawing(PASS, 0, "")
    return Column(branch.label, inner, branch.ends)


def _titled(branch: Branch) -> Drawing:
    inner = sequence(branch.nodes)
    if not branch.label:
        return inner
    said = text(inner.width / 2, 14, branch.label, "small strong", anchor="middle")
    return Drawing(inner.width, inner.height + 24, said + at(0, 24, inner.svg))


def _branches(columns: Sequence[Column], *, bars: bool = False) -> Drawing:
    """Branches side by side, with the lines that lead into and out of them; ``bars`` mark that all are taken."""
    wide = sum(column.drawing.width for column in columns) + GAP * (len(columns) - 1)
    high = max(column.drawing.height for column in columns)
    whole = BUS + high + 20
    middles, left, parts = list[float](), 0.0, list[str]()
    for column in columns:
        middle = left + column.drawing.width / 2
        middles.append(middle)
        inner_top, inner_end = BUS, BUS + column.drawing.height
        if column.drawing.height:
            parts.append(arrow(middle, 12, inner_top))
        else:
            parts.append(line(middle, 12, middle, whole))
        parts.append(at(left, inner_top, column.drawing.svg))
        if column.drawing.height and not column.ends:
            parts.append(line(middle, inner_end, middle, whole))
        parts += _label(column, middle)
        left += column.drawing.width + GAP
    open_ends = [middle for middle, column in zip(middles, columns, strict=True) if not column.ends]
    parts += ["" if bars else line(wide / 2, 0, wide / 2, 12), _bus([*middles, wide / 2], 12, bars)]
    if open_ends:
        parts.append(_bus([*open_ends, wide / 2], whole, bars))
    return Drawing(wide, whole, "".join(parts))


def _label(column: Column, middle: float) -> list[str]:
    room = max(column.drawing.width / 2 - 12, 30)
    said = wrap(column.label, 11, room, lines=1, bold=True)
    return [text(middle + 8, 27, said[0], "small strong")] if said else []


def _bus(xs: Sequence[float], y: float, bars: bool) -> str:
    return line(min(xs), y, max(xs), y, "bar" if bars else "way")


def _group(node: Node, inner: Drawing) -> Drawing:
    """A frame around steps, with what it is on top."""
    wide = max(inner.width, BOX) + 2 * PAD
    head = box(node, width=wide, frame=True)
    top = head.height
    high = top + inner.height + PAD
    style = "frame conditional" if node.when else "frame"
    back = (
        f'<rect class="{style} behind" x="5" y="5" width="{wide:.1f}" height="{high:.1f}" rx="10"/>'
        if node.loop
        else ""
    )
    frame = f'<rect class="{style}" width="{wide:.1f}" height="{high:.1f}" rx="10"/>'
    return Drawing(wide, high, back + frame + head.svg + at((wide - inner.width) / 2, top, inner.svg))


def titled_group(title: str, said: str, inner: Drawing) -> Drawing:
    """A frame with a title of its own, for the steps that run however the run ends."""
    wide = max(inner.width + 2 * PAD, width(said, 11) + 2 * PAD, BOX)
    high = 58 + inner.height + PAD
    parts = [
        f'<rect class="always" width="{wide:.1f}" height="{high:.1f}" rx="12"/>',
        text(PAD, 24, title, "title"),
        text(PAD, 42, said, "small muted"),
        at((wide - inner.width) / 2, 58, inner.svg),
    ]
    return Drawing(wide, high, "".join(parts))


def line(x: float, y: float, to_x: float, to_y: float, style: str = "way") -> str:
    """A straight line."""
    return f'<path class="{style}" d="M{x:.1f} {y:.1f}L{to_x:.1f} {to_y:.1f}"/>'


def arrow(x: float, y: float, to_y: float) -> str:
    """An arrow down."""
    tip = f'<path class="tip" d="M{x - 4:.1f} {to_y - 7:.1f}h8l-4 7z"/>'
    return line(x, y, x, to_y - 6) + tip
