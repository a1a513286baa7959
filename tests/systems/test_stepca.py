"""step-ca: short-lived certificates, revoked and found on the revocation list; simulated and real alike."""

import json
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from activities.errors import AuthFailed, Forbidden, InvalidParams, Rejected, Unavailable
from activities.systems.stepca import pki
from activities.systems.stepca.models import serial
from activities.systems.stepca.peer.app import StepCaPeer
from activities.systems.stepca.peer.state import Ca
from tests.systems.acme import INCIDENT, Bench
from tests.systems.faulty import Forward
from tests.systems.real import executable
from tests.systems.stepca_site import Site
from worker.range_server import LoopbackServer
from worker.servers.stepca import AuthorityFiles, StepCaServer, issue, write_authority
from worker.store import Store


@pytest.fixture(scope="session")
def real_stepca(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[AuthorityFiles, StepCaServer]]:
    """One real server for the session."""
    folder = tmp_path_factory.mktemp("stepca")
    files = write_authority(folder / "authority")
    with StepCaServer(files, folder / "server", executable("step-ca")) as server:
        yield files, server


@pytest.fixture(scope="module")
def simulated_stepca(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[AuthorityFiles, StepCaPeer, str]]:
    """One simulated server; each test gets a fresh state."""
    files = write_authority(tmp_path_factory.mktemp("authority"))
    peer = StepCaPeer(Ca(files.authority))
    served = LoopbackServer(peer, tls=files.tls())
    yield files, peer, served.open()
    served.close()


@pytest.fixture(params=["peer", pytest.param("real", marks=pytest.mark.real)])
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    """A simulated or a real authority."""
    if request.param == "real":
        files, server = request.getfixturevalue("real_stepca")
        found = Site(files, server.url, Forward(server.url, server.trust), None)
        yield found
        found.close()
        return
    files, peer, url = request.getfixturevalue("simulated_stepca")
    peer.ca = Ca(files.authority)
    found = Site(files, url, peer, peer)
    yield found
    found.close()


@pytest.fixture
def store(empty_database: Path, tmp_path: Path) -> Iterator[Store]:
    """A real store."""
    shutil.copy(empty_database, tmp_path)
    made = Store(f"sqlite:///{tmp_path / 'stanch.db'}", tmp_path / "home")
    yield made
    made.close()


@pytest.fixture
def bench(site: Site, store: Store) -> Bench:
    """Calls of actions on it."""
    return Bench(site.client(), store, "stepca")


def test_it_issues_a_certificate_that_is_short_lived_and_leads_to_the_root(site: Site) -> None:
    client = site.client()
    given = issue(client, "crm-sync", minutes=5)
    leaf = x509.load_pem_x509_certificate(given.chain.encode())
    life = leaf.not_valid_after_utc - leaf.not_valid_before_utc
    assert timedelta(minutes=4) < life <= timedelta(minutes=11)
    assert client.genuine(given.chain) and serial(given.serial) == str(leaf.serial_number)
    assert given.fingerprint == pki.fingerprint(leaf) and given.subject == "crm-sync"


def test_a_certificate_of_more_than_an_hour_is_refused_by_the_authority(site: Site) -> None:
    with pytest.raises(Forbidden):
        issue(site.client(), "crm-sync", minutes=120)


def test_another_provisioner_key_or_name_is_not_accepted(site: Site, tmp_path: Path) -> None:
    other = write_authority(tmp_path / "other")
    with pytest.raises(AuthFailed):
        issue(site.client(key=f"secret:file/{other.key}"), "crm-sync")
    with pytest.raises(AuthFailed):
        issue(site.client(provisioner="somebody"), "crm-sync")


def test_a_provisioner_key_may_be_a_json_web_key(site: Site, tmp_path: Path) -> None:
    key = pki.load_key(site.files.authority.provisioner_key)
    private = pki._unpadded(key.private_numbers().private_value.to_bytes(32, "big"))
    path = tmp_path / "provisioner.jwk"
    path.write_text(json.dumps({**pki.public_jwk(key), "d": private}))
    path.chmod(0o600)
    assert issue(site.client(key=f"secret:file/{path}"), "crm-sync", 5).subject == "crm-sync"


def test_a_server_that_does_not_lead_to_the_pinned_root_is_not_spoken_to(site: Site, tmp_path: Path) -> None:
    other = write_authority(tmp_path / "other")
    with pytest.raises(Unavailable, match="pinned root"):
        site.client(root=str(other.root)).revocations()


