"""A playbook as an SVG picture that stands alone: no script, no font of its own, readable in light and dark."""

from playbooks.contract import Risk
from playbooks.graph import Graph
from playbooks.graph_layout import DOWN, arrow, sequence, titled_group
from playbooks.graph_shapes import BOX, Drawing, at, pips, text
from playbooks.graph_text import width, wrap, xml

MARGIN = 32
_LIGHT = {
    "page": "#ffffff", "ink": "#17212b", "muted": "#55636f", "line": "#7b8994", "frame": "#f5f7f9", "edge": "#c9d2d9",
    "always": "#f3f6ee", "always-edge": "#93a86b", "plain": "#ffffff", "plain-edge": "#9aa7b1",
    "read": "#f1f5f8", "read-edge": "#557086", "notify": "#eaf6f4", "notify-edge": "#0f766e",
    "contain": "#fff5e0", "contain-edge": "#a35a00", "change": "#ffeee4", "change-edge": "#bb3e05",
    "destroy": "#fde9e9", "destroy-edge": "#b01818", "people": "#efeefe", "people-edge": "#4b3fd1",
}  # fmt: skip
_DARK = {
    "page": "#12181e", "ink": "#e8edf1", "muted": "#a4b1bb", "line": "#73828e", "frame": "#19212a", "edge": "#37444f",
    "always": "#1a2117", "always-edge": "#6d8449", "plain": "#202a33", "plain-edge": "#61707c",
    "read": "#1e2a34", "read-edge": "#86a5bd", "notify": "#142b29", "notify-edge": "#3db5a8",
    "contain": "#33260d", "contain-edge": "#eda53a", "change": "#381f11", "change-edge": "#ff8a52",
    "destroy": "#3a1717", "destroy-edge": "#ff7b7b", "people": "#232047", "people-edge": "#a89ffb",
}  # fmt: skip
_STYLE = """
text{font-family:"Helvetica Neue",Arial,"Liberation Sans",sans-serif;font-size:11px}
.heading{font-size:20px;font-weight:700}.title{font-size:14px;font-weight:700}.name{font-size:13px;font-weight:700}
.word{font-size:10px;font-weight:700;letter-spacing:.3px}.id{font-size:10px}.strong,.mark{font-weight:700}
.when{font-style:italic}.words{font-size:12px}.number{font-size:11px;font-weight:700}
.way{fill:none;stroke-width:1.5}.bar{fill:none;stroke-width:4;stroke-linecap:round}
.shape{stroke-width:1.5}.frame,.always{stroke-width:1.2}.conditional{stroke-dasharray:6 4}
.unapproved{stroke-width:3}.seal{stroke-width:1.5}
"""
_CLOSED = """
.page{{fill:{page}}}text{{fill:{ink}}}.muted,.id{{fill:{muted}}}.way,.bar{{stroke:{line}}}.tip{{fill:{line}}}
.frame{{fill:{frame};stroke:{edge}}}.always{{fill:{always};stroke:{always-edge}}}
.seal{{fill:{page};stroke:{people-edge}}}.seal.own{{fill:{people-edge}}}.number{{fill:{people-edge}}}
.number.own{{fill:{page}}}.unapproved{{stroke:{destroy-edge}!important}}
"""
_SHAPES = {
    "approve": "people approve; its number is on every step that it covers",
    "ask": "people are asked a question",
    "human": "a person does something",
}


def svg(graph: Graph) -> str:
    """The picture as a document. Each step is a ``<g class="step" data-path="…">``."""
    main = _main(graph)
    parts = [main]
    if graph.always:
        said = "Runs once however the run ends: done, failed, denied or cancelled."
        parts.append(titled_group("Always", said, sequence(graph.always)))
    wide = max([part.width for part in parts] + [640.0])
    head = _head(graph, wide)
    wide = max(wide, head.width)
    y, drawn = MARGIN + head.height + 20, [at(MARGIN, MARGIN, head.svg)]
    for part in parts:
        drawn.append(at(MARGIN + (wide - part.width) / 2, y, part.svg))
        y += part.height + 36
    page, high = wide + 2 * MARGIN, y - 36 + MARGIN
    name, told = xml(f"{graph.title} ({graph.id} {graph.version})"), xml(_told(graph))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {page:.0f} {high:.0f}" width="{page:.0f}" '
        f'height="{high:.0f}" role="img" aria-labelledby="name told">\n'
        f'<title id="name">{name}</title>\n<desc id="told">{told}</desc>\n<style>{_style()}</style>\n'
        f'<rect class="page" width="100%" height="100%"/>\n' + "\n".join(drawn) + "\n</svg>\n"
    )


