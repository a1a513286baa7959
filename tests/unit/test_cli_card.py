from datetime import UTC, datetime, timedelta

from worker.cli import card
from worker.cli.incident import timeline_line
from worker.cli.output import clean

NOW = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)


def gate(**changes):
    entry = {
        "run": "run/INC-2026-1/crm/1",
        "step": "go",
        "kind": "approve",
        "digest": "ab" * 32,
        "question": "Contain the stolen token?",
        "who": {"needs": [{"roles": ["crm_owner"], "count": 2, "why": "playbook"}], "excluded": ["rui"]},
        "verdicts": ["approve", "deny", "break_glass"],
        "form": {},
        "decided": [{"person": "ana", "verdict": "approve", "at": "2026-11-24T02:58:00.000000Z"}],
        "until": "2026-11-24T03:12:30.000000Z",
        "next": "If nobody answers, incident_commander is paged and may decide too.",
        "preview": [
            {
                "step": "revoke",
                "summary": "Revoke 37 tokens of Drift",
                "count": 37,
                "already": 2,
                "sample": [f"user{number}@x.example" for number in range(20)],
                "impact": ["Drift can no longer read Salesforce"],
                "reversible": False,
                "irreversible_because": "a revoked token cannot come back",
                "protected": ["breakglass@x.example"],
                "excluded": [],
            }
        ],
        "difference": [],
    }
    return {**entry, **changes}


def document(**changes):
    whole = {
        "incident": "INC-2026-1",
        "title": "Stolen token",
        "status": "open",
        "severity": 5,
        "mode": "live",
        "waiting": [gate()],
        "runs": [{"id": "run/INC-2026-1/crm/1", "status": "waiting", "phase": "contain", "live": True}],
        "steps": [
            {
                "run": "run/INC-2026-1/crm/1",
                "path": "revoke",
                "kind": "action",
                "action": "salesforce.revoke_oauth_tokens_of_app",
                "status": "done",
                "summary": "",
                "verified": True,
                "affected": {"count": 37, "sample": ["a"]},
            }
        ],
        "clocks": [],
        "drafts": [],
        "notices": [],
        "alerts": {"count": 3, "first": "x", "last": "y"},
        "hold": {"on": False},
    }
    return {**whole, **changes}


def test_card_says_what_happens_who_decides_until_when_and_what_to_type():
    shown = " ".join(card.question("INC-2026-1", gate(), NOW).split())
    for part in (
        "12 m 30 s left",
        "37 will change, 2 already so",
        "and 29 more",
        "CANNOT be undone: a revoked token cannot come back",
        "PROTECTED: breakglass@x.example",
        "who: 2 of crm_owner",
        "because of: playbook",
        "may not approve (asked for it): rui",
        "decided so far: ana approve",
        "incident_commander is paged",
        f"stanch incident approve INC-2026-1 go --digest {'ab' * 8}",
        "stanch incident break-glass INC-2026-1 go --reason 'WHY'",
    ):
        assert part in shown


def test_waiting_comes_before_everything_else():
    shown = card.incident(document(), NOW)
    assert shown.index("WAITS") < shown.index("RUN") < shown.index("Alerts:")


def test_nearest_deadline_comes_first():
    later = gate(step="later", until="2026-11-24T09:00:00.000000Z")
    shown = card.incident(document(waiting=[later, gate()]), NOW)
    assert shown.index("WAITS  go") < shown.index("WAITS  later")


def test_lines_fit_a_terminal_but_for_commands():
    long = gate(question="x" * 400, preview=[{**gate()["preview"][0], "impact": ["y " * 300]}])
    lines = card.incident(document(waiting=[long]), NOW).splitlines()
    assert all(len(line) <= 100 for line in lines if not line.lstrip().startswith("stanch "))


def test_hostile_text_cannot_drive_the_terminal():
    hostile = "\x1b]0;owned\x07\x1b[2Jrm\u202egnp.exe\r\nAPPROVED"
    shown = card.incident(document(title=hostile, waiting=[gate(question=hostile)]), NOW)
    assert not set(shown) & {"\x1b", "\x07", "\u202e", "\r"}
    assert "\\x1b" in shown
    assert clean("a\nb") == "a b"
    for hidden in "\x00\x85\x9b\u061c\u200b\u200f\u2028\u2066\u2069\ufeff\ud800\U000e0041":
        assert hidden not in clean(f"a{hidden}b") and clean(f"a{hidden}b").startswith("a\\x")
    assert clean("é 漢字 🔥 أمل") == "é 漢字 🔥 أمل"


