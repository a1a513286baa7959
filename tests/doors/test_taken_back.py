"""What went wrong half way is done again and then taken back: the simulated company's own record has each effect once."""

import httpx

ENDED = {"done", "failed", "denied", "cancelled", "undone"}


def effects(acme, users):
    return sorted((each["kind"], each["target"]) for each in acme.range.record.effects() if each["target"] in users)


def frozen(acme):
    return {user["id"]: user["frozen"] for user in acme.range.state()["salesforce"]["users"]}


async def fault(acme, **rule):
    """A new rule of the simulated Salesforce; without one, none any more."""
    async with httpx.AsyncClient(base_url=acme.range.url, trust_env=False) as http:
        path = "/_range/faults" if rule else "/_range/faults/clear"
        (await http.post(path, json={"actor": "stanch", **rule})).raise_for_status()


async def card(acme, incident, step, kind):
    shown = await acme.until(
        incident, lambda shown: (step, kind) in [(each["step"], each["kind"]) for each in shown["waiting"]]
    )
    return next(each for each in shown["waiting"] if each["step"] == step)


async def over(acme, incident, runs):
    def last(shown):
        return shown["runs"][-1]["status"] if len(shown["runs"]) == runs else ""

    return last(await acme.until(incident, lambda shown: last(shown) in ENDED))


async def test_what_failed_half_way_is_rerun_and_undone_and_the_company_is_as_before(acme):
    org = acme.range.world.org
    some = [org.add_user(f"half{n}@acme.example", f"Half {n}") for n in range(4)]
    users, before = [user.id for user in some], frozen(acme)
    org.locked[some[3].login_id] = 10_000
    started = await acme.document("cleo", "incident", "start", "freeze-some", "-i", f"users={','.join(users)}")
    incident = started["incident"]

    approve = (
        "incident",
        "approve",
        incident,
        "go",
        "--digest",
        (await card(acme, incident, "go", "approve"))["digest"],
    )
    await acme.document("amal", *approve)
    assert effects(acme, users) == [], "nothing before two have approved"
    # The answer to the first change is lost, and cannot be read back.
    await fault(acme, kind="drop_after_commit", method="PATCH", path="composite/sobjects")
    await fault(acme, kind="status", query="UserLogin", times=0, skip=2, status=503)
    await acme.document("bo", *approve)
    await card(acme, incident, "freeze", "unknown")
    assert [user.frozen for user in some] == [True, True, True, False]
    await fault(acme)
    await acme.document("amal", "incident", "decide", incident, "freeze", "not_happened")
    await card(acme, incident, "freeze", "failure")
    await acme.document("amal", "incident", "decide", incident, "freeze", "stop")
    assert await over(acme, incident, 1) == "failed"

    org.locked.clear()
    await acme.document("cleo", "incident", "rerun", incident, "--reason", "the row is free")
    assert await over(acme, incident, 2) == "done"
    once = [("user.frozen", user) for user in sorted(users)]
    assert effects(acme, users) == once, "each once, those of the lost answer included"

    offer = (await acme.document("cleo", "incident", "undo", incident))["offers"][0]
    assert offer["preview"][0]["count"] == 4, "all that was done by either run is taken back"
    await acme.document("amal", "incident", "undo", incident, "--digest", offer["digest"])
    assert await over(acme, incident, 3) == "undone"
    assert effects(acme, users) == [*once, *(("user.unfrozen", user) for user in sorted(users))]
    assert frozen(acme) == before
