"""Inference actions: seal the logs, find out who uses a model oddly, and which requests nobody logged."""

import json
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pydantic import Field

from activities.action import Action, Applied, Params, Proposal, Result, action
from activities.context import ActionContext, stamp
from activities.errors import ConnectorError
from activities.systems.inference.blind import find_blind
from activities.systems.inference.declared import LOGS, OWNER, Model
from activities.systems.inference.files import Line, LogFile, Reading, instant, micros
from activities.systems.inference.rule import judge
from activities.systems.inference.traffic import read_traffic
from playbooks.contract import Risk, TargetSet

LOOK_EVERY = 20_000
"""Lines between looks whether to stop."""
COPY_BYTES = 1024 * 1024
BYTES_OF_LINE = 150
"""Least bytes of a line, for a guess at how many there are."""


class Stopped(Exception):
    """The run was cancelled or the worker shuts down in the middle of a pass."""


class SealLogsParams(Params):
    """Since when, until when, of which model; the files are kept whole."""

    since: datetime
    until: datetime | None = None
    model: Model | None = None


class LogsSealed(Result):
    """Requests in the span, and the files that are now evidence. ``complete``: all that the folders hold is there."""

    count: int
    files: int
    bytes: int
    complete: bool


@action(
    "inference.seal_logs", risk=Risk.READ, owner=OWNER, acquires=LOGS, scopes=("read",), timeout=timedelta(minutes=60)
)
class SealLogs(Action[SealLogsParams, LogsSealed]):
    """Secure the logs of inference requests."""

    def apply(self, params: SealLogsParams, ctx: ActionContext, proposal: Proposal) -> Applied[LogsSealed]:
        """Copy every file that has a line in the span, byte for byte, the gateway's log too if there is one. A file
        that cannot be read to its end is copied as well: what is in it is for people to find out."""
        since, until = _micros(params.since), _micros(params.until or ctx.now())
        listing: list[dict[str, Any]] = []
        reading = Reading()
        count, first = 0, None
        sources = [("inference", ctx.client.files())]
        unread = None
        try:
            if ctx.client.config.gateway_logs is not None:
                sources.append(("gateway", ctx.client.gateway_files()))
        except ConnectorError as error:
            # What there is of the inference log is worth more than a whole that never comes.
            unread = f"the gateway's log could not be read ({error.code})"
        for kind, files in sources:
            for number, file in enumerate(files):
                if ctx.stopping():
                    return Applied(_sealed(count, listing, False), summary="stopped early", final=False)
                mine = Reading()
                within = of_model = 0
                for _, line in ctx.client.lines([file], mine):
                    at = micros(line.get("at"))
                    mine.broken += at is None
                    if at is not None:
                        first = at if first is None or kind != "inference" else min(first, at)
                        inside = since <= at <= until
                        within += inside
                        of_model += inside and params.model in (None, line.get("model"))
                reading.lines += mine.lines
                reading.broken += mine.broken
                reading.damaged += mine.damaged
                count += of_model if kind == "inference" else 0
                if within or mine.damaged:
                    listing.append({**_kept(file, kind, ctx), "lines": mine.lines, "broken": mine.broken})
                ctx.progress({"kind": kind, "files": number + 1})
        text = "".join(json.dumps(row, sort_keys=True) + "\n" for row in listing)
        ctx.put(text.encode(), name="inference.sealed.jsonl", media_type="application/jsonl")
        warnings = [*reading.warnings("logs"), *([unread] if unread else [])]
        if first is None:
            warnings.append("the logs hold no line; look whether systems.inference.logs is the right folder")
        elif first > since:
            warnings.append(f"the oldest line is of {stamp(instant(first))}: nothing before it can be sealed")
        return Applied(
            _sealed(count, listing, reading.complete and first is not None and unread is None),
            summary=f"{count} requests in {len(listing)} files sealed",
            warnings=tuple(warnings),
        )


class ProfileCallersParams(Params):
    """The window begins at ``since``; the baseline ends there, or earlier at ``baseline_until``.

    Let the baseline end before the trouble can have begun: what is in it counts as usual.
    """

    since: datetime
    model: Model | None = None
    baseline_until: datetime | None = Field(default=None)


class CallersProfiled(Result):
    """Suspects by reference, with their measures and reasons; ``report`` is the evidence about every caller.

    ``callers`` and ``queries`` count the window, ``count`` the suspects.
    """

    targets: TargetSet
    count: int
    callers: int
    queries: int
    report: str
    complete: bool


