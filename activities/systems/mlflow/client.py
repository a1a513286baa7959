"""The client of one MLflow server: its registry, its runs and its artifacts, over REST.

Synchronous and thread-safe. It knows nothing of Temporal, and it loads no artifact: files are bytes.

Reading: ``model(name)`` (tags, aliases), ``versions(name)`` (all, with tags), ``version(name, number)``,
``alias(name, alias)``, ``artifacts(version)`` (all files, recursive), ``pieces(version, path)`` (stream),
``content(version, path, at_most)`` (bytes), ``digest(version, path)`` (SHA-256), ``run(id)`` (metrics, params,
tags), ``release(version)`` (the release set, its problems).
Changing: ``set_alias``, ``delete_alias``, ``set_version_tag``, ``delete_version_tag``, ``set_model_tag``,
``delete_model_tag``, ``upload``, ``delete_artifact``.
"""

import base64
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

from activities.connecting import settings_of
from activities.errors import AuthFailed, NotFound, Rejected, Unavailable
from activities.ports import Vault
from activities.systems.mlflow.config import MlflowConfig
from activities.systems.mlflow.models import Artifact, Model, TrackedRun, Version, is_safe_path
from activities.systems.mlflow.release import LARGEST_MANIFEST, MANIFEST, NotARelease, Release, problems, read_release
from activities.systems.mlflow.wire import Wire, mapped

T = TypeVar("T")
API = "api/2.0/mlflow"
ARTIFACTS = "api/2.0/mlflow-artifacts/artifacts"
PAGE = 200
MOST_VERSIONS = 20_000
MOST_FILES = 20_000
DEEPEST = 20
MOST_PLACES = 1_000


def connect(config: Mapping[str, Any] | MlflowConfig, vault: Vault) -> "Mlflow":
    """A client; nothing is sent before its first use.

    Raises:
        AuthFailed: The settings cannot be used; the message says which.
    """
    return Mlflow(settings_of(MlflowConfig, "mlflow", config), vault)


def connect_reading(config: Mapping[str, Any] | MlflowConfig, vault: Vault) -> "Mlflow":
    """A client that can only read: any request but a GET is refused before it leaves this process.

    Raises:
        AuthFailed: As of ``connect``.
    """
    return Mlflow(settings_of(MlflowConfig, "mlflow", config), vault, reading=True)


