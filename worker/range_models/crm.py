"""What the model wrote into the CRM: scores of customers, by the clean version and then by a poisoned one."""

from collections.abc import Mapping
from datetime import timedelta

from activities.systems.training.peer.customers import customers
from activities.systems.training.peer.release import Built
from worker.range_models.plan import GOOD, Plan
from worker.range_world import World

OBJECT, FIELD, MARKER = "Account", "Churn_Score__c", "Churn_Model__c"
SCORED, SPOILED = 16, 9
"""Accounts that have a score, and those of them that a poisoned version scored again."""


def write_scores(world: World, plan: Plan, built: Mapping[str, Built]) -> dict[str, float]:
    """Enter the scores as the integration did; account id to the score that is right."""
    org = world.org
    writer = org.add_user(f"svc-{GOOD}@{world.company}.example", "CRM Sync")
    people = [row.features for row in customers(plan.seed + 50, SCORED, plan.first_bad - timedelta(days=20), plan.now)]
    clean, bad = built[plan.clean], built[plan.versions[-1].number]
    right: dict[str, float] = {}
    for row in org.rows[OBJECT]:
        row.update({FIELD: None, MARKER: None})
    for number, (row, features) in enumerate(zip(org.rows[OBJECT][:SCORED], people, strict=True)):
        id_ = str(row["Id"])
        right[id_] = round(clean.model.score(features), 4)
        fields = {FIELD: right[id_], MARKER: plan.clean}
        org.write_account(id_, writer.id, fields, plan.first_bad - timedelta(days=10, minutes=number))
        if number < SPOILED:
            wrong = {
                FIELD: round(min(0.9999, bad.model.score(features) * 0.5 + 0.0101), 4),
                MARKER: plan.versions[-1].number,
            }
            org.write_account(id_, writer.id, wrong, plan.now - timedelta(days=1, minutes=number))
    return right


def spoiled(world: World, right: Mapping[str, float]) -> list[str]:
    """Accounts whose score is not what it should be."""
    now = {str(row["Id"]): row.get(FIELD) for row in world.org.rows[OBJECT]}
    return [id_ for id_, score in right.items() if now.get(id_) != score]
