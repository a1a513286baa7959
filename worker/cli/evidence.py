"""``stanch evidence``: verify an exported bundle. Needs no server and no store."""

from pathlib import Path
from typing import Any

import click

from worker.cli.client import home
from worker.cli.output import INTEGRITY, Refused, clean, emit, fail, json_option, show

NEXT = {
    "unknown_signer": "Verify it in the STANCH_HOME that exported it, or give its public key with --key FILE.",
    "wrong_signer": "Ask for the bundle of the installation whose incident it is.",
    "not_intact": "Do not rely on it. Export it anew where it came from, and keep this file.",
}


@click.group()
def evidence() -> None:
    """Verify an exported bundle."""


@evidence.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--key",
    type=click.Path(path_type=Path),
    help="A public key to trust beside the keys of this STANCH_HOME: hex, or a JSON document with `public`.",
)
@json_option
def verify(file: Path, key: Path | None, as_json: bool) -> None:
    """Exit 0 if FILE is what was exported and its signer is known, 3 with the first bad place if not."""
    from worker.bundle_format import NotIntact
    from worker.bundle_verify import verify as verified
    from worker.store.keys import known_signers

    signers = dict(known_signers(home()))
    if key is not None:
        key_id, public = _key(key)
        signers[key_id] = (public, signers[key_id][1] if key_id in signers else "the key you gave")
    try:
        found = verified(file, signers)
    except NotIntact as error:
        details: dict[str, Any] = {"file": str(file), "place": error.place, "member": error.member}
        details |= {"line": error.line, "seq": error.seq}
        message = f"{file} is not intact. First bad place: {error.place}: {error.message}."
        raise Refused(error.code, message, NEXT[error.code], exit_code=INTEGRITY, details=details) from None
    if as_json:
        emit({"ok": True, "file": str(file), **vars(found), "proves": _proves(found.signer, found.mode)})
        return
    show(f"{file} is intact: {found.incident}, {found.entries} entries, {found.members} members.")
    show(f"  signed by {found.signer}, key {found.key_id}, exported at {found.exported_at}")
    show(f"  head {found.head or 'none'}")
    for absent in found.missing:
        show(f"  not in it: {clean(absent.get('member'))}: {clean(absent.get('why'))}")
    show(f"  {_proves(found.signer, found.mode)}")


def _proves(signer: str, mode: str) -> str:
    if signer in ("demo", "exercise"):
        return f"A {signer}'s signature: it proves nothing about a live incident."
    if mode != "live":
        return "The record of an exercise: it proves nothing about a live incident."
    return "The record of a live incident, as this installation kept it."


def _key(path: Path) -> tuple[str, str]:
    """Key id and public half of a key file."""
    import json

    from worker.store.keys import key_id_of

    text = path.read_text(encoding="ascii", errors="replace")[:10_000].strip()
    try:
        public = str(json.loads(text)["public"]) if text.startswith("{") else text
        if len(bytes.fromhex(public)) != 32:
            raise ValueError(public)
    except (ValueError, KeyError, TypeError):
        fail(
            "bad_value",
            f"{path} holds no public key: 64 hex digits, or a JSON document with `public`. Nothing was verified.",
            exit_code=2,
        )
    return key_id_of(public), public.lower()