def test_the_doctor_sees_provisioner_and_list(site: Site, tmp_path: Path) -> None:
    assert "on the revocation list" in site.client().ping()
    with pytest.raises(AuthFailed, match="no JWK provisioner"):
        site.client(provisioner="somebody").ping()
    other = write_authority(tmp_path / "other")
    with pytest.raises(AuthFailed, match="another key"):
        site.client(key=f"secret:file/{other.key}").ping()


def test_a_list_that_another_authority_signed_is_not_believed(site: Site, tmp_path: Path) -> None:
    client = site.faulted()
    assert site.faulty is not None
    forged = Ca(pki.make_authority())
    forged.revoke("7", 1)
    site.faulty.add("body", path="/crl$", status=200, body=forged.revocation_list(), times=0)
    with pytest.raises(Unavailable, match="signed below the pinned root"):
        client.revocations()


def test_a_reading_client_sends_nothing_that_changes(site: Site) -> None:
    client = site.client(reading=True)
    assert client.revocations().entries is not None
    with pytest.raises(Rejected, match="Nothing was sent"):
        client.revoke("12")


@pytest.mark.parametrize(
    ("text", "number"),
    [("255", "255"), ("0xff", "255"), ("00:FF", "255"), ("0", "0"), (" 12 ", "12")],
)
def test_serial_numbers_are_read_in_each_form(text: str, number: str) -> None:
    assert serial(text) == number


@pytest.mark.parametrize("text", ["ff", "", "-1", "1.5", "zz", "9" * 60, "../sign", "a" * 64])
def test_what_is_no_serial_number_is_refused(text: str) -> None:
    with pytest.raises(InvalidParams):
        serial(text)


# Actions


async def test_revoked_certificates_are_on_the_list_and_counted_once(site: Site, bench: Bench) -> None:
    first, second = (issue(site.client(), name, 5) for name in ("harvester", "crm-sync"))
    shown = await bench.preview("stepca.revoke_certificates", targets=[first.serial, hex(int(second.serial))])
    assert (shown.count, shown.reversible) == (2, False)
    assert any("gateway" in line for line in shown.impact)
    result = await bench.apply("stepca.revoke_certificates", targets=[first.serial, hex(int(second.serial))])
    assert (result.changed, result.verified, result.output["count"], result.affected.count) == (True, True, 2, 2)
    assert {first.serial, second.serial} <= site.client().revocations().serials
    call = bench.call("stepca.revoke_certificates", {"targets": [first.serial]}, step="again")
    again = await bench.run(call)
    assert (again.changed, again.output["count"]) == (False, 1)
    assert again.items is not None and again.items.already == 1


async def test_a_row_may_name_a_certificate_by_fingerprint_and_carry_its_serial(site: Site, bench: Bench) -> None:
    given = issue(site.client(), "harvester", 5)
    rows = [{"id": given.fingerprint, "label": "harvester", "serial": given.serial}]
    targets = bench.store.evidence.put_rows(INCIDENT, rows, name="clients", source="test", actor="stanch")
    result = await bench.apply("stepca.revoke_certificates", targets=targets)
    assert result.verified and given.serial in site.client().revocations().serials


async def test_a_protected_holder_is_shown(site: Site, bench: Bench) -> None:
    given = issue(site.client(), "crm-sync", 5)
    bench.protected = ("crm-sync",)
    rows = [{"id": given.serial, "label": "crm-sync"}]
    targets = bench.store.evidence.put_rows(INCIDENT, rows, name="clients", source="test", actor="stanch")
    shown = await bench.preview("stepca.revoke_certificates", targets=targets)
    assert shown.protected == (given.serial,)


async def test_a_lost_revocation_is_found_done_and_not_counted_as_somebody_elses(site: Site, bench: Bench) -> None:
    given = issue(site.client(), "harvester", 5)
    bench.client = site.faulted()
    assert site.faulty is not None
    site.faulty.add("drop_after", path="/revoke$", method="POST")
    call = bench.call("stepca.revoke_certificates", {"targets": [given.serial]})
    result = await bench.after_lost(call)
    assert (result.changed, result.verified, result.affected.count) == (True, True, 1)
    assert site.faulty.asked("/revoke$", "POST") == 1


