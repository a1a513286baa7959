"""What is typed after ``/stanch``, and the words that are answered."""

import pytest

from worker.slack.steering import VERBS, Line, nearest, read, usage
from worker.slack.words import help_for


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("", Line("help")),
        ("  LIST ", Line("list")),
        ("status inc-2026-7", Line("status", "INC-2026-7")),
        ("note INC-2026-7 they have left", Line("note", "INC-2026-7", "they have left")),
        ("note they have left", Line("note", "", "they have left")),
        ("note a &lt;b&gt; &amp;amp;", Line("note", "", "a <b> &amp;")),
        ("close false_alarm a test", Line("close", "", "false_alarm a test")),
        ("hold on it spreads", Line("hold", "", "on it spreads")),
        ("start INC-2026-7", Line("start", "", "INC-2026-7")),
        ("frobnicate now", Line("frobnicate", "", "now")),
    ],
)
def test_a_line_is_read_as_it_is_meant(typed: str, meant: Line) -> None:
    assert read(typed) == meant


@pytest.mark.parametrize(
    ("word", "meant"), [("stauts", "status"), ("lsit", "list"), ("resum", "resume"), ("xyz", None)]
)
def test_a_word_that_is_none_gives_the_nearest(word: str, meant: str | None) -> None:
    assert nearest(word) == meant
    text = help_for(word).text
    assert (usage(meant) if meant else "This is what there is") in text


def test_help_names_every_word() -> None:
    shown = str(help_for("help").blocks)
    assert all(f"/stanch {verb}" in shown for verb in VERBS)