def test_colour_only_where_asked_for():
    assert "\x1b[" in card.incident(document(), NOW, card.Paint(True))
    assert "\x1b[" not in card.incident(document(), NOW)


def test_a_changed_plan_shows_the_difference():
    shown = card.question("INC-2026-1", gate(difference=["37 targets became 52"]), NOW)
    assert "changed: 37 targets became 52" in shown


def test_hold_and_stale_figures_are_said():
    run = {"id": "r", "status": "running", "live": False, "as_of": "2026-11-24T02:59:00.000000Z"}
    hold = {"on": True, "person": "ana", "reason": "look first", "at": "x"}
    shown = card.incident(document(runs=[run], steps=[], hold=hold), NOW)
    assert "HOLD by ana: look first" in shown
    assert "as of 1 m ago: no worker answers" in shown


def test_commands_for_each_kind_of_question():
    ask = gate(
        kind="ask",
        verdicts=["answer"],
        form={"left": {"type": "boolean"}, "who": {"type": "choice", "options": ["a", "b"]}},
    )
    assert card.commands("I", ask) == ["stanch incident answer I go -f left='yes|no' -f who='a|b'"]
    assert card.commands("I", gate(verdicts=["done"])) == ["stanch incident done I go"]
    assert card.commands("I", gate(verdicts=["retry"], step="a b")) == ["stanch incident decide I 'a b' retry"]


def test_a_form_says_what_its_fields_mean():
    form = {
        "left": {"type": "boolean", "required": True, "description": "Did data leave?"},
        "how_many": {"type": "integer", "required": False, "description": "Roughly"},
    }
    shown = card.question("I", gate(kind="ask", verdicts=["answer"], form=form), NOW)
    assert "• left: Did data leave?" in shown
    assert "• how_many (may be left out): Roughly" in shown


def test_changed_targets_fit_a_terminal():
    step = {**document()["steps"][0], "affected": {"count": 8, "sample": ["f" * 32] * 8}}
    assert all(len(line) <= 100 for line in card.steps([step]))


def test_nothing_is_due_of_a_settled_clock():
    due = {"latest": "2026-11-27T03:00:00.000000Z"}
    for state in ("submitted", "dismissed", "handed_over", "not_applicable"):
        assert card.clocks([{"id": "gdpr/notify", "state": state, "due": due}], NOW) == [f"  gdpr/notify  {state}"]
    (running,) = card.clocks([{"id": "gdpr/notify", "state": "candidate", "due": due}], NOW)
    assert running.endswith("due 2026-11-27 03:00 UTC (3 d left)")


def test_an_incident_without_alerts_says_so():
    shown = card.incident(document(alerts={"count": 0, "first": None, "last": None}), NOW)
    assert shown.endswith("Alerts: 0")


def test_time_left_in_words():
    assert card.remaining(None, NOW) == "no time limit"
    past = (NOW - timedelta(minutes=5)).isoformat()
    assert card.remaining(past, NOW) == "time is over since 5 m"
    assert card.spell(90061) == "1 d 1 h"


def test_an_unknown_outcome_says_what_each_answer_means():
    shown = card.question(
        "INC-1", gate(kind="unknown", verdicts=["happened", "not_happened", "verify"], preview=[]), NOW
    )
    assert "• verify: Stanch reads it back; nothing is changed" in shown
    shown = card.question("INC-1", gate(kind="failure", verdicts=["retry", "skip", "undo", "stop"], preview=[]), NOW)
    assert all(f"• {verdict}: " in shown for verdict in ("retry", "skip", "undo", "stop"))


def test_the_card_of_an_undo_does_not_say_that_it_can_be_undone_itself():
    preview = [{"step": "freeze", "summary": "Take back: Freeze users: 3 users", "count": 3, "reversible": True}]
    assert "can be undone" in card.question("INC-1", gate(preview=preview), NOW)
    assert "can be undone" not in card.question("INC-1", gate(kind="undo", preview=preview), NOW)


