"""Regime files: the shipped ones are whole, and a wrong one is refused at its place."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import playbooks.regimes_loader as loader
from playbooks.clocks_time import moment
from playbooks.facts import read_facts
from playbooks.facts_vocabulary import KINDS
from playbooks.regimes_loader import load_library, load_regime, load_regime_text, read_mapping, shipped
from playbooks.regimes_model import Condition

HERE = Path(loader.__file__).parent
ART33 = (HERE / "regimes" / "eu_gdpr_art33.yaml").read_text(encoding="utf-8")


def test_the_shipped_regimes_are_whole() -> None:
    library, problems = load_library(HERE)
    assert problems == []
    assert set(library.regimes) == {"eu_gdpr_art33", "eu_gdpr_art34", "eu_nis2_art23"}
    for regime in library.regimes.values():
        assert regime.trigger
        assert all(source.title for source in regime.sources.values())
        for stage in regime.stages:
            assert all(entry.law.startswith("Art.") for entry in stage.fields)
            assert stage.clock.unit == "asap" or stage.remind.before


def test_the_elements_of_the_articles_are_all_there() -> None:
    def laws(regime: str, stage: str) -> set[str]:
        return {entry.law for entry in shipped().get(regime).stage(stage).fields}

    letters = {f"Art. 33(3)({letter})" for letter in "abcd"}
    assert laws("eu_gdpr_art33", "sa_notification") == letters | {"Art. 33(1)"}
    assert laws("eu_nis2_art23", "final_report") == {f"Art. 23(4)(d)({part})" for part in ("i", "ii", "iii", "iv")}
    assert len(shipped().get("eu_gdpr_art33").stage("sa_notification").fields) == 9


def test_a_rule_is_law_between_its_days_only() -> None:
    regime = shipped().get("eu_gdpr_art33")
    assert not regime.in_force(moment("2018-05-24T12:00:00Z").earliest.date())
    assert regime.in_force(moment("2018-05-25T12:00:00Z").earliest.date())


@pytest.mark.parametrize(
    ("old", "new", "code", "line_of"),
    [
        ("language: en", "langauge: en", "unknown_key", "langauge: en"),
        ("unit: hour", "unit: fortnight", "bad_value", "unit: fortnight"),
        ("n: 72", "n: -1", "bad_value", "n: -1"),
        ("facts: [incident.measures]", "facts: [incident.measurs]", "unknown_fact", "measurs"),
        ("start: awareness\n", "start: awarenes\n", "unknown_fact", "start: awarenes"),
        ("sources: [GDPR, R1182, EDPB922]", "sources: [GPDR]", "unknown_source", "sources: [GPDR]"),
        ("id: phased_followup", "id: sa_notification", "duplicate_id", "title: Further"),
        ("before: [24h, 12h, 4h, 1h]", "before: [1 day]", "bad_value", "1 day"),
        ("as_of:", "as_of: &x", "yaml_tag", "as_of: &x"),
        ("as_of:", "as_of: !!python/name:os.system", "yaml_tag", "python/name"),
        ("language: en", "language: en\nlanguage: de", "duplicate_key", "language: de"),
        ("if_unknown: [Europe/Helsinki", "if_unknown: [Mars/Olympus", "bad_value", "Mars"),
        ("stanch_regime: 1", "stanch_regime: 2", "bad_value", "stanch_regime: 2"),
        (
            "{fact: incident.personal_data, is: true,",
            "{fact: incident.personal_data,",
            "bad_value",
            "incident.personal_data,",
        ),
    ],
)
def test_a_mistake_is_located(old: str, new: str, code: str, line_of: str) -> None:
    assert old in ART33
    text = ART33.replace(old, new, 1)
    regime, problems = load_regime_text(text, "x.yaml")
    assert regime is None
    assert problems[0].code == code
    wanted = next(number for number, line in enumerate(text.splitlines(), 1) if line_of in line)
    assert abs(problems[0].line - wanted) <= 1
    assert problems[0].file == "x.yaml"


@pytest.mark.parametrize("text", ["", "[]", "a: [", "\t", "{" * 5000, "a: 1\n---\nb: 2", "? [a]\n: b"])
def test_what_is_no_regime_is_refused(text: str) -> None:
    regime, problems = load_regime_text(text, "x.yaml")
    assert regime is None
    assert problems


def test_a_bomb_and_a_flood_are_refused(tmp_path: Path) -> None:
    bomb = "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n"
    assert load_regime_text(bomb, "x.yaml")[1][0].code == "yaml_tag"
    assert load_regime_text("a:\n" + "  - x\n" * 30_000, "x.yaml")[1][0].code == "yaml_too_big"
    big = tmp_path / "big.yaml"
    big.write_bytes(b"#" * 10_000_000)
    assert load_regime(big)[1][0].code == "yaml_too_big"
    assert load_regime(tmp_path / "none.yaml")[1][0].code == "unreadable"


def test_a_stage_without_a_template_and_a_misnamed_file_are_told(tmp_path: Path) -> None:
    (tmp_path / "regimes").mkdir()
    (tmp_path / "regimes" / "other.yaml").write_text(ART33, encoding="utf-8")
    assert load_library(tmp_path)[1][0].code == "bad_value"
    (tmp_path / "regimes" / "other.yaml").rename(tmp_path / "regimes" / "eu_gdpr_art33.yaml")
    assert {problem.code for problem in load_library(tmp_path)[1]} == {"missing_template"}


@given(st.text(max_size=200))
def test_any_text_gives_problems_never_an_exception(text: str) -> None:
    regime, problems = load_regime_text(text, "x.yaml")
    assert regime is None
    assert problems


def condition(**keys) -> Condition:
    return Condition.model_validate(keys)


KNOWN = read_facts({"personal_data": True, "malicious": False, "breach_types": ["integrity"], "records": 7})


@pytest.mark.parametrize(
    ("test", "answer"),
    [
        ({"fact": "incident.personal_data", "is": True}, True),
        ({"fact": "malicious", "is": True}, False),
        ({"fact": "cross_border", "is": True}, None),
        ({"fact": "breach_types", "has": ["integrity", "availability"]}, True),
        ({"fact": "records", "over": 7}, False),
        ({"not": {"fact": "cross_border", "is": True}}, None),
        ({"all": [{"fact": "cross_border", "is": True}, {"fact": "malicious", "is": True}]}, False),
        ({"all": [{"fact": "cross_border", "is": True}, {"fact": "personal_data", "is": True}]}, None),
        ({"any": [{"fact": "cross_border", "is": True}, {"fact": "personal_data", "is": True}]}, True),
        ({"any": [{"fact": "malicious", "is": True}, {"fact": "records", "over": 9}]}, False),
    ],
)
def test_conditions_know_three_answers(test, answer) -> None:
    verdict = condition(**test).judge(KNOWN)
    assert verdict.answer is answer
    assert bool(verdict.undecided) == (answer is None)


@pytest.mark.parametrize(("told", "answer"), [({"value": True, "trust": "alert"}, None), (True, False)])
def test_an_alert_cannot_end_a_duty_through_a_negation(told, answer) -> None:
    negated = condition(**{"not": {"fact": "unintelligible", "is": True}})
    assert negated.judge(read_facts({"unintelligible": told})).answer is answer
    assert negated.judge(read_facts({"unintelligible": {"value": False, "trust": "alert"}})).answer is True


def test_what_would_settle_a_condition_is_a_known_fact() -> None:
    for regime in shipped().regimes.values():
        for stage in regime.stages:
            assert set(regime.judge(read_facts({}), stage).undecided) <= set(KINDS)


def test_facts_files_keep_dates_as_written() -> None:
    text = "incident: {awareness: 2026-11-24T10:00:00+02:00, subjects: 12, personal_data: yes}"
    assert read_mapping(text) == {
        "incident": {"awareness": "2026-11-24T10:00:00+02:00", "subjects": 12, "personal_data": True}
    }
    assert read_mapping('{"incident": {"subjects": 12}}') == {"incident": {"subjects": 12}}
    for wrong in ("[]", "a: &a 1", "{", "", "a: [1"):
        with pytest.raises(ValueError):
            read_mapping(wrong)
