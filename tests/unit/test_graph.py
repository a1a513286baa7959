"""Pictures of playbooks: every step once, all text inside its box, valid in their formats, hostile text harmless."""

import re
from xml.etree import ElementTree

import pytest

from playbooks.graph import graph
from playbooks.graph_mermaid import mermaid
from playbooks.graph_shapes import BOX
from playbooks.graph_svg import svg
from playbooks.graph_text import clean, width, wrap
from playbooks.loader import Library
from playbooks.policy import Policy
from tests.books import ACTIONS, loaded, whole
from tests.unit.test_diff import ALWAYS, BASE

SVG = "{http://www.w3.org/2000/svg}"
SHIPPED = Library.shipped()
LONG = "averylongword" * 12
EVERY = """\
- {id: hello, tell: 'Hi {{ incident.title }}', to: [channel]}
- id: both
  parallel:
    one: [{id: a1, action: lab.save}, {id: a2, action: lab.look, for_each: [1, 2], as: thing}]
    two: [{id: b1, action: lab.abort, with: {targets: [x]}, when: incident.severity > 3}]
- {id: go, approve: [cut, ways], by: {each: {legal: 1, crm_owner: 2}}, within: 1h, on_timeout: [deny]}
- {id: cut, action: lab.cut}
- id: ways
  if: incident.severity > 3
  then: [{id: yes1, action: lab.destroy}]
  else: [{id: no1, action: lab.change}]
- {id: maybe, if: incident.severity > 4, then: [{id: halt, stop: Enough.}]}
- {id: alone, action: lab.pause}
- {id: bare, action: lab.cut}
- {id: each, for_each: [1, 2], do: [{id: inner, note: x}]}
- {id: child, run: {playbook: other}}
- {id: must, require: incident.severity > 1, message: Not severe.}
- {id: hand, human: Do it, owner: legal, verify: {action: lab.look, until: result.count == 0}, within: 1h,
   on_timeout: [{escalate: crm_owner, within: 2h}, stop]}
- {id: rest, wait: {for: 5m}}
- {id: news, wait: {event: vendor_said}, within: 4h, on_timeout: [continue]}
- id: which
  choose:
    - {when: incident.severity > 3, do: [{id: w1, note: first}]}
    - {when: incident.severity > 2, do: [{id: w2, note: second}]}
    - {else: [{id: w3, stop: none}]}
- {id: either, choose: [{when: incident.severity > 3, do: [{id: e1, note: only}]}]}
- {id: passes, repeat: {do: [{id: p1, action: lab.look}], until: steps.p1.count == 0, at_most: 5, every: 1m}}
"""
CHILD = whole("- {id: look, action: lab.look}", id="other", always="- {id: draft, draft: applicable}")
HOSTILE = [
    '"]; click n1 "javascript:alert(1)" %% end subgraph `x` <script>alert(1)</script> & {{{ [[ (( ||',
    "]]></title><script>x</script>",
    "מדיניות אבטחה לא תאושר בלי שני אנשים",
    "سياسة الاحتواء تحتاج إلى موافقة شخصين",
    "事件响应手册需要两名负责人的批准才能冻结用户帐户和撤销令牌以及结束会话",
    LONG,
    "e\u0301" * 80,
]


def picture(text: str, *others: str) -> tuple[str, str]:
    """Both formats of a playbook."""
    library = Library([*(loaded(other) for other in others), *SHIPPED.sources()])
    drawn = graph(loaded(text), library=library, actions=ACTIONS, policy=Policy())
    return svg(drawn), mermaid(drawn)


def boxes(document: str) -> dict[str, ElementTree.Element]:
    """The drawn steps by path, each found once."""
    found: dict[str, ElementTree.Element] = {}
    for element in ElementTree.fromstring(document).iter(f"{SVG}g"):
        if "step" in element.get("class", "").split():
            path = str(element.get("data-path"))
            assert path not in found, f"{path} is drawn twice"
            found[path] = element
    return found


def texts(box: ElementTree.Element) -> list[str]:
    """What is written in a step."""
    return ["".join(text.itertext()) for text in box.iter(f"{SVG}text")]


def said(box: ElementTree.Element) -> str:
    """All that a step says, in one line."""
    return " ".join([*texts(box), *("".join(title.itertext()) for title in box.iter(f"{SVG}title"))])


