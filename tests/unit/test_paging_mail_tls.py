"""Mail over TLS with a real certificate: STARTTLS and TLS, login, and what is refused."""

import contextlib
import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from worker.paging.channels import Call, Mail, Undelivered
from worker.settings_paging import MailSettings

# The server does not see that TLS was there from the first byte.
pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
PASSWORD = "correct horse"
PAGE = Call("k", "n1", "INC-2026-1", "live", 4, "INC-2026-1: decide go")


def certificate(folder: Path, name: str) -> Path:
    """A certificate of this name, signed by itself, with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / f"{name}.pem"
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return path


class Box:
    """What the server took, and who logged in."""

    def __init__(self) -> None:
        self.taken: list[Any] = []
        self.users: list[str] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        """Take a mail, over TLS and after a login only."""
        assert session.ssl is not None or server.transport.get_extra_info("ssl_object") is not None
        self.taken.append(envelope)
        return "250 OK"

    def login(self, server: Any, session: Any, envelope: Any, mechanism: str, given: Any) -> AuthResult:
        """Take one login."""
        self.users.append(given.login.decode())
        return AuthResult(success=given.password == PASSWORD.encode(), handled=False)


@contextlib.contextmanager
def serving(pem: Path, tls: str) -> Iterator[tuple[Box, int]]:
    """A mail server that wants TLS and a login."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    context, box = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), Box()
    context.load_cert_chain(pem)
    more: dict[str, Any] = {"auth_required": True, "authenticator": box.login}
    if tls == "tls":
        more |= {"ssl_context": context, "auth_require_tls": False}
    else:
        more |= {"tls_context": context, "require_starttls": True}
    controller = Controller(box, hostname="127.0.0.1", port=port, **more)
    controller.start()
    try:
        yield box, port
    finally:
        controller.stop()


def mail(port: int, tls: Any, believed: Path | None, password: str = PASSWORD) -> Mail:
    """The channel, which believes this certificate, or only those of the system."""
    settings = MailSettings(host="localhost", port=port, tls=tls, sender="stanch@acme.example", user="stanch")
    context = ssl.create_default_context(cafile=None if believed is None else str(believed))
    return Mail(settings, password, context)


@pytest.mark.parametrize("tls", ["starttls", "tls"])
async def test_pages_go_out_encrypted_after_a_login(tmp_path: Path, tls: str) -> None:
    pem = certificate(tmp_path, "localhost")
    with serving(pem, tls) as (box, port):
        channel = mail(port, tls, pem)
        await channel.check()
        await channel.send(PAGE, "amal", "amal@acme.example")
        assert [each.rcpt_tos for each in box.taken] == [["amal@acme.example"]] and box.users == ["stanch"] * 2


@pytest.mark.parametrize("tls", ["starttls", "tls"])
@pytest.mark.parametrize(("name", "believed"), [("localhost", False), ("mail.evil.example", True)])
async def test_a_wrong_certificate_is_told_no_password_and_no_page(
    tmp_path: Path, tls: str, name: str, believed: bool
) -> None:
    pem = certificate(tmp_path, name)
    with serving(pem, tls) as (box, port):
        channel = mail(port, tls, pem if believed else None)
        with pytest.raises(Undelivered, match="certificate"):
            await channel.send(PAGE, "amal", "amal@acme.example")
        with pytest.raises(Undelivered, match="certificate"):
            await channel.check()
        assert box.users == [] and box.taken == []


async def test_a_wrong_password_is_said_without_it(tmp_path: Path) -> None:
    pem = certificate(tmp_path, "localhost")
    with serving(pem, "starttls") as (box, port):
        with pytest.raises(Undelivered, match="login") as said:
            await mail(port, "starttls", pem, "wrong horse").check()
        assert "horse" not in str(said.value) and box.users
