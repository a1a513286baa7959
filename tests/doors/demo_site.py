"""Plays a demo as a stranger does, in a process of its own, and hands over its document."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PATIENCE = 600


def played(
    home: Path, temporal: Path, *arguments: str, env: Mapping[str, str] | None = None
) -> tuple[dict[str, Any], str]:
    """The demo's document, and what it told people meanwhile. A demo that fails fails the test with its last words."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("STANCH_", "TEMPORAL_"))}
    environment |= {"STANCH_HOME": str(home), "STANCH_TEMPORAL_BIN": str(temporal), "PYTHONPATH": os.getcwd()}
    done = subprocess.run(
        [sys.executable, "-m", "worker.cli.main", "demo", "--unattended", "--json", *arguments],
        capture_output=True,
        text=True,
        env={**environment, **(env or {})},
        cwd=home,
        timeout=PATIENCE,
        check=False,
    )
    assert done.stdout, done.stderr
    told = json.loads(done.stdout)
    wrong = [check for check in told.get("checks", ()) if not check["ok"]]
    assert done.returncode == 0 and not wrong, f"{wrong or told}\n{done.stderr}"
    return told, done.stderr


def effects(told: Mapping[str, Any]) -> dict[str, int]:
    """Action to how many targets it changed."""
    counted: dict[str, int] = {}
    for effect in told["effects"]:
        counted[effect["action"]] = counted.get(effect["action"], 0) + effect["affected"]["count"]
    return counted
