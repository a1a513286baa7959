"""What the release gate reads of a version's past: the clean checkpoint, its data, its dependencies (G1 to G3)."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from activities.action import Action, Applied, Proposal, Result, Targets, action
from activities.context import ActionContext
from activities.errors import Conflict, InvalidParams, NotFound, Rejected
from activities.systems.mlflow import clean, dependencies, lineage, signing
from activities.systems.mlflow.clean import Findings, instant
from activities.systems.mlflow.declared import OWNER, OfModel, OfVersion
from activities.systems.mlflow.evaluations import judged, reasons_against
from activities.systems.mlflow.models import Version, VersionNumber
from activities.systems.mlflow.release import MANIFEST, NotARelease, problems, read_release
from activities.systems.mlflow.shown import shown
from activities.systems.mlflow.thresholds import Suites
from playbooks.contract import Json, Risk

LARGEST_LINEAGE = 256 * 1024 * 1024
LARGEST_LOCK = 16 * 1024 * 1024
RELEASE_SUITE = "release"


class FindCleanVersionParams(OfModel):
    """Of which model; when the bad window began (aware); which builders cannot be relied on.

    ``regression_of`` is the version that the incident is about: only older ones are looked at. Without it all are.
    """

    first_bad: datetime
    compromised_builders: list[str]
    regression_of: VersionNumber | None = None


class CleanVersion(Result):
    """The newest clean version, empty text if there is none; how many versions are newer; why each newer one is not.

    ``model`` is the name as the registry has it; ``newer`` are all versions after the clean one, newest first, to be
    quarantined; if none is clean, all there are.
    """

    found: bool
    model: str
    version: str
    digest: str
    behind: int
    newer: list[str]
    rejected: list[str]


@action("mlflow.find_clean_version", risk=Risk.READ, owner=OWNER, scopes=("READ",), timeout=timedelta(hours=2))
class FindCleanVersion(Action[FindCleanVersionParams, CleanVersion]):
    """Find the newest clean version of a model by rule."""

    def apply(self, params: FindCleanVersionParams, ctx: ActionContext, proposal: Proposal) -> Applied[CleanVersion]:
        """Newest first: signature, builder, build and dataset times, release set, stored evaluation, marks.

        Raises:
            InvalidParams: The first bad moment has no offset, so that it could be any hour of a day.
            Rejected: The thresholds cannot be read.
        """
        if params.first_bad.tzinfo is None:
            raise InvalidParams("first_bad has no offset from UTC. Nothing was judged. Write it with Z or +HH:MM.")
        suites = judged(ctx.client.config, params.model)
        versions: dict[str, Version] = {version.number: version for version in ctx.client.versions(params.model)}
        runs = _runs(versions.values(), ctx.client.config.tags.eval_run)

        def look(facts: clean.Facts) -> Findings:
            ctx.progress({"version": facts.number})
            if ctx.stopping():
                raise _Stopped
            return _findings(ctx, versions[facts.number], suites, runs)

        known = [clean.Facts(v.number, v.tags, v.status, v.created) for v in versions.values()]
        tags = ctx.client.config.tags
        try:
            found = clean.search(known, look, params.first_bad, params.compromised_builders, tags, params.regression_of)
        except _Stopped:
            nothing = CleanVersion(found=False, model="", version="", digest="", behind=0, newer=[], rejected=[])
            return Applied(nothing, summary="stopped early", final=False)
        _report(ctx, params, found)
        best = found.found
        warnings = []
        if RELEASE_SUITE not in suites:
            warnings.append("no thresholds are set for this model's release, so no stored evaluation counts as passing")
        if best is not None:
            warnings += [f"version {best.number}: {note}" for note in best.notes]
        output = CleanVersion(
            found=best is not None,
            model=params.model if versions else "",
            version=best.number if best else "",
            digest=best.digest if best else "",
            behind=found.behind,
            newer=[number for number in reversed(versions) if best is None or int(number) > int(best.number)],
            rejected=found.rejected,
        )
        if best is None:
            said = f"none of {len(found.verdicts)} versions is clean by the rule"
        else:
            said = f"version {best.number} is clean by the rule; {found.behind} newer ones are passed over"
        return Applied(output, summary=said, warnings=tuple(warnings))


class DiffDatasetsParams(OfVersion):
    """Which version, and a trusted one to compare with; when the bad window began."""

    trusted: VersionNumber
    first_bad: datetime | None = None


class DatasetDifference(Result):
    """Rows that are new, gone or changed; ``targets`` are the suspects, with every reason. Without a dataset's
    description on both sides it is not ``complete``, and then its zeros say nothing."""

    added: int
    removed: int
    changed: int
    suspects: int
    targets: Targets
    complete: bool


@action("mlflow.diff_datasets", risk=Risk.READ, owner=OWNER, scopes=("READ",), timeout=timedelta(minutes=20))
class DiffDatasets(Action[DiffDatasetsParams, DatasetDifference]):
    """Compare what two versions were trained on."""

    def apply(self, params: DiffDatasetsParams, ctx: ActionContext, proposal: Proposal) -> Applied[DatasetDifference]:
        """Row by row, by digest; the rows themselves are not read where there is a manifest."""
        sides = [ctx.client.version(params.model, number) for number in (params.version, params.trusted)]
        warnings = []
        read: list[dict[str, lineage.Row]] = []
        for version in sides:
            try:
                read.append(_lineage(ctx, version))
            except (lineage.NoLineage, Rejected) as error:
                said = str(error) if isinstance(error, lineage.NoLineage) else "its dataset is too large to be read"
                warnings.append(f"version {version.number}: {said}; nothing could be compared")
        if params.first_bad is None:
            warnings.append("no bad window was given: rows are not judged by when they came")
        complete = len(read) == 2
        found = lineage.compare(read[0], read[1], params.first_bad, [params.model]) if complete else _NOTHING
        targets = ctx.put_rows([suspect.as_row() for suspect in found.suspects], name="mlflow.diff_datasets.suspects")
        _keep(
            ctx,
            f"{params.model}-{params.version}.dataset-difference",
            {
                "version": params.version,
                "trusted": params.trusted,
                "added": [row.id for row in found.added],
                "removed": list(found.removed),
                "changed": [row.id for row in found.changed],
                "sources": lineage.sources(read[0].values()) if complete else {},
                "complete": complete,
            },
        )
        output = DatasetDifference(
            added=len(found.added),
            removed=len(found.removed),
            changed=len(found.changed),
            suspects=len(found.suspects),
            targets=targets,
            complete=complete,
        )
        said = f"{len(found.added)} rows added, {len(found.removed)} removed, {len(found.changed)} changed; "
        return Applied(output, summary=f"{said}{len(found.suspects)} suspects", warnings=tuple(warnings))


class CheckDependenciesParams(OfVersion):
    """Which version; how old a package must have been when it was used; a trusted version to compare with."""

    cool_down: timedelta = timedelta(days=4)
    trusted: VersionNumber | None = None


class DependenciesChecked(Result):
    """Whether every package was old enough and none was replaced under its version; a sentence for each that is not,
    and for each difference from the trusted version."""

    ok: bool
    young: list[str]
    changed: list[str]
    complete: bool


@action("mlflow.check_dependencies", risk=Risk.READ, owner=OWNER, scopes=("READ",))
class CheckDependencies(Action[CheckDependenciesParams, DependenciesChecked]):
    """Check how old a version's dependencies were when it was built."""

    def apply(
        self, params: CheckDependenciesParams, ctx: ActionContext, proposal: Proposal
    ) -> Applied[DependenciesChecked]:
        """By its lock file. What cannot be told is not ok."""
        version = ctx.client.version(params.model, params.version)
        warnings = []
        used = _used(version, ctx.client.config.tags.built_at)
        if used is None:
            warnings.append("it does not say when it was built, so no package's age is known")
        lock, said = _lock(ctx, version)
        warnings += [said] if said else []
        trusted: dict[str, dependencies.Package] | None = None
        if params.trusted is not None:
            trusted, said = _lock(ctx, ctx.client.version(params.model, params.trusted))
            warnings += [said] if said else []
        complete = not warnings
        found = dependencies.Judged((), (), ())
        if lock is not None and used is not None:
            found = dependencies.judge(lock, used, params.cool_down, trusted)
        report: dict[str, Json] = {"version": params.version, "used_at": used.isoformat() if used else None}
        report |= {"young": list(found.young), "changed": list(found.changed), "complete": complete}
        _keep(ctx, f"{params.model}-{params.version}.dependencies", report)
        output = DependenciesChecked(
            ok=complete and found.ok, young=list(found.young), changed=list(found.changed), complete=complete
        )
        said = f"{len(lock or {})} packages, {len(found.young)} too young, {len(found.changed)} changed"
        return Applied(output, summary=said, warnings=tuple(warnings))