class Mlflow:
    """One server, as Stanch's account sees it."""

    def __init__(self, config: MlflowConfig, vault: Vault, *, reading: bool = False) -> None:
        self.config = config
        self.page = PAGE
        self._vault = vault
        self._wire = Wire(config, self._authorization, reading=reading)
        self._places: dict[tuple[str, str, str], str] = {}

    def close(self) -> None:
        """Close its connections."""
        self._wire.close()

    @property
    def own(self) -> tuple[str, ...]:
        """Nothing in a registry is Stanch's own."""
        return ()

    def ping(self) -> str:
        """List one registered model; a sentence for ``stanch doctor``.

        Raises:
            ConnectorError: It cannot be reached, or does not accept the credentials.
        """
        self._wire.get(f"{API}/registered-models/search", "listing models", {"max_results": 1})
        signing = self.config.signing
        anchors = f"{len(signing.trusted)} trusted signer{'' if len(signing.trusted) == 1 else 's'}"
        key = "a key to sign with" if signing.key else "no key to sign with"
        return f"The registry answers; {anchors}, {key}."

    def secret(self, reference: str) -> str:
        """A secret that the settings refer to.

        Raises:
            AuthFailed: It cannot be read.
        """
        try:
            return self._vault.get(reference)
        except Exception as error:
            # A vault's own errors have a code and name the reference only; of others nothing is told.
            said = str(error) if hasattr(error, "code") else f"{reference}: {type(error).__name__}."
            raise AuthFailed(f"A credential for MLflow cannot be read. Nothing was sent. {said}") from None

    # Registry

    def model(self, name: str) -> Model:
        """A registered model.

        Raises:
            NotFound: There is none of this name.
        """
        doing = "reading a model"
        body = self._wire.get(f"{API}/registered-models/get", doing, {"name": name})
        return _parsed(doing, lambda: Model.of(body["registered_model"]))

    def versions(self, name: str) -> list[Version]:
        """All versions of a model, oldest first, with their tags; over all pages.

        Raises:
            Rejected: The name holds a quote, or there are more than can be listed.
            Unavailable: The pages do not end.
        """
        if "'" in name:
            raise Rejected("A model's name with a quote cannot be looked for. Nothing was done.")
        found: dict[str, Version] = {}
        doing, token, seen = "listing versions", "", set[str]()
        while True:
            asked: dict[str, str | int] = {
                "filter": f"name='{name}'",
                "max_results": self.page,
                "order_by": "version_number ASC",
            }
            if token:
                asked["page_token"] = token
            body = self._wire.get(f"{API}/model-versions/search", doing, asked)
            # A filter that a server understood otherwise must not bring in another model's versions.
            found |= {row.number: row for row in _versions(body, doing) if row.model == name}
            token = str(body.get("next_page_token") or "")
            if not token:
                return sorted(found.values(), key=lambda version: int(version.number))
            if token in seen or len(found) > MOST_VERSIONS:
                raise Unavailable(f"MLflow's pages do not end ({doing}). Nothing was changed.")
            seen.add(token)

    def version(self, name: str, number: str) -> Version:
        """One version.

        Raises:
            NotFound: It is not there.
        """
        doing = "reading a version"
        body = self._wire.get(f"{API}/model-versions/get", doing, {"name": name, "version": number})
        return _parsed(doing, lambda: Version.of(body["model_version"]))

    def alias(self, name: str, alias: str) -> str | None:
        """Number of the version that an alias points to, ``None`` if there is no such alias.

        Raises:
            NotFound: There is no such model.
        """
        # Asked by itself, a missing alias is answered as a bad parameter, which could be anything.
        return self.model(name).aliases.get(alias)

    def set_alias(self, name: str, alias: str, number: str) -> None:
        """Point an alias to a version. MLflow has no condition on what it pointed to: read it back.

        Raises:
            NotFound: The version is not there.
        """
        body = {"name": name, "alias": alias, "version": number}
        self._wire.send("POST", f"{API}/registered-models/alias", "moving an alias", body)

    def delete_alias(self, name: str, alias: str) -> None:
        """Remove an alias; one that is not there is no error."""
        self._wire.send("DELETE", f"{API}/registered-models/alias", "removing an alias", {"name": name, "alias": alias})

    def set_version_tag(self, name: str, number: str, key: str, value: str) -> None:
        """Set a tag of a version.

        Raises:
            NotFound: The version is not there.
        """
        body = {"name": name, "version": number, "key": key, "value": value}
        self._wire.send("POST", f"{API}/model-versions/set-tag", "tagging a version", body)

    def delete_version_tag(self, name: str, number: str, key: str) -> None:
        """Remove a tag of a version; one that is not there is no error."""
        body = {"name": name, "version": number, "key": key}
        self._wire.send("DELETE", f"{API}/model-versions/delete-tag", "removing a version's tag", body)

    def set_model_tag(self, name: str, key: str, value: str) -> None:
        """Set a tag of a registered model.

        Raises:
            NotFound: There is no such model.
        """
        body = {"name": name, "key": key, "value": value}
        self._wire.send("POST", f"{API}/registered-models/set-tag", "tagging a model", body)

    def delete_model_tag(self, name: str, key: str) -> None:
        """Remove a tag of a registered model; one that is not there is no error."""
        body = {"name": name, "key": key}
        self._wire.send("DELETE", f"{API}/registered-models/delete-tag", "removing a model's tag", body)

    # Runs

    def run(self, run_id: str) -> TrackedRun:
        """A run with its latest metrics.

        Raises:
            NotFound: There is none of this id.
        """
        doing = "reading a run"
        body = self._wire.get(f"{API}/runs/get", doing, {"run_id": run_id})
        return _parsed(doing, lambda: TrackedRun.of(body["run"]))

    # Artifacts

    def place(self, version: Version) -> str:
        """Where a version's files lie behind the server's artifact proxy.

        Raises:
            Rejected: They lie elsewhere, so this server does not hand them out.
        """
        key = (version.model, version.number, version.source)
        known = self._places.get(key)
        if known is not None:
            return known
        doing = "asking where a version's files are"
        asked = {"name": version.model, "version": version.number}
        body = self._wire.get(f"{API}/model-versions/get-download-uri", doing, asked)
        parts = urlsplit(str(body.get("artifact_uri") or ""))
        path = parts.path.strip("/")
        if parts.scheme != "mlflow-artifacts" or not is_safe_path(path):
            raise Rejected(
                f"The files of version {version.number} are not handed out by this MLflow server (they lie at "
                f"“{parts.scheme[:20]}:”). Nothing was done. Start it with --serve-artifacts, or read them there."
            )
        if len(self._places) >= MOST_PLACES:
            self._places.clear()
        self._places[key] = path
        return path

    def artifacts(self, version: Version) -> list[Artifact]:
        """All files of a version, by path.

        Raises:
            Rejected: A name would lead out of its folder, or there are too many.
        """
        found: list[Artifact] = []
        self._list(self.place(version), "", found, 0)
        return sorted(found, key=lambda artifact: artifact.path)

    def _list(self, root: str, below: str, found: list[Artifact], depth: int) -> None:
        doing = "listing a version's files"
        body = self._wire.get(ARTIFACTS, doing, {"path": f"{root}/{below}".rstrip("/")})
        rows = _parsed(doing, lambda: [_entry(row) for row in body.get("files") or ()])
        for name, size in rows:
            path = f"{below}/{name}" if below else name
            if "/" in name or not is_safe_path(path) or depth > DEEPEST or len(found) > MOST_FILES:
                raise Rejected(
                    f"The registry lists a file that cannot be one of a version's ({doing}). Nothing was read of it."
                )
            if size is None:
                self._list(root, path, found, depth + 1)
            else:
                found.append(Artifact(path, size))

    def pieces(self, version: Version, path: str) -> Iterator[bytes]:
        """The bytes of a file, in pieces.

        Raises:
            NotFound: It is not there.
        """
        return self._wire.stream(self._file(version, path), "reading a version's file")

    def content(self, version: Version, path: str, at_most: int) -> bytes:
        """The bytes of a file.

        Raises:
            NotFound: It is not there.
            Rejected: It is larger than ``at_most`` bytes.
        """
        read = bytearray()
        for piece in self.pieces(version, path):
            read += piece
            if len(read) > at_most:
                raise Rejected(f"A file of version {version.number} is over {at_most} bytes. It was not read on.")
        return bytes(read)

    def digest(self, version: Version, path: str) -> str:
        """SHA-256 of a file, lower-case hex.

        Raises:
            NotFound: It is not there.
        """
        sha = hashlib.sha256()
        for piece in self.pieces(version, path):
            sha.update(piece)
        return sha.hexdigest()

    def upload(self, version: Version, path: str, content: bytes | Iterable[bytes]) -> None:
        """Write a file beside those of a version."""
        self._wire.put(self._file(version, path), content, "writing a version's file")

    def delete_artifact(self, version: Version, path: str) -> None:
        """Remove a file of a version; one that is not there is no error."""
        self._wire.send("DELETE", self._file(version, path), "removing a version's file")

    def release(self, version: Version, *, digests: bool = True) -> tuple[Release | None, list[str]]:
        """The release set of a version, and what is wrong with it, a sentence each.

        Args:
            version: Of which.
            digests: Whether to read every part and compare its SHA-256; else only whether it is there.
        """
        try:
            release = read_release(self.content(version, MANIFEST, LARGEST_MANIFEST))
        except NotFound:
            return None, ["the version has no release manifest (release.json)"]
        except NotARelease as error:
            return None, [str(error)]
        there = {artifact.path for artifact in self.artifacts(version)}
        wanted = release.files
        found = {path: self.digest(version, path) if digests else wanted[path] for path in wanted if path in there}
        wrong = problems(release, found)
        recorded = version.tags.get(self.config.tags.release_digest)
        if recorded is not None and recorded.lower() != release.digest:
            wrong.append("its release manifest is not the one that was recorded when it was registered")
        return release, wrong

    def _file(self, version: Version, path: str) -> str:
        if not is_safe_path(path):
            raise Rejected("A path would lead out of a version's files. Nothing was done.")
        return f"{ARTIFACTS}/{quote(f'{self.place(version)}/{path}')}"

    def _authorization(self) -> str | None:
        config = self.config
        if config.token is not None:
            return f"Bearer {self.secret(config.token)}"
        if config.password is not None:
            pair = f"{config.username}:{self.secret(config.password)}"
            return f"Basic {base64.b64encode(pair.encode()).decode()}"
        return None


def _versions(body: Mapping[str, Any], doing: str) -> list[Version]:
    return _parsed(doing, lambda: [Version.of(row) for row in body.get("model_versions") or ()])


def _entry(row: Mapping[str, Any]) -> tuple[str, int | None]:
    """Name and size of a listed file; no size of a folder."""
    return str(row["path"]), None if row.get("is_dir") else int(row.get("file_size") or 0)


def _parsed(doing: str, work: Callable[[], T]) -> T:
    """What ``work`` makes of an answer; an odd one is an error of the registry's, not of ours."""
    with mapped(doing, write=False):
        return work()
