"""Signatures of model files: in key and in certificate mode, by whom, and over which files."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from activities.errors import NotFound, Rejected
from activities.systems.mlflow import signing
from activities.systems.mlflow.config import Anchor, Signing
from tests.systems.mlflow_site import NEW, OLD, STRANGER, Key, files

TRUSTED = Signing(trusted=(Anchor(name="old", public_key=OLD.public), Anchor(name="new", public_key=NEW.public)))

USES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The files of a version."""
    place = tmp_path / "model"
    for path, content in files().items():
        (place / path).parent.mkdir(parents=True, exist_ok=True)
        (place / path).write_bytes(content)
    return place


class Authority:
    """A certificate authority, or one below another."""

    def __init__(self, name: str, above: "Authority | None" = None) -> None:
        self.key = Key()
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.certificate = self._made(self.name, self.key, above or self, ca=True)

    def issue(self, name: str, key: Key, *, usage: bool = True) -> str:
        """A certificate for signing, as PEM."""
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        return self._made(subject, key, self, ca=False, usage=usage)

    def _made(self, subject: x509.Name, key: Key, by: "Authority", *, ca: bool, usage: bool = True) -> str:
        start = datetime.now(UTC) - timedelta(days=20)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(by.name)
            .public_key(key.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(start + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if not ca:
            # What is not for signing may agree on keys, as a client of TLS does.
            use = {name: False for name in USES} | {"digital_signature" if usage else "key_agreement": True}
            wanted = ExtendedKeyUsageOID.CODE_SIGNING if usage else ExtendedKeyUsageOID.CLIENT_AUTH
            builder = builder.add_extension(x509.ExtendedKeyUsage([wanted]), critical=False)
            builder = builder.add_extension(x509.KeyUsage(**use), critical=True)
        made = builder.sign(by.key.key, hashes.SHA256())
        return made.public_bytes(serialization.Encoding.PEM).decode()


def test_a_trusted_key_signed_every_file(folder: Path) -> None:
    content = signing.sign(folder, TRUSTED, OLD.private)
    assert (folder / "model.sig").read_bytes() == content
    assert signing.check(folder, TRUSTED) == signing.Checked(True, "old")
    signing.sign(folder, TRUSTED, NEW.private)
    assert signing.check(folder, TRUSTED).signer == "new"
    assert (signing.check_own(folder, TRUSTED, NEW.private), signing.check_own(folder, TRUSTED, OLD.private)) == (
        True,
        False,
    )


def test_a_stranger_signed(folder: Path) -> None:
    signing.sign(folder, TRUSTED, STRANGER.private)
    assert signing.check(folder, TRUSTED) == signing.Checked(False, why="no trusted signer made its signature")
    assert signing.check(folder, Signing()).why == "no trusted signer is set"


@pytest.mark.parametrize("change", ["changed", "added", "gone"])
def test_files_that_differ_are_named(folder: Path, change: str) -> None:
    signing.sign(folder, TRUSTED, OLD.private)
    path = folder / ("serving/run.py" if change == "added" else "serving/config.json")
    path.unlink() if change == "gone" else path.write_bytes(b"x")
    found = signing.check(folder, TRUSTED)
    assert (found.valid, found.signer, found.mismatched) == (False, "old", (path.relative_to(folder).as_posix(),))


@pytest.mark.parametrize("left_out", ["model.safetensors", ".gitattributes"])
def test_a_signature_that_leaves_a_file_out_is_not_valid(folder: Path, left_out: str) -> None:
    """The library accepts it: a signer may say which paths it ignores, and git's own are ignored anyway."""
    from model_signing import hashing, verifying
    from model_signing.signing import Config

    (folder / left_out).write_bytes(b"anything")
    (folder.parent / "old").write_text(OLD.private)
    (folder.parent / "old.pub").write_text(OLD.public)
    over: Any = hashing.Config().set_ignored_paths(paths=["model.sig", left_out])
    config: Any = Config()
    config.set_hashing_config(over).use_elliptic_key_signer(private_key=folder.parent / "old")
    config.sign(folder, folder / "model.sig")
    (folder / left_out).write_bytes(b"anything else")
    trusting: Any = verifying.Config()
    trusting.use_elliptic_key_verifier(public_key=folder.parent / "old.pub").verify(folder, folder / "model.sig")
    found = signing.check(folder, TRUSTED)
    assert (found.valid, found.signer, found.mismatched) == (False, "old", (left_out,))


@pytest.mark.parametrize("form", ["shards", "blake3"])
def test_other_ways_of_hashing_are_checked_too(folder: Path, form: str) -> None:
    from model_signing import hashing
    from model_signing.signing import Config

    (folder.parent / "old").write_text(OLD.private)
    over: Any = hashing.Config().set_ignored_paths(paths=["model.sig"])
    if form == "shards":
        over.use_shard_serialization(shard_size=4)
    else:
        over.use_file_serialization(hashing_algorithm="blake3")
    config: Any = Config()
    config.set_hashing_config(over).use_elliptic_key_signer(private_key=folder.parent / "old")
    config.sign(folder, folder / "model.sig")
    assert signing.check(folder, TRUSTED).valid
    (folder / "prompt.txt").write_bytes(b"Score everybody high.")
    assert not signing.check(folder, TRUSTED).valid
    signing.sign(folder, TRUSTED, OLD.private)
    assert signing.check(folder, TRUSTED).valid


def test_a_signature_that_was_made_beside_the_folder(folder: Path) -> None:
    from model_signing.signing import Config

    (folder.parent / "old").write_text(OLD.private)
    config: Any = Config()
    config.use_elliptic_key_signer(private_key=folder.parent / "old")
    config.sign(folder, folder.parent / "outside.sig")
    (folder.parent / "outside.sig").rename(folder / "model.sig")
    assert signing.check(folder, TRUSTED) == signing.Checked(True, "old")
    assert (folder / "model.sig").is_file()


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xff", b'{"dsseEnvelope": {"payload": "e30="}}', b"[" * 5000])
def test_what_is_no_signature(folder: Path, content: bytes) -> None:
    (folder / "model.sig").write_bytes(content)
    found = signing.check(folder, TRUSTED)
    assert (found.valid, found.signer) == (False, "")


def test_certificates_below_a_trusted_one(folder: Path) -> None:
    root, other = Authority("Builders"), Authority("Somebody")
    middle = Authority("Builders 2026", root)
    key = Key()
    own = Signing(
        trusted=(Anchor(name="builders", certificate=root.certificate),),
        certificate=middle.issue("builder-1", key),
        chain=(middle.certificate,),
    )
    signing.sign(folder, own, key.private)
    assert signing.check(folder, own) == signing.Checked(True, "builders")
    stranger = Signing(trusted=(Anchor(name="somebody", certificate=other.certificate),))
    assert signing.check(folder, stranger).valid is False
    (folder / "prompt.txt").write_bytes(b"x")
    assert signing.check(folder, own) == signing.Checked(
        False, "builders", ("prompt.txt",), "files differ from what was signed"
    )


def test_a_certificate_that_is_not_for_signing(folder: Path) -> None:
    root, key = Authority("Builders"), Key()
    own = Signing(
        trusted=(Anchor(name="builders", certificate=root.certificate),),
        certificate=root.issue("builder-1", key, usage=False),
    )
    signing.sign(folder, own, key.private)
    assert signing.check(folder, own).valid is False


def test_a_certificate_of_another_key(folder: Path) -> None:
    own = Signing(certificate=Authority("Builders").issue("builder-1", Key()))
    with pytest.raises(Rejected, match="fits its certificate"):
        signing.sign(folder, own, OLD.private)


def test_keys_that_cannot_sign(folder: Path) -> None:
    odd = ec.generate_private_key(ec.SECP256K1())
    form = serialization.PrivateFormat.PKCS8
    text = odd.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()
    for key in (text, "no key", OLD.public):
        with pytest.raises(Rejected) as caught:
            signing.sign(folder, TRUSTED, key)
        assert key not in caught.value.message


def test_signers_out_of_files(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "old.pem").write_text(OLD.public)
    named = Signing(trusted=(Anchor(name="old", public_key=str(tmp_path / "old.pem")),))
    signing.sign(folder, named, OLD.private)
    assert signing.check(folder, named).signer == "old" and signing.is_trusted(named, OLD.private) is True
    assert signing.is_trusted(named, NEW.private) is False
    gone = Signing(trusted=(Anchor(name="old", public_key=str(tmp_path / "gone.pem")),))
    with pytest.raises(NotFound, match=r"gone\.pem"):
        signing.check(folder, gone)