@pytest.mark.parametrize(
    ("rule", "kind"),
    [
        ({"kind": "status", "status": 429, "headers": {"Retry-After": "7"}}, "RateLimited"),
        ({"kind": "status", "status": 503}, "Ambiguous"),
        ({"kind": "drop_before"}, "Ambiguous"),
    ],
)
async def test_a_revocation_survives_a_refusal_on_the_way(
    site: Site, bench: Bench, rule: dict[str, Any], kind: str
) -> None:
    given = issue(site.client(), "harvester", 5)
    bench.client = site.faulted()
    assert site.faulty is not None
    site.faulty.add(path="/revoke$", **rule)
    result = await bench.after_lost(bench.call("stepca.revoke_certificates", {"targets": [given.serial]}), kind=kind)
    assert result.verified and given.serial in site.client().revocations().serials


async def test_the_list_is_kept_as_evidence(site: Site, bench: Bench) -> None:
    given = issue(site.client(), "harvester", 5)
    site.client().revoke(given.serial)
    result = await bench.apply("stepca.list_revoked")
    assert result.output["complete"] is True and result.output["count"] >= 1
    row = next(row for row in bench.rows(result.output["targets"]) if row["id"] == given.serial)
    assert row["reason"] == "keyCompromise"
    assert x509.load_der_x509_crl(bench.files()["stepca.crl"])


async def test_an_issued_certificate_passes_and_its_undo_revokes_it(site: Site, bench: Bench) -> None:
    key = pki.new_key()
    params = {"subject": "crm-sync", "csr": pki.request(key, "crm-sync"), "minutes": 10}
    shown = await bench.preview("stepca.issue_certificate", **params)
    assert (shown.count, shown.reversible) == (1, True) and "crm-sync" in shown.impact[0]
    result = await bench.apply("stepca.issue_certificate", **params)
    assert (result.changed, result.verified) == (True, True)
    chain = bench.store.evidence.read(result.output["certificate"]).decode()
    leaf = x509.load_pem_x509_certificate(chain.encode())
    assert str(leaf.serial_number) == result.output["serial"]
    assert pki.fingerprint(leaf) == result.output["fingerprint"]
    assert leaf.not_valid_after_utc <= datetime.now(UTC) + timedelta(minutes=11)
    undo = bench.call(
        "stepca.issue_certificate", params, verb="undo", undo_args=result.undo_args, step="issue_certificate"
    )
    undone = await bench.run(undo)
    assert (undone.changed, undone.verified) == (True, True)
    assert result.output["serial"] in site.client().revocations().serials


@pytest.mark.parametrize(
    ("csr", "said"),
    [
        ("no request", "no certificate signing request"),
        (pki.request(pki.new_key(), "admin"), "other names"),
        (pki.request(pki.new_key(), "crm-sync", ("crm-sync", "admin.example")), "other names"),
    ],
)
async def test_a_request_for_other_names_is_refused_before_anything_is_sent(
    site: Site, bench: Bench, csr: str, said: str
) -> None:
    error = await bench.refused(bench.call("stepca.issue_certificate", {"subject": "crm-sync", "csr": csr}))
    assert error.type == "InvalidParams" and said in error.message


async def test_a_certificate_of_another_key_is_revoked_again_and_refused(site: Site, bench: Bench) -> None:
    other = issue(site.client(), "crm-sync", 5)
    chain = [pki.pem(part) for part in x509.load_pem_x509_certificates(other.chain.encode())]
    bench.client = site.faulted()
    assert site.faulty is not None
    body = json.dumps({"crt": chain[0], "ca": chain[1], "certChain": chain}).encode()
    site.faulty.add("body", path="/sign$", status=201, body=body)
    params = {"subject": "crm-sync", "csr": pki.request(pki.new_key(), "crm-sync")}
    error = await bench.refused(bench.call("stepca.issue_certificate", params))
    assert error.type == "Rejected" and "another key" in error.message and "revoked again" in error.message
    assert other.serial in site.client().revocations().serials


async def test_no_secret_of_the_provisioner_is_on_record(site: Site, bench: Bench) -> None:
    given = issue(site.client(), "harvester", 5)
    await bench.apply("stepca.revoke_certificates", targets=[given.serial])
    everything = bench.journal() + "".join(content.decode(errors="replace") for content in bench.files().values())
    key = site.files.authority.provisioner_key.splitlines()[1]
    assert key not in everything and "eyJ" not in everything


def test_settings_take_no_secret_and_no_plain_http(site: Site) -> None:
    for change, said in [
        ({"key": "hunter2"}, "reference"),
        ({"url": "http://ca.example"}, "https"),
        ({"endpoint": "http://ca.example:80"}, "127.0.0.1"),
        ({"root": "/nowhere.pem"}, "root"),
    ]:
        with pytest.raises(AuthFailed, match=said):
            site.client(**change)
