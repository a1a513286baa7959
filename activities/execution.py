"""One attempt of one call: gate, intent, effect, reading back, outcome.

    entries -> stored outcome? -> mode, permit -> live preview -> limits -> hold + intent -> apply -> verify
            -> outcome

A lost attempt leaves an intent without an outcome. The next one knows from it that something may have been
sent, what was to be changed and how it was before, and goes on as the action's idempotency allows.
"""

import asyncio
import contextvars
import inspect
import json
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import ValidationError

from activities import gate
from activities.action import Action, ActionSpec, Applied, Params, Proposal
from activities.attempt import Attempt
from activities.context import ActionContext, world_time
from activities.errors import (
    ActionError,
    Ambiguous,
    ConnectorError,
    InvalidParams,
    JournalUnavailable,
    OutputTooLarge,
    Permanent,
    Rejected,
    Superseded,
    Transient,
    Unavailable,
)
from activities.record import CallRecord
from activities.surroundings import Surroundings
from playbooks.contract import (
    MAX_OUTPUT,
    MAX_OUTPUT_INLINE,
    ActionCall,
    ActionResult,
    Idempotency,
    Json,
    Preview,
    Verb,
)
from playbooks.digest import idempotency_key

log = logging.getLogger("stanch.actions")
JOURNAL_PATIENCE = timedelta(seconds=110)
READ_BACK_PAUSES = (0.3, 1.0)
INLINE_TYPES = frozenset({"integer", "boolean", "datetime", "targets", "grants"})
"""Output types that are counts, instants or references, and so may stand in the journal."""


