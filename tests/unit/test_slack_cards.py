import pytest

from tests.unit.slack_documents import KINDS, NOW, document, entry, kept, said, step_preview
from worker.slack import names
from worker.slack.blocks import People
from worker.slack.decision_card import decided_card, decision_card
from worker.slack.home import home
from worker.slack.modals import reason_view, review_view
from worker.slack.status_card import announcement, status_card
from worker.slack.told import told
from worker.wording import MEANINGS, REVIEWS

PEOPLE = People({"ben": "U0BEN"})
REVOKE = step_preview(
    1,
    title="Revoke all tokens",
    count=40,
    reversible=False,
    irreversible_because="a token does not come back",
    protected=["root@x.example"],
    excluded=["own@x.example"],
)


def card(waits, mode="live"):
    return decision_card("INC-2026-1", mode, waits, card_id="card1", people=PEOPLE, now=NOW)


def pressed(made):
    return [each for block in made.blocks if block["type"] == "actions" for each in block["elements"]]


def test_a_card_says_in_this_order_what_is_asked_who_decides_until_when_and_what_happens():
    lines = said(card(entry(preview=[REVOKE], difference=["3 more targets"])).blocks)
    assert lines == [
        "Approve or deny?",
        "Cut the app off?",
        "Who decides: 2 of crm owner; still able to: @U0BEN, cho",
        "So far: ana approved 2026-11-25 02:58 UTC",
        "Until: 2026-11-25 03:12 UTC (under 15 min left)",
        "If nobody answers, incident commander is paged and may decide too.",
        "Revoke all tokens · Freeze users: 2 users",
        "40 will change: ana@x.example, ben@x.example and 38 more",
        "Impact: 2 users cannot sign in",
        "⚠ CANNOT be undone: a token does not come back",
        "⛔ PROTECTED: root@x.example",
        "Left out: own@x.example",
        "Changed since you were last asked:",
        "3 more targets",
        "rui cannot approve: asked for it or gave one of its values",
        "One deny stops it.",
        f"INC-2026-1 · go · digest {'ab' * 8} · because of the playbook",
        "[Approve]",
        "[Deny…]",
        "[Break glass…]",
    ]


def test_a_lock_screen_says_what_how_bad_and_until_when():
    assert card(entry(preview=[REVOKE])).text == (
        "INC-2026-1: Approve or deny? Cut the app off? 40 will change; CANNOT be undone; 1 PROTECTED. Until 03:12 UTC."
    )


def test_approving_asks_once_more_with_what_cannot_be_undone():
    approve = pressed(card(entry(preview=[REVOKE])))[0]
    assert (approve["action_id"], approve["value"], approve["style"]) == (names.APPROVE, "card1", "primary")
    assert approve["confirm"]["title"]["text"] == "This CANNOT be undone. Approve?"
    assert approve["confirm"]["text"]["text"] == (
        "40 will change.\nCANNOT be undone: Revoke all tokens (a token does not come back).\nPROTECTED: root@x.example."
    )


@pytest.mark.parametrize(
    ("kind", "actions"),
    [
        ("approve", ["decide:approve", "decide:deny", "decide:break_glass"]),
        ("undo", ["decide:approve", "decide:deny"]),
        ("ask", ["decide:form"]),
        ("human", ["decide:done"]),
        ("failure", ["decide:retry", "decide:skip", "decide:undo", "decide:stop"]),
        ("unknown", ["decide:happened", "decide:not_happened", "decide:verify"]),
        ("review", ["decide:form"]),
    ],
)
def test_each_kind_of_question_has_its_own_buttons_with_the_card_as_value(kind, actions):
    made = pressed(card(entry(kind)))
    assert [each["action_id"] for each in made] == actions
    assert {each["value"] for each in made} == {"card1"}


@pytest.mark.parametrize(("kind", "words"), [("failure", MEANINGS), ("unknown", MEANINGS), ("review", REVIEWS)])
def test_a_verdict_is_offered_with_what_it_means(kind, words):
    lines = said(card(entry(kind)).blocks)
    for verdict in KINDS[kind]:
        assert f"{verdict.replace('_', ' ')}: {words[verdict]}" in lines


def test_breaking_the_glass_stands_apart():
    rows = [block for block in card(entry()).blocks if block["type"] == "actions"]
    assert [[each["action_id"] for each in row["elements"]] for row in rows][-1] == [names.BREAK_GLASS]


def test_too_few_people_is_said():
    waits = entry()
    waits["who"] |= {"reachable": False, "may": []}
    assert any("NOT ENOUGH PEOPLE" in line for line in said(card(waits).blocks))


def test_an_exercise_is_marked_first_and_last_and_live_is_not():
    for mode, count in (("exercise", 2), ("live", 0)):
        lines = said(card(entry(preview=[REVOKE]), mode).blocks)
        assert sum("EXERCISE" in line for line in lines if line[0] != "[") == count
        assert reason_view("deny", entry(), mode=mode)["title"]["text"].startswith("EXERCISE") == bool(count)


def test_a_decided_card_says_who_and_when_and_has_no_buttons():
    result = {"at": "2026-11-25T03:01:00Z", "body": {"status": "denied", "verdict": "deny", "by": ["ben"]}}
    made = decided_card("live", entry(incident="INC-2026-1"), result, people=PEOPLE)
    lines = said(made.blocks)
    assert lines[:4] == ["Denied", "Cut the app off?", "By @U0BEN", "At 2026-11-25 03:01 UTC"]
    assert pressed(made) == []
    assert made.text == "Denied by ben: Cut the app off?"


