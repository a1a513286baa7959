"""``stanch playbook``: what it says of playbooks, as a document and for people, and with which exit code."""

import json
from pathlib import Path

import pytest

from activities.catalog import CATALOG
from playbooks.loader import Library
from playbooks.regimes_loader import shipped
from tests.books import HEAD, MARK, marks, whole
from worker.cli.main import execute

GOOD = whole("- {id: hello, note: Hello.}")
KEYS = ["file", "line", "column", "code", "severity", "message", "hint"]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings but a test's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("STANCH_CONFIG", raising=False)


def written(text: str | bytes, name: str = "book.yaml") -> str:
    """A file, by its name."""
    path = Path(name)
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_bytes(text if isinstance(text, bytes) else text.replace(MARK, "").encode())
    return name


def document(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict]:
    """The exit code and the one document on stdout."""
    code = execute(["playbook", *arguments, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_a_good_playbook(capsys) -> None:
    assert document(capsys, "validate", written(GOOD)) == (0, {"ok": True, "problems": []})
    assert execute(["playbook", "validate", "book.yaml"]) == 0
    assert "fine" in capsys.readouterr().out


def test_tests_of_playbooks_are_passed_over_and_never_called_fine(capsys) -> None:
    files = [written(GOOD), written("cases: {}\n", "book.test.yaml")]
    assert execute(["playbook", "validate", *files]) == 0
    said = capsys.readouterr()
    assert "1 playbook is fine" in said.out and "Tests were passed over (1)" in said.err
    assert execute(["playbook", "validate", files[1]]) == 1
    assert "stanch playbook test" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (whole("- {»nte: x}"), "unknown_key"),
        (whole("- {note: »5}"), "wrong_type"),
        (whole("- {action: »salesforce.list_nothing}"), "unknown_action"),
        (whole("- {note: »'{{ steps.nobody.x }}'}"), "unknown_step"),
        (
            whole("- {note: »'{{ steps.later.count }}'}\n- {id: later, action: salesforce.count_oauth_tokens}"),
            "used_before",
        ),
        (whole("- {id: a, note: x}\n- {id: »a, note: x}"), "duplicate_id"),
        (whole("- {note: »'{{ ().__class__.__bases__ }}'}"), "unsafe_expression"),
        (whole("- {note: »'{{ [0] * 1000000000 }}'}"), "unsafe_expression"),
        (HEAD + "a: »&a [x]\nb: [*a, *a]\n", "yaml_too_big"),
        (HEAD + "a: »!!python/object/apply:os.system ['true']\n", "yaml_tag"),
        (whole("- »id: end\n  action: salesforce.end_sessions\n  with: {targets: [a]}"), "approval_missing"),
        (whole("- {»choose: []}"), "bad_value"),
        (whole("- »repeat: {do: [{note: x}], until: true}"), "unbounded_repeat"),
        (whole("- workflow: {type: »x}"), "unknown_action"),
        (whole("- »wait: {event: x}\n  within: 1h"), "wait_without_end"),
        (HEAD + "outputs: {a: {type: integer, value: »x}}\nsteps: [{note: x}]\n", "wrong_type"),
    ],
)
def test_a_malformed_playbook(text: str, code: str, capsys) -> None:
    exit_code, found = document(capsys, "validate", written(text))
    assert exit_code == 1 and found["ok"] is False
    assert list(found) == ["ok", "problems"] and all(list(problem) == KEYS for problem in found["problems"])
    first = found["problems"][0]
    assert (first["code"], first["file"], first["severity"]) == (code, "book.yaml", "error")
    assert [(first["line"], first["column"])] == marks(text)
    assert first["message"]


def test_people_are_shown_the_place_and_what_to_do(capsys) -> None:
    assert execute(["playbook", "validate", written(whole("- {tell: x, urgncy: high, to: channel}"))]) == 1
    shown = capsys.readouterr().out
    assert "book.yaml:6:15: error unknown_key:" in shown and "Did you mean urgency?" in shown


