"""Declaring actions, and what the compiler learns of them."""

import subprocess
import sys
from datetime import datetime, timedelta

import pytest
from pydantic import ValidationError

from activities.action import Action, Grants, Params, Result, Targets, action, type_name
from activities.catalog import CATALOG, Catalog
from playbooks.contract import Risk
from tests.lab import LAB_ACTIONS, LabEndMatching, LabTouch


class Things(Params):
    targets: Targets
    since: datetime | None = None
    kinds: list[str] = []


class Patience(Params):
    longest: timedelta | None = None
    name: str = ""


class ThingsFound(Result):
    grants: Grants
    count: int
    note: str | None = None


class Body(Action[Things, ThingsFound]):
    """Find things."""


def test_facts_come_from_the_models():
    facts = action("lab.find_things", risk=Risk.READ, owner="crm_owner")(Body).facts
    assert {name: field.type for name, field in facts.params.items()} == {
        "targets": "targets",
        "since": "datetime",
        "kinds": "list[string]",
    }
    assert [name for name, field in facts.params.items() if field.required] == ["targets"]
    assert {name: field.type for name, field in facts.outputs.items()} == {
        "grants": "grants",
        "count": "integer",
        "note": "string",
    }
    assert (facts.system, facts.queue, facts.title) == ("lab", "lab", "Find things")


@pytest.mark.parametrize("written", ["90d", "7776000s", "P90D", 7_776_000])
def test_a_duration_may_be_as_playbooks_write_it(written):
    assert Patience(longest=written, name="90d") == Patience(longest=timedelta(days=90), name="90d")


def test_what_is_no_duration_is_refused():
    with pytest.raises(ValidationError, match="longest"):
        Patience(longest="soon")


@pytest.mark.parametrize(
    ("name", "declared", "message"),
    [
        ("Revoke", {"risk": Risk.READ}, "is named"),
        ("lab.end_it", {"risk": Risk.CONTAIN}, "reversible or says why not"),
        ("lab.end_it", {"risk": Risk.CONTAIN, "reversible": True, "irreversible": "x"}, "reversible or says"),
        ("lab.end_it", {"risk": Risk.CONTAIN, "reversible": True}, "no undo"),
        ("lab.end_it", {"risk": Risk.CONTAIN, "irreversible": "gone"}, "needs a preview"),
        ("lab.read_it", {"risk": Risk.READ, "irreversible": "gone"}, "nothing to take back"),
    ],
)
def test_a_wrong_declaration_is_refused_when_it_is_imported(name, declared, message):
    with pytest.raises(TypeError, match=message):
        action(name, owner="crm_owner", **declared)(Body)


def test_a_type_without_a_name_in_the_language_is_refused():
    with pytest.raises(TypeError, match="no type"):
        type_name(bytes | int)


def test_two_actions_of_one_name_are_refused():
    class Twin(Action[Things, ThingsFound]):
        """Touch too."""

    other = action("lab.touch", risk=Risk.READ, owner="crm_owner")(Twin)
    with pytest.raises(TypeError, match="two actions are named"):
        Catalog([LabTouch, other]).facts()


def test_domains_gather_actions_by_queue():
    catalog = Catalog(LAB_ACTIONS)
    assert {spec.name for spec in catalog.domains()["lab"]} == set(catalog.facts())
    assert catalog.spec("lab.end_matching") is LabEndMatching
    assert catalog.facts()["lab.end_matching"].selector


def test_every_installed_action_says_what_it_needs():
    for name, facts in CATALOG.facts().items():
        assert name.startswith(f"{facts.system}.")
        assert facts.owner
        assert not facts.risk.is_effect or facts.reversible or facts.irreversible_because


def test_reading_the_catalog_imports_no_client():
    code = (
        "import sys; from activities.catalog import CATALOG; CATALOG.facts(); "
        "print([name for name in sys.modules if name.split('.')[0] in "
        "('simple_salesforce', 'requests', 'temporalio', 'zeep')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