class _Stopped(Exception):
    pass


_NOTHING = lineage.Difference((), (), (), ())


def _runs(versions: Iterable[Version], tag: str) -> dict[str, list[str]]:
    """Which versions name which run as their evaluation."""
    found: dict[str, list[str]] = {}
    for version in versions:
        if version.tags.get(tag):
            found.setdefault(version.tags[tag], []).append(version.number)
    return found


def _findings(ctx: ActionContext, version: Version, suites: Suites, runs: Mapping[str, Sequence[str]]) -> Findings:
    """What is wrong inside a version; what cannot be read is wrong."""
    config = ctx.client.config
    evaluation = reasons_against(ctx, version, suites.get(RELEASE_SUITE))
    # The oldest that names a run is the one it was made for; who registers another with it must not harm that one.
    named = runs.get(version.tags.get(config.tags.eval_run, ""), ())
    shared = [number for number in named if int(number) < int(version.number)]
    if shared:
        evaluation = (*evaluation, f"its stored evaluation is also that of version {', '.join(shared)}")
    try:
        with signing.downloaded(ctx.client, version) as folder:
            checked = signing.check(folder, config.signing)
            release, digest = _release(folder, version.tags.get(config.tags.release_digest))
    except (Rejected, NotFound, Conflict) as error:
        unread = f"its files cannot be read ({error.code})"
        return Findings(signature=(unread,), evaluation=evaluation)
    signature = () if checked.valid else (_signature(checked),)
    return Findings(signature, release, evaluation, digest)


