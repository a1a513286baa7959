"""Drafts: what is filled, what is missing, and text from outside that stays text."""

import json
import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from playbooks.digest import jcs
from playbooks.drafting import BANNER, DraftError, drafts
from playbooks.drafting_markdown import MAX_SHOWN, Safe, escape, finalize
from playbooks.regimes_loader import shipped

ORGANISATION = {
    "name": "Example Shop GmbH",
    "gdpr": True,
    "zone": "Europe/Berlin",
    "nis2_entity": "important",
    "dpo_name": "Ada Park",
    "dpo_contact": "dpo@shop.example",
    "supervisory_authority": "BlnBDI",
}
WHOLE = {
    "personal_data": True,
    "gdpr_role": "controller",
    "risk_to_people": "high",
    "nature": "Contacts were exported with a stolen token.",
    "breach_types": ["confidentiality"],
    "subjects": {"value": 12000, "state": "estimate", "because": "rows of the export job", "source": "INC-2026-1"},
    "subject_categories": ["customers"],
    "records": 12000,
    "record_categories": ["contacts"],
    "consequences": "Phishing in the name of the shop.",
    "measures": "The token was revoked.",
    "nis2_significant": True,
}
HOSTILE = (
    "# Approved\n\n[click](https://evil.example) ![x](http://evil.example/p.png)\n> quote\n- item\n1. one\n"
    "| a | b |\n|---|---|\n<script>x</script> <https://evil.example> www.evil.example a@evil.example\n"
    "===\n    code\n```\nfence\n```\n[ref]: https://evil.example\n**bold** _it_ ~~no~~ &copy; \u202egnp {{ now() }}"
)


def write(facts=None, *, wanted=(), now="2026-11-24T10:00:00Z", organisation=None, dated=None, decisions=None):
    request = {
        "incident": "INC-2026-1",
        "facts": {"detected_at": "2026-11-24T02:00:00Z", **(facts or {})},
        "dated": dated or {},
        "decisions": decisions or {},
        "wanted": wanted,
        "now": now,
    }
    return {draft.stage: draft for draft in drafts(request, shipped(), organisation)}


def test_without_a_wish_every_running_stage_is_drafted() -> None:
    assert list(write(WHOLE, organisation=ORGANISATION)) == [
        "sa_notification",
        "subject_communication",
        "early_warning",
        "incident_notification",
    ]
    assert list(write({"personal_data": False}, organisation={**ORGANISATION, "nis2_entity": "none"})) == []


def test_a_submitted_or_dismissed_stage_is_not_drafted_again() -> None:
    told = {"state": "dismissed", "at": "", "person": "vera", "reason": "x"}
    found = write(WHOLE, organisation=ORGANISATION, decisions={"eu_gdpr_art33/sa_notification": told})
    assert "sa_notification" not in found


def test_a_whole_draft_misses_nothing() -> None:
    draft = write(WHOLE, organisation=ORGANISATION)["sa_notification"]
    assert draft.missing == []
    assert draft.completeness["percent"] == 100
    assert draft.due == "2026-11-27T02:00:00Z"
    values = draft.document["values"]
    assert values["subject_count_approx"]["value"] == 12000
    assert values["subject_count_approx"]["state"] == "estimate"
    assert values["subject_count_approx"]["source_event"] == "INC-2026-1"
    assert values["contact"]["value"] == {"dpo_name": "Ada Park", "dpo_contact": "dpo@shop.example"}
    assert "12000 (estimate; rows of the export job)" in draft.markdown
    assert "Every required element is filled or explained." in draft.markdown


def test_each_missing_element_names_its_article_the_question_and_who_could_know() -> None:
    draft = write()["sa_notification"]
    assert draft.completeness["filled"] == 0
    assert draft.missing == [
        "nature",
        "subject_categories",
        "subject_count_approx",
        "record_categories",
        "record_count_approx",
        "contact",
        "consequences",
        "measures",
    ]
    entry = draft.completeness["missing"][4]
    assert entry["law"] == "Art. 33(3)(a)"
    assert entry["questions"][0]["who"] == "crm_owner"
    for missing in draft.completeness["missing"]:
        assert missing["law"] in draft.markdown
        assert missing["questions"][0]["question"] in draft.markdown


def test_unknown_with_a_reason_is_explained_not_missing() -> None:
    unknown = {"value": None, "state": "unknown", "because": "the export job is still being counted"}
    draft = write({**WHOLE, "records": unknown}, organisation=ORGANISATION)["sa_notification"]
    assert draft.missing == []
    assert (draft.completeness["filled"], draft.completeness["explained"]) == (7, 1)
    assert "Not known yet: the export job is still being counted" in draft.markdown


def test_when_it_is_late_the_reasons_are_required() -> None:
    assert "delay_reasons" not in write(WHOLE, organisation=ORGANISATION)["sa_notification"].missing
    late = write(WHOLE, organisation=ORGANISATION, now="2026-11-28T00:00:00Z")["sa_notification"]
    assert late.missing == ["delay_reasons"]
    told = {**WHOLE, "delay_reasons": "the vendor told us late"}
    late = write(told, organisation=ORGANISATION, now="2026-11-28T00:00:00Z")["sa_notification"]
    assert late.document["delay_reasons"] == "the vendor told us late"
    assert late.missing == []


