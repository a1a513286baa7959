"""Logs of inference requests: sealed as they are, profiled by caller, compared with the gateway's."""

import json
import random
import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from activities.errors import AuthFailed, NotFound
from activities.systems.inference.client import connect
from activities.systems.inference.files import LONGEST, Reading
from tests.systems.acme import Bench
from tests.systems.inference_traffic import SINCE, harvest, innocents, stamp, write
from worker.secrets import Secrets
from worker.store import Store


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """Folder of the inference log."""
    return tmp_path / "logs"


@pytest.fixture
def bench(logs: Path, empty_database: Path, tmp_path: Path) -> Iterator[Bench]:
    """Calls of actions on the logs."""
    shutil.copy(empty_database, tmp_path)
    store = Store(f"sqlite:///{tmp_path / 'stanch.db'}", tmp_path / "home")
    config = {"logs": str(logs), "gateway_logs": str(tmp_path / "gateway")}
    yield Bench(connect(config, Secrets({}, Path())), store, "inference")
    store.close()


async def test_the_harvester_is_found_in_the_files_and_the_report_tells_of_everybody(bench: Bench, logs: Path) -> None:
    lines = [*innocents(), *harvest()]
    random.Random(3).shuffle(lines)
    write(logs, lines, packed=True)
    result = await bench.apply("inference.profile_callers", since=stamp(SINCE), model="churn-scorer")
    assert (result.output["count"], result.output["callers"], result.output["complete"]) == (1, 3, True)
    (suspect,) = bench.rows(result.output["targets"])
    assert (suspect["id"], suspect["label"]) == ("harvester", "harvester")
    assert {"queries", "budget", "coverage", "novelty", "logprobs", "near_boundary", "reasons"} <= set(suspect)
    report = json.loads(bench.store.evidence.read(result.output["report"]))
    assert [row["id"] for row in report["callers"]] == ["crm-sync", "harvester", "partner-atlas"]
    assert "harvester" not in bench.journal()
    again = await bench.run(bench.call("inference.profile_callers", {"since": stamp(SINCE)}, step="again"))
    assert again.output["targets"]["sha256"] == result.output["targets"]["sha256"]


async def test_lines_that_cannot_be_read_are_counted_and_said(bench: Bench, logs: Path) -> None:
    write(logs, innocents(), files=2)
    with (logs / "inference-0.jsonl").open("ab") as file:
        file.write(b'{"at": "2026\n[1, 2]\n{"at": "yesterday", "caller": "x"}\n')
        file.write(b'{"x": "' + b"a" * (LONGEST + 10) + b'"}\n')
    result = await bench.apply("inference.profile_callers", since=stamp(SINCE))
    assert result.output["complete"] is False and result.output["callers"] == 2
    assert result.output["targets"]["complete"] is False
    assert any("3 of 3004 lines" in warning for warning in result.warnings)
    assert any("1 lines have no instant" in warning for warning in result.warnings)