@pytest.mark.parametrize(
    ("status", "verdict", "said_first"),
    [
        ("approved", "approve", "Approved"),
        ("approved", "break_glass", "Approved by breaking the glass"),
        ("expired", None, "Time is over: nobody decided"),
        ("answered", "done", "Done"),
        ("answered", "skip", "Decided: Go on without it"),
        ("closed", None, "Closed without a decision"),
    ],
)
def test_every_end_of_a_question_has_its_words(status, verdict, said_first):
    made = decided_card("live", entry(), {"status": status, "verdict": verdict, "by": []}, people=PEOPLE)
    assert said(made.blocks)[0] == said_first


def test_a_status_card_shouts_the_hold_and_what_is_unknown():
    step = {"run": "run/INC-2026-1/crm/1", "path": "freeze", "status": "unknown", "message": "no answer"}
    made = status_card(
        document(steps=[step], hold={"on": True, "person": "ben", "reason": "wait"}), people=PEOPLE, now=NOW
    )
    lines = said(made.blocks)
    assert "⛔ HOLD: no new effect starts anywhere." in lines
    assert "❗ UNKNOWN whether 1 effect happened. Look." in lines
    assert made.text.endswith("HOLD is on. 1 effects UNKNOWN. 0 decisions wait")


def test_a_status_card_of_a_real_run_tells_effects_and_counts_the_rest():
    lines = said(status_card(kept("approve"), people=PEOPLE, now=NOW).blocks)
    assert "✓ Abort the running exports: done, 1 bulk job aborted, 1 changed, VERIFIED" in lines
    assert "Further steps: 8 done, 1 waiting, 43 to come. stanch incident show INC-2026-1" in lines
    assert "[Hand over]" in lines


def test_a_status_card_says_what_to_do_when_all_has_ended():
    ended = kept("ended")
    lines = said(status_card(ended, people=PEOPLE, now=NOW).blocks)
    assert "All that was planned has ended. Next: settle each legal clock (/stanch clock), then close." in lines
    settled = [{**clock, "open": False} for clock in ended["clocks"]]
    lines = said(status_card({**ended, "clocks": settled}, people=PEOPLE, now=NOW).blocks)
    assert "All that was planned has ended. Next: /stanch close REASON." in lines
    assert any("3 not reached" in line for line in lines)
    gone = said(status_card({**ended, "status": "closed"}, people=PEOPLE, now=NOW).blocks)
    assert not any("Next:" in line or "Commander: nobody" in line for line in gone)


def test_a_private_incident_is_announced_without_its_title():
    open_one = announcement(document(), "C0123ABC", people=PEOPLE)
    private = announcement(document(), "C0123ABC", people=PEOPLE, private=True)
    assert "Stolen token" in open_one.text
    assert "Stolen token" not in str(private)
    assert "C0123ABC" not in str(private)


def test_a_page_is_headed_as_one_and_names_roles_and_people():
    notice = {
        "incident": "INC-1",
        "step": "alarm",
        "to": ["role:crm_owner", "person:ben"],
        "urgency": "page",
        "body": {"kind": "text", "text": "INC-1: look"},
    }
    made = told(notice, "live", people=PEOPLE)
    assert said(made.blocks) == ["🚨 Page", "INC-1: look", "For @U0BEN (crm owner)", "INC-1 · alarm"]
    assert made.text == "INC-1: look"


def test_home_says_what_needs_me_and_what_happens_if_i_do_nothing():
    waits = [
        entry(incident="INC-2026-1", card="card1", channel="C0123ABC"),
        entry(incident="INC-2026-1", who={"may": ["cho"]}),
    ]
    lines = said(home("ben", waits, [], now=NOW)["blocks"])
    assert lines[:5] == [
        "1 needs you",
        "Cut the app off?",
        "Until 2026-11-25 03:12 UTC (under 15 min left)",
        "If you do nothing: incident commander is paged and may decide too.",
        "Decide in #C0123ABC",
    ]


def test_home_shows_somebody_unknown_nothing_but_that():
    made = home(None, [entry(incident="INC-2026-1")], [document(waiting=1)], now=NOW)
    assert "INC-2026-1" not in str(made)
    assert len(made["blocks"]) == 1


def test_a_review_asks_for_a_verdict_and_a_reason():
    blocks = {block.get("block_id"): block for block in review_view(entry("review"))["blocks"]}
    assert [each["value"] for each in blocks[names.VERDICT]["element"]["options"]] == KINDS["review"]
    assert blocks[names.REASON]["optional"] is False


def test_starting_a_playbook_changes_nothing_and_is_not_called_final():
    start = step_preview(1, action="run lessons", count=0, sample=[], labels=[], impact=[], reversible=False)
    for steps in ([start], [start, step_preview(2)]):
        made = card(entry(preview=steps))
        shown = " ".join(said(made.blocks))
        assert "hanges nothing by itself" in shown and "CANNOT be undone" not in shown + made.text + str(pressed(made))
    assert "it changes nothing by itself" in card(entry(preview=[start])).text
