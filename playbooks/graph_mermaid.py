"""A playbook as a Mermaid flow chart, for pages that draw such text themselves."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from playbooks.contract import Risk
from playbooks.graph import Graph, Node
from playbooks.graph_text import clean

_SHAPES = {
    "approve": ('{{"', '"}}'),
    "ask": ('(["', '"])'),
    "human": ('[/"', '"\\]'),
    "if": ('{"', '"}'),
    "choose": ('{"', '"}'),
    "require": ('{"', '"}'),
    "stop": ('(("', '"))'),
}
_ENTITIES = {
    "#": "#35;", '"': "#quot;", "<": "#lt;", ">": "#gt;", "`": "#96;", "&": "#amp;", "\\": "#92;", "%": "#37;",
    "[": "#91;", "]": "#93;", "{": "#123;", "}": "#125;", "(": "#40;", ")": "#41;", "|": "#124;",
}  # fmt: skip
_STYLES = {
    Risk.READ: "fill:#f1f5f8,stroke:#557086",
    Risk.NOTIFY: "fill:#eaf6f4,stroke:#0f766e",
    Risk.CONTAIN: "fill:#fff5e0,stroke:#a35a00",
    Risk.CHANGE: "fill:#ffeee4,stroke:#bb3e05",
    Risk.DESTROY: "fill:#fde9e9,stroke:#b01818",
    "people": "fill:#efeefe,stroke:#4b3fd1",
}
_PEOPLE = ("approve", "ask", "human")
_MOST = 160
"""Characters of one line of a label."""


@dataclass(frozen=True)
class Ends:
    """Where lines lead into a part of the chart, and where they leave it: nodes, each with a word for its line."""

    enter: tuple[str, ...]
    leave: tuple[tuple[str, str], ...]


@dataclass
class _Chart:
    lines: list[str] = field(default_factory=list)
    count: int = 0

    def name(self) -> str:
        self.count += 1
        return f"n{self.count}"

    def join(self, leave: Sequence[tuple[str, str]], enter: Sequence[str], style: str = "-->") -> None:
        for one, said in leave:
            for other in enter:
                label = f'|"{_escaped(said)}"|' if said else ""
                self.lines.append(f"{one} {style}{label} {other}")


def mermaid(graph: Graph) -> str:
    """The chart. Steps are ``n1``, ``n2`` and so on; quotes and brackets in texts are escaped."""
    chart = _Chart()
    start = chart.name()
    said = ", ".join(graph.starts_on) or "a person or another playbook"
    chart.lines.append(f'{start}(["{_label((f"{graph.title}", f"starts by {said}"))}"])')
    ends = _sequence(chart, graph.steps)
    chart.join([(start, "")], ends.enter)
    if graph.always:
        group = chart.name()
        chart.lines.append(f'subgraph {group}["Always: runs once however the run ends"]')
        always = _sequence(chart, graph.always)
        chart.lines.append("end")
        chart.join(ends.leave, always.enter, "-.->")
    styles = [f"classDef {name} {style},color:#17212b" for name, style in _STYLES.items()]
    head = ["---", f"title: {_title(graph)}", "---", "flowchart TD"]
    return "\n".join([*head, *(f"  {line}" for line in [*chart.lines, *styles])]) + "\n"


def _title(graph: Graph) -> str:
    return f'"{clean(f"{graph.id} {graph.version}")}"'


def _sequence(chart: _Chart, nodes: Sequence[Node]) -> Ends:
    parts = [_node(chart, node) for node in nodes]
    for before, after in itertools.pairwise(parts):
        chart.join(before.leave, after.enter)
    return Ends(parts[0].enter, parts[-1].leave)


def _node(chart: _Chart, node: Node) -> Ends:
    name = chart.name()
    if node.branches and not node.chooses:
        return _group(chart, name, node)
    opening, closing = _SHAPES.get(node.kind, ('["', '"]'))
    style = node.risk.value if node.risk is not None else "people" if node.kind in _PEOPLE else ""
    chart.lines.append(f"{name}{opening}{_label(_said(node))}{closing}{f':::{style}' if style else ''}")
    if not node.branches:
        return Ends((name,), () if node.kind == "stop" and not node.when else ((name, ""),))
    leave: list[tuple[str, str]] = []
    for branch in node.branches:
        if not branch.nodes:
            leave.append((name, branch.label))
            continue
        ends = _sequence(chart, branch.nodes)
        chart.join([(name, branch.label)], ends.enter)
        leave += ends.leave
    return Ends((name,), tuple(leave))


def _group(chart: _Chart, name: str, node: Node) -> Ends:
    chart.lines.append(f'subgraph {name}["{_label(_said(node))}"]')
    parts = []
    for branch in node.branches:
        inner = chart.name() if branch.label else ""
        if inner:
            chart.lines.append(f'subgraph {inner}["{_escaped(branch.label)}"]')
        parts.append(_sequence(chart, branch.nodes))
        if inner:
            chart.lines.append("end")
    chart.lines.append("end")
    if node.side_by_side:
        return Ends(
            tuple(one for part in parts for one in part.enter), tuple(one for part in parts for one in part.leave)
        )
    for before, after in itertools.pairwise(parts):
        chart.join(before.leave, after.enter)
    return Ends(parts[0].enter, parts[-1].leave)


def _said(node: Node) -> Iterator[str]:
    seal = f" [{node.seal}]" if node.seal is not None else ""
    yield f"{node.word.upper()} {node.shown}{seal}"
    yield node.title
    if node.when:
        yield f"only when {node.when}"
    if node.loop:
        yield f"↻ {node.loop}"
    yield from node.lines
    yield from (f"▸ {mark}" for mark in node.marks)


def _label(lines: Iterator[str] | Sequence[str]) -> str:
    return "<br/>".join(_escaped(_cut(clean(line))) for line in lines if line)


def _cut(line: str) -> str:
    return line if len(line) <= _MOST else line[: _MOST - 1].rstrip() + "…"


def _escaped(text: str) -> str:
    return "".join(_ENTITIES.get(char, char) for char in clean(text))
