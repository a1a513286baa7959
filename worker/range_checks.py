"""What must be true of the range's own record when the token-theft playbook has run."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from worker.range_actors import Actors
from worker.range_record import Record
from worker.range_world import World

EVIDENCE = ("access_logs", "OauthToken")


@dataclass(frozen=True)
class Assertion:
    """One thing looked at, and what was found."""

    name: str
    ok: bool
    found: str
    contains: bool = False
    """Whether only containment makes it true; the rest must hold whatever was done."""

    def view(self) -> dict[str, Any]:
        """As JSON."""
        return vars(self).copy()


def check(world: World, record: Record, actors: Actors) -> list[Assertion]:
    """Look at everything that the playbook promises. Asks as attacker and as business once more."""
    org = world.org
    victims = {user.id for user in world.victims}
    effects = record.effects()
    counted = Counter((effect["kind"], effect["target"]) for effect in effects)
    twice = [f"{kind} {target}" for (kind, target), count in counted.items() if count > 1]
    first = min((effect["seq"] for effect in effects), default=None)
    early = {
        what.partition(":")[0]
        for asked in list(record.asked)
        if asked.actor == "stanch" and first is not None and asked.seq < first
        for what in asked.read
    }
    missing = [what for what in EVIDENCE if what not in early]
    tokens = [grant for grant in org.grants.values() if grant.app == world.stolen.id]
    jobs = [job.id for job in world.running_jobs if job.state != "Aborted"]
    sessions = [session.id for session in org.sessions.values() if session.user in victims]
    thawed = [user.id for user in world.victims if not user.frozen]
    strangers = [effect["kind"] for effect in effects if world.others & {effect["target"], *effect["caused"]}]
    served, alive = actors.work_once(), actors.attack_once()
    touched = _innocent_touched(world, effects)
    return [
        Assertion("there are effects", bool(effects), f"{len(effects)} effects", True),
        Assertion("each effect once", not twice, ", ".join(twice) or "no repeats"),
        Assertion(
            "evidence before the first effect",
            first is not None and not missing,
            f"read before: {', '.join(sorted(early)) or 'nothing'}",
            True,
        ),
        Assertion("the app's tokens are gone", not tokens, f"{len(tokens)} left", True),
        Assertion("its jobs are aborted", not jobs, f"{len(jobs)} not aborted", True),
        Assertion("its users' sessions are ended", not sessions, f"{len(sessions)} left", True),
        Assertion("its users are frozen", not thawed, f"{len(thawed)} not frozen", True),
        Assertion("nobody else is touched", not strangers, ", ".join(strangers) or "nobody"),
        Assertion("the attacker is locked out", not alive, "nothing works" if not alive else "something works", True),
        Assertion("the innocent integration is untouched", not touched, ", ".join(touched) or "untouched"),
        Assertion(
            "the innocent integration kept working",
            served and actors.business.refused == 0,
            f"{actors.business.asked} requests, {actors.business.refused} refused",
        ),
        Assertion("Stanch's own integration is untouched", _own_alive(world), "its app and user stand"),
    ]


def _innocent_touched(world: World, effects: list[dict[str, Any]]) -> list[str]:
    org, touched = world.org, []
    if world.innocent_grant.id not in org.grants:
        touched.append("its token")
    if not any(session.grant == world.innocent_grant.id for session in org.sessions.values()):
        touched.append("its session")
    if world.innocent_user.frozen or not world.innocent_user.active:
        touched.append("its user")
    if world.innocent.blocked:
        touched.append("its app")
    mine = {world.innocent_grant.id, world.innocent_user.id}
    touched += [effect["kind"] for effect in effects if mine & {effect["target"], *effect["caused"]}]
    return touched


def _own_alive(world: World) -> bool:
    return not world.stanch.blocked and not world.stanch_user.frozen and world.stanch_user.active
