import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.slack import blocks
from worker.slack.blocks import Bold, Code, People, Who, paragraph
from worker.slack.text import fallback, short, shown, units

HOSTILE = st.text(
    st.one_of(
        st.characters(),
        st.sampled_from("<>&*_~`|@:/.\u202e\u2066\u200b\u200d\u0301\u05d0\u0645\U0001f600\U0001f3fd\ufe0f\n\t "),
    ),
    max_size=120,
)


@pytest.mark.parametrize(
    ("given_text", "seen"),
    [
        ("a\u202egpj.exe", "a\\x202egpj.exe"),
        ("a\u2066b\u2069c", "a\\x2066b\\x2069c"),
        ("pay\u200bpal", "pay\\x200bpal"),
        ("a\u00adb\u3164c\u2800d", "a\\xadb\\x3164c\\x2800d"),
        ("\U000e0041tag", "\\xe0041tag"),
        ("one\ntwo\r\n> three\n• four", "one two > three • four"),
        ("wide      gap\u3000\u00a0here", "wide gap here"),
        ("see https://evil.example/x", "see hxxps[:]//evil[.]example/x"),
        ("go to evil.com now", "go to evil[.]com now"),
        ("slack://open?x", "slack[:]//open?x"),
        ("mailto:a@b.example", "mailto[:]a@b.example"),
        ("javascript:alert(1)", "javascript[:]alert(1)"),
        ("jana.brandt@harborline.com", "jana.brandt@harborline.com"),
        ("jana.co@harborline.com", "jana.co@harborline.com"),
        ("salesforce.end_sessions in model.poisoned", "salesforce.end_sessions in model.poisoned"),
        ("12:30 UTC: 3:4", "12:30 UTC: 3:4"),
        ("\U0001f469\u200d\U0001f4bb and \U0001f44d\U0001f3fd", "\U0001f469\u200d\U0001f4bb and \U0001f44d\U0001f3fd"),
        ("e\u0301" * 3, "e\u0301" * 3),
        (
            "\u0646\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
            "\u2068\u0646\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645\u2069",
        ),
        (
            "\u05d3\u05e0\u05d4, \u05d0\u05d1\u05d9 7",
            "\u2068\u05d3\u05e0\u05d4\u2069, \u2068\u05d0\u05d1\u05d9\u2069 7",
        ),
    ],
)
def test_text_from_outside_is_shown_as_what_it_is(given_text, seen):
    assert shown(given_text) == seen


def test_a_tower_of_marks_is_taken_down_to_a_letter_with_a_few():
    assert shown("o" + "\u0301" * 100) == "o" + "\u0301" * 8 + "…"


@given(HOSTILE)
def test_nothing_hidden_is_left_and_what_is_isolated_is_closed(given_text):
    seen = shown(given_text)
    for character in seen.replace("\u2068", "").replace("\u2069", ""):
        assert unicodedata.category(character) not in ("Cc", "Cs", "Zl", "Zp")
        assert unicodedata.bidirectional(character) not in (
            "LRE",
            "RLE",
            "LRO",
            "RLO",
            "PDF",
            "LRI",
            "RLI",
            "FSI",
            "PDI",
        )
    depth = 0
    for character in seen:
        depth += (character == "\u2068") - (character == "\u2069")
        assert depth in (0, 1)
    assert depth == 0
    assert "://" not in seen


@given(HOSTILE)
def test_a_lock_screen_reads_no_markup(given_text):
    seen = fallback(given_text)
    assert not set("<>*`~\n") & set(seen)
    assert "&" not in seen.replace("&amp;", "").replace("&lt;", "").replace("&gt;", "")
    assert not any(f"@{word}" in seen.lower() for word in ("channel", "here", "everyone"))


def test_markup_of_a_lock_screen_is_spoilt_and_still_readable():
    assert (
        fallback("<!channel> @here *x* `y` _z_ :tada: a_b")
        == "&lt;!channel&gt; ＠here ∗x∗ 'y' \u02cdz\u02cd ∶tada: a_b"
    )


@given(HOSTILE, st.integers(min_value=1, max_value=60))
def test_shortening_keeps_the_limit_and_whole_characters(given_text, most):
    seen = shown(given_text)
    cut = short(seen, most + 2)
    assert units(cut) <= most + 2
    assert cut.count("\u2068") == cut.count("\u2069")
    if units(seen) <= most + 2:
        assert cut == seen
    else:
        assert cut.endswith("…")


def test_shortening_cuts_no_character_from_its_marks():
    assert short("ae\u0301\u0301bcdef", 4) == "a…"
    assert short("\U0001f469\u200d\U0001f4bbxyz" * 3, 5) == "…"


@given(HOSTILE)
def test_every_constructor_makes_text_safe(given_text):
    """No markup type exists, and no text of any block holds what is hidden or a link."""
    made = [
        blocks.header(given_text),
        blocks.small(given_text),
        paragraph([given_text, Bold(given_text), Code(given_text), Who(given_text), Who(given_text, given_text)]),
        blocks.bullets([given_text], [[given_text]]),
        blocks.actions(blocks.button(given_text, "a", "v", confirm=blocks.confirm(*[given_text] * 4))),
        blocks.asked("b", given_text, {"type": "plain_text_input"}, hint=given_text),
        *blocks.options([("v", given_text)]),
        blocks.plain(given_text, 75),
        blocks.modal(given_text, "c", [], submit=given_text),
    ]
    written = json.dumps(made)
    assert "mrkdwn" not in written
    assert "://" not in written
    for bad in ("\\u202e", "\\u2066", "\\u200b", '"link"', '"broadcast"', '"usergroup"'):
        assert bad not in written


def test_a_person_is_mentioned_only_by_an_id_of_slack():
    people = People({"ana": "U0123ABC", "eve": "<!channel>"})
    spans = paragraph([people.mention("ana"), people.mention("eve"), people.mention("<@U0123ABC>")])["elements"][0]
    assert [span["type"] for span in spans["elements"]] == ["user", "text", "text"]
