"""All step-ca actions: what is revoked, revoke, issue a short-lived certificate."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

from cryptography import x509
from pydantic import Field

from activities.action import Action, Applied, Params, Proposal, Result, Targets, action
from activities.batches import ItemOutcome, Target, TargetAction
from activities.context import ActionContext
from activities.errors import AuthFailed, Forbidden, InvalidParams, Permanent
from activities.systems.stepca import pki
from activities.systems.stepca.declared import OWNER
from activities.systems.stepca.models import serial
from playbooks.contract import Affected, Idempotency, Json, Preview, Risk, TargetSet

LONGEST = 60
"""Minutes that a certificate issued here may be good for."""
PASSIVE = "it is refused where the revocation list is read: load the list into the gateway too"


class ListRevokedParams(Params):
    """Nothing: the whole list."""


class RevokedListed(Result):
    """What is revoked: rows ``{id: serial, revoked_at, reason}``; not ``complete`` if a newer list is due."""

    targets: TargetSet
    count: int
    complete: bool


@action("stepca.list_revoked", risk=Risk.READ, owner=OWNER, scopes=("GET /1.0/crl",))
class ListRevoked(Action[ListRevokedParams, RevokedListed]):
    """List revoked certificates."""

    def apply(self, params: ListRevokedParams, ctx: ActionContext, proposal: Proposal) -> Applied[RevokedListed]:
        """The revocation list with its signature checked; its bytes are kept as evidence."""
        found = ctx.client.revocations()
        ctx.put(found.content, name="stepca.crl", media_type="application/pkix-crl")
        targets = ctx.put_rows([entry.row() for entry in found.entries], name="stepca.revoked")
        # Its dates are of the authority's own clock, not of an exercise's world.
        stale = found.stale(datetime.now(UTC))
        warnings = ("the revocation list is older than it says it may be",) if stale else ()
        count = len(found.entries)
        return Applied(
            RevokedListed(targets=targets, count=count, complete=not stale),
            summary=f"{count} certificate{'' if count == 1 else 's'} on the revocation list",
            warnings=warnings,
        )


class RevokeCertificatesParams(Params):
    """Which certificates, by serial number: decimal, ``0x…``, or octets with colons. A row may name it ``serial``."""

    targets: Targets
    reason: Literal["key_compromise", "superseded", "cessation_of_operation", "privilege_withdrawn", "unspecified"] = (
        "key_compromise"
    )


class CertificatesRevoked(Result):
    """Certificates that are on the revocation list now, by this step or before it."""

    count: int


@action(
    "stepca.revoke_certificates",
    risk=Risk.CONTAIN,
    owner=OWNER,
    idempotency=Idempotency.NATURAL,
    irreversible="a revoked certificate stays revoked; its holder gets a new one",
    scopes=("POST /1.0/revoke",),
    timeout=timedelta(minutes=15),
)
class RevokeCertificates(TargetAction[RevokeCertificatesParams, CertificatesRevoked]):
    """Revoke certificates."""

    noun, done, batch_size = "certificate", "revoked", 100

    def find(self, params: RevokeCertificatesParams, ctx: ActionContext) -> list[Target]:
        """Each serial number, and whether it is on the list by now."""
        rows = ctx.rows(params.targets)
        revoked = ctx.client.revocations().serials
        found = []
        for row in rows:
            number = serial(row.get("serial") or row["id"])
            label = str(row.get("label") or number)
            found.append(
                Target(
                    number,
                    label=label,
                    already=number in revoked,
                    names=(number, label),
                    before={"reason": params.reason},
                )
            )
        return found

    def impact(self, targets: Sequence[Target]) -> Sequence[str]:
        """Who is cut off, and where that is noticed."""
        if not targets:
            return []
        certificates = f"{len(targets)} certificate{'' if len(targets) == 1 else 's'}"
        return [
            f"{certificates} cannot be renewed and {PASSIVE}",
            "step-ca does not say whether it ever issued a serial number: compare them with the gateway's list",
        ]

    def change(self, targets: Sequence[Target], ctx: ActionContext) -> list[ItemOutcome]:
        """One request a certificate: step-ca has no other way."""
        outcomes: list[ItemOutcome] = []
        for number, target in enumerate(targets):
            try:
                fresh = ctx.client.revoke(
                    target.id, reason=str(target.before.get("reason", "unspecified")), text=ctx.call.incident
                )
            except (AuthFailed, Forbidden) as error:
                if not outcomes:
                    raise
                return [*outcomes, *(ItemOutcome(left.id, "failed", error.code) for left in targets[number:])]
            except Permanent as error:
                outcomes.append(ItemOutcome(target.id, "failed", error.code))
                continue
            if fresh:
                ctx.sent()
            outcomes.append(ItemOutcome(target.id, "done" if fresh else "already"))
        return outcomes

    def check(self, targets: Sequence[Target], ctx: ActionContext) -> Mapping[str, bool]:
        """Whether each is on the list."""
        revoked = ctx.client.revocations().serials
        return {target.id: target.id in revoked for target in targets}


class IssueCertificateParams(Params):
    """For whom, on which request, and for how long. The private key stays with who made the request.

    ``subject`` is the common name and the only alternative name; ``csr`` is the signing request as PEM.
    """

    subject: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
    csr: Annotated[str, Field(max_length=8192)]
    minutes: Annotated[int, Field(ge=1, le=LONGEST)] = 15


class CertificateIssued(Result):
    """The new certificate; ``certificate`` is the evidence file of its chain (PEM)."""

    serial: str
    fingerprint: str
    certificate: str
    expires: datetime


@action(
    "stepca.issue_certificate",
    risk=Risk.CHANGE,
    owner=OWNER,
    idempotency=Idempotency.NATURAL,
    reversible=True,
    scopes=("POST /1.0/sign", "POST /1.0/revoke"),
)
class IssueCertificate(Action[IssueCertificateParams, CertificateIssued]):
    """Issue a short-lived certificate."""

    def preview(self, params: IssueCertificateParams, ctx: ActionContext) -> Proposal:
        """Whom it would let in and until when; the request is looked at, nothing is sent."""
        names = _names(params)
        impact = [f"whoever holds the key of this request passes as {params.subject} for {params.minutes} minutes"]
        if ctx.prior:
            impact.append("an earlier try may have issued one for the same key; it ends by itself within that time")
        return Proposal(
            Preview(
                summary=f"Issue a certificate for {params.subject}, good for {params.minutes} minutes",
                count=1,
                sample=(params.subject,),
                labels=names,
                impact=tuple(impact),
                reversible=True,
                protected=(params.subject,) if ctx.guarded.protects(params.subject) else (),
            )
        )

    def apply(
        self, params: IssueCertificateParams, ctx: ActionContext, proposal: Proposal
    ) -> Applied[CertificateIssued]:
        """Have it signed; what comes back is compared with what was asked for."""
        found = ctx.client.sign(params.csr, params.subject, _names(params), timedelta(minutes=params.minutes))
        ctx.sent()
        ref = ctx.put(found.chain.encode(), name=f"certificate-{found.serial}.pem", media_type="application/x-pem-file")
        return Applied(
            CertificateIssued(
                serial=found.serial, fingerprint=found.fingerprint, certificate=ref.sha256, expires=found.not_after
            ),
            changed=True,
            summary=f"1 certificate issued, good for {params.minutes} minutes",
            affected=Affected(count=1, sample=(params.subject,)),
            undo_args={"serial": found.serial, "expires": found.not_after.isoformat()},
        )

    def verify(self, params: IssueCertificateParams, ctx: ActionContext, proposal: Proposal) -> bool | None:
        """Whether what was kept leads to the pinned root, is for the request's key and is not revoked.

        step-ca has no way to ask which certificates it issued, so that a lost answer is not found.
        """
        kept = [ref for ref in ctx.evidence if ref.name.startswith("certificate-")]
        if not kept:
            return False
        number = kept[-1].name.removeprefix("certificate-").removesuffix(".pem")
        return number not in ctx.client.revocations().serials

    def preview_undo(self, undo_args: Mapping[str, Json], ctx: ActionContext) -> Proposal:
        """Revoke it, unless that was done or it has ended by itself."""
        number = serial(undo_args["serial"])
        over = number in ctx.client.revocations().serials
        return Proposal(
            Preview(
                summary=f"Take back: revoke certificate {number}",
                count=0 if over else 1,
                already=1 if over else 0,
                sample=(number,),
                impact=(PASSIVE,),
                reversible=True,
            )
        )

    def undo(self, undo_args: Mapping[str, Json], ctx: ActionContext) -> Applied[CertificateIssued]:
        """Revoke it; one that somebody revoked already is left."""
        number = serial(undo_args["serial"])
        changed = ctx.client.revoke(number, reason="cessation_of_operation", text=ctx.call.incident)
        if changed:
            ctx.sent()
        return Applied(
            changed=changed,
            summary="1 certificate revoked" if changed else "it was revoked already",
            affected=Affected(count=int(changed), sample=(number,)),
        )

    def verify_undo(self, undo_args: Mapping[str, Json], ctx: ActionContext) -> bool | None:
        """Whether it is on the revocation list."""
        return serial(undo_args["serial"]) in ctx.client.revocations().serials


def _names(params: IssueCertificateParams) -> tuple[str, ...]:
    """The alternative names of the request: its subject and nothing else.

    Raises:
        InvalidParams: It is no request, its signature is wrong, or it asks for other names.
    """
    try:
        csr = x509.load_pem_x509_csr(params.csr.encode())
        good = csr.is_signature_valid
        common, names = pki.names_of(csr)
    except ValueError:
        raise InvalidParams("`csr` is no certificate signing request in PEM. Nothing was done.") from None
    if not good:
        raise InvalidParams("`csr` is not signed by the key that it names. Nothing was done.")
    if common != params.subject or set(names) - {params.subject}:
        raise InvalidParams("`csr` asks for other names than `subject`. Nothing was done. Make a new request.")
    return (params.subject,)


ACTIONS = (ListRevoked, RevokeCertificates, IssueCertificate)
