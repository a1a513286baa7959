"""OpenSSF model signing of a folder: made and checked in key and certificate mode, offline.

A signature that fits says who signed these very files, and nothing else: a compromised builder signs validly. It is
checked against the trusted signers of the settings only, never against a public log or the machine's own
authorities. The library lets a signer leave files out of a signature, so that every file is covered is checked here.
See https://github.com/sigstore/model-transparency (model-signing 1.1).
"""

import base64
import contextlib
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from activities.errors import NotFound, Rejected
from activities.systems.mlflow.config import Anchor, Signing
from activities.systems.mlflow.models import Version

LARGEST_SIGNATURE = 4_000_000
SHARD = re.compile(r":\d+:\d+$")


@dataclass(frozen=True)
class Checked:
    """What a check of a signature found.

    Attributes:
        valid: Whether a trusted signer signed exactly these files.
        signer: Name of the trusted signer; empty if none of them made it.
        mismatched: Files that differ from what was signed, were added to it or are gone, sorted.
        why: Why it is not valid, in a few words; empty if it is.
    """

    valid: bool
    signer: str = ""
    mismatched: tuple[str, ...] = ()
    why: str = ""


@contextlib.contextmanager
def downloaded(client: Any, version: Version) -> Iterator[Path]:
    """All files of a version in a private temporary folder, which is removed afterwards; nothing is loaded.

    Raises:
        Rejected: They are more bytes than the settings allow.
        ConnectorError: They cannot be read whole.
    """
    left = client.config.largest_download
    # Made for this user only (mode 0700).
    with tempfile.TemporaryDirectory(prefix="stanch-model-") as place:
        folder = Path(place) / "model"
        folder.mkdir()
        for artifact in client.artifacts(version):
            path = folder / artifact.path
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as file:
                for piece in client.pieces(version, artifact.path):
                    left -= len(piece)
                    if left < 0:
                        raise Rejected(
                            f"The files of version {version.number} are over {client.config.largest_download} bytes "
                            "together. They were not read on. Raise systems.mlflow.largest_download if that is right."
                        )
                    file.write(piece)
        yield folder


def check(folder: Path, signing: Signing) -> Checked:
    """Check the signature in a folder against every trusted signer of the settings."""
    if not signing.trusted:
        return Checked(False, why="no trusted signer is set")
    return _check(folder, signing.file, [(anchor.name, anchor) for anchor in signing.trusted])


def check_own(folder: Path, signing: Signing, key: str) -> bool:
    """Whether the signature in a folder is of our own key and fits every file."""
    if signing.certificate is not None:
        own = Anchor(name=signing.key_name, certificate=signing.certificate)
    else:
        own = Anchor(name=signing.key_name, public_key=public_half(key))
    return _check(folder, signing.file, [(own.name, own)]).valid


def sign(folder: Path, signing: Signing, key: str) -> bytes:
    """Sign every file of a folder; the signature, which is also written into it.

    Raises:
        Rejected: The key cannot be used, or a signature would not cover a file.
    """
    from model_signing.signing import Config

    target = folder / signing.file
    target.unlink(missing_ok=True)
    with _written({"key": key}) as files:
        try:
            config: Any = Config()  # type: ignore[no-untyped-call]
            config = config.set_hashing_config(_hashing(signing.file))
            if signing.certificate is None:
                config = config.use_elliptic_key_signer(private_key=files["key"])
            else:
                chain = _written({f"c{number}": pem(text) for number, text in enumerate(signing.chain)})
                with _written({"own": pem(signing.certificate)}) as own, chain as chained:
                    config = config.use_certificate_signer(
                        private_key=files["key"],
                        signing_certificate=own["own"],
                        # The library takes no empty chain.
                        certificate_chain=list(chained.values()) or [own["own"]],
                    )
            config.sign(folder, target)
        except (ValueError, TypeError, AttributeError, OSError):
            # Its text is not passed on: it may hold what was in a file.
            raise Rejected(
                "The key of systems.mlflow.signing cannot sign: it must be a PEM private key on P-256, P-384 or P-521 "
                "that fits its certificate. Nothing was done."
            ) from None
    content = target.read_bytes()
    covered, _ = _covered(content)
    missed = sorted(set(digests(folder, signing.file)) - set(covered))
    if missed:
        raise Rejected(
            f"Model signing does not cover {len(missed)} files of this version ({', '.join(missed[:3])}). Nothing was "
            "signed. Remove them from the version."
        )
    return content


def public_half(key: str) -> str:
    """PEM of the public half of a PEM private key.

    Raises:
        Rejected: It is no such key.
    """
    try:
        loaded = serialization.load_pem_private_key(key.encode(), None)
    except (ValueError, TypeError):
        loaded = None
    if not isinstance(loaded, ec.EllipticCurvePrivateKey):
        raise Rejected("The key of systems.mlflow.signing is not a PEM private key on a curve. Nothing was done.")
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return loaded.public_key().public_bytes(serialization.Encoding.PEM, form).decode()


def is_trusted(signing: Signing, key: str) -> bool | None:
    """Whether the key we sign with is one of the trusted signers'; ``None`` where certificates decide it."""
    if signing.certificate is not None or any(anchor.certificate for anchor in signing.trusted):
        return None
    mine = public_half(key).strip()
    return any(anchor.public_key is not None and pem(anchor.public_key).strip() == mine for anchor in signing.trusted)


