"""``stanch replay``: stored histories against the installed code, before it is deployed."""

import asyncio
import gzip
import os
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from worker.cli.client import engine
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
    from worker.settings import Settings

    settings = Settings.load(os.environ)
    ring = key_ring(settings)
    if folder is not None:
        checker = _checker(ring)
        return [await _one(checker, history) for history in _saved(folder)]
    checker, results = None, []
    async for history in _stored(settings, ring, since):
        # Only now: the workflows' code is most of what this command loads.
        checker = checker or _checker(ring)
        results.append(await _one(checker, history))
    return results


def _checker(ring: Any) -> Any:
    from worker.run import WORKFLOWS
    from worker.temporal import replayer

    return replayer(WORKFLOWS, ring)


async def _stored(settings: Any, ring: Any, since: datetime | None) -> AsyncIterator[Any]:
    from temporalio.service import RPCError

    from worker.temporal import connect

    client = await connect(settings, ring, address=engine(settings.home, settings.environment))
    query = "WorkflowType IN ('Incident', 'PlaybookRun')"
    if since is not None:
        query += f" AND StartTime >= '{since.astimezone(UTC).isoformat()}'"
    try:
        async for execution in client.list_workflows(query):
            yield await client.get_workflow_handle(execution.id, run_id=execution.run_id).fetch_history()
    except RPCError as error:
        fail("temporal_refused", f"Temporal refused: {error.message[:300]}. Not all was replayed.", "stanch doctor")


def _saved(folder: Path) -> Iterator[Any]:
    from google.protobuf.json_format import ParseError
    from temporalio.client import WorkflowHistory

    for path in sorted([*folder.rglob("*.json"), *folder.rglob("*.json.gz")]):
        try:
            content = path.read_bytes()
            text = gzip.decompress(content) if path.suffix == ".gz" else content
            yield WorkflowHistory.from_json(path.name.partition(".json")[0], text.decode())
        except (OSError, EOFError, ValueError, ParseError) as error:
            fail("bad_history", f"{path} is no history ({type(error).__name__}). Not all was replayed.")


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
