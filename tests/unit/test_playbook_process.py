"""``stanch playbook validate`` as a process: bombs and broken files end it in time, with a document, no traceback."""

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tests.books import HEAD, whole

LIMIT = 2.0
FILES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "yaml_syntax"),
    "ten megabytes": (HEAD.encode() + b"steps: [{note: x}]\n#" + b"x" * 10_000_000, "yaml_too_big"),
    "ten megabytes of steps": (HEAD.encode() + b"steps:\n" + b"  - {note: x}\n" * 750_000, "yaml_too_big"),
    "just under the limit": (HEAD.encode() + b"steps:\n" + b"  - {note: x}\n" * 70_000, "yaml_too_big"),
    "aliases": (b"a: &a [x,x,x,x,x,x,x,x]\n" + b"".join(
        b"%c: &%c [*%c,*%c,*%c,*%c,*%c,*%c]\n" % (n, n, *[n - 1] * 6) for n in range(98, 112)), "yaml_too_big"),
    "brackets": (b"[" * 900_000, "yaml_too_big"),
    "braces": (b"{a: " * 200_000, "yaml_too_big"),
    "dashes": (b"- " * 400_000, "yaml_too_big"),
    "a long word": (b"a" * 900_000 + b": 1", "yaml_syntax"),
    "an open quote": (b'a: "' + b"x\n" * 400_000, "yaml_syntax"),
    "question marks": (b"? " * 400_000, "yaml_syntax"),
    "tags": (HEAD.encode() + b"steps: !!python/object/apply:time.sleep [60]\n", "yaml_tag"),
    "noise": (bytes(range(256)) * 100, "yaml_syntax"),
    "zeros": (b"\0" * 900_000, "yaml_syntax"),
    "two documents": (whole("- {note: x}").encode() + b"---\na: 1\n", "yaml_syntax"),
    "nested steps": (whole("- " + "{do: [" * 30 + "{note: x}" + "]}" * 30).encode(), "yaml_too_big"),
    "a deep expression": (whole("- {note: '{{ " + "(" * 900 + "1" + ")" * 900 + " }}'}").encode(), "unsafe_expression"),
    "a long expression": (whole("- {note: '{{ 1" + " + 1" * 200_000 + " }}'}").encode(), "bad_value"),
    "many expressions": (whole("- {note: '" + "{{ ().__class__ }}" * 1000 + "'}\n").encode(), "unsafe_expression"),
    "much arithmetic": (whole("- {note: '{{ 9**9**9**9 }}'}").encode(), "unsafe_expression"),
    "many steps": (whole("- {note: '{{ incident.id }}'}\n" * 4000).encode(), "plan_too_large"),
    "itself many times": (whole("- {run: {playbook: example}}\n" * 2000).encode(), "playbook_cycle"),
    "many unknown keys": (whole("".join(f"- {{note: x, key{n}: y}}\n" for n in range(3000))).encode(), "unknown_key"),
    "many duplicates": (whole("- {id: a, note: x}\n" * 3000).encode(), "duplicate_id"),
}  # fmt: skip


def seconds_of_children() -> float:
    """Processor time of the processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.mark.parametrize("name", FILES)
def test_a_broken_file_ends_in_time(name: str, tmp_path: Path) -> None:
    content, code = FILES[name]
    path = tmp_path / "book.yaml"
    path.write_bytes(content)
    spent = []
    for _ in range(3):
        began = seconds_of_children()
        ran = subprocess.run([sys.executable, "-m", "worker.cli.main", "playbook", "validate", str(path), "--json"],
                             capture_output=True, text=True, timeout=60, check=False)  # fmt: skip
        spent.append(seconds_of_children() - began)
        if spent[-1] < LIMIT:
            break
    assert ran.returncode == 1
    assert ran.stderr == ""
    found = json.loads(ran.stdout)
    assert found["ok"] is False and found["problems"][0]["code"] == code
    assert found["problems"][0]["line"] >= 1 and found["problems"][0]["column"] >= 1
    assert min(spent) < LIMIT, spent


def test_a_good_file(tmp_path: Path) -> None:
    path = tmp_path / "book.yaml"
    path.write_text(whole("- {note: x}"))
    ran = subprocess.run([sys.executable, "-m", "worker.cli.main", "playbook", "validate", str(path)],
                         capture_output=True, text=True, timeout=60, check=False)  # fmt: skip
    assert (ran.returncode, ran.stderr) == (0, "") and "fine" in ran.stdout
