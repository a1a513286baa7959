"""``stanch replay``: stored histories against the installed code, before it is deployed."""

import asyncio
import gzip
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from worker.cli.output import clean, emit, fail, json_option, show


@click.command()
@click.option("--since", metavar="T", help="Only workflows started since then (RFC 3339 or a date).")
@click.option(
    "--histories", type=click.Path(file_okay=False, path_type=Path), help="A folder of histories instead of a server."
)
@json_option
def replay(since: str | None, histories: Path | None, as_json: bool) -> None:
    """Replay stored histories against the installed code; exit 1 if one does not fit."""
    start = _instant(since)
    if histories is not None and not histories.is_dir():
        fail("not_found", f"There is no folder {histories}. Nothing was replayed.")
    results = asyncio.run(_replayed(start, histories))
    broken = [result for result in results if not result["ok"]]
    if as_json:
        emit({"ok": not broken, "replayed": len(results), "results": results})
    else:
        for result in broken:
            show(f"✗ {result['workflow']} ({result['run_id']}): {clean(result['message'])[:300]}")
        show(f"{len(results)} histories replayed, {len(broken)} do not fit the installed code.")
    if broken:
        raise click.exceptions.Exit(1)


def _instant(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        fail("bad_value", f"--since {text!r} is no instant; write 2026-11-24 or 2026-11-24T10:00:00Z.", exit_code=2)
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


async def _replayed(since: datetime | None, folder: Path | None) -> list[dict[str, Any]]:
    from worker.edge import key_ring
    from worker.run import WORKFLOWS
    from worker.settings import Settings
    from worker.start_parts import engine_of
    from worker.temporal import connect, replayer

    settings = Settings.load(os.environ)
    ring = key_ring(settings)
    checker = replayer(WORKFLOWS, ring)
    if folder is not None:
        return [await _one(checker, history) for history in _saved(folder)]
    client = await connect(settings, ring, address=engine_of(settings))
    query = "WorkflowType IN ('Incident', 'PlaybookRun')"
    if since is not None:
        query += f" AND StartTime >= '{since.astimezone(UTC).isoformat()}'"
    results = []
    async for execution in client.list_workflows(query):
        handle = client.get_workflow_handle(execution.id, run_id=execution.run_id)
        results.append(await _one(checker, await handle.fetch_history()))
    return results


def _saved(folder: Path) -> Any:
    from temporalio.client import WorkflowHistory

    for path in sorted([*folder.rglob("*.json"), *folder.rglob("*.json.gz")]):
        content = path.read_bytes()
        text = gzip.decompress(content) if path.suffix == ".gz" else content
        yield WorkflowHistory.from_json(path.name.partition(".json")[0], text.decode())


async def _one(checker: Any, history: Any) -> dict[str, Any]:
    result = await checker.replay_workflow(history, raise_on_replay_failure=False)
    failure = result.replay_failure
    return {
        "workflow": history.workflow_id,
        "run_id": getattr(history, "run_id", ""),
        "events": len(history.events),
        "ok": failure is None,
        "message": "" if failure is None else f"{type(failure).__name__}: {failure}",
    }