class Execution:
    """One attempt of one call."""

    def __init__(self, around: Surroundings, spec: ActionSpec, call: ActionCall, attempt: Attempt) -> None:
        self.around, self.spec, self.call, self.attempt = around, spec, call, attempt
        self.body: Action[Any, Any] = spec.body()
        self.effect = spec.facts.risk.is_effect and call.verb in (Verb.APPLY, Verb.UNDO)
        # A verify looks at what an apply of the same step did.
        self.key = self._key(Verb.APPLY if call.verb is Verb.VERIFY else call.verb, call.epoch)
        self.record = CallRecord(around.store, call, self.key, attempt.fence, attempt.store_wait)
        self.intended = False
        self.own_tries = 0
        self._lost = False
        self._loop_thread = threading.current_thread()

    def _key(self, verb: Verb, epoch: int) -> str:
        call = self.call
        return idempotency_key(
            call.context.mode, call.incident, call.lineage, call.step, call.pass_, call.item, verb, epoch
        )

    def is_last(self, error: ActionError) -> bool:
        """Whether the error ends the call instead of leading to another attempt."""
        if not error.retryable:
            return True
        if isinstance(error, JournalUnavailable):
            return self.attempt.age > JOURNAL_PATIENCE
        if isinstance(error, Superseded):
            return False
        if isinstance(error, Ambiguous) and self.spec.facts.idempotency is Idempotency.ONCE:
            return True
        tries = self.own_tries if self.intended else self.attempt.number
        return tries >= self.spec.facts.max_attempts

    def concluded(self, error: ActionError) -> ActionError:
        """The error that ends the call: ``Ambiguous`` where something was sent of which no end is on record.

        What the last attempt says of itself, such as that it changed nothing, does not hold for those before it.
        """
        changed = self.attempt.was_sent and isinstance(error, Transient)
        if not self.effect or not (changed or (self._lost and isinstance(error, Transient | Permanent))):
            return error
        sent = f"{self.spec.name} was sent, in part or whole; no attempt saw how it ended."
        return Ambiguous(f"{sent} The last one says: “{error.message}”")

    async def shielded(self) -> ActionResult | Preview:
        """Run; an effect under way when the run is cancelled stops at a safe place, not in the middle."""
        work = asyncio.ensure_future(self._work())
        while True:
            try:
                return await asyncio.shield(work)
            except asyncio.CancelledError:
                if work.cancelled():
                    raise
                self.attempt.stop()
                if not self.effect or not self.intended:
                    work.cancel()
                    await asyncio.gather(work, return_exceptions=True)
                    raise

    async def _work(self) -> ActionResult | Preview:
        await self._stop_at("before_start")
        result = await self._served()
        await self._stop_at("before_completion")
        return result

    async def _served(self) -> ActionResult | Preview:
        gate.check_mode(self.call, self.around.mode)
        gate.check_version(self.call, self.spec.facts)
        if self.call.verb is Verb.PREVIEW:
            await self.record.entries_only()
            return await self._preview()
        if self.call.verb is Verb.VERIFY:
            await self.record.entries_only()
            return await self._verify()
        stored = await self.record.begin(effect=self.effect)
        if stored is not None:
            return stored
        if self.effect:
            return await self._effect()
        return await self._read()

    async def _preview(self) -> Preview:
        ctx = await self._context(())
        proposal: Proposal
        if self.call.undo_args is not None:
            proposal = await self._run(self.body.preview_undo, await self._undo_args(), ctx)
        else:
            proposal = await self._run(self.body.preview, self._params(), ctx)
        shown = proposal.preview
        if not self.spec.facts.selector and shown.target_sha256 is None:
            named = gate.targets_sha256(self.spec.facts, self.call.params)
            shown = shown.model_copy(update={"target_sha256": named})
        if not self.spec.facts.risk.is_effect:
            return shown
        kept = {
            "preview": shown.model_dump(mode="json"),
            "params": self.call.params,
            "targets": proposal.targets.model_dump(mode="json") if proposal.targets else None,
        }
        evidence = await self.around.store.call(
            ctx.put, json.dumps(kept, sort_keys=True).encode(), name=f"{self.spec.name}.preview"
        )
        return shown.model_copy(update={"evidence": evidence})

    async def _read(self) -> ActionResult:
        ctx = await self._context(())
        applied = await self._run(self.body.apply, self._params(), ctx, Proposal(Preview(summary="")))
        await self._stop_at("after_send")
        return await self._close(ctx, applied, None)

    async def _effect(self) -> ActionResult:
        call, facts = self.call, self.spec.facts
        permit = gate.check_permit(call, world_time(call.context, datetime.now(UTC)))
        prior, made = await self.record.open_intents()
        self.own_tries = made + 1
        sent = [intent for intent in prior if int(intent["attempt"]) // 1000 > call.denied_tries]
        self._lost = any(not intent.get("ended") for intent in sent)
        if facts.idempotency is Idempotency.ONCE and sent:
            raise Ambiguous(
                f"An earlier try of {facts.name} was sent and its answer lost; it may be applied only once. "
                "Nothing was sent again. Look whether it happened, then say so."
            )
        ctx = await self._context(prior)
        undo_args = await self._undo_args() if call.verb is Verb.UNDO else None
        params = self._params() if undo_args is None else None
        if undo_args is not None:
            proposal = await self._run(self.body.preview_undo, undo_args, ctx)
        else:
            proposal = await self._run(self.body.preview, params, ctx)
        gate.check_live(call, facts, permit, proposal)
        kept_undo = proposal.undo_args
        if prior and not self.body.unites_intents:
            kept_undo = prior[0].get("undo_args") or kept_undo
        await self._stop_at("before_intent")
        if self.attempt.stopping():
            raise asyncio.CancelledError
        written = await self.record.intend(
            {
                "mode": call.context.mode.value,
                "count": proposal.preview.count,
                "targets": proposal.targets.model_dump(mode="json") if proposal.targets else None,
                "undo_args": kept_undo,
                "permit": gate.on_record(permit),
            }
        )
        if not written:
            raise Superseded("A later attempt of the same step has taken over; this one did nothing.")
        self.intended = True
        await self._stop_at("after_intent")
        if await self.record.overtaken():
            # This process stood still for so long that the server gave its attempt to another.
            raise Superseded("A later attempt of the same step has taken over; this one sent nothing.")
        applied = await self._apply(ctx, params, undo_args, proposal)
        await self._stop_at("after_send")
        if undo_args is not None:
            verified = await self._read_back(self.body.verify_undo, undo_args, ctx)
        else:
            verified = await self._read_back(self.body.verify, params, ctx, proposal)
        if prior and verified and not applied.changed and int(prior[0].get("count", 0)) > 0:
            # The lost attempt changed it: it was not so before us.
            applied = replace(applied, changed=True)
        if applied.undo_args is None and kept_undo is not None and undo_args is None:
            applied = replace(applied, undo_args=kept_undo)
        return await self._close(ctx, applied, verified)

    async def _apply(
        self, ctx: ActionContext, params: Params | None, undo_args: Any, proposal: Proposal
    ) -> Applied[Any]:
        applied: Applied[Any]
        try:
            check = ctx.prior and self.spec.facts.idempotency is Idempotency.CHECK_FIRST
            if undo_args is not None:
                applied = await self._run(self.body.undo, undo_args, ctx)
            elif check and await self._run(self.body.verify, params, ctx, proposal):
                applied = await self._run(self.body.settled, params, ctx, proposal)
            else:
                applied = await self._run(self.body.apply, params, ctx, proposal)
        except (Transient, Permanent) as error:
            if not self.attempt.was_sent and not ctx.prior:
                await self.record.failed(error)
            raise
        return applied

    async def _verify(self) -> ActionResult:
        prior, _ = await self.record.open_intents()
        ctx = await self._context(prior)
        if self.call.undo_args is not None:
            undone = await self._run(self.body.verify_undo, await self._undo_args(), ctx)
            said = "it is taken back" if undone else "reading back does not show that it is taken back"
            return ActionResult(changed=undone is True, verified=undone, summary=said)
        params = self._params()
        proposal = await self._run(self.body.preview, params, ctx)
        verified = await self._run(self.body.verify, params, ctx, proposal)
        if verified is not True:
            return ActionResult(verified=verified, summary="reading back does not show it")
        applied = await self._run(self.body.settled, params, ctx, proposal)
        if applied.undo_args is None and prior:
            undo = proposal.undo_args if self.body.unites_intents else prior[0].get("undo_args")
            applied = replace(applied, undo_args=undo)
        return await self._close(ctx, applied, True)

    async def _close(self, ctx: ActionContext, applied: Applied[Any], verified: bool | None) -> ActionResult:
        warnings = list(applied.warnings)
        if not applied.final:
            if not self.attempt.cancelled:
                raise Unavailable("The worker shuts down; another one goes on where this one stood.")
            warnings.append("cancelled before all targets were done")
        items = applied.items
        if items is not None and (items.failed or items.unknown):
            verified = False if self.effect else verified
        result = await self._sized(ctx, applied, verified, tuple(warnings))
        await self._stop_at("before_outcome")
        outputs = self.spec.facts.outputs
        inline = all(outputs[name].type in INLINE_TYPES for name in result.output if name in outputs)
        good = not (self.effect and verified is False)
        await self.record.ended(result, inline=inline, effect=self.effect, good=good)
        return result

    async def _sized(
        self, ctx: ActionContext, applied: Applied[Any], verified: bool | None, warnings: tuple[str, ...]
    ) -> ActionResult:
        output: dict[str, Json] = {}
        if applied.result is not None:
            output = applied.result.model_dump(mode="json", by_alias=True, exclude_none=True)
        content = json.dumps(output, ensure_ascii=False, sort_keys=True).encode()
        ref = None
        if len(content) > MAX_OUTPUT:
            if not self.effect:
                raise OutputTooLarge(
                    f"{self.spec.name} gave {len(content)} bytes; at most {MAX_OUTPUT} can be kept. "
                    "Ask for less, or list by target set."
                )
            output, warnings = {}, (*warnings, "the output was too large and was dropped")
        elif len(content) > MAX_OUTPUT_INLINE:
            name = f"{self.spec.name}.output"
            ref = await self.around.store.call(ctx.put, content, name=name)
            output = {}
        return ActionResult(
            changed=applied.changed,
            summary=applied.summary,
            output=output,
            output_ref=ref,
            evidence=tuple(ctx.evidence),
            undo_args=applied.undo_args,
            verified=verified,
            affected=applied.affected,
            items=applied.items,
            warnings=warnings,
        )

    async def _read_back(self, verify: Callable[..., Any], *args: Any) -> bool | None:
        """Verify, giving a slow system a moment; an effect that cannot be read back is not a failed one."""
        verified: bool | None = None
        for pause in (*READ_BACK_PAUSES, None):
            try:
                verified = await self._run(verify, *args)
            except ConnectorError as error:
                log.warning("%s: reading back failed: %s", self.spec.name, error.code)
                verified = None
            else:
                if verified is not False:
                    return verified
            if pause is not None:
                await asyncio.sleep(pause)
        return verified

    async def _undo_args(self) -> Mapping[str, Json]:
        """As given; else what the outcome or the first intent of the apply kept."""
        if self.call.undo_args:
            return self.call.undo_args
        found = await self.around.store.call(self._kept_undo_args)
        if not found:
            raise Rejected(
                f"Nothing is on record that an undo of {self.spec.name} could go by. Nothing was done. "
                "Take it back by hand in the system."
            )
        return found

    def _kept_undo_args(self) -> Mapping[str, Json] | None:
        journal, incident = self.around.store.journal, self.call.incident
        for epoch in range(self.call.epoch, -1, -1):
            key = self._key(Verb.APPLY, epoch)
            outcome = journal.outcome(incident, key)
            kept: Mapping[str, Json] | None = outcome["result"].get("undo_args") if outcome else None
            for intent in () if kept else journal.intents(incident, key)[:: -1 if self.body.unites_intents else 1]:
                kept = kept or intent.get("undo_args")
            if kept:
                return kept
        return None

    def _params(self) -> Params:
        try:
            return self.spec.params.model_validate(self.call.params)
        except ValidationError as error:
            fields = ", ".join(".".join(map(str, part["loc"])) for part in error.errors()[:5])
            raise InvalidParams(f"The parameters do not fit {self.spec.name}: {fields}. Nothing was done.") from None

    async def _context(self, prior: Sequence[Mapping[str, Json]]) -> ActionContext:
        system = self.spec.facts.system
        return ActionContext(
            self.call,
            self.key,
            evidence=self.around.store.evidence,
            client=await self.around.systems.client(system),
            guarded=self.around.guarded(system),
            prior=prior,
            resume=self.attempt.resume,
            on_progress=self.attempt.progress,
            on_sent=self._sent,
            stopping=self.attempt.stopping,
        )

    def _sent(self) -> None:
        self.attempt.was_sent = True
        # An ``async`` body is in the loop's thread; stopping there would stop the heartbeat too.
        if self.around.stops is not None and threading.current_thread() is not self._loop_thread:
            self.around.stops.reach_in_thread("after_send", self.call, self.key)

    async def _stop_at(self, point: str) -> None:
        if self.around.stops is not None:
            await self.around.stops.reach(point, self.call, self.key)

    async def _run(self, method: Callable[..., Any], *args: Any) -> Any:
        """Call a method of the body: awaited if it is ``async``, else in a thread."""
        if inspect.iscoroutinefunction(method):
            return await method(*args)
        context = contextvars.copy_context()
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.around.executor, lambda: context.run(method, *args))


def log_bug(spec: ActionSpec, error: BaseException) -> None:
    """Log where an unexpected exception came from; not its text, which may hold what a system answered."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else "unknown place"
    log.error("%s broke off: %s at %s", spec.name, type(error).__name__, where)