def _signature(checked: signing.Checked) -> str:
    if checked.mismatched:
        named = ", ".join(shown(path) for path in checked.mismatched[:3])
        return f"its files are not what was signed ({named})"
    return f"its signature is not valid: {checked.why}"


def _release(folder: Path, recorded: str | None) -> tuple[tuple[str, ...], str]:
    manifest = folder / MANIFEST
    if not manifest.is_file():
        return ("it has no release manifest (release.json)",), ""
    try:
        release = read_release(manifest.read_bytes())
    except NotARelease as error:
        return (str(error),), ""
    wrong = problems(release, signing.digests(folder, MANIFEST))
    if recorded is not None and recorded.lower() != release.digest:
        wrong.append("its release manifest is not the one that was recorded when it was registered")
    return tuple(wrong), release.digest


def _report(ctx: ActionContext, params: FindCleanVersionParams, found: clean.Search) -> None:
    rows: list[dict[str, Json]] = [
        {
            "id": verdict.number,
            "clean": verdict.clean,
            "digest": verdict.digest,
            "reasons": list(verdict.reasons),
            "notes": list(verdict.notes),
        }
        for verdict in found.verdicts
    ]
    report = {
        "model": params.model,
        "first_bad": params.first_bad.astimezone(UTC).isoformat(),
        "compromised_builders": params.compromised_builders,
        "versions": rows,
    }
    _keep(ctx, f"{params.model}.clean-version", report)


def _lineage(ctx: ActionContext, version: Version) -> dict[str, lineage.Row]:
    try:
        return lineage.read_manifest(ctx.client.content(version, lineage.MANIFEST, LARGEST_LINEAGE))
    except NotFound:
        pass
    try:
        return lineage.read_rows(ctx.client.content(version, lineage.ROWS, LARGEST_LINEAGE))
    except NotFound:
        raise lineage.NoLineage(f"it has neither {lineage.MANIFEST} nor {lineage.ROWS}") from None


def _lock(ctx: ActionContext, version: Version) -> tuple[dict[str, dependencies.Package] | None, str]:
    """A version's packages, or why there are none."""
    try:
        return dependencies.read_lock(ctx.client.content(version, dependencies.LOCK, LARGEST_LOCK)), ""
    except NotFound:
        return None, f"version {version.number} has no {dependencies.LOCK}"
    except Rejected:
        return None, f"the lock file of version {version.number} is too large to be read"
    except dependencies.NoLock as error:
        return None, f"version {version.number}: {error}"


def _used(version: Version, tag: str) -> datetime | None:
    """When the packages were used at the latest: a build's own word, but not after the registry saw it."""
    said = instant(version.tags.get(tag))
    if said is None:
        return None
    return min(said, version.created) if version.created else said


def _keep(ctx: ActionContext, name: str, report: Mapping[str, Json]) -> None:
    ctx.put(json.dumps(report, sort_keys=True, ensure_ascii=False).encode(), name=name.replace("/", "__"))


ACTIONS = (FindCleanVersion, DiffDatasets, CheckDependencies)