def pem(text: str) -> str:
    """PEM as given, or out of the file that is named.

    Raises:
        NotFound: The file cannot be read.
    """
    if text.lstrip().startswith("-----BEGIN "):
        return text
    try:
        return Path(text).expanduser().read_text()
    except (OSError, ValueError):
        raise NotFound(
            f"systems.mlflow.signing: {text[:200]} cannot be read as a PEM file. Nothing was done. Mend the settings."
        ) from None


def digests(folder: Path, but: str) -> dict[str, str]:
    """SHA-256 of every file below a folder, by path with slashes, but of one."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name != but:
            with path.open("rb") as file:
                found[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def _check(folder: Path, file: str, anchors: Sequence[tuple[str, Anchor]]) -> Checked:
    signature = folder / file
    if not signature.is_file():
        return Checked(False, why="it is not signed")
    if signature.stat().st_size > LARGEST_SIGNATURE:
        return Checked(False, why="its signature is over 4 MB")
    there = digests(folder, file)
    covered, whole = _covered(signature.read_bytes())
    differing = {name for name in there.keys() | covered.keys() if (name in there) != (name in covered)}
    if whole:
        differing |= {name for name in there.keys() & covered.keys() if there[name] != covered[name]}
    mismatched = tuple(sorted(differing))
    for name, anchor in anchors:
        fits = _verified(folder, signature, anchor)
        if fits is None:
            continue
        if mismatched or not fits:
            return Checked(False, name, mismatched, "files differ from what was signed")
        return Checked(True, name)
    return Checked(False, "", mismatched, "no trusted signer made its signature")


def _verified(folder: Path, signature: Path, anchor: Anchor) -> bool | None:
    """``True`` if it is the signer's and the files fit, ``False`` if only the files do not, ``None`` if it is not."""
    # Importing it costs most of a second, so only who needs it does.
    from model_signing.verifying import Config

    text = pem(anchor.public_key or anchor.certificate or "")
    with _written({"anchor": text}) as files, _aside(signature) as beside:
        try:
            config: Any = Config()  # type: ignore[no-untyped-call]
            if anchor.public_key is not None:
                config.use_elliptic_key_verifier(public_key=files["anchor"])
            else:
                config.use_certificate_verifier(certificate_chain=[files["anchor"]])
            sharded = _sharded(beside)
            if sharded is not None:
                config.set_hashing_config(sharded)
            config.verify(folder, beside)
        except ValueError as error:
            # The signature itself is looked at first; only then are files compared.
            return False if str(error).startswith("Signature mismatch") else None
        except Exception:
            # Whatever a forged bundle brings the library to: it is not a signature of this signer.
            return None
    return True


@contextlib.contextmanager
def _aside(signature: Path) -> Iterator[Path]:
    """The signature out of its folder for a while, since one that was made elsewhere does not expect itself there."""
    beside = signature.parent.with_name(f"{signature.parent.name}.{signature.name}")
    signature.rename(beside)
    try:
        yield beside
    finally:
        beside.rename(signature)


def _covered(bundle: bytes) -> tuple[dict[str, str], bool]:
    """Files that a signature says it covers with their digests, and whether those are SHA-256 of whole files."""
    try:
        envelope = json.loads(bundle)["dsseEnvelope"]
        predicate = json.loads(base64.b64decode(envelope["payload"]))["predicate"]
        resources, serialization_ = predicate["resources"], predicate["serialization"]
        whole = serialization_.get("method") == "files" and serialization_.get("hash_type") == "sha256"
        names = ((str(row["name"]), str(row["digest"])) for row in resources)
        return {name if whole else SHARD.sub("", name): digest for name, digest in names}, whole
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}, False


def _sharded(signature: Path) -> Any:
    """How a signature over parts of files was hashed; ``None`` for one over whole files.

    The library guesses that, but takes the size of a part out of JSON as a fraction, with which it cannot count.
    """
    from model_signing.hashing import Config

    payload = json.loads(base64.b64decode(json.loads(signature.read_bytes())["dsseEnvelope"]["payload"]))
    how = payload["predicate"]["serialization"]
    if how["method"] != "shards":
        return None
    config: Any = Config()  # type: ignore[no-untyped-call]
    config.set_ignored_paths(paths=how.get("ignore_paths", ()))
    return config.use_shard_serialization(hashing_algorithm=how["hash_type"], shard_size=int(how["shard_size"]))


def _hashing(file: str) -> Any:
    from model_signing.hashing import Config

    config: Any = Config()  # type: ignore[no-untyped-call]
    return config.set_ignored_paths(paths=[file])


@contextlib.contextmanager
def _written(texts: Mapping[str, str]) -> Iterator[dict[str, Path]]:
    """Texts as files that only this user can read, removed afterwards; the library takes nothing but paths."""
    with tempfile.TemporaryDirectory(prefix="stanch-key-") as place:
        found = {}
        for name, text in texts.items():
            found[name] = Path(place) / name
            descriptor = os.open(found[name], os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(text)
        yield found