SIZES = {"name": 13, "words": 12, "small": 11, "word": 10, "id": 10, "number": 11}


def assert_fits(box: ElementTree.Element) -> None:
    """No text of a box leaves its outline, by the estimate of widths."""
    outline = [path for path in box.iter(f"{SVG}path") if "shape" in path.get("class", "")]
    if not outline:
        return
    # The slanted sides of a person's task take at most 14 at the foot.
    edge = 14 if "human" in said(box).lower() else 4
    for text in box.iter(f"{SVG}text"):
        styles = text.get("class", "").split()
        bold = bool({"name", "word", "mark", "strong"} & set(styles))
        wide = width("".join(text.itertext()), SIZES[styles[0]], bold=bold)
        x = float(text.get("x", "0"))
        left = {"end": x - wide, "middle": x - wide / 2}.get(text.get("text-anchor", ""), x)
        assert left >= edge and left + wide <= BOX - edge, ("".join(text.itertext()), left, wide)


def books() -> dict[str, tuple[str, tuple[str, ...]]]:
    shipped = {source.playbook.id: (source.text, ()) for source in SHIPPED.sources()}
    return {**shipped, "every": (whole(EVERY, always=ALWAYS), (CHILD,)), "lab": (whole(BASE, always=ALWAYS), ())}


@pytest.mark.parametrize("name", books())
def test_every_step_is_drawn_once_and_its_text_fits(name: str) -> None:
    text, others = books()[name]
    document, chart = picture(text, *others)
    drawn = boxes(document)
    source = loaded(text)
    named = [step.id for _, step in source.playbook.walk() if step.id is not None]
    assert set(named) <= set(drawn)
    assert len(drawn) >= len(list(source.playbook.walk()))
    for box in drawn.values():
        assert_fits(box)
    for step in named:
        kinds = re.findall(rf"^ *(?:subgraph )?n\d+\W+[A-Z]+ {re.escape(step)}\b(?!/)", chart, re.MULTILINE)
        assert len(kinds) == 1, (step, kinds)


def test_the_picture_stands_alone_and_tells_what_it_is() -> None:
    document, _ = picture(*[whole(EVERY, always=ALWAYS), CHILD])
    root = ElementTree.fromstring(document)
    assert root.find(f"{SVG}title").text == "Example (example 1.0.0)"
    assert "from top to bottom" in root.find(f"{SVG}desc").text
    assert root.get("role") == "img" and root.get("aria-labelledby") == "name told"
    assert "prefers-color-scheme:dark" in document
    assert not re.search(r"href|<script|<image|@import|url\(", document)


def test_risk_and_approvals_are_said_in_words() -> None:
    document, chart = picture(*[whole(EVERY, always=ALWAYS), CHILD])
    drawn = boxes(document)
    assert "CONTAIN" in texts(drawn["cut"]) and "DESTROY" in texts(drawn["yes1"])
    assert len([one for one in drawn["yes1"].iter(f"{SVG}rect") if one.get("class") == "pip on"]) == 5
    for step in ("go", "cut", "yes1", "no1"):
        assert "1" in texts(drawn[step]), f"{step} bears the number of its approval"
    assert "2 of crm_owner" in said(drawn["go"]) and "1 of legal" in said(drawn["go"])
    assert "silence: it counts as denied" in said(drawn["go"])
    assert "cannot be undone" in said(drawn["cut"]) and "cannot be undone" not in said(drawn["no1"])
    assert "asks 1 of platform_owner by itself, unless severe" in said(drawn["alone"])
    assert "not approved: policy demands 1 of platform_owner" in said(drawn["bare"])
    assert "unapproved" in document and "only when incident.severity > 3" in said(drawn["b1"])
    assert "for each thing of 1, 2; 10 at once" in said(drawn["a2"])
    assert "then the run ends" in said(drawn["hand"]) and "then checked every" in said(drawn["hand"])
    assert "not approved: policy demands 1 of platform_owner" in chart
    assert "for the event vendor_said" in said(drawn["news"]) and "at most 4h" in said(drawn["news"])
    assert "2: incident.severity > 2" in said(drawn["which"])
    assert "again until steps.p1.count == 0; at most 5 times, 1m apart" in said(drawn["passes"])


