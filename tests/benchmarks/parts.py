"""What the parts of Stanch cost by themselves, away from the rest: codec and workflow code, over a run's own history."""

import time
from collections.abc import Iterator

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from temporalio.api.common.v1 import Payload
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer

from tests.benchmarks.bare import BareParallel, BareSequence
from worker.codec import EncryptionCodec, KeyRing
from worker.run import WORKFLOWS
from worker.sandbox import workflow_runner
from worker.temporal import replayer


def payloads(message: Message) -> Iterator[Payload]:
    """Every payload within a message."""
    if isinstance(message, Payload):
        yield message
        return
    for field, value in message.ListFields():
        if field.type != FieldDescriptor.TYPE_MESSAGE:
            continue
        if field.message_type.GetOptions().map_entry:
            if field.message_type.fields_by_name["value"].type == FieldDescriptor.TYPE_MESSAGE:
                for inner in value.values():
                    yield from payloads(inner)
        elif isinstance(value, Message):
            yield from payloads(value)
        else:
            for inner in value:
                yield from payloads(inner)


async def codec_time(history: WorkflowHistory, ring: KeyRing) -> float:
    """Processor milliseconds to decrypt and encrypt every payload of a history once."""
    found = [payload for event in history.events for payload in payloads(event)]
    codec = EncryptionCodec(ring)
    began = time.process_time()
    await codec.encode(await codec.decode(found))
    return (time.process_time() - began) * 1000


async def replay_time(history: WorkflowHistory, ring: KeyRing | None) -> float:
    """Processor milliseconds to walk a whole history again, the codec included; without a ring, of the bare side."""
    bare = (BareSequence, BareParallel)
    again = replayer(WORKFLOWS, ring) if ring else Replayer(workflows=bare, workflow_runner=workflow_runner())
    began = time.process_time()
    await again.replay_workflow(history)
    return (time.process_time() - began) * 1000