async def test_a_cut_archive_is_read_as_far_as_it_goes(bench: Bench, logs: Path) -> None:
    write(logs, innocents(), files=2, packed=True)
    whole = (logs / "inference-0.jsonl.gz").read_bytes()
    (logs / "inference-0.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    result = await bench.apply("inference.profile_callers", since=stamp(SINCE))
    assert result.output["complete"] is False and result.output["queries"] > 0
    assert any("could not be read to their end" in warning for warning in result.warnings)
    sealed = await bench.apply("inference.seal_logs", since=stamp(SINCE))
    assert (sealed.output["complete"], sealed.output["files"]) == (False, 2)
    assert any("gateway's log could not be read" in warning for warning in sealed.warnings)


async def test_files_are_sealed_byte_for_byte(bench: Bench, logs: Path, tmp_path: Path) -> None:
    write(logs, innocents(), files=2, packed=True)
    write(logs / "old", [one for one in innocents(2) if one["at"] < stamp(SINCE)], files=1)
    (tmp_path / "gateway").mkdir()
    entry = json.dumps({"at": stamp(SINCE), "request_id": "r"}) + "\n"
    (tmp_path / "gateway" / "g.jsonl").write_text(entry)
    sealed = await bench.apply("inference.seal_logs", since=stamp(SINCE), model="churn-scorer")
    inside = sum(one["at"] >= stamp(SINCE) for one in innocents())
    assert (sealed.output["count"], sealed.output["files"], sealed.output["complete"]) == (inside, 3, True)
    kept, sources = bench.files(), originals(tmp_path)
    assert {name: content for name, content in kept.items() if name in sources} == sources
    assert "inference/old/inference-0.jsonl" not in kept
    assert sealed.output["bytes"] == sum(map(len, sources.values()))
    none = await bench.run(bench.call("inference.seal_logs", {"since": stamp(SINCE), "model": "other"}, step="other"))
    assert none.output["count"] == 0


def originals(folder: Path) -> dict[str, bytes]:
    """The files that belong to the span, by the name that they have in evidence."""
    found = {f"inference/{path.name}": path.read_bytes() for path in (folder / "logs").glob("*.jsonl*")}
    return {**found, "gateway/g.jsonl": (folder / "gateway" / "g.jsonl").read_bytes()}


async def test_a_log_that_begins_too_late_or_is_empty_is_said(bench: Bench, logs: Path, tmp_path: Path) -> None:
    (tmp_path / "gateway").mkdir()
    write(logs, innocents())
    early = await bench.apply("inference.seal_logs", since="2026-01-01T00:00:00Z")
    assert any("nothing before it can be sealed" in warning for warning in early.warnings)
    shutil.rmtree(logs)
    write(logs, [], files=0)
    empty = await bench.run(bench.call("inference.seal_logs", {"since": stamp(SINCE)}, step="empty"))
    assert (empty.output["complete"], empty.output["files"]) == (False, 0)


def passed(number: int, path: str = "/v2/models/churn-scorer/infer", **more: Any) -> dict[str, Any]:
    """A line of the gateway's log."""
    return {
        "at": stamp(SINCE + timedelta(seconds=number)),
        "request_id": f"r-{number}",
        "caller": "crm-sync",
        "key": "",
        "path": path,
        "status": 200,
        "bytes": 10,
        "backend": "models",
        "server": "champion",
        **more,
    }


async def test_answered_requests_that_nobody_logged_are_found(bench: Bench, logs: Path, tmp_path: Path) -> None:
    seen = [passed(number) for number in range(10)]
    hidden = [
        passed(20, "/v2/models/churn-scorer/generate", caller="harvester"),
        passed(21, "/shadow/score?x=1", caller="harvester"),
        passed(22),
    ]
    nothing = [
        passed(30, status=403, server="<NOSRV>"),
        passed(31, status=500),
        passed(32, "/v2/models/churn-scorer/ready"),
        passed(33, "/v2/models/churn-scorer"),
        passed(34, at="2026-01-01T00:00:00Z"),
    ]
    write(tmp_path / "gateway", [*seen, *hidden, *nothing])
    ours = [{"at": line["at"], "request_id": line["request_id"], "caller": "crm-sync"} for line in seen]
    direct = {"at": stamp(SINCE), "request_id": "direct", "caller": "10.0.0.7"}
    write(logs, [*ours, direct, {**direct, "request_id": "p", "caller": "stanch-probe"}])
    result = await bench.apply("inference.find_blind_spots", since=stamp(SINCE))
    assert result.output == {
        "unlogged": 3,
        "paths": ["/shadow/score", "/v2/models/churn-scorer/generate", "/v2/models/churn-scorer/infer"],
        "callers": ["crm-sync", "harvester"],
        "bypassed": 1,
        "checked": 13,
        "complete": True,
    }
    assert any("did not come through the gateway" in warning for warning in result.warnings)
    rows = bench.rows_of(result.evidence[-1].ref)
    assert [row["id"] for row in rows] == ["r-20", "r-21", "r-22"]


async def test_a_request_without_an_id_cannot_be_called_logged(bench: Bench, logs: Path, tmp_path: Path) -> None:
    write(tmp_path / "gateway", [passed(1, request_id="")])
    write(logs, [{"at": stamp(SINCE), "request_id": "", "caller": "crm-sync"}])
    result = await bench.apply("inference.find_blind_spots", since=stamp(SINCE))
    assert (result.output["unlogged"], result.output["complete"]) == (1, False)
    assert any("have no id" in warning for warning in result.warnings)


async def test_folders_that_are_not_there_are_named(bench: Bench, logs: Path) -> None:
    refused = await bench.refused(bench.call("inference.profile_callers", {"since": stamp(SINCE)}))
    assert refused.type == "NotFound"
    vault = Secrets({}, Path())
    with pytest.raises(NotFound, match="no folder"):
        connect({"logs": str(logs)}, vault).ping()
    with pytest.raises(AuthFailed, match=r"systems\.inference"):
        connect({"logs": str(logs), "treshold": 3}, vault)
    write(logs, innocents())
    assert "3 files" in connect({"logs": str(logs)}, vault).ping()


def test_what_is_appended_later_or_linked_from_outside_is_not_of_this_reading(logs: Path, tmp_path: Path) -> None:
    write(logs, innocents(), files=1)
    outside = tmp_path / "outside.jsonl"
    outside.write_text('{"at": "2026-11-21T00:00:00Z"}\n')
    (logs / "linked.jsonl").symlink_to(outside)
    client = connect({"logs": str(logs)}, Secrets({}, Path()))
    files, reading = client.files(), Reading()
    with (logs / "inference-0.jsonl").open("ab") as file:
        file.write(b'{"at": "2026-11-21T00:00:00Z"}\n')
    assert [file.name for file in files] == ["inference-0.jsonl"]
    assert sum(1 for _ in client.lines(files, reading)) == len(innocents()) and reading.complete
