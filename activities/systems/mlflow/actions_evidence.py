"""MLflow actions that secure evidence, and the readings that effects rest on."""

import hashlib
import json
from datetime import timedelta

from activities.action import Action, Applied, Proposal, Result, action
from activities.context import ActionContext
from activities.errors import ConnectorError, NotFound, Rejected
from activities.systems.mlflow import signing
from activities.systems.mlflow.declared import OWNER, STATE, OfModel, OfVersion
from activities.systems.mlflow.models import AliasName, Version
from activities.systems.mlflow.release import LARGEST_MANIFEST, MANIFEST, NotARelease, read_release
from playbooks.contract import Json, Risk

LARGEST_COPY = 64 * 1024 * 1024
"""Bytes of a file up to which its content goes into evidence; of a larger one only its digest does."""
MOST_INVENTORIED = 200
"""Versions, newest first, whose release manifests are read for the inventory."""


class SnapshotModelParams(OfModel):
    """Which model, and which alias serves it."""

    alias: AliasName = "champion"


class ModelSnapshot(Result):
    """The registry's state. ``latest``, ``champion`` and ``digest`` are empty text where there is none."""

    versions: list[str]
    latest: str
    champion: str
    digest: str
    consumers: list[str]
    count: int
    complete: bool


@action(
    "mlflow.snapshot_model",
    risk=Risk.READ,
    owner=OWNER,
    acquires=STATE,
    scopes=("READ",),
    timeout=timedelta(minutes=10),
)
class SnapshotModel(Action[SnapshotModelParams, ModelSnapshot]):
    """Secure the registry's state of a model: versions, tags, aliases, digests, consumers."""

    def apply(self, params: SnapshotModelParams, ctx: ActionContext, proposal: Proposal) -> Applied[ModelSnapshot]:
        """Keep all of it as evidence; aliases and tags can be changed without a trace."""
        model = ctx.client.model(params.model)
        versions = ctx.client.versions(params.model)
        complete, warnings = True, []
        chosen = versions[-MOST_INVENTORIED:]
        champion = model.aliases.get(params.alias, "")
        wanted = {version.number for version in chosen} | set(model.aliases.values())
        found: dict[str, str] = {}
        rows: list[dict[str, Json]] = []
        unread = 0
        for version in versions:
            row = version.row()
            row["aliases"] = model.pointing_to(version.number)
            if version.number in wanted:
                row["release"], known = _release(ctx, version)
                unread += not known
                found[version.number] = str(row["release"].get("digest", "")) if row["release"] else ""
            rows.append(row)
        inventory = {
            "model": model.name,
            "at": ctx.now().isoformat(),
            "tags": dict(model.tags),
            "aliases": dict(model.aliases),
            "versions": rows,
        }
        ctx.put(json.dumps(inventory, sort_keys=True, ensure_ascii=False).encode(), name="registry.json")
        if unread:
            complete = False
            warnings.append(f"the release manifests of {unread} versions could not be read")
        if len(wanted) < len(versions):
            complete = False
            warnings.append(f"release manifests were read of {len(wanted)} of {len(versions)} versions, newest first")
        if not champion:
            warnings.append("the alias points to no version")
        names = model.tags.get(ctx.client.config.tags.consumers, "")
        snapshot = ModelSnapshot(
            versions=[version.number for version in versions],
            latest=versions[-1].number if versions else "",
            champion=champion,
            digest=found.get(champion, ""),
            consumers=[name.strip() for name in names.split(",") if name.strip()],
            count=len(versions),
            complete=complete,
        )
        return Applied(snapshot, summary=f"{len(versions)} versions secured", warnings=tuple(warnings))


class Copied(Result):
    """What was copied. ``digest`` is the release's, empty text where it has no release manifest."""

    count: int
    bytes: int
    digest: str
    complete: bool


