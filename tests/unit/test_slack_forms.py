import pytest
from hypothesis import given
from hypothesis import strategies as st

from playbooks.plan import fits
from worker.cli.output import Refused
from worker.cli.values import typed
from worker.slack import forms
from worker.slack.modals import answer_view, start_form
from worker.slack.names import FIELD, VALUE
from worker.slack.peer.limits import view_problems


def entered(**states):
    return {"values": {FIELD + name: {VALUE: state} for name, state in states.items()}}


def field(type_, **more):
    return {"type": type_, "required": True, "default": None, "options": [], "description": "", **more}


@pytest.mark.parametrize(
    ("declared", "state", "value"),
    [
        (field("string"), {"type": "plain_text_input", "value": "  a, b "}, "a, b"),
        (field("integer"), {"type": "number_input", "value": "12"}, 12),
        (field("number"), {"type": "number_input", "value": "1.5"}, 1.5),
        (field("boolean"), {"type": "radio_buttons", "selected_option": {"value": "no"}}, False),
        (field("datetime"), {"type": "datetimepicker", "selected_date_time": 1764041400}, "2025-11-25T03:30:00Z"),
        (field("duration"), {"type": "plain_text_input", "value": "90m"}, "90m"),
        (field("choice", options=["a", "b"]), {"type": "static_select", "selected_option": {"value": "b"}}, "b"),
        (field("list[string]"), {"type": "plain_text_input", "value": "x, y\nz"}, ["x", "y", "z"]),
        (field("list[string]"), {"type": "plain_text_input", "value": '["x, y"]'}, ["x, y"]),
        (field("list[integer]"), {"type": "plain_text_input", "value": "1,2"}, [1, 2]),
        (
            field("list[choice]", options=["a", "b,c"]),
            {"type": "multi_static_select", "selected_options": [{"value": "b,c"}, {"value": "a"}]},
            ["b,c", "a"],
        ),
        (
            field("choice", options=["x" * 200]),
            {"type": "static_select", "selected_option": {"value": forms.option_value("x" * 200)}},
            "x" * 200,
        ),
    ],
)
def test_a_field_is_read_as_its_type(declared, state, value):
    assert forms.read(entered(it=state), {"it": declared}) == ({"it": value}, {})


@pytest.mark.parametrize(
    ("declared", "state", "said"),
    [
        (field("string"), {"type": "plain_text_input", "value": None}, "Please fill this in."),
        (field("integer"), {"value": "twelve"}, "'twelve' is no integer."),
        (field("number"), {"value": "nan"}, "This is not a number."),
        (field("duration"), {"value": "soon"}, "This is not a duration, such as 30m, 2h or 3d."),
        (field("choice", options=["a"]), {"selected_option": {"value": "forged"}}, "'forged' is none of a."),
        (field("list[choice]", options=["a"]), {"selected_options": [{"value": "z"}]}, "Not a list of this kind"),
        (field("list[string]"), {"value": "[1"}, "Not a JSON list."),
        (field("list[integer]"), {"value": "1, b"}, "'b' is no integer."),
    ],
)
def test_what_is_wrong_stands_at_its_field_in_plain_words(declared, state, said):
    values, errors = forms.read(entered(it=state), {"it": declared})
    assert values == {}
    assert list(errors) == [FIELD + "it"]
    assert errors[FIELD + "it"].startswith(said)


def test_what_is_left_empty_keeps_its_default_and_what_is_not_asked_is_not_read():
    fields = {"a": field("string", required=False), "b": field("integer", default=3)}
    given_state = entered(a={"value": None}, b={"value": ""}, forged={"value": "x"})
    assert forms.read(given_state, fields) == ({}, {})


TEXTS = st.one_of(
    st.sampled_from(["1", "0", "-3", "1.5", "yes", "nope", "30m", "2h", "a", "a,b", "[1]", "1e9", "nan", "1_0", "２"]),
    st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=12),
)


@given(TEXTS, st.sampled_from(["string", "integer", "number", "boolean", "duration", "list[string]", "list[integer]"]))
def test_one_rule_for_the_shell_and_for_forms(text, type_):
    """A text typed into Slack gives what ``-f it=TEXT`` gives, or is refused as the run would refuse it."""
    declared = {"it": field(type_)}
    plain = text.strip()
    values, errors = forms.read(entered(it={"value": text}), declared)
    if not plain:
        assert errors
        return
    if type_.startswith("list[") and not plain.startswith("["):
        plain = plain.replace("\n", ",")
    try:
        shell = typed({"it": plain}, declared, "-f")
    except Refused:
        assert errors
        return
    if fits(type_, shell["it"]):
        assert values == shell
    else:
        assert errors


def test_a_form_is_filled_with_defaults_but_not_with_expressions():
    inputs = {
        "since": field("datetime", default="{{ incident.first_seen - hours(24) }}"),
        "at": field("datetime", default="2026-01-01T00:00:00Z"),
        "sure": field("boolean", default=False),
        "how": field("choice", options=["soft", "hard"], default="hard"),
        "who": field("list[string]", default=["a", "b"]),
    }
    view = start_form({"id": "p", "title": "P", "inputs": inputs}, metadata="{}")
    assert view_problems(view) == []
    made = {
        block["block_id"].removeprefix(FIELD): block for block in view["blocks"] if FIELD in block.get("block_id", "")
    }
    assert "initial_date_time" not in made["since"]["element"]
    assert made["since"]["hint"]["text"] == "Worked out if left empty"
    assert made["at"]["element"]["initial_date_time"] == 1767225600
    assert made["sure"]["element"]["initial_option"]["value"] == "no"
    assert made["how"]["element"]["initial_option"]["value"] == "hard"
    assert made["who"]["element"]["initial_value"] == "a, b"
    assert all(block["optional"] for block in made.values())


def test_a_form_of_more_fields_than_a_modal_holds_shows_those_that_must_be_given():
    fields = {f"f{number}": field("string", required=number % 4 == 0) for number in range(120)}
    shown = forms.shown_fields(fields)
    assert len(shown) == forms.MOST_FIELDS
    assert all(name in shown for name, each in fields.items() if each["required"])
    too_many = {
        "kind": "ask",
        "question": "?",
        "verdicts": ["answer"],
        "form": {f"f{n}": field("string") for n in range(90)},
    }
    view = answer_view(too_many)
    assert view_problems(view) == []
    assert "submit" not in view