def _style() -> str:
    return f"{_STYLE}{_colours(_LIGHT)}@media (prefers-color-scheme:dark){{{_colours(_DARK)}}}"


def _colours(known: dict[str, str]) -> str:
    rules = [_CLOSED.format(**known)]
    for name in (*Risk, "people", "plain"):
        fill, edge = known[name], known[f"{name}-edge"]
        rules.append(f".{name} .shape{{fill:{fill};stroke:{edge}}}.{name} .word,.{name} .mark{{fill:{edge}}}")
        rules.append(f".{name} .pip{{fill:none;stroke:{edge}}}.{name} .pip.on,.{name} .stripe{{fill:{edge}}}\n")
    return "".join([*rules, f".plain .word{{fill:{known['muted']}}}"])


def _main(graph: Graph) -> Drawing:
    inner = sequence(graph.steps)
    wide = max(inner.width, BOX)
    said = "by alerts: " + ", ".join(graph.starts_on) if graph.starts_on else "by a person or another playbook"
    start = wrap(f"Starts {said}", 11, BOX - 32, lines=4, bold=True)
    high, left = 15 * len(start) + 14, (wide - BOX) / 2
    parts = [f'<rect class="frame" x="{left:.1f}" width="{BOX}" height="{high}" rx="14"/>']
    parts += [text(wide / 2, 19 + 15 * n, line, "small strong", anchor="middle") for n, line in enumerate(start)]
    top = high + DOWN
    parts += [arrow(wide / 2, high, top), at((wide - inner.width) / 2, top, inner.svg)]
    return Drawing(wide, top + inner.height, "".join(parts))


def _head(graph: Graph, wide: float) -> Drawing:
    titles = wrap(graph.title, 20, wide, lines=2, bold=True)
    parts = [text(0, 20 + 26 * number, said, "heading") for number, said in enumerate(titles)]
    y = 26.0 * len(titles) + 14
    told = f"{graph.id} {graph.version}" + (f"; is told {', '.join(graph.inputs)}" if graph.inputs else "")
    for said in wrap(told, 11, wide, lines=2):
        parts.append(text(0, y, said, "small muted"))
        y += 16
    y += 8
    x = 0.0
    for drawn in _legend(graph):
        if x and x + drawn.width > wide:
            x, y = 0, y + 24
        parts.append(at(x, y, drawn.svg))
        x += drawn.width + 22
    return Drawing(wide, y + 20, "".join(parts))


def _legend(graph: Graph) -> list[Drawing]:
    found = [_entry(str(risk), pips(risk, 0, 3), 44, f"{risk}") for risk in graph.risks]
    shapes = {
        "approve": "M4 0h20l4 4v6l-4 4h-20l-4-4v-6z",
        "ask": "M7 0h14a7 7 0 0 1 0 14h-14a7 7 0 0 1 0-14z",
        "human": "M0 0h28l-5 14h-18z",
    }
    found += [
        _entry("people", f'<path class="shape" d="{shapes[kind]}"/>', 34, f"{kind}: {said}")
        for kind, said in _SHAPES.items()
        if kind in graph.kinds
    ]
    dashed = '<path class="shape conditional" d="M1 0h26v14h-26z"/>'
    return [*found, _entry("plain", dashed, 34, "dashed: only under a condition")]


def _entry(style: str, drawn: str, room: float, said: str) -> Drawing:
    return Drawing(room + width(said, 11), 16, f'<g class="{style}">{drawn}{text(room, 11, said, "small")}</g>')


def _told(graph: Graph) -> str:
    always = f", then {len(graph.always)} that run however the run ends" if graph.always else ""
    return (
        f"Flow chart of a playbook from top to bottom: {len(graph.steps)} steps in order{always}. "
        "Branches stand side by side; each box says its kind, its risk, who decides and what follows silence."
    )