def test_warnings_do_not_refuse(capsys) -> None:
    text = whole("- {id: logs, action: salesforce.snapshot_access}\n- »id: freeze\n  action: salesforce.freeze_users\n"
                 "  with: {targets: [005000000000001AAA]}")  # fmt: skip
    code, found = document(capsys, "validate", written(text))
    assert (code, found["ok"]) == (0, True)
    assert [(p["code"], p["severity"]) for p in found["problems"]] == [("approval_depends", "warning")]
    assert execute(["playbook", "validate", "book.yaml"]) == 0
    assert "1 warning" in capsys.readouterr().out


def test_terminal_codes_in_a_file_do_not_reach_the_terminal(capsys) -> None:
    execute(["playbook", "validate", written(whole('- {"no\x9b31mte": x}'))])
    execute(["playbook", "validate", written(whole('- {"note\x7f": x}'))])
    shown = capsys.readouterr().out
    assert "\x9b" not in shown and "\x7f" not in shown


def test_a_file_that_is_not_there(capsys) -> None:
    code, found = document(capsys, "validate", "nothing.yaml")
    assert code == 1 and found["ok"] is False and found["code"] == "not_found"
    assert execute(["playbook", "validate"]) == 2


def test_given_files_know_each_other_and_what_is_shipped(capsys) -> None:
    one = written(whole("- {run: {playbook: two}}\n- {run: {playbook: post-incident-review}}", id="one"), "one.yaml")
    two = written(whole("- {note: x}", id="two"), "two.yaml")
    assert document(capsys, "validate", one, two)[0] == 0
    assert document(capsys, "validate", one, one, two)[0] == 0
    code, found = document(capsys, "validate", one)
    assert code == 1 and [problem["code"] for problem in found["problems"]] == ["unknown_step"]
    again = written(whole("- {note: x}", id="two"), "again.yaml")
    code, found = document(capsys, "validate", two, again)
    assert code == 1 and [(p["code"], p["file"]) for p in found["problems"]] == [("duplicate_id", "again.yaml")]


def test_drafts_by_name_are_looked_up(capsys) -> None:
    good, bad = "- draft: [{regime: eu_gdpr_art33, stage: %s}]", "- draft: [{regime: »gdpr, stage: x}]"
    stage = shipped().get("eu_gdpr_art33").stages[0].id  # type: ignore[union-attr]
    assert document(capsys, "validate", written(whole(good % stage)))[0] == 0
    code, found = document(capsys, "validate", written(whole(bad)))
    assert code == 1
    assert [(found["problems"][0]["line"], found["problems"][0]["column"])] == marks(whole(bad))


def test_folders_of_the_settings_are_known(capsys) -> None:
    written(whole("- {note: x}", id="own"), "books/own.yaml")
    written(HEAD + "steps: [{nte: x}]\n", "books/broken.yaml")
    Path("stanch.toml").write_text('playbooks = ["books"]\n')
    _, found = document(capsys, "list")
    assert "own" in [row["id"] for row in found["playbooks"]]
    assert [problem["code"] for problem in found["problems"]] == ["unknown_key"]
    assert document(capsys, "show", "own")[1]["id"] == "own"
    assert document(capsys, "validate", written(whole("- {run: {playbook: own}}")))[0] == 0
    assert execute(["playbook", "list"]) == 0
    told = capsys.readouterr()
    assert "own " in told.out and "unknown_key" in told.err and "unknown_key" not in told.out


def test_broken_settings_do_not_keep_from_validating(capsys) -> None:
    Path("stanch.toml").write_text("playbooks = 5\n")
    assert execute(["playbook", "validate", written(GOOD)]) == 0
    assert capsys.readouterr().err == ""
    assert execute(["playbook", "validate", written(whole("- {run: {playbook: post-incident-review}}"))]) == 0
    told = capsys.readouterr()
    assert "fine" in told.out and "own folders" in told.err


