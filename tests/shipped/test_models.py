"""Playbooks of AI models, played in virtual time: whole, and continued as new again and again, with the same entries.

The playbooks of the CRM are played by real processes (``test_shipped.py``); these by the same workflows over stubs, so
that they cost seconds.
"""

from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.shipped.test_shipped import BESIDE, plain
from worker.trial.book import beside
from worker.trial.outcome import Outcome
from worker.trial.shelf import book_of
from worker.trial.trial import Trial

FURTHEST = {
    "model-poisoned": "rolled back to the clean version three back, and trained anew behind the gate",
    "model-extraction": "the thief is named and refused, a customer is served, the stolen cloud key is off",
    "model-release-gate": "made the one that all are served, by two people who did not train it",
    "key-exposed": "the key is cut off, and replaced beside the questions of the law",
    "key-overdue": "everything is renewed, and nobody misused anything",
}
"""Of each playbook the case that goes furthest."""
BELOW = 50
"""Events after which a run continues as new."""


def played(playbook: str, continue_after: int | None) -> tuple[Trial, Outcome]:
    """A playbook's furthest case at its end."""
    book = book_of(playbook)
    suite = book.suite(beside(Path(book.source.name)))
    case = next(case for case in suite.cases if case.name == FURTHEST[playbook])
    trial = book.case(replace(case, continue_after=continue_after))
    try:
        trial.finish()
        return trial, Outcome.of(trial)
    finally:
        trial.close()


def meant(outcome: Outcome) -> dict[str, list[Any]]:
    """Entries of each step instance, in order: kind, and body without what differs between any two runs."""
    found = defaultdict(list)
    for entry in outcome.journal:
        if not entry.kind.startswith(BESIDE):
            place = f"{entry.body.get('step')}[{entry.body.get('pass', 0)}, {entry.body.get('item')}]"
            found[place].append((entry.kind, plain(entry.body)))
    return dict(found)


@pytest.mark.parametrize("playbook", FURTHEST)
def test_continuing_as_new_leaves_the_same_entries(playbook: str) -> None:
    whole, once = played(playbook, None)
    split, often = played(playbook, BELOW)
    assert once.status == often.status == "done"
    # A long one is continued by itself, too, once its history is large.
    assert split.server.executions > whole.server.executions + 2
    assert once.effects == often.effects and once.drafts == often.drafts
    first, second = meant(once), meant(often)
    assert list(first) and set(first) == set(second)
    for place, entries in first.items():
        assert second[place] == entries, place
