"""Test files: what they may say, what of a run they look at, and where a mistake stands."""

from pathlib import Path

import pytest

from playbooks.loader import Library
from tests.books import ACTIONS, MARK, marks, whole
from worker.trial.book import Book, NotReady, open_book
from worker.trial.coverage import ways_of
from worker.trial.play import Report, play_suite

PLAYBOOK = whole(
    """
- {id: look, action: lab.look}
- id: go
  approve: [cut]
  by: {roles: [platform_owner], count: 2}
  within: 15m
  on_timeout: [deny]
- {id: cut, action: lab.cut, with: {targets: "{{ steps.look.targets }}"}}
- {id: tell, when: "{{ inputs.loud }}", tell: Cut off., to: channel}
- id: rest
  for_each: "{{ steps.look.names }}"
  note: "{{ item }}"
""",
    inputs="loud: {type: boolean, default: false}",
)


@pytest.fixture
def book(tmp_path: Path) -> Book:
    """The playbook, in a file."""
    path = tmp_path / "example.yaml"
    path.write_text(PLAYBOOK)
    return open_book(path, Library([]), actions=ACTIONS, safety=False)


def played(book: Book, cases: str) -> Report:
    """The report of a test file with these cases."""
    path = Path(book.source.name).with_name("example.test.yaml")
    path.write_text("cases:\n  one:\n" + "".join(f"    {line}\n" for line in cases.strip("\n").splitlines()))
    return play_suite(book, book.suite(path))


def test_a_case_that_comes_out_as_expected(book: Book) -> None:
    report = played(
        book,
        """
inputs: {loud: true}
systems:
  lab.look: {targets: [a, b], names: [x, y]}
  cut: [{fails: transient, times: 2}]
people: {go: [amal approves after 2m, bo approves]}
expect:
  status: done
  steps: {cut: {status: done, affected: 2, by: [amal, bo]}, "rest[1]": done}
  asked: {go: {who: 2 of platform_owner, rule: the playbook, kind: approve, times: 1}, cut: nobody}
  effects: [cut: {targets: [a, b]}]
  order: [look, go, cut, tell]
  told: {tell: {to: channel, text: Cut off}}
  warnings: []
  drafts: []
  within: 3m
  journal: [run.started, gate.opened, decision.accepted, gate.closed, action.intent, run.finished]
""",
    )
    assert report.ok, report.played[0].wrong
    missing = {(way.path, way.way) for way in report.coverage().missing}
    assert missing == {
        ("go", "denied"),
        ("go", "timeout"),
        ("cut", "fails"),
        ("tell", "when false"),
        ("rest", "no items"),
    }
    assert report.coverage().ways == len(list(ways_of(book.outline))) == 12


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("status: »failed", "The run is done, not failed"),
        ("steps: {look: »skipped}", "look is done, not skipped"),
        ("steps: {look: {»count: 3}}", "steps.look.count is 0, not 3"),
        ("facts: {»subjects: 3}", "incident.subjects is None"),
        ("»asked: []", "Asked was at go"),
        ("asked: {»go: nobody}", "go asked 2 of platform_owner"),
        ("asked: {»go: 1 of platform_owner}", "not 1 of platform_owner"),
        ("»effects: [cut]", "The effects are: none"),
        ("order: [»go, look]", "look began before go had ended"),
        ("told: {»go: {to: legal}}", "go told to platform_owner"),
        ("told: {»look: x}", "look told nobody"),
        ("»drafts: [a b]", "There is no draft a b"),
        ("»within: 1m", "more than 0:01:00"),
        ("»lasts: 1m", "It took 0:15:00"),
        ("»warnings: [oh]", "No warning says 'oh'"),
        ("journal: [run.started, »run.undone]", "no run.undone here"),
        ("»reason: nothing", "The reason is ''"),
    ],
)
def test_what_comes_out_otherwise_is_told_with_its_line(book: Book, wrong: str, said: str) -> None:
    report = played(book, "expect:\n\n  " + wrong.replace(MARK, ""))
    (found,) = report.played[0].wrong
    assert said in found.message and found.line == 5


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ("people: {go: [amal approves, amal approves]}\nexpect: {}", "amal was refused (already_decided)"),
        ("people: {go: [{who: amal, says: approved, refused: requester}]}\nexpect: {}", "to be refused as requester"),
        ("people: {cut: retry}\nexpect: {}", "did not ask for this"),
        ("inputs: {loud: 5}\nexpect: {}", "must be boolean"),
        ("people: {go: approved}\nsystems: {cut: {fails: unknown}}\nexpect: {}", "The run did not end"),
    ],
)
def test_a_case_that_cannot_be_as_it_says(book: Book, case: str, said: str) -> None:
    report = played(book, case)
    assert said in report.played[0].wrong[0].message and report.played[0].wrong[0].line > 1


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("»casse: {}\ncases: {one: {expect: {}}}", "unknown_key"),
        ("»playbook: example", "missing_key"),
        ("cases:\n  »one: {inputs: {}}", "missing_key"),
        ("cases: {one: {expect: {»statsu: done}}}", "unknown_key"),
        ("cases: {one: {expect: {status: »finished}}}", "bad_value"),
        ("cases: {one: {expect: {steps: {»loook: done}}}}", "unknown_step"),
        ("cases: {one: {expect: {}, people: {»goo: approved}}}", "unknown_step"),
        ("cases: {one: {expect: {}, people: {go: »amal agrees}}}", "bad_value"),
        ("cases: {one: {expect: {}, systems: {»lab.lok: {}}}}", "unknown_action"),
        ("cases: {one: {expect: {}, systems: {lab.look: {»cuont: 1}}}}", "unknown_key"),
        ("cases: {one: {expect: {}, systems: {lab.look: »broken}}}", "bad_value"),
        ("cases: {one: {expect: {}, systems: {»go: {}}}}", "bad_value"),
        ("cases: {one: {expect: {within: »soon}}}", "bad_value"),
        ("cases: {one: {expect: {}, inputs: {»lod: true}}}", "unknown_key"),
        ("cases: {one: {expect: {}, happens: [»{after: 5m}]}}", "bad_value"),
        ("cases: {one: {expect: {}, continue_after: »many}}", "wrong_type"),
        ("cases: {one: {expect: {}, one: »*x}}", "yaml_too_big"),
    ],
)
def test_a_mistake_stands_where_it_was_made(book: Book, text: str, code: str, tmp_path: Path) -> None:
    path = tmp_path / "example.test.yaml"
    path.write_text(text.replace(MARK, ""))
    with pytest.raises(NotReady) as refused:
        book.suite(path)
    (problem,) = refused.value.problems
    assert (problem.code, [(problem.line, problem.column)]) == (code, marks(text)), problem


def test_things_happen_meanwhile(book: Book) -> None:
    report = played(book, "happens: [{after: 5m, cancel: amal}]\nexpect: {status: cancelled, lasts: 5m}")
    assert report.ok, report.played[0].wrong
