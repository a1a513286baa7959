"""YAML is read strictly: plain values with their places; bombs, tags and tricks are refused at once."""

import time

import pytest

from playbooks.loader import load_text
from playbooks.loader_yaml import MAX_DEPTH, MAX_NODES, YamlDefect, read
from tests.books import HEAD, MARK, marks


def defect(text: str) -> YamlDefect:
    """Why a marked text is refused; it must be at the mark, and at once."""
    began = time.thread_time()
    with pytest.raises(YamlDefect) as caught:
        read(text.replace(MARK, ""))
    assert time.thread_time() - began < 10
    if MARK in text:
        assert [caught.value.place] == marks(text), caught.value.message
    return caught.value


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("7", 7),
        ("-7", -7),
        ("1.5", 1.5),
        ("1.5e3", 1500.0),
        ('"7"', "7"),
        ("'true'", "true"),
        ("no", "no"),
        ("on", "on"),
        ("yes", "yes"),
        ("012", "012"),
        ("0x1F", "0x1F"),
        ("0o17", "0o17"),
        ("1:30", "1:30"),
        ("1_000", "1_000"),
        (".inf", ".inf"),
        (".nan", ".nan"),
        ("1e400", "1e400"),
        ("2026-01-31", "2026-01-31"),
        ("2026-01-31T10:00:00Z", "2026-01-31T10:00:00Z"),
        ("1.4.0", "1.4.0"),
        ("5m", "5m"),
        ("=", "="),
        ("plain text", "plain text"),
        ("> \n folded\n text", "folded text"),
        ("|\n kept\n lines\n", "kept\nlines\n"),
        ("[a, 1, {b: c}]", ["a", 1, {"b": "c"}]),
        ("Grüße 你好 🙂", "Grüße 你好 🙂"),
    ],
)
def test_values_are_what_the_author_sees(written: str, value: object) -> None:
    found = read(f"key: {written}").at(("key",))
    assert (found, type(found)) == (value, type(value))


def test_every_part_has_its_place() -> None:
    document = read("# first\nsteps:\n  - id: one\n    with:\n      a: [1, two]\n")
    assert document.where(("steps",)) == (2, 1)
    assert document.where(("steps", 0)) == (3, 5)
    assert document.where(("steps", 0, "id")) == (3, 9)
    assert document.where(("steps", 0, "id"), key=True) == (3, 5)
    assert document.where(("steps", 0, "with")) == (4, 5)
    assert document.where(("steps", 0, "with", "a")) == (5, 7)
    assert document.where(("steps", 0, "with", "a", 1)) == (5, 14)


def test_what_is_not_there_has_the_place_of_its_holder() -> None:
    document = read("steps:\n  - id: one\n")
    assert document.where(("steps", 0, "with", "a")) == (2, 5)
    assert document.where(("steps", 7)) == (1, 1)
    assert document.where(("nothing",)) == (1, 1)


def test_columns_count_characters_as_an_editor_does() -> None:
    assert read("ключ: {значение: x}").where(("ключ", "значение")) == (1, 18)
    assert read("a: {🙂: x}").where(("a", "🙂")) == (1, 8)
    assert read("\ufeffa: {b: x}").where(("a", "b")) == (1, 8)
    assert read("a: 1\r\nb: {c: x}\r\n").where(("b", "c")) == (2, 8)


