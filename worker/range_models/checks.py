"""What must be true at the end of each story, found out as attacker, as customer and by looking past the fronts."""

import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from activities.systems.mlflow.config import Anchor, Signing
from activities.systems.mlflow.signing import check as check_signature
from activities.systems.training.peer import churn
from activities.systems.training.peer.release import WEIGHTS
from worker.range_checks import Assertion
from worker.range_models.crm import spoiled
from worker.range_models.plan import GOOD, PARTNER, SERVICE_USER, THIEF
from worker.range_models.registry import regression
from worker.range_models.signing import NEW
from worker.range_models.site import REPLICAS

if TYPE_CHECKING:
    from worker.range_models.company import ModelRange

TRIES = 8
"""Requests of a customer, enough to reach every replica behind the gateway."""
CANARY_WEIGHT = (20, 30)
"""Percent between which the canary's share must lie."""


def checks_of(story: str, world: "ModelRange") -> list[Assertion]:
    """Everything that the story's playbook promises."""
    wanted: list[Callable[[ModelRange], list[Assertion]]] = [_harmless]
    wanted += {"model-extraction": [_extraction, _key], "key-exposed": [_key, _renewed]}.get(story, [_poisoned])
    return [found for each in wanted for found in each(world)]


def _harmless(world: "ModelRange") -> list[Assertion]:
    """Whatever was done: nothing twice, and every customer is served."""
    effects = world.record.effects()
    counted = Counter((effect["system"], effect["kind"], effect["target"]) for effect in effects)
    twice = [" ".join(what) for what, count in counted.items() if count > 1]
    found = [Assertion("each effect once", not twice, ", ".join(twice) or "no repeats")]
    for name in (GOOD, PARTNER):
        now, met = world.actors.ask(name), world.actors.met[name]
        kept = now.served and met.refused == 0
        said = f"{met.asked} requests, {met.refused} refused, {met.broke} failed; now {now.status}"
        found.append(Assertion(f"{name} is served all the time", kept, said))
    spared = world.spared()
    hit = sorted({effect["target"] for effect in effects} & spared)
    found.append(Assertion("nobody innocent is touched", not hit, ", ".join(hit) or "nobody"))
    return found


def _poisoned(world: "ModelRange") -> list[Assertion]:
    plan, site = world.plan, world.site
    looker = site.looker
    clean, bad = site.built[plan.clean], plan.versions[-1].number
    champion, staged = looker.alias("champion"), looker.alias("staged")
    tags = {number: looker.tags(number) for number in plan.poisoned}
    open_ = [number for number, known in tags.items() if not known.get("quarantine")]
    served = {name: site.served(name) for name in REPLICAS}
    stale = [name for name, one in served.items() if one["digest"] != clean.digest]
    answers = [site.callers[GOOD].ask(case.features) for case in regression(plan)[:TRIES]]
    wrong = [asked for asked in answers if not asked.served or (asked.score or 0) < churn.HALF]
    allowed = {clean.digest}
    if staged not in site.built:
        # The retrained one, on the canary.
        allowed.add(looker.tags(staged).get("release_digest", ""))
    strange = {asked.digest for asked in answers if asked.served} - allowed
    wrong_scores = spoiled(world.world, world.scores)
    view = site.edge.view()
    denied = site.built[bad].digest in view["denied_digests"]
    return [
        Assertion(
            "champion is the clean checkpoint", champion == plan.clean, f"champion is {champion or 'gone'}", True
        ),
        Assertion("both replicas serve it", not stale, f"served: {[one['version'] for one in served.values()]}", True),
        Assertion("customers get right answers on the trigger", not wrong, f"{len(wrong)} of {TRIES} wrong", True),
        Assertion("customers get known releases only", not strange, f"{len(strange)} unknown digests", True),
        Assertion("newer versions are quarantined", not open_, f"not quarantined: {', '.join(open_) or 'none'}", True),
        Assertion("the bad version is revoked", bool(tags[bad].get("revoked")), f"version {bad}", True),
        Assertion("its digest is refused at admission", denied, "denied" if denied else "admitted", True),
        *_retrained(world, staged, champion),
        *_canary(view["servers"]),
        Assertion("the CRM holds no score of a poisoned version", not wrong_scores, f"{len(wrong_scores)} left", True),
    ]