@action(
    "mlflow.copy_artifacts",
    risk=Risk.READ,
    owner=OWNER,
    acquires=("model_copy",),
    scopes=("READ",),
    timeout=timedelta(minutes=60),
)
class CopyArtifacts(Action[OfVersion, Copied]):
    """Secure the files of a model version."""

    def apply(self, params: OfVersion, ctx: ActionContext, proposal: Proposal) -> Applied[Copied]:
        """Each file by its bytes, or, where it is too large, by its digest. Nothing is loaded."""
        version = ctx.client.version(params.model, params.version)
        rows: list[dict[str, Json]] = []
        size, digest, unread, large = 0, "", 0, 0
        for number, artifact in enumerate(ctx.client.artifacts(version)):
            if ctx.stopping():
                stopped = Copied(count=len(rows), bytes=size, digest=digest, complete=False)
                return Applied(stopped, summary="stopped early", final=False)
            try:
                content, sha256, length = _read(ctx, version, artifact.path)
            except ConnectorError as error:
                unread += 1
                rows.append({"id": artifact.path, "size": artifact.size, "error": error.code})
                continue
            size += length
            large += content is None
            if content is not None:
                ctx.put(
                    content,
                    name=f"{params.model}-{version.number}-{artifact.path.replace('/', '__')}",
                    media_type="application/octet-stream",
                )
                if artifact.path == MANIFEST:
                    digest = _digest(content)
            rows.append({"id": artifact.path, "size": length, "sha256": sha256, "copied": content is not None})
            ctx.progress({"files": number + 1})
        ctx.put_rows(rows, name=f"{params.model}-{version.number}.files")
        warnings = []
        if large:
            warnings.append(f"of {large} files over 64 MB only the digest was kept")
        if unread:
            warnings.append(f"{unread} files could not be read")
        if not rows:
            warnings.append("the version has no files")
        complete = bool(rows) and not unread and not large
        copied = Copied(count=len(rows) - unread, bytes=size, digest=digest, complete=complete)
        return Applied(copied, summary=f"{len(rows) - unread} files secured", warnings=tuple(warnings))


class ReadAliasParams(OfModel):
    """Which alias of which model."""

    alias: AliasName = "champion"


class AliasRead(Result):
    """Where it points to; empty text where there is no such alias."""

    version: str
    found: bool


@action("mlflow.read_alias", risk=Risk.READ, owner=OWNER, scopes=("READ",))
class ReadAlias(Action[ReadAliasParams, AliasRead]):
    """Read which version an alias points to."""

    def apply(self, params: ReadAliasParams, ctx: ActionContext, proposal: Proposal) -> Applied[AliasRead]:
        """Live."""
        number = ctx.client.alias(params.model, params.alias)
        said = f"the alias points to version {number}" if number else "there is no such alias"
        return Applied(AliasRead(version=number or "", found=number is not None), summary=said)


class SignatureRead(Result):
    """Whether a trusted signer signed exactly these files.

    ``signer`` is its name and ``digest`` the release's, each empty text where there is none; ``mismatched`` are the
    first 200 files that differ from what was signed.
    """

    valid: bool
    signer: str
    digest: str
    mismatched: list[str]
    complete: bool


@action("mlflow.verify_signature", risk=Risk.READ, owner=OWNER, scopes=("READ",), timeout=timedelta(minutes=60))
class VerifySignature(Action[OfVersion, SignatureRead]):
    """Check who signed the files of a model version."""

    def apply(self, params: OfVersion, ctx: ActionContext, proposal: Proposal) -> Applied[SignatureRead]:
        """Every file, against the trusted signers of the settings. It tells who signed, not whether that was right."""
        version = ctx.client.version(params.model, params.version)
        with signing.downloaded(ctx.client, version) as folder:
            checked = signing.check(folder, ctx.client.config.signing)
            manifest = folder / MANIFEST
            digest = _digest(manifest.read_bytes()) if manifest.is_file() else ""
        mismatched = list(checked.mismatched[:200])
        ctx.put(
            json.dumps({**vars(checked), "version": version.number, "digest": digest}, sort_keys=True).encode(),
            name=f"{params.model}-{version.number}.signature",
        )
        read = SignatureRead(
            valid=checked.valid, signer=checked.signer, digest=digest, mismatched=mismatched, complete=True
        )
        if checked.valid:
            said = (
                f"version {version.number} is as {checked.signer} signed it; that tells who signed, not what is in it"
            )
        else:
            said = f"version {version.number} has no valid signature: {checked.why}"
        return Applied(read, summary=said)


def _release(ctx: ActionContext, version: Version) -> tuple[dict[str, Json] | None, bool]:
    """A version's release set for the inventory, and whether that could be told."""
    try:
        release = read_release(ctx.client.content(version, MANIFEST, LARGEST_MANIFEST))
    except NotFound:
        return None, True
    except NotARelease as error:
        return {"wrong": str(error)}, True
    except Rejected:
        return None, False
    parts = {name: vars(part) if part else None for name, part in release.parts.items()}
    return {"digest": release.digest, "parts": parts}, True


def _read(ctx: ActionContext, version: Version, path: str) -> tuple[bytes | None, str, int]:
    """Bytes of a file unless it is too large, its SHA-256, its size."""
    sha, kept, size = hashlib.sha256(), bytearray(), 0
    for piece in ctx.client.pieces(version, path):
        sha.update(piece)
        size += len(piece)
        if size <= LARGEST_COPY:
            kept += piece
        else:
            kept.clear()
    return (bytes(kept) if size <= LARGEST_COPY else None), sha.hexdigest(), size


def _digest(manifest: bytes) -> str:
    try:
        return str(read_release(manifest).digest)
    except NotARelease:
        return ""


ACTIONS = (SnapshotModel, CopyArtifacts, ReadAlias, VerifySignature)
