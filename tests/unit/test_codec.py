"""Encryption of payloads, and the ring of keys."""

import os
import stat

import pytest
from temporalio.api.common.v1 import Payload

from worker.codec import KEY_ID, CodecError, EncryptionCodec, KeyRing, ReadablePayloadConverter

PLAIN = Payload(metadata={"encoding": b"json/plain"}, data=b'{"person":"Jane Doe"}')


async def read(codec, payloads):
    """As a client or worker reads them: what cannot be decoded is refused when it is converted."""
    return ReadablePayloadConverter().from_payloads(await codec.decode(payloads))


async def test_a_payload_comes_back_and_shows_nothing_on_the_way():
    codec = EncryptionCodec(KeyRing.fresh())
    sealed = await codec.encode([PLAIN, PLAIN])
    assert await codec.decode(sealed) == [PLAIN, PLAIN]
    assert b"Jane" not in sealed[0].SerializeToString()
    assert sealed[0].data != sealed[1].data


async def test_old_payloads_stay_readable_after_a_rotation():
    old = KeyRing.fresh()
    sealed = await EncryptionCodec(old).encode([PLAIN])
    new = old.rotated()
    assert await EncryptionCodec(new).decode(sealed) == [PLAIN]
    assert (await EncryptionCodec(new).encode([PLAIN]))[0].metadata[KEY_ID] == new.current.encode()
    with pytest.raises(CodecError, match="not on the ring"):
        await read(EncryptionCodec(old), await EncryptionCodec(new).encode([PLAIN]))


async def test_a_plain_payload_is_not_read_unless_that_is_allowed():
    ring = KeyRing.fresh()
    with pytest.raises(CodecError, match="unencrypted"):
        await read(EncryptionCodec(ring), [PLAIN])
    assert await EncryptionCodec(ring, allow_plain=True).decode([PLAIN]) == [PLAIN]


@pytest.mark.parametrize("change", ["byte", "key"])
async def test_an_altered_payload_is_refused(change):
    ring = KeyRing.fresh()
    ring = KeyRing(ring.current, {**ring.keys, "other": ring.keys[ring.current]})
    sealed = (await EncryptionCodec(ring).encode([PLAIN]))[0]
    if change == "byte":
        sealed.data = sealed.data[:-1] + bytes([sealed.data[-1] ^ 1])
    else:
        sealed.metadata[KEY_ID] = b"other"
    with pytest.raises(CodecError, match="altered"):
        await read(EncryptionCodec(ring), [sealed])


async def test_one_unreadable_payload_does_not_keep_the_others_from_being_read():
    codec = EncryptionCodec(KeyRing.fresh())
    first, _, last = await codec.decode([*(await codec.encode([PLAIN])), PLAIN, *(await codec.encode([PLAIN]))])
    assert first == last == PLAIN


def test_the_ring_of_a_home_is_made_once_and_for_its_owner_only(tmp_path):
    path = tmp_path / "keys" / "payload.json"
    first = KeyRing.at(path)
    assert KeyRing.at(path).keys == first.keys
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert first.keys[first.current].hex() not in repr(first)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"current": "a", "keys": {}}', '{"current":"a","keys":{"a":"00"}}'])
def test_a_bad_ring_is_told_without_its_keys(text):
    with pytest.raises(CodecError):
        KeyRing.parse(text)