def test_list(capsys) -> None:
    code, found = document(capsys, "list")
    assert code == 0 and found["problems"] == []
    assert [row["id"] for row in found["playbooks"]] == Library.shipped().ids()
    row = next(row for row in found["playbooks"] if row["id"] == "crm-oauth-token-theft")
    assert row["starts_on"] == ["crm.oauth_token_theft", "crm.bulk_exfiltration"]
    assert row["inputs"]["app"]["required"] is True and row["inputs"]["since"]["required"] is False


EVERY_KIND = """
- {id: look, action: salesforce.list_oauth_tokens}
- {id: go, approve: [cut], by: {each: {legal: 1, crm_owner: 2}}, within: 1h, on_timeout: [deny]}
- {id: snap, action: salesforce.snapshot_access}
- {id: cut, action: salesforce.end_sessions, with: {targets: [a]}}
- {id: q, ask: What?, by: {roles: [legal]}, form: {a: {type: string}}, within: 2h, on_timeout: [unanswered]}
- {id: h, human: Do it., owner: crm_owner, within: 3h, on_timeout: [continue]}
- {id: w, wait: {for: 90s}}
- {id: u, wait: {until: incident.severity > 3}, within: 4h, on_timeout: [stop]}
- {id: p, parallel: {left: [{note: L}], right: [{note: R}]}}
- {id: i, if: incident.severity > 4, then: [{note: T}], else: [{note: E}]}
- {id: d, for_each: [1, 2], when: incident.severity > 2, do: [{note: D}]}
- {id: r, run: {playbook: post-incident-review}}
- {id: s, set: {incident.thing: 1}}
- {id: t, tell: Hear., to: channel}
- {id: n, note: Noted.}
- {id: e, require: incident.severity > 1, message: Too small.}
- {id: x, stop: Enough., when: incident.severity > 3}
"""


def test_show_reads_aloud(capsys) -> None:
    always = "- {id: c, clocks: {fact: awareness, at: '{{ incident.detected_at }}'}}\n- {id: f, draft: applicable}"
    name = written(whole(EVERY_KIND, always=always, inputs="app: {type: string, required: no, description: Which}"))
    assert execute(["playbook", "validate", name]) == 0
    assert execute(["playbook", "show", name]) == 0
    shown = capsys.readouterr().out
    for part in ("input app: string, optional  Which", "salesforce.list_oauth_tokens", "cut  by 1 legal, 2 crm_owner within 1h",
                 "What?  by 1 of legal within 2h", "Do it.  by crm_owner within 3h", "90s",
                 "until incident.severity > 3, at most 4h", "left:", "right:", "incident.severity > 4", "then:", "else:",
                 "for each of [1, 2]  when incident.severity > 2", "post-incident-review", "incident.thing",
                 "Hear.  to channel", "Noted.", "incident.severity > 1, else: Too small.", "Enough.", "always:", "awareness",
                 "applicable"):  # fmt: skip
        assert part in shown, part
    _, found = document(capsys, "show", name)
    assert found["outputs"] == {}
    outputs = "\noutputs:\n  n: {type: {list: integer}, value: '{{ [1] }}'}\n"
    Path(name).write_text(Path(name).read_text() + outputs)
    assert execute(["playbook", "validate", name]) == 0
    assert execute(["playbook", "show", name]) == 0
    assert "  output n: list[integer]\n" in capsys.readouterr().out
    assert found["id"] == "example" and len(found["digest"]) == 64 and found["outline"]


def test_show_refuses_what_is_broken_or_unknown(capsys) -> None:
    code, found = document(capsys, "show", written(whole("- {nte: x}")))
    assert code == 1 and found["problems"][0]["code"] == "unknown_key"
    code, found = document(capsys, "show", "nobody")
    assert code == 1 and found["code"] == "not_found"
    Path("crm-triage").mkdir()
    assert document(capsys, "show", "crm-triage")[0] == 0


