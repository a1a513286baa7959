"""What the demo's people know arrives in a form of Slack as what they meant."""

import pytest

from worker.demo_slack import entered
from worker.slack import forms
from worker.slack.names import FIELD, VALUE
from worker.slack.peer.inputs import check, fill

KNOWN = [
    ({"type": "boolean"}, True),
    ({"type": "boolean"}, False),
    ({"type": "integer"}, 1200),
    ({"type": "choice", "options": ["no_risk", "risk"]}, "risk"),
    ({"type": "list[choice]", "options": ["a", "b", "c"]}, ["a", "c"]),
    ({"type": "list[string]"}, ["customers", "support cases"]),
    ({"type": "list[string]"}, ["crm_owner: a baseline, within a month"]),
    ({"type": "list[string]"}, []),
    ({"type": "datetime"}, "2026-11-25T02:58:00Z"),
    ({"type": "duration"}, "2h"),
    ({"type": "string"}, "Tokens of an integration were taken."),
]


@pytest.mark.parametrize(("field", "value"), KNOWN)
def test_a_value_comes_back_as_it_was_given(field, value):
    fields = {"known": field}
    view = {"blocks": forms.blocks_of(fields), "state": {"values": {}}}
    fill(view, {FIELD + "known": entered(value, field)})
    assert check(view) == {} and set(view["state"]["values"][FIELD + "known"]) == {VALUE}
    assert forms.read(view["state"], fields) == ({"known": value}, {})
