import pytest

from worker.cli.output import Refused
from worker.cli.values import pairs, typed

FORM = {
    "left": {"type": "boolean"},
    "count": {"type": "integer"},
    "kind": {"type": "choice", "options": ["mail", "name"]},
    "who": {"type": "list[string]"},
    "note": {"type": "string"},
}


def test_values_are_read_as_their_declared_types():
    given = pairs(["left=yes", "count=12", "kind=mail", "who=a, b", "note=a=b 3"], "-f")
    assert typed(given, FORM, "-f") == {
        "left": True,
        "count": 12,
        "kind": "mail",
        "who": ["a", "b"],
        "note": "a=b 3",
    }


def test_a_string_that_looks_like_a_number_stays_text():
    assert typed({"note": "0012"}, FORM, "-f") == {"note": "0012"}


@pytest.mark.parametrize(
    ("name", "text"), [("left", "maybe"), ("count", "1.5"), ("kind", "ssn"), ("nobody", "1"), ("who", "[1")]
)
def test_a_wrong_value_is_refused_with_its_name(name, text):
    with pytest.raises(Refused) as refused:
        typed({name: text}, FORM, "-f")
    assert refused.value.code == "bad_value"
    assert name in refused.value.message


@pytest.mark.parametrize("words", [["novalue"], ["=x"], ["a=1", "a=2"]])
def test_words_that_are_no_pairs_are_wrong_usage(words):
    with pytest.raises(Refused) as refused:
        pairs(words, "-i")
    assert refused.value.exit_code == 2
