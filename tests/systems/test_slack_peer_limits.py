"""Block Kit's limits, as Slack's servers would say them: one past each limit is refused, the limit itself is not."""

import pytest

from worker.slack.peer.limits import problems, view_problems


def plain(text: str = "x") -> dict:
    """A plain text object."""
    return {"type": "plain_text", "text": text}


def mrkdwn(text: str = "x") -> dict:
    """A text object with formatting."""
    return {"type": "mrkdwn", "text": text}


def button(**more) -> dict:
    """A button."""
    return {"type": "button", "text": plain(), "action_id": "a", **more}


def option(value: str = "v", **more) -> dict:
    """An option."""
    return {"text": plain(), "value": value, **more}


def section(**more) -> dict:
    """A section."""
    return {"type": "section", "text": mrkdwn(), **more}


def actions(*elements: dict) -> dict:
    """An actions block."""
    return {"type": "actions", "elements": list(elements)}


def asked(element: dict, **more) -> dict:
    """An input block."""
    return {"type": "input", "label": plain(), "element": element, **more}


def select(count: int, **more) -> dict:
    """A select with so many options."""
    return {"type": "static_select", "action_id": "s", "options": [option(str(n)) for n in range(count)], **more}


def confirm(title: int = 1, text: int = 1, yes: int = 1, no: int = 1) -> dict:
    """A confirmation dialog with texts of these lengths."""
    return {
        "title": plain("t" * title),
        "text": mrkdwn("t" * text),
        "confirm": plain("t" * yes),
        "deny": plain("t" * no),
    }


AT_THE_LIMIT = {
    "blocks": lambda n: [section() for _ in range(50 + n)],
    "section text": lambda n: [section(text=mrkdwn("x" * (3000 + n)))],
    "fields": lambda n: [section(fields=[mrkdwn() for _ in range(10 + n)])],
    "field text": lambda n: [section(fields=[mrkdwn("x" * (2000 + n))])],
    "header": lambda n: [{"type": "header", "text": plain("x" * (150 + n))}],
    "context elements": lambda n: [{"type": "context", "elements": [mrkdwn() for _ in range(10 + n)]}],
    "actions elements": lambda n: [actions(*(button(action_id=str(i)) for i in range(25 + n)))],
    "button text": lambda n: [actions(button(text=plain("x" * (75 + n))))],
    "button value": lambda n: [actions(button(value="x" * (2000 + n)))],
    "button url": lambda n: [actions(button(url="x" * (3000 + n)))],
    "action id": lambda n: [actions(button(action_id="x" * (255 + n)))],
    "block id": lambda n: [section(block_id="x" * (255 + n))],
    "confirm title": lambda n: [actions(button(confirm=confirm(title=100 + n)))],
    "confirm text": lambda n: [actions(button(confirm=confirm(text=300 + n)))],
    "confirm yes": lambda n: [actions(button(confirm=confirm(yes=30 + n)))],
    "confirm no": lambda n: [actions(button(confirm=confirm(no=30 + n)))],
    "options": lambda n: [section(accessory=select(100 + n))],
    "option text": lambda n: [section(accessory=select(1, options=[option(text=plain("x" * (75 + n)))]))],
    "option value": lambda n: [section(accessory=select(1, options=[option("x" * (150 + n))]))],
    "radio buttons": lambda n: [
        actions({"type": "radio_buttons", "action_id": "r", "options": [option(str(i)) for i in range(10 + n)]})
    ],
    "overflow": lambda n: [
        section(accessory={"type": "overflow", "action_id": "o", "options": [option(str(i)) for i in range(5 + n)]})
    ],
    "placeholder": lambda n: [section(accessory=select(1, placeholder=plain("x" * (150 + n))))],
    "label": lambda n: [asked(select(1), label=plain("x" * (2000 + n)))],
    "hint": lambda n: [asked(select(1), hint=plain("x" * (2000 + n)))],
    "max length": lambda n: [asked({"type": "plain_text_input", "action_id": "p", "max_length": 3000 + n})],
    "alt text": lambda n: [{"type": "image", "image_url": "https://x.example/y.png", "alt_text": "x" * (2000 + n)}],
    "markdown in all": lambda n: [
        {"type": "markdown", "text": "x" * 6000},
        {"type": "markdown", "text": "x" * (6000 + n)},
    ],
}


