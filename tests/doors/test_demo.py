"""The demo, whole, as a stranger runs it: a process of its own, and a document that the world's record confirms."""

import json
import os
import subprocess
import sys
from pathlib import Path


def test_the_demo_plays_to_its_end_and_the_worlds_record_confirms_it(tmp_path, temporal_binary):
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("STANCH_", "TEMPORAL_"))}
    environment |= {
        "STANCH_HOME": str(tmp_path),
        "STANCH_TEMPORAL_BIN": str(temporal_binary),
        "PYTHONPATH": os.getcwd(),
    }
    done = subprocess.run(
        [sys.executable, "-m", "worker.cli.main", "demo", "--unattended", "--seed", "7", "--json"],
        capture_output=True,
        text=True,
        env=environment,
        cwd=tmp_path,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout[-2000:]
    told = json.loads(done.stdout)
    assert told["ok"] and told["run"]["status"] == "done" and told["journal"]["verified"]
    assert [check["name"] for check in told["checks"] if not check["ok"]] == []
    assert {effect["step"] for effect in told["effects"]} >= {"abort", "revoke", "end", "freeze"}
    assert all(effect["verified"] for effect in told["effects"])
    # Its people decided in Slack, and what they saw there is kept.
    seen = Path(told["slack"]["transcript"]).read_text(encoding="utf-8")
    assert seen.count("clicked [EXERCISE · Approve]") == 2 and "Dana submitted" in seen
    assert (tmp_path / "demo" / "exports").is_dir() and not (tmp_path / "demo" / "server.json").exists()