BILLION = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("»", "yaml_syntax"),
        ("# only a comment\n", "yaml_syntax"),
        ("a: »&anchor 1\nb: *anchor\n", "yaml_too_big"),
        ("a: »*nowhere\n", "yaml_too_big"),
        ("base: »&base {a: 1}\nother: {<<: *base}\n", "yaml_too_big"),
        ("a: {»<<: {b: 1}}\n", "yaml_syntax"),
        ("»&a key: 1\n", "yaml_too_big"),
        ("a: »!!python/object/apply:os.system [echo]\n", "yaml_tag"),
        ("a: »!!python/name:os.system\n", "yaml_tag"),
        ("a: »!!str 1\n", "yaml_tag"),
        ("a: »!own 1\n", "yaml_tag"),
        ("a: »! 1\n", "yaml_tag"),
        ("»!!map {a: 1}\n", "yaml_tag"),
        ("{»!!str a: 1}\n", "yaml_tag"),
        ("»%TAG ! tag:example.com,2026:\n---\na: 1\n", "yaml_tag"),
        ("a: 1\n»a: 2\n", "yaml_syntax"),
        ("s: [{id: x, »id: y}]\n", "yaml_syntax"),
        ("a: 1\n»---\nb: 2\n", "yaml_syntax"),
        ("a:\n»\t- b\n", "yaml_syntax"),
        ("a: »@b\n", "yaml_syntax"),
        ("a: »[b\n", "yaml_syntax"),
        ("a: [b\nc»: d\n", "yaml_syntax"),
        ("a: »'b\nc: d\n", "yaml_syntax"),
        ("a: {b: [c, d}\n", "yaml_syntax"),
        ("a: b: c\n", "yaml_syntax"),
        ("? »[a]\n: b\n", "yaml_syntax"),
        ("a: »{{ incident.title }}\n", "yaml_syntax"),
        ("a: b»\x00c\n", "yaml_syntax"),
        ("a: b»\x1b[31m\n", "yaml_syntax"),
        ("a: b»\u202etxet\n", "yaml_syntax"),
        ("a: b»\u2028c\n", "yaml_syntax"),
        ("a: b»\ufeffc\n", "yaml_syntax"),
        ('a: »"x\\u202ey"\n', "yaml_syntax"),
        ('a: »"\\0"\n', "yaml_syntax"),
        ("a: »9007199254740993\n", "bad_value"),
        ("a: »1.0e400\n", "bad_value"),
        ("[" * 10_000, "yaml_too_big"),
        ("[" * 10_000 + "]" * 10_000, "yaml_too_big"),
        ("{a: " * 10_000, "yaml_too_big"),
        ("- " * 10_000 + "x", "yaml_too_big"),
        ("? " * 10_000 + "x", "yaml_syntax"),
        ("\n".join(" " * depth + "a:" for depth in range(1000)), "yaml_too_big"),
        ("[" + "x," * (MAX_NODES + 1) + "]", "yaml_too_big"),
        ("".join(f"k{number}: 1\n" for number in range(MAX_NODES)), "yaml_too_big"),
        (BILLION, "yaml_too_big"),
        ("a" * 900_000 + ": 1", "yaml_syntax"),
        ("a: '" + "x" * 900_000, "yaml_syntax"),
        ("a: [" + '"x" "y",' * 50_000, "yaml_syntax"),
        ("a: |\n" + "  x\n" * 100_000 + "\tb", "yaml_syntax"),
    ],
    ids=lambda value: repr(value)[:40],
)  # fmt: skip
def test_what_is_refused_and_where(text: str, code: str) -> None:
    assert defect(text).code == code


def test_depth_and_number_have_exact_limits() -> None:
    read("[" * MAX_DEPTH + "]" * MAX_DEPTH)
    assert defect("[" * MAX_DEPTH + "»[" + "]" * (MAX_DEPTH + 1)).code == "yaml_too_big"
    read("[" + "x," * (MAX_NODES - 1) + "]")
    defect("[" + "x," * MAX_NODES + "]")


def test_the_first_of_many_defects_is_told() -> None:
    assert defect("a: »&x 1\nb: !!str 2\nb: 3\n").code == "yaml_too_big"


def test_a_key_written_in_another_way_is_the_same_key() -> None:
    assert defect('a: 1\n»"a": 2\n').code == "yaml_syntax"


def test_messages_say_what_to_do() -> None:
    assert "quotes" in defect("a: »{{ x }}\n").message
    assert "spaces" in defect("a:\n»\tb: c\n").hint
    assert "quotes" in defect("title: Salesforce: stolen\n").hint


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "latin-1"])
def test_only_utf8_is_read(encoding: str, tmp_path) -> None:
    from playbooks.loader import load

    path = tmp_path / "book.yaml"
    path.write_bytes((HEAD + "# Grüße\nsteps: [{note: x}]\n").encode(encoding))
    source, (problem,) = load(path)
    assert source is None and problem.code == "yaml_syntax"
    if encoding == "latin-1":
        assert (problem.line, problem.column) == (5, 5)


def test_a_lone_surrogate_is_refused() -> None:
    source, (problem,) = load_text(HEAD + 'steps: [{note: "\ud800"}]\n')
    assert source is None and problem.code == "yaml_syntax"


@pytest.mark.parametrize("hidden", ["\u200b", "\u2060", "\u2064", "\u202e", "\ufeff", "\x85"])
def test_characters_that_nobody_sees_are_refused(hidden: str) -> None:
    for written in (hidden, f"\\u{ord(hidden):04x}"):
        with pytest.raises(YamlDefect) as caught:
            read(f'ok: x\nnote: "a{written}b"\n')
        assert (caught.value.code, caught.value.place[0]) == ("yaml_syntax", 2)
    assert read('note: "a\u200db"\n').value == {"note": "a\u200db"}, "scripts and emoji need joiners"