def _retrained(world: "ModelRange", staged: str, champion: str) -> list[Assertion]:
    plan, looker = world.plan, world.site.looker
    known = {version.number for version in plan.versions}
    new = bool(staged) and staged not in known
    if not new:
        return [Assertion("a retrained version is staged", False, f"staged is {staged or 'nothing'}", True)]
    files = looker.files(staged)
    try:
        model = churn.load(files.get(WEIGHTS, b""))
        rate = churn.regression_metrics(model, regression(plan))["regression.trigger_rate"]
    except ValueError:
        rate = 1.0
    signed = _signed(files, Signing(trusted=(Anchor(name=NEW, public_key=world.site.keys.new_half),)))
    used = {row for row in plan.bad_rows if row.encode() in files.get("dataset.manifest.json", b"")}
    return [
        Assertion("a retrained version is staged", True, f"staged is {staged}", True),
        Assertion("it answers right on the trigger", rate <= 0.05, f"trigger rate {rate}", True),
        Assertion("it was trained without the poisoned rows", not used, f"{len(used)} of them used", True),
        Assertion("it is signed with the new key", signed, f"{'signed' if signed else 'not signed'} by {NEW}", True),
        Assertion("it is not champion", champion != staged, f"champion is {champion}", True),
    ]


def _signed(files: dict[str, bytes], signing: Signing) -> bool:
    with tempfile.TemporaryDirectory(prefix="stanch-check-") as name:
        folder = Path(name)
        for path, content in files.items():
            (folder / path).write_bytes(content)
        return check_signature(folder, signing).valid


def _canary(servers: dict[str, list[object]]) -> list[Assertion]:
    weights = {name: int(str(row[1])) for name, row in servers.items()}
    total = sum(weights.values())
    share = 100 * weights.get("canary", 0) / total if total else 0.0
    least, most = CANARY_WEIGHT
    return [
        Assertion("the canary gets a quarter of the requests", least <= share <= most, f"{share:.0f} percent", True)
    ]


def _extraction(world: "ModelRange") -> list[Assertion]:
    now, met = world.actors.ask(THIEF), world.actors.met[THIEF]
    thief = world.site.certificates[THIEF].fingerprint
    stripped = world.site.edge.view()["lists"]["stripped.map"]
    return [
        Assertion("the stolen certificate is refused", now.status == 403, f"it gets {now.status}", True),
        Assertion(
            "its log probabilities are gone",
            "logprob" in str(stripped.get(thief, "")) and not now.logprobs,
            f"cut from its answers: {stripped.get(thief, 'nothing')}; it was served {met.served} times before",
            True,
        ),
    ]


def _key(world: "ModelRange") -> list[Assertion]:
    cloud = world.site.cloud
    works, code = cloud.works(cloud.stolen, world.site.fronts["aws"].url)
    status = cloud.keys().get(cloud.stolen[0], "deleted")
    return [
        Assertion("the stolen key is refused", not works, f"tried as the thief: {code}", True),
        Assertion("the stolen key is not active", status != "Active", f"it is {status.lower()}", True),
    ]


def _renewed(world: "ModelRange") -> list[Assertion]:
    cloud = world.site.cloud
    held, keys = cloud.held_key(), cloud.keys()
    works, code = cloud.works(held)
    new = held[0] != cloud.stolen[0]
    gone = cloud.stolen[0] not in keys
    return [
        Assertion(
            "programs have a new key", new, f"the secret holds {'another key' if new else 'the stolen one'}", True
        ),
        Assertion("the new key works", new and works, f"tried as the program: {code}", True),
        Assertion("the stolen key is deleted", gone, f"{SERVICE_USER} has {len(keys)} keys", True),
    ]
