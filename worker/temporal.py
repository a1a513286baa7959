"""Temporal, as Stanch uses it: one plugin for client, worker and replayer; tuned workers; the connection."""

import dataclasses
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.converter import DataConverter, DefaultFailureConverterWithEncodedAttributes
from temporalio.envconfig import ClientConfig
from temporalio.plugin import SimplePlugin
from temporalio.runtime import Runtime
from temporalio.service import RPCError
from temporalio.worker import Replayer, Worker

from worker.codec import EncryptionCodec, KeyRing, ReadablePayloadConverter
from worker.interceptors import WellFormed
from worker.sandbox import workflow_runner
from worker.settings import Settings, SettingsError

ACTIVITY_SLOTS = 50
CACHED_WORKFLOWS = 300
"""Enough for what moves; runs that wait for people are loaded again when something comes for them."""
STICKY = timedelta(seconds=1)
"""A dead worker costs every open run this long; Temporal's default is ten seconds."""
GRACE = timedelta(seconds=10)


class TemporalUnreachable(Exception):
    """The server does not answer, or not as it should."""

    code = "temporal_unreachable"


def data_converter(ring: KeyRing, *, allow_plain: bool = False) -> DataConverter:
    """Pydantic models, encrypted; messages and stack traces of failures too."""
    return dataclasses.replace(
        pydantic_data_converter,
        payload_converter_class=ReadablePayloadConverter,
        payload_codec=EncryptionCodec(ring, allow_plain=allow_plain),
        failure_converter_class=DefaultFailureConverterWithEncodedAttributes,
    )


def plugin(ring: KeyRing, *, allow_plain: bool = False) -> SimplePlugin:
    """Converter, codec and workflow runner in one object, so that client, worker and replayer cannot disagree."""
    return SimplePlugin(
        "stanch",
        data_converter=data_converter(ring, allow_plain=allow_plain),
        workflow_runner=workflow_runner(),
        interceptors=[WellFormed()],
    )


async def connect(
    settings: Settings,
    ring: KeyRing,
    *,
    address: str | None = None,
    namespace: str | None = None,
    runtime: Runtime | None = None,
) -> Client:
    """Connect to the server that ``TEMPORAL_*`` and Temporal's own profile name, or to ``address``.

    Raises:
        TemporalUnreachable: nobody answers there.
        SettingsError: Temporal's own configuration cannot be read.
    """
    if address is not None:
        # An embedded server: what the environment says of another server must not reach it.
        config: dict[str, Any] = {"target_host": address}
    else:
        try:
            config = dict(ClientConfig.load_client_connect_config(override_env_vars=dict(settings.environment)))
        except Exception as error:
            raise SettingsError(f"Temporal's own settings (TEMPORAL_*) cannot be read: {error}") from None
        config.setdefault("target_host", "127.0.0.1:7233")
    config["namespace"] = namespace or config.get("namespace") or settings.namespace
    try:
        return await Client.connect(**config, plugins=[plugin(ring)], runtime=runtime)
    except (RuntimeError, RPCError, OSError) as error:
        raise TemporalUnreachable(
            f"No Temporal server answers at {config['target_host']} ({type(error).__name__}). Start one, or "
            "set TEMPORAL_ADDRESS; `stanch up` brings its own."
        ) from None


def make_worker(
    client: Client,
    queue: str,
    *,
    workflows: Sequence[type] = (),
    activities: Sequence[Callable[..., Any]] = (),
    executor: ThreadPoolExecutor | None = None,
    cached_workflows: int = CACHED_WORKFLOWS,
) -> Worker:
    """A worker for one queue, tuned as measured; converter and runner come with the client's plugin."""
    return Worker(
        client,
        task_queue=queue,
        workflows=list(workflows),
        activities=list(activities),
        activity_executor=executor,
        max_concurrent_activities=ACTIVITY_SLOTS,
        max_cached_workflows=cached_workflows,
        sticky_queue_schedule_to_start_timeout=STICKY,
        max_heartbeat_throttle_interval=timedelta(seconds=2),
        default_heartbeat_throttle_interval=timedelta(seconds=1),
        graceful_shutdown_timeout=GRACE,
    )


def replayer(workflows: Sequence[type], ring: KeyRing, *, allow_plain: bool = False) -> Replayer:
    """A replayer that reads what our clients wrote."""
    return Replayer(workflows=list(workflows), plugins=[plugin(ring, allow_plain=allow_plain)])