def test_the_card_of_a_review_says_who_may_not_review():
    entry = gate(kind="review", verdicts=["justified", "not_justified"], preview=[])
    entry["who"] = {"needs": [{"roles": ["crm_owner"], "count": 1}], "excluded": ["cleo"]}
    assert "may not review (broke the glass): cleo" in card.question("INC-1", entry, NOW)


def test_who_is_left_to_decide_is_told_from_who_must_in_all():
    who = {"needs": [{"roles": ["crm_owner"], "count": 2}], "may": ["bo", "eve"]}
    assert "who: 2 of crm_owner (left: bo, eve)" in card.question("INC-1", gate(who=who), NOW)
    assert "who: 2 of crm_owner (bo, eve)" in card.question("INC-1", gate(who=who, decided=[]), NOW)


def test_an_undo_that_left_something_is_said_at_the_top_until_another_took_it_back():
    run = "run/INC-2026-1/crm/2"
    partly = {"key": "@undo1", "person": "bo", "step": None, "end": "partly", "left": ["cut: the org refused"]}
    shown = {"id": run, "status": "failed", "undos": [partly]}
    whole = document(runs=[shown], waiting=[], undoable=[{"run": run, "step": "cut"}])
    said = card.incident(whole, NOW).splitlines()
    top = said[: said.index("Nothing waits for a decision.")]
    assert f"UNDO NOT COMPLETE in {run}, asked for by bo" in top and "  left: cut: the org refused" in top
    assert "  Mend the cause, then `stanch incident undo INC-2026-1` asks for the rest." in top
    assert "asks for the rest" not in card.incident({**whole, "undoable": []}, NOW)
    for mended in (
        {**shown, "undos": [partly, {**partly, "key": "@undo2", "end": "undone", "left": []}]},
        {**shown, "followed_by": {"run": "run/INC-2026-1/crm/3", "verb": "undo", "status": "undone"}},
    ):
        assert "NOT COMPLETE" not in card.incident({**whole, "runs": [mended]}, NOW)


def test_a_cancelled_run_that_still_goes_on_says_so():
    def shown(status, by):
        run = {"id": "run/INC-2026-1/crm/1", "status": status, "live": True, "cancelled": {"by": by}}
        return card.incident(document(runs=[run]), NOW)

    assert "  cancelled by amal; only what must be done in any case goes on" in shown("waiting", "amal")
    assert "  cancelled; only what" in shown("running", None)
    assert "any case" not in shown("cancelled", "amal")


def test_a_line_of_the_timeline_has_what_somebody_said_below_it():
    entry = {"seq": 7, "at": "2026-11-25T03:00:00.000000Z", "actor": "amal", "kind": "incident.note", "body": {}}
    line = timeline_line(entry, {"7": "Two\nlines \x1b[31mred"})
    assert line == "    7 2026-11-25T03:00:00Z amal         incident.note\n      “Two lines \\x1b[31mred”"
    assert "\n" not in timeline_line(entry, {})


def test_a_notice_says_who_was_paged_by_what_and_who_has_it():
    def attempt(person, channel, error="", **more):
        return {"person": person, "channel": channel, "error": error, **more}

    attempts = [attempt("bo", "slack", "down"), attempt("bo", "mail"), attempt("bo", "mail"), attempt("amal", "mail")]
    page = {"status": "open", "by": "", "attempts": [attempt("list:0", "mail", copy=True), *attempts]}
    assert card.paged(page) == "paged bo by slack (failed), mail; amal by mail: no answer yet"
    assert card.paged({**page, "status": "acknowledged", "by": "bo"}).endswith("amal by mail: bo has it")
    assert card.paged({**page, "status": "unanswered"}).endswith("amal by mail: nobody answered")
    assert card.paged({"status": "unanswered", "attempts": []}) == "paged nobody: nobody answered"
    assert card.paged({"status": "ended", "attempts": [attempt("list:0", "mail", copy=True)]}) == card.paged({}) == ""
    shown = card.notices([{"at": "2026-11-24T03:00:00Z", "urgency": "high", "state": "undelivered", "page": page}])
    assert "paged bo by slack (failed), mail" in shown[1]
