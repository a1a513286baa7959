"""Starts with effect are capped per source and hour; what is held back is told."""

from datetime import timedelta

from tests.unit.test_alerts_intake import NOW, REVOKED, Shelf, body, intake


def many(count):
    return [
        {**REVOKED, "USER_ID": f"005{number:012}", "CONNECTED_APP_ID": f"0H4{number:012}"} for number in range(count)
    ]


def test_starts_with_effect_are_capped_per_source_and_hour():
    shelf, taker = Shelf(), intake()
    receipts = [taker.receive(shelf, "calm", {}, body(event), NOW) for event in many(4)]
    assert [receipt.start["playbook"] for receipt in receipts] == ["crm-oauth-token-theft"] * 2 + ["crm-triage"] * 2
    assert [problem.code for problem in receipts[3].alert.problems] == ["time_old", "capped"]
    assert receipts[3].created and receipts[3].start["inputs"] == {"since": receipts[0].start["inputs"]["since"]}
    assert [(incident, entry.kind, entry.body["instead"]) for incident, entry in shelf.entries] == [
        (receipt.incident, "run.not_started", "crm-triage") for receipt in receipts[2:]
    ]
    assert "crm-oauth-token-theft was not started. This source has used its 2 starts" in shelf.pages[0].body["text"]
    assert shelf.pages[0].urgency == "page" and len(shelf.pages) == 2
    other = taker.receive(shelf, "open", {}, body(many(6)[5]), NOW)
    assert other.start["playbook"] == "crm-oauth-token-theft"
    hour_later = taker.receive(shelf, "calm", {}, body(many(8)[7]), NOW + timedelta(minutes=61))
    assert hour_later.start["playbook"] == "crm-oauth-token-theft"
    assert taker.receive(shelf, "opener", {}, body(many(9)[8]), NOW).start["playbook"] == "crm-triage"


def test_joining_uses_up_no_start():
    shelf, taker = Shelf(), intake()
    for _ in range(10):
        taker.receive(shelf, "calm", {}, body(REVOKED), NOW)
    assert taker.receive(shelf, "calm", {}, body(many(1)[0]), NOW).start["playbook"] == "crm-oauth-token-theft"