@action("inference.profile_callers", risk=Risk.READ, owner=OWNER, scopes=("read",), timeout=timedelta(minutes=60))
class ProfileCallers(Action[ProfileCallersParams, CallersProfiled]):
    """Find the callers whose use of a model looks like extraction."""

    def apply(self, params: ProfileCallersParams, ctx: ActionContext, proposal: Proposal) -> Applied[CallersProfiled]:
        """Two passes over the logs; the rule is in ``systems.inference.thresholds``."""
        config = ctx.client.config
        since, until = _micros(params.since), _micros(ctx.now())
        files, reading = ctx.client.files(), Reading()
        lines = _passes(ctx, files, reading)
        try:
            traffic = read_traffic(
                lines,
                config,
                since=since,
                until=until,
                baseline_until=min(since, _micros(params.baseline_until or params.since)),
                model=params.model,
            )
        except Stopped:
            return Applied(summary="stopped early", final=False)
        profiles = judge(traffic, config.thresholds)
        suspects = [one for one in profiles if one.suspect]
        targets = ctx.put_rows([{"id": one.id, **one.row()} for one in suspects], name="inference.suspects")
        report = {
            "model": params.model,
            "window": [stamp(instant(since)), stamp(instant(until))],
            "baseline": [stamp(instant(traffic.baseline_from)), stamp(instant(traffic.baseline_until))],
            "baseline_rows": traffic.baseline_rows,
            "thresholds": config.thresholds.model_dump(),
            "callers": [one.row() for one in profiles],
        }
        kept = ctx.put(json.dumps(report, sort_keys=True, indent=1).encode(), name="inference.callers.json")
        warnings = reading.warnings("inference log")
        few = sum(not one.judged for one in profiles)
        odd = sum(one.odd_before for one in profiles)
        if not traffic.baseline_rows:
            warnings.append("there is no baseline before the window, so nothing can be called unusual")
        if few:
            warnings.append(f"{few} callers asked too little to be judged")
        if odd:
            warnings.append(f"{odd} callers are as odd as suspects, but were so before: is the baseline clean?")
        if traffic.nameless:
            warnings.append(f"{traffic.nameless} requests have neither caller nor key")
        if traffic.undated:
            warnings.append(f"{traffic.undated} lines have no instant and were left out")
        complete = reading.complete and not traffic.undated and traffic.baseline_rows > 0
        return Applied(
            CallersProfiled(
                targets=targets if complete else targets.model_copy(update={"complete": False}),
                count=len(suspects),
                callers=len(profiles),
                queries=sum(one.queries for one in profiles),
                report=kept.ref,
                complete=complete,
            ),
            summary=f"{len(suspects)} of {len(profiles)} callers are suspects",
            warnings=tuple(warnings),
        )


class FindBlindSpotsParams(Params):
    """Since when."""

    since: datetime


class BlindSpotsFound(Result):
    """Requests that the gateway let through and no inference log has, with their paths and callers (at most 100 each).

    ``bypassed`` counts requests in the inference log that never came through the gateway; ``checked`` what was
    compared.
    """

    unlogged: int
    paths: list[str]
    callers: list[str]
    bypassed: int
    checked: int
    complete: bool


@action("inference.find_blind_spots", risk=Risk.READ, owner=OWNER, scopes=("read",), timeout=timedelta(minutes=60))
class FindBlindSpots(Action[FindBlindSpotsParams, BlindSpotsFound]):
    """Find inference requests that were answered and not logged."""

    def apply(self, params: FindBlindSpotsParams, ctx: ActionContext, proposal: Proposal) -> Applied[BlindSpotsFound]:
        """Compare the gateway's log with the inference log by request id."""
        gateway_files, files = ctx.client.gateway_files(), ctx.client.files()
        theirs, ours = Reading(), Reading()
        expected = sum(file.size for file in (*gateway_files, *files)) // BYTES_OF_LINE
        try:
            found = find_blind(
                _passes(ctx, gateway_files, theirs),
                _passes(ctx, files, ours),
                ctx.client.config,
                _micros(params.since),
                expected,
            )
        except Stopped:
            return Applied(summary="stopped early", final=False)
        text = "".join(json.dumps(row, sort_keys=True) + "\n" for row in found.rows)
        ctx.put(text.encode(), name="inference.unlogged.jsonl", media_type="application/jsonl")
        warnings = [*theirs.warnings("gateway's log"), *ours.warnings("inference log")]
        if found.unnamed:
            warnings.append(
                f"{found.unnamed} requests at the gateway have no id, so nobody can say whether they are logged"
            )
        if found.bypassed:
            warnings.append(f"{found.bypassed} logged requests did not come through the gateway")
        if not theirs.lines:
            warnings.append("the gateway's log is empty; look whether systems.inference.gateway_logs is right")
        return Applied(
            BlindSpotsFound(
                unlogged=found.unlogged,
                paths=sorted(found.paths)[:100],
                callers=sorted(found.callers)[:100],
                bypassed=found.bypassed,
                checked=found.checked,
                complete=theirs.complete and ours.complete and not found.unnamed and theirs.lines > 0,
            ),
            summary=f"{found.unlogged} of {found.checked} answered requests are in no inference log",
            warnings=tuple(warnings),
        )


def _passes(ctx: ActionContext, files: list[LogFile], reading: Reading) -> Callable[[], Iterator[Line]]:
    """Passes over files, of which only the first counts in ``reading``."""
    passes = 0

    def begin() -> Iterator[Line]:
        nonlocal passes
        passes += 1
        for number, (_, line) in enumerate(ctx.client.lines(files, reading if passes == 1 else Reading())):
            if number % LOOK_EVERY == 0 and ctx.stopping():
                raise Stopped
            yield line

    return begin


def _kept(file: LogFile, kind: str, ctx: ActionContext) -> dict[str, Any]:
    """The bytes of a file, as many as there were when the reading began, as evidence."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy"
        with file.path.open("rb") as source, copy.open("wb") as target:
            left = file.size
            while left:
                part = source.read(min(left, COPY_BYTES))
                if not part:
                    break
                target.write(part)
                left -= len(part)
        media = "application/gzip" if file.name.endswith(".gz") else "application/jsonl"
        ref = ctx.put(copy, name=f"{kind}/{file.name}", media_type=media)
    return {"file": file.name, "log": kind, "bytes": file.size - left, "sha256": ref.sha256}


def _sealed(count: int, listing: list[dict[str, Any]], complete: bool) -> LogsSealed:
    size = sum(int(row["bytes"]) for row in listing)
    return LogsSealed(count=count, files=len(listing), bytes=size, complete=complete)


def _micros(at: datetime) -> int:
    found = micros((at if at.tzinfo else at.replace(tzinfo=UTC)).isoformat())
    assert found is not None
    return found


ACTIONS = (SealLogs, ProfileCallers, FindBlindSpots)