@pytest.mark.parametrize("what", AT_THE_LIMIT)
def test_the_limit_passes_and_one_more_does_not(what):
    assert problems(AT_THE_LIMIT[what](0)) == []
    (problem,) = problems(AT_THE_LIMIT[what](1))
    assert "[json-pointer:/blocks" in problem


REFUSED = {
    "unknown block": ([{"type": "sections"}], "unsupported type: sections [json-pointer:/blocks/0/type]"),
    "unknown element": ([actions({"type": "knob"})], "unsupported type: knob [json-pointer:/blocks/0/elements/0/type]"),
    "unknown key": ([section(colour="red")], "no more keys allowed: colour [json-pointer:/blocks/0]"),
    "no text": ([{"type": "section"}], "missing required field: text [json-pointer:/blocks/0]"),
    "empty text": ([section(text=mrkdwn(""))], "must be more than 0 characters [json-pointer:/blocks/0/text/text]"),
    "mrkdwn header": (
        [{"type": "header", "text": mrkdwn()}],
        "must be plain_text [json-pointer:/blocks/0/text/type]",
    ),
    "no elements": ([actions()], "no fewer than 1 items allowed [json-pointer:/blocks/0/elements]"),
    "style": (
        [actions(button(style="default"))],
        "must be one of: primary, danger [json-pointer:/blocks/0/elements/0/style]",
    ),
    "same block id": (
        [section(block_id="a"), section(block_id="a")],
        "`block_id` a already exists [json-pointer:/blocks/1/block_id]",
    ),
    "same action id": (
        [actions(button(), button())],
        "`action_id` a already exists [json-pointer:/blocks/0/elements/1/action_id]",
    ),
    "button as input": ([asked(button())], "unsupported type: button [json-pointer:/blocks/0/element/type]"),
    "number without is_decimal_allowed": (
        [asked({"type": "number_input", "action_id": "n"})],
        "missing required field: is_decimal_allowed [json-pointer:/blocks/0/element]",
    ),
    "number as a number": (
        [asked({"type": "number_input", "action_id": "n", "is_decimal_allowed": False, "min_value": 1})],
        "must be a string [json-pointer:/blocks/0/element/min_value]",
    ),
    "initial option of another": (
        [section(accessory=select(1, initial_option=option("other")))],
        "must be one of the options provided [json-pointer:/blocks/0/accessory/initial_option]",
    ),
    "no list": ({}, "must be an array [json-pointer:/blocks]"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_slack_refuses_is_named_and_located(what):
    blocks, problem = REFUSED[what]
    assert problems(blocks) == [problem]


def test_the_blocks_of_a_message_are_short_together_though_each_may_be_long():
    long = [section(text=mrkdwn("x" * 2900)) for _ in range(4)]
    assert problems(long) == []
    (problem,) = problems([*long, section(text=mrkdwn("x" * 1600))])
    assert problem == "all blocks together must be less than 13201 characters [json-pointer:/blocks]"
    assert problems([*long, section(text=mrkdwn("x" * 1600))], "home") == []


def modal(**more) -> dict:
    """A modal with one section."""
    return {"type": "modal", "title": plain(), "blocks": [section()], **more}


VIEWS = {
    "title": lambda n: modal(title=plain("x" * (24 + n))),
    "submit": lambda n: modal(submit=plain("x" * (24 + n))),
    "close": lambda n: modal(close=plain("x" * (24 + n))),
    "private metadata": lambda n: modal(private_metadata="x" * (3000 + n)),
    "callback id": lambda n: modal(callback_id="x" * (255 + n)),
    "blocks": lambda n: modal(blocks=[section() for _ in range(100 + n)]),
    "home blocks": lambda n: {"type": "home", "blocks": [section() for _ in range(100 + n)]},
}


@pytest.mark.parametrize("what", VIEWS)
def test_the_limit_of_a_view_passes_and_one_more_does_not(what):
    assert view_problems(VIEWS[what](0)) == []
    (problem,) = view_problems(VIEWS[what](1))
    assert "[json-pointer:/view" in problem


def test_views_are_refused_for_what_only_views_need():
    assert view_problems(modal(blocks=[section(text=mrkdwn("é" * 3000)) for _ in range(50)])) != []
    assert view_problems(modal(blocks=[asked({"type": "plain_text_input", "action_id": "p"})])) == [
        "a modal with inputs needs submit [json-pointer:/view/submit]"
    ]
    assert view_problems({"type": "drawer", "blocks": []}) == ["must be one of: modal, home [json-pointer:/view/type]"]
    assert view_problems(modal(blocks=[{"type": "markdown", "text": "x"}])) != []
