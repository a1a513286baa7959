"""``stanch clock``, ``stanch draft`` and ``stanch regimes``: without a server."""

import json
from pathlib import Path

import pytest

from worker.cli.main import execute


@pytest.fixture
def stanch(capsys):
    """Run a command; gives exit code, stdout (JSON read) and stderr."""

    def run(*arguments: str):
        code = execute([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return code, json.loads(out) if "--json" in arguments and out else out, err

    return run


def test_clock_of_a_stage(stanch) -> None:
    code, document, _ = stanch(
        "clock", "eu_gdpr_art33", "--stage", "sa_notification", "--from", "2026-03-27T14:20", "--zone",
        "Europe/Berlin", "--notified", "2026-03-30T13:00:00Z", "--json",
    )  # fmt: skip
    assert code == 0
    assert set(document) >= {"regime", "stage", "in_force", "start", "strict_due", "outer_due", "rules", "late"}
    assert document["strict_due"] == {"earliest": "2026-03-30T13:20:00Z", "latest": "2026-03-30T13:20:00Z"}
    assert document["outer_due"]["latest"] == "2026-03-30T14:00:00Z"
    assert document["in_force"] is True
    assert document["late"] is False


def test_clock_of_a_regime_starts_only_what_its_event_starts(stanch) -> None:
    code, document, _ = stanch(
        "clock", "eu_nis2_art23", "--from", "2026-11-24T10:00:00Z", "--set",
        "incident_notification_submitted=2026-11-26T10:00:00Z", "--zone", "Europe/Berlin", "--json",
    )  # fmt: skip
    assert code == 0
    due = {entry["stage"]: entry["strict_due"] and entry["strict_due"]["earliest"] for entry in document["clocks"]}
    assert due == {
        "early_warning": "2026-11-25T10:00:00Z",
        "incident_notification": "2026-11-27T10:00:00Z",
        "intermediate_report": None,
        "final_report": "2026-12-26T23:00:00Z",
        "progress_then_final": None,
    }


def test_clock_outside_validity_is_computed_and_says_so(stanch) -> None:
    _, document, _ = stanch(
        "clock", "eu_gdpr_art33", "--stage", "sa_notification", "--from", "2017-01-01T00:00:00Z", "--json"
    )
    assert document["in_force"] is False
    assert document["strict_due"]["earliest"] == "2017-01-04T00:00:00Z"
    assert document["late"] is None


def test_clock_known_to_the_month_and_for_people(stanch) -> None:
    code, text, _ = stanch(
        "clock", "eu_gdpr_art33", "--stage", "sa_notification", "--from", "2026-11", "--zone", "Europe/Berlin"
    )
    assert code == 0
    assert "2026-11-03T23:00:00Z to 2026-12-03T23:00:00Z" in text


def test_a_day_without_a_zone_spans_every_zone_that_it_may_be(stanch) -> None:
    _, document, _ = stanch(
        "clock",
        "eu_gdpr_art33",
        "--stage",
        "sa_notification",
        "--from",
        "2026-11-24",
        "--json",
        "--notified",
        "2026-11-26",
    )
    assert document["start"] == {"earliest": "2026-11-23T22:00:00Z", "latest": "2026-11-25T01:00:00Z"}
    assert document["zone"] is None
    assert document["late"] is None


@pytest.mark.parametrize(
    ("arguments", "exit_code", "code"),
    [
        (("eu_gdpr_art99", "--from", "2026-11-24"), 1, "unknown_regime"),
        (("eu_gdpr_art33", "--stage", "x", "--from", "2026-11-24"), 1, "unknown_stage"),
        (("eu_gdpr_art33", "--from", "soon"), 2, "bad_instant"),
        (("eu_gdpr_art33", "--from", "2026-11-24T10:00"), 2, "zone_missing"),
        (("eu_gdpr_art33", "--from", "2026-11-24", "--zone", "Mars"), 2, "bad_zone"),
        (("eu_gdpr_art33", "--from", "2026-11-24", "--holidays", "XX"), 2, "bad_value"),
        (("eu_gdpr_art33", "--from", "2026-11-24", "--set", "x"), 2, "bad_value"),
        (("eu_gdpr_art33", "--from", "2026-11-24", "--set", "awarenes=2026-11-24"), 2, "unknown_fact"),
    ],
)
def test_clock_refuses_with_a_code(stanch, arguments, exit_code, code) -> None:
    found, document, _ = stanch("clock", *arguments, "--json")
    assert (found, document["ok"], document["code"]) == (exit_code, False, code)


def test_regimes_list_show_facts(stanch) -> None:
    _, document, _ = stanch("regimes", "list", "--json")
    assert [entry["id"] for entry in document["regimes"]] == ["eu_gdpr_art33", "eu_gdpr_art34", "eu_nis2_art23"]
    assert "72 hours from awareness" in stanch("regimes", "list")[1]
    _, document, _ = stanch("regimes", "show", "eu_gdpr_art34", "--json")
    assert document["stages"][0]["clock"]["unit"] == "asap"
    assert "Art. 34(3)(c)" in stanch("regimes", "show", "eu_gdpr_art34")[1]
    _, document, _ = stanch("regimes", "facts", "--json")
    assert "incident.personal_data" in [fact["name"] for fact in document["facts"]]
    assert stanch("regimes", "show", "nope", "--json")[0] == 1


def test_regimes_applicable(stanch, tmp_path: Path) -> None:
    path = tmp_path / "facts.yaml"
    path.write_text("organisation: {gdpr: yes, nis2_entity: none}\nincident: {personal_data: yes}\n")
    code, document, _ = stanch("regimes", "applicable", "--facts", path, "--json")
    assert code == 0
    assert {entry["regime"]: entry["applies"] for entry in document["regimes"]} == {
        "eu_gdpr_art33": "not_known",
        "eu_gdpr_art34": "not_known",
        "eu_nis2_art23": "no",
    }
    path.write_text("incident: {subjects: many}\n")
    code, document, _ = stanch("regimes", "applicable", "--facts", path, "--json")
    assert (code, document["code"]) == (1, "wrong_type")
    code, document, _ = stanch("regimes", "applicable", "--facts", tmp_path / "none.yaml", "--json")
    assert (code, document["code"]) == (1, "unreadable")


def test_regimes_validate(stanch, tmp_path: Path) -> None:
    assert stanch("regimes", "validate", "--json")[:2] == (0, {"ok": True, "problems": []})
    path = tmp_path / "x.yaml"
    path.write_text("id: x\nwhat: y\n")
    code, document, _ = stanch("regimes", "validate", path, "--json")
    assert code == 1
    assert "unknown_key" in {problem["code"] for problem in document["problems"]}
    assert f"{path}:2:1: unknown_key" in stanch("regimes", "validate", path)[1]


def test_draft_from_a_facts_file(stanch, tmp_path: Path) -> None:
    path = tmp_path / "facts.yaml"
    path.write_text(
        "organisation: {gdpr: yes, name: Shop}\n"
        "incident:\n  id: INC-2026-9\n  personal_data: yes\n  awareness: 2026-11-24T10:00:00Z\n"
        "  subjects: {value: 12, state: estimate, because: counted}\n"
    )
    arguments = ("draft", "eu_gdpr_art33", "sa_notification", "--facts", path, "--now", "2026-11-24T12:00:00Z")
    code, document, _ = stanch(*arguments, "--json")
    assert code == 0
    assert document["status"] == "DRAFT – not sent"
    assert document["due"] == "2026-11-27T10:00:00Z"
    assert document["incident"] == "INC-2026-9"
    assert document["values"]["subject_count_approx"]["state"] == "estimate"
    code, text, err = stanch(*arguments)
    assert text.startswith("# DRAFT – not sent")
    assert "consequences" in err
    code, document, _ = stanch("draft", "eu_gdpr_art33", "nope", "--facts", path, "--json")
    assert (code, document["code"]) == (1, "unknown_stage")