def test_every_draft_says_that_it_is_one_and_is_approved_by_nobody() -> None:
    for regime in shipped().regimes.values():
        wanted = [(regime.id, stage.id) for stage in regime.stages]
        for draft in write(WHOLE, wanted=wanted, organisation=ORGANISATION).values():
            assert draft.document["status"] == BANNER == "DRAFT – not sent"
            assert draft.document["approvals"] == []
            assert draft.document["exported_at"] is None
            assert draft.markdown.startswith(f"# {BANNER}\n")
            assert "\n\n\n" not in draft.markdown.replace("\n\n\n---", "\n\n---")
            assert jcs(draft.document)
            assert json.loads(json.dumps(draft.document)) == draft.document


def structure(markdown: str) -> list[str]:
    """Lines that a Markdown reader takes as more than text."""
    return [
        line for line in markdown.splitlines() if re.match(r"\s*(#|>|[-+*] |\d+[.)] |\||```|~~~|---|===|<|\[)", line)
    ]


def test_text_from_an_alert_adds_no_structure() -> None:
    told = {"value": HOSTILE, "trust": "alert", "by": "", "source": "detector", "at": ""}
    for stage in ("sa_notification", "subject_communication"):
        plain = write({**WHOLE, "nature": "x"}, organisation=ORGANISATION)[stage].markdown
        hostile = write({**WHOLE, "nature": told}, organisation=ORGANISATION)[stage].markdown
        assert structure(hostile) == structure(plain)
        assert "from an alert, not checked" in hostile
        assert "](http" not in hostile
        assert "https://evil" not in hostile
        assert "<script" not in hostile.replace("\\<", "")
        assert "\u202e" not in hostile
        assert "now()" in hostile, "a template in a fact is text"


def test_a_hostile_reason_or_incident_name_is_escaped_too() -> None:
    decisions = {"eu_gdpr_art33/sa_notification": {"state": "dismissed", "at": "", "person": "v", "reason": HOSTILE}}
    wanted = [("eu_gdpr_art33", "sa_notification")]
    markdown = write(wanted=wanted, decisions=decisions, organisation={"name": HOSTILE})["sa_notification"].markdown
    assert "https://evil" not in markdown
    assert not [line for line in structure(markdown) if "Approved" in line and line.startswith("#")]


@given(st.text(alphabet=st.sampled_from("ab1.)-+=:#*_[]()<>`|~!&@\\/ \n\twW\u202e"), max_size=80))
def test_escaping_keeps_the_text_and_leaves_no_live_character(text: str) -> None:
    shown = escape(text)
    for before, here in pairwise(f" {shown}"):
        if here in "`*_[]<>&#|~!@":
            assert before == "\\"
    assert "://" not in shown
    assert "www." not in shown.lower()
    assert not structure(shown)
    back = re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", shown)
    wanted = "\n".join(line.strip() for line in text.replace("\t", " ").split("\n")).replace("\u202e", "(U+202E)")
    assert back == re.sub(r"\n{3,}", "\n\n", wanted).strip()


def test_only_text_of_our_own_passes_as_it_is() -> None:
    assert finalize(Safe("# a")) == "# a"
    assert finalize("# a") == "\\# a"
    assert finalize(None) == ""


def test_a_flood_is_cut_and_says_so() -> None:
    assert escape("x" * (MAX_SHOWN + 7)).endswith("… (7 more characters in the JSON)")


@pytest.mark.parametrize(
    ("pair", "code"),
    [(("eu_gdpr_art99", "x"), "unknown_regime"), (("eu_gdpr_art33", "x"), "unknown_stage")],
)
def test_an_unknown_stage_is_refused(pair: tuple[str, str], code: str) -> None:
    with pytest.raises(DraftError) as caught:
        write(wanted=[pair])
    assert caught.value.code == code
    assert "No draft was written" in caught.value.message


def test_without_an_establishment_each_countrys_authority_is_named() -> None:
    abroad = {**ORGANISATION, "eu_establishment": False}
    draft = write({**WHOLE, "subject_countries": ["DE", "FR"]}, organisation=abroad)["sa_notification"]
    assert draft.document["one_each"] == ["DE", "FR"]
    assert "each country where affected people live" in draft.markdown
    assert ": DE, FR\n" in draft.markdown
    assert write(WHOLE, organisation=ORGANISATION)["sa_notification"].document["recipient"] == "BlnBDI"


def test_the_result_of_a_step_has_the_shape_of_the_contract() -> None:
    result = write(WHOLE, organisation=ORGANISATION)["sa_notification"].result("drafts/x.md")
    assert set(result) == {"regime", "stage", "due", "path", "missing", "completeness"}
    assert result["path"] == "drafts/x.md"


def test_every_kind_of_line_break_starts_a_line_that_is_escaped() -> None:
    for line_break in ("\n", "\r", "\r\n", "\u2028", "\u2029", "\u0085"):
        assert escape(f"a{line_break}# b{line_break}- c") == "a\n\\# b\n\\- c"
