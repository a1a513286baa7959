"""Looking at live systems for a dry run: reads and previews by clients that can only read, and nothing else.

Nothing of it is kept: evidence lies in a folder that goes away with the look.
"""

import asyncio
import inspect
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from activities.action import ActionSpec, Applied, Proposal
from activities.catalog import Catalog
from activities.context import ActionContext, Guarded
from activities.errors import ActionError, Broken, InvalidParams, Timeout
from activities.execution import log_bug
from playbooks.contract import ActionCall, EvidenceRef, Json, Preview, Risk, RunContext, TargetSet, Verb
from playbooks.digest import sha256_hex
from worker.store.evidence import LINES, lines, target_set
from worker.systems import ConnectedSystems


class Scratch:
    """Evidence for as long as a folder lasts: content-addressed files, without custody."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(
        self, incident: str, content: bytes | Path, *, name: str, media_type: str, source: str, actor: str
    ) -> EvidenceRef:
        """Keep a file."""
        whole = content if isinstance(content, bytes) else content.read_bytes()
        sha = sha256_hex(whole)
        (self._folder / sha).write_bytes(whole)
        return EvidenceRef(ref=f"sha256:{sha}", sha256=sha, bytes=len(whole), name=name, media_type=media_type)

    def read(self, ref: str) -> bytes:
        """Its bytes."""
        sha = ref.removeprefix("sha256:")
        if len(sha) != 64 or not sha.isalnum():
            raise FileNotFoundError(f"{sha[:12]!r} names no file of evidence")
        return (self._folder / sha).read_bytes()

    def rows(self, ref: str) -> Iterator[dict[str, Json]]:
        """Its JSON lines."""
        return (json.loads(line) for line in self.read(ref).splitlines())

    def put_rows(
        self, incident: str, rows: Iterable[Mapping[str, Json]], *, name: str, source: str, actor: str
    ) -> TargetSet:
        """Keep targets, one JSON line each."""
        kept = [dict(row) for row in rows]
        ref = self.put(incident, lines(kept), name=name, media_type=LINES, source=source, actor=actor)
        return target_set(ref, kept)


class Look:
    """Runs reads and previews of actions.

    Args:
        catalog: The actions.
        systems: Clients that can only read.
        scratch: Where what they find lies meanwhile.
        context: Of the run that is planned.
        protected: Per system the names and ids that settings protect.
    """

    def __init__(
        self,
        catalog: Catalog,
        systems: ConnectedSystems,
        scratch: Scratch,
        context: RunContext,
        protected: Callable[[str], tuple[str, ...]],
    ) -> None:
        self._catalog, self._systems, self._scratch = catalog, systems, scratch
        self._context, self._protected = context, protected

    def reaches(self, system: str) -> bool:
        """Whether the settings name the system here."""
        return self._systems.has(system)

    async def read(self, name: str, params: Mapping[str, Json], step: str) -> tuple[str, dict[str, Json]]:
        """Run a reading action; what it says of itself, and its output.

        Raises:
            ActionError: It cannot be read; the message says why.
        """
        spec = self._catalog.spec(name)
        if spec.facts.risk is not Risk.READ:
            raise Broken(f"{name} is no read, so a dry run does not run it.")
        applied: Applied[Any] = await self._run(spec, "apply", params, step, Proposal(Preview(summary="")))
        output: dict[str, Json] = {}
        if applied.result is not None:
            output = applied.result.model_dump(mode="json", by_alias=True, exclude_none=True)
        return applied.summary, output

    async def preview(self, name: str, params: Mapping[str, Json], step: str) -> Proposal:
        """What an action would do now.

        Raises:
            ActionError: It cannot be previewed; the message says why.
        """
        proposal: Proposal = await self._run(self._catalog.spec(name), "preview", params, step)
        return proposal

    async def _run(self, spec: ActionSpec, method: str, params: Mapping[str, Json], step: str, *more: Any) -> Any:
        facts = spec.facts
        call = ActionCall(
            action=facts.name,
            version=facts.version,
            verb=Verb.PREVIEW,
            params=dict(params),
            incident="",
            run="dry-run",
            lineage="dry-run",
            step=step,
            context=self._context,
        )
        over = False
        try:
            given = spec.params.model_validate(call.params)
            client = await self._systems.client(facts.system)
            guarded = Guarded(self._protected(facts.system), self._systems.own(facts.system))
            context = ActionContext(
                call, "dry-run", evidence=self._scratch, client=client, guarded=guarded, stopping=lambda: over
            )
            body = getattr(spec.body(), method)
            work = body(given, context, *more) if inspect.iscoroutinefunction(body) else None
            async with asyncio.timeout(facts.timeout_seconds):
                return await (work or asyncio.to_thread(body, given, context, *more))
        except ActionError:
            raise
        except ValidationError as error:
            fields = ", ".join(".".join(map(str, part["loc"])) for part in error.errors()[:5])
            raise InvalidParams(f"The parameters do not fit {facts.name}: {fields}.") from None
        except TimeoutError:
            over = True
            raise Timeout(f"{facts.name} took longer than {facts.timeout_seconds} s.") from None
        except Exception as error:
            log_bug(spec, error)
            raise Broken(f"{facts.name} broke off ({type(error).__name__}). Nothing was changed.") from None
