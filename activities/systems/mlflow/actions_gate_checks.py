"""What the release gate reads of a version itself: the formats of its files, and its evaluation (G5 and G6)."""

import json
from datetime import timedelta

from activities.action import Action, Applied, Proposal, Result, action
from activities.context import ActionContext
from activities.systems.mlflow import formats
from activities.systems.mlflow.declared import OWNER, OfVersion
from activities.systems.mlflow.evaluations import finite, judged, run_of, stored
from activities.systems.mlflow.models import Version, VersionNumber
from activities.systems.mlflow.shown import shown
from playbooks.contract import Json, Risk

MOST_SHOWN = 200


class FormatsScanned(Result):
    """Whether every file is of an allowed format and sane; the first 200 things that are not.

    ``digest`` is that of the release set that lies there, empty text where its manifest cannot be read.
    """

    ok: bool
    findings: list[str]
    files: int
    digest: str = ""


@action("mlflow.scan_formats", risk=Risk.READ, owner=OWNER, scopes=("READ",), timeout=timedelta(minutes=60))
class ScanFormats(Action[OfVersion, FormatsScanned]):
    """Scan the files of a model version for anything that could run code."""

    def apply(self, params: OfVersion, ctx: ActionContext, proposal: Proposal) -> Applied[FormatsScanned]:
        """By an allow list; weights are judged by their header, pickles by their opcodes. Nothing is loaded."""
        version = ctx.client.version(params.model, params.version)
        findings: list[str] = []
        artifacts = ctx.client.artifacts(version)
        for number, artifact in enumerate(artifacts):
            if ctx.stopping():
                stopped = FormatsScanned(ok=False, findings=findings[:MOST_SHOWN], files=number)
                return Applied(stopped, summary="stopped early", final=False)
            findings += formats.scan([formats.File(artifact.path, artifact.size, _reader(ctx, version, artifact.path))])
            ctx.progress({"files": number + 1})
        if not artifacts:
            findings.append("the version has no files")
        elif not any(artifact.path.endswith(".safetensors") for artifact in artifacts):
            findings.append("there are no weights in the safetensors format")
        report: dict[str, Json] = {"version": params.version, "findings": findings}
        report["files"] = [vars(artifact) for artifact in artifacts]
        _keep(ctx, params, "formats", report)
        warnings = ("there are more findings; all of them are in evidence",) if len(findings) > MOST_SHOWN else ()
        release, _ = ctx.client.release(version, digests=False)
        output = FormatsScanned(
            ok=not findings,
            findings=findings[:MOST_SHOWN],
            files=len(artifacts),
            digest=release.digest if release else "",
        )
        said = f"{len(artifacts)} files scanned, {len(findings)} findings"
        return Applied(output, summary=said, warnings=warnings)


class MetricsRead(Result):
    """What the version's evaluation measured; ``run`` is empty text and ``found`` false where it names none."""

    metrics: dict[str, float]
    run: str
    found: bool


@action("mlflow.read_metrics", risk=Risk.READ, owner=OWNER, scopes=("READ",))
class ReadMetrics(Action[OfVersion, MetricsRead]):
    """Read the stored evaluation of a model version."""

    def apply(self, params: OfVersion, ctx: ActionContext, proposal: Proposal) -> Applied[MetricsRead]:
        """The latest value of each metric of the run that the version names."""
        run = run_of(ctx, ctx.client.version(params.model, params.version))
        metrics = finite(run)
        odd = sorted(set(run.metrics) - set(metrics)) if run else []
        warnings = [f"{len(odd)} metrics are no numbers: {', '.join(map(shown, odd[:5]))}"] if odd else []
        if run is None:
            warnings.append("the version names no evaluation that is there")
        elif run.status != "FINISHED":
            warnings.append("its evaluation did not finish")
        _keep(ctx, params, "metrics", {"run": run.id if run else None, "metrics": metrics, "not_numbers": odd})
        output = MetricsRead(metrics=metrics, run=run.id if run else "", found=run is not None)
        return Applied(output, summary=f"{len(metrics)} metrics read", warnings=tuple(warnings))


class CheckEvaluationParams(OfVersion):
    """Which version, by which suite of the thresholds, compared with which version."""

    suite: str = "release"
    baseline: VersionNumber | None = None


class EvaluationChecked(Result):
    """Whether every threshold of the suite is kept; a sentence for each that is not, or could not be judged."""

    ok: bool
    failed: list[str]
    missing: list[str]
    checked: int


@action("mlflow.check_evaluation", risk=Risk.READ, owner=OWNER, scopes=("READ",))
class CheckEvaluation(Action[CheckEvaluationParams, EvaluationChecked]):
    """Check a version's stored evaluation against the thresholds."""

    def apply(
        self, params: CheckEvaluationParams, ctx: ActionContext, proposal: Proposal
    ) -> Applied[EvaluationChecked]:
        """Fail closed: no thresholds, no run, an unfinished run or a missing metric are not ok.

        Raises:
            Rejected: The thresholds cannot be read; the message has the place in the file.
        """
        version = ctx.client.version(params.model, params.version)
        rules = judged(ctx.client.config, params.model).get(params.suite, {})
        base: dict[str, float] = {}
        if params.baseline is not None:
            base = finite(run_of(ctx, ctx.client.version(params.model, params.baseline)))
        wrong, checked = stored(ctx, version, rules, base)
        failed, missing = list(checked.failed), [*wrong, *checked.missing]
        if not rules:
            missing.append(f"no thresholds are set for {shown(params.model)} and suite {shown(params.suite)}")
        report: dict[str, Json] = {"suite": params.suite, "baseline": params.baseline}
        report |= {"failed": failed, "missing": missing, "checked": checked.checked}
        _keep(ctx, params, f"evaluation-{params.suite}", report)
        output = EvaluationChecked(
            ok=checked.ok and not missing, failed=failed, missing=missing, checked=checked.checked
        )
        said = f"{checked.checked} thresholds checked, {len(failed)} failed, {len(missing)} missing"
        return Applied(output, summary=said)


def _reader(ctx: ActionContext, version: Version, path: str) -> formats.Read:
    """Reads the first bytes of a file, and no more than that of it."""

    def read(most: int) -> bytes:
        content = bytearray()
        for piece in ctx.client.pieces(version, path):
            content += piece
            if len(content) >= most:
                break
        return bytes(content[:most])

    return read


def _keep(ctx: ActionContext, params: OfVersion, what: str, report: dict[str, Json]) -> None:
    name = f"{params.model}-{params.version}.{what}".replace("/", "__")
    ctx.put(json.dumps(report, sort_keys=True, ensure_ascii=False).encode(), name=name)


ACTIONS = (ScanFormats, ReadMetrics, CheckEvaluation)