def test_plan_previews_and_changes_nothing(capsys) -> None:
    code, found = document(capsys, "plan", "crm-oauth-token-theft", "-i", "app=Data Loader")
    assert code == 0 and len(found["digest"]) == 64
    assert found["plan"]["values"]["app"] == "Data Loader"
    assert set(found["plan"]["actions"]) <= set(CATALOG.facts())
    assert execute(["playbook", "plan", "crm-oauth-token-theft", "-i", "app=x"]) == 0
    assert "approve" in capsys.readouterr().out
    assert list(Path().iterdir()) == []


def test_plan_refuses_what_is_missing_or_wrong(capsys) -> None:
    code, found = document(capsys, "plan", "crm-oauth-token-theft")
    assert code == 1 and [problem["code"] for problem in found["problems"]] == ["missing_key"]
    code, found = document(
        capsys, "plan", written(whole("- {»id: a, action: salesforce.abort_bulk_jobs, with: {targets: [a]}}"))
    )
    assert code == 1 and [problem["code"] for problem in found["problems"]] == ["approval_missing"]
    assert execute(["playbook", "plan", "crm-triage", "-i", "nope=1"]) == 1


def test_plan_looks_up_drafts_by_name(capsys) -> None:
    stage = shipped().get("eu_gdpr_art33").stages[0].id  # type: ignore[union-attr]
    book = whole("- {note: x}", always="- draft: [{regime: eu_gdpr_art33, stage: %s}]")
    code, found = document(capsys, "plan", written(book % stage))
    assert code == 0 and len(found["digest"]) == 64
    code, found = document(capsys, "plan", written(book % "x"))
    assert code == 1 and found["problems"][0]["line"]


def test_a_difference_that_is_less_safe_ends_with_one(capsys) -> None:
    ask = "- {id: q, ask: Is it so?, by: {roles: [legal], count: %d}, form: {so: {type: boolean}}, within: 1h,\n"
    end = "   on_timeout: [unanswered]}"
    old, new = written(whole(ask % 2 + end), "old.yaml"), written(whole(ask % 1 + end), "new.yaml")
    code, told = document(capsys, "diff", old, new)
    assert (code, told["ok"]) == (1, False)
    (found,) = told["findings"]
    assert found["code"] == "decider_count" and found["severity"] == "less_safe" and found["step"] == "q"
    assert found["old"] == {"file": "old.yaml", "line": 6} and found["new"] == {"file": "new.yaml", "line": 6}
    assert document(capsys, "diff", new, old)[0] == 0
    assert document(capsys, "diff", old, old) == (0, {**told, "ok": True, "new": told["old"], "findings": []})
    assert execute(["playbook", "diff", old, new]) == 1
    assert "LESS SAFE" in capsys.readouterr().out


def test_what_has_errors_is_not_compared(capsys) -> None:
    bad = written(whole("- {note: '{{ steps.nobody.x }}'}"), "bad.yaml")
    for pair in ((written(GOOD), bad), (bad, written(GOOD))):
        code, told = document(capsys, "diff", *pair)
        assert code == 1 and [problem["code"] for problem in told["problems"]] == ["unknown_step"]
    assert document(capsys, "diff", "crm-triage", "no-such-playbook")[0] == 1


def test_a_picture_goes_to_a_file_or_to_stdout(capsys) -> None:
    assert execute(["playbook", "graph", written(GOOD), "-o", "book.svg"]) == 0
    assert Path("book.svg").read_text().startswith("<svg ") and capsys.readouterr().out == ""
    assert execute(["playbook", "graph", "book.yaml", "--format", "mermaid"]) == 0
    assert "flowchart TD" in capsys.readouterr().out
    bad = written(whole("- {note: '{{ steps.no.x }}'}"))
    assert execute(["playbook", "graph", bad, "-o", "no.svg"]) == 1
    assert "unknown_step" in capsys.readouterr().out and not Path("no.svg").exists()