def test_people_have_shapes_of_their_own() -> None:
    drawn = boxes(picture(*[whole(EVERY, always=ALWAYS), CHILD])[0])
    outlines = {}
    for step in ("go", "data", "hand", "cut", "ways"):
        path = next(path for path in drawn[step].iter(f"{SVG}path") if "shape" in path.get("class", ""))
        outlines[step] = re.sub(r"[\d.]+", "", path.get("d", ""))
    assert len(set(outlines.values())) >= 4
    assert outlines["go"] not in (outlines["cut"], outlines["data"], outlines["hand"])


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_any_text_stays_text_and_in_its_box(text: str) -> None:
    quoted = "'" + text.replace("'", "''").replace("{{", "{ {") + "'"
    steps = f"- {{id: a, tell: {quoted}, to: [legal]}}\n- {{id: b, note: x, title: {quoted}}}\n"
    steps += f"- {{id: c, human: {quoted}, owner: {'r' * 60}, within: 1h, on_timeout: [stop]}}\n"
    steps += f"- {{id: {'s' * 60}, note: x}}"
    document, chart = picture(whole(steps).replace("title: Example", f"title: {quoted}"))
    for box in boxes(document).values():
        assert_fits(box)
    assert not re.search(r"[\u202a-\u202e\u2066-\u2069]", document + chart)
    assert "<script" not in document
    assert_mermaid(chart)


STATEMENT = re.compile(
    r"""
    (?:subgraph\ n\d+\["(?P<group>[^"]*)"\]|end
      |n\d+(?:\["[^"]*"\]|\{"[^"]*"\}|\{\{"[^"]*"\}\}|\(\["[^"]*"\]\)|\(\("[^"]*"\)\)|\[/"[^"]*"\\\])(?::::[a-z]+)?
      |n\d+\ (?:-->|-\.->)(?:\|"[^"]*"\|)?\ n\d+
      |classDef\ [a-z]+\ [a-z0-9:,\#-]+)
    """,
    re.VERBOSE,
)


def assert_mermaid(chart: str) -> None:
    """Every line is a statement of the flow chart grammar; groups close; lines join what is drawn."""
    head, _, body = chart.partition("flowchart TD\n")
    assert re.fullmatch(r'---\ntitle: "[^"\n]*"\n---\n', head)
    depth, declared, joined = 0, set(), set()
    for row in body.splitlines():
        statement = row.strip()
        assert STATEMENT.fullmatch(statement), statement
        depth += statement.startswith("subgraph ") - (statement == "end")
        assert depth >= 0
        names = re.findall(r"^(n\d+) (?:-->|-\.->).* (n\d+)$", statement)
        if names:
            joined |= set(names[0])
        elif found := re.match(r"(?:subgraph )?(n\d+)", statement):
            declared.add(found[1])
        for quoted in re.findall(r'"([^"]*)"', statement):
            assert not re.search(r"[<>`\[\]{}|\\]", quoted.replace("<br/>", "")), quoted
    assert depth == 0 and joined <= declared


@pytest.mark.parametrize("name", books())
def test_mermaid_is_valid_by_its_grammar(name: str) -> None:
    text, others = books()[name]
    assert_mermaid(picture(text, *others)[1])


def test_a_way_that_ends_the_run_leads_nowhere() -> None:
    chart = picture(whole("- {if: incident.severity > 3, then: [{stop: Over.}], else: [{note: on}]}\n- {note: after}"))[
        1
    ]
    stop = re.search(r'(n\d+)\(\("STOP', chart)
    assert stop and not re.search(rf"^ *{stop[1]} -->", chart, re.MULTILINE)


def test_wrapping_keeps_within_its_room() -> None:
    for text in [*HOSTILE, "\u202eesrever\u202c \u2066isolated\u2069 \ufeff", "a b " * 100, "x", ""]:
        for room in (40, 120, 300):
            lines = wrap(text, 11, room)
            assert len(lines) <= 3 and all(width(line, 11) <= room for line in lines)
    assert wrap("one two", 11, 300) == ["one two"]
    assert wrap("word " * 40, 11, 100)[-1].endswith("…")
    assert clean("a\x00b\u202e\nc") == "a�b� c"
