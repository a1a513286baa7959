"""Handing a role to somebody else for a time: who decides meanwhile, who does not, and what the record says."""

from datetime import UTC, datetime, timedelta


async def test_the_delegate_decides_and_the_delegator_is_refused_until_the_role_is_back(house):
    incident = await house.start()
    card = await house.card(incident, "go")
    path = "/v1/people/amal/delegations"
    wanted = {"role": "crm_owner", "to": "vic", "until": "8h"}
    assert (await house.ask("bo", "POST", path, wanted)).json()["code"] == "wrong_role"
    far = (datetime.now(UTC) + timedelta(days=40)).isoformat()
    for wrong in (
        {"to": "amal"},
        {"role": "legal"},
        {"until": "soon"},
        {"until": "2001-01-01T00:00:00Z"},
        {"until": "2999-01-01T00:00:00"},
        {"until": far},
    ):
        assert (await house.ask("amal", "POST", path, {**wanted, **wrong})).json()["code"] == "bad_value", wrong
    assert (await house.ask("amal", "POST", path, {**wanted, "to": "zoe"})).json()["code"] == "not_found"
    given = await house.ask("amal", "POST", path, wanted)
    assert given.status_code == 201 and given.json()["away"][0]["to"] == "vic"
    shown = {row["name"]: row for row in (await house.ask("bo", "GET", "/v1/people")).json()["people"]}
    assert (shown["amal"]["roles"], shown["vic"]["roles"]) == ([], ["viewer", "crm_owner"])
    handed_on = await house.ask("root", "POST", "/v1/people/vic/delegations", {**wanted, "to": "bo"})
    assert handed_on.json()["code"] == "bad_value"

    assert (await house.card(incident, "go"))["who"]["may"] == ["bo", "vic"]
    refused = await house.decide(incident, "amal", card, "approve")
    assert (refused.status_code, refused.json()["code"]) == (403, "delegated_away")
    assert "vic" in refused.text
    assert (await house.decide(incident, "vic", card, "approve")).status_code == 200
    back = await house.ask("amal", "DELETE", f"{path}/crm_owner")
    assert back.json()["roles"] == ["crm_owner"]
    assert (await house.ask("amal", "DELETE", f"{path}/crm_owner")).json()["code"] == "no_change"
    assert (await house.decide(incident, "amal", card, "approve")).status_code == 200
    entries = house.env.store.journal.entries(incident)
    told = [(entry["kind"], entry["actor"], entry["body"]["person"]) for entry in entries if "role." in entry["kind"]]
    assert told == [("role.delegated", "amal", "amal"), ("role.returned", "amal", "amal")]
    codes = [entry["body"]["code"] for entry in entries if entry["kind"] == "decision.refused"]
    assert codes == ["delegated_away"]
