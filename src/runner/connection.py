"""Connecting to Temporal, the same way in every program of ours.

The address, namespace, TLS and API key are Temporal's own settings (TEMPORAL_* variables and profiles). Where they
name no address, a Temporal that `execution-status up` runs on this data folder is found by the file in which it left
its address.
"""

from __future__ import annotations

import asyncio
import ctypes
import logging
import re
import time
from datetime import timedelta
from pathlib import Path
from typing import Final

from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.envconfig import ClientConfig
from temporalio.runtime import LogForwardingConfig, LoggingConfig, Runtime, TelemetryConfig, TelemetryFilter
from temporalio.service import RPCError

from projector.errors import EngineUnreachable
from runner.tracing import tracing

WORKER_HEARTBEAT: Final = timedelta(seconds=2)
"""How often Temporal hears of a worker of this process, which tells it who lives. The SDK's default: a minute."""

ADDRESS_FILE: Final = "temporal.address"
DEFAULT_ADDRESS: Final = "localhost:7233"
_PAUSE: Final = 0.25
_INNERMOST: Final = re.compile(r'(?:message|error): "([^"]+)"')
_ANSWER_WITHIN: Final = timedelta(seconds=5)


class TemporalUnreachable(EngineUnreachable):
    """Temporal does not answer, or refuses. `what` says so in a few words, without what to do."""

    def __init__(self, address: str, reason: str) -> None:
        self.what = f"no connection to {address}: {reason}"
        super().__init__(
            f"there is {self.what}; check that Temporal runs and that TEMPORAL_ADDRESS and TEMPORAL_NAMESPACE are "
            "right, or start one with `execution-status up`"
        )


def configured_address() -> str | None:
    """The address that Temporal's own settings name, or None."""
    return ClientConfig.load_client_connect_config().get("target_host")


async def connect(data_dir: Path, *, timeout: float, identity: str) -> Client:
    """Connect and make sure that the namespace answers, trying again for `timeout` seconds.

    Raises TemporalUnreachable, which names the address, the reason and what to check.
    """
    deadline = time.monotonic() + timeout
    while True:
        address = "its configured address"
        try:
            config = ClientConfig.load_client_connect_config()
            address = config.setdefault("target_host", _left_address(data_dir) or DEFAULT_ADDRESS)
            client = await asyncio.wait_for(
                Client.connect(
                    **config,
                    data_converter=pydantic_data_converter,
                    identity=identity,
                    interceptors=tracing().interceptors,
                    runtime=_runtime(),
                ),
                timeout=max(1.0, deadline - time.monotonic()),
            )
            await client.workflow_service.describe_namespace(
                DescribeNamespaceRequest(namespace=client.namespace), timeout=_ANSWER_WITHIN
            )
            return client
        except (RuntimeError, RPCError, TimeoutError, OSError, ValueError) as error:
            if time.monotonic() + _PAUSE > deadline:
                raise TemporalUnreachable(address, _reason(error)) from None
            await asyncio.sleep(_PAUSE)


async def engine_of(client: Client) -> str:
    """The id of the namespace that a client works in: it tells one Temporal from another. Raises RPCError."""
    request = DescribeNamespaceRequest(namespace=client.namespace)
    answer = await client.workflow_service.describe_namespace(request, timeout=_ANSWER_WITHIN)
    return answer.namespace_info.id


def _left_address(data_dir: Path) -> str | None:
    try:
        return (data_dir / ADDRESS_FILE).read_text().strip() or None
    except OSError:
        return None


_shared: list[Runtime] = []


def _runtime() -> Runtime:
    """One runtime a process, kept for ever. What its core logs goes through our own redacted log.

    Python would drop it at its own end and wait for its threads; a thread that has an entry to hand over just then
    waits for Python, and the process never ends (seen when a runner stops while its server is gone).
    """
    if not _shared:
        forwarding = LogForwardingConfig(logger=logging.getLogger("temporal.core"))
        level = TelemetryFilter(core_level="WARN", other_level="ERROR")
        runtime = Runtime(
            telemetry=TelemetryConfig(logging=LoggingConfig(filter=level, forwarding=forwarding)),
            worker_heartbeat_interval=WORKER_HEARTBEAT,
        )
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(runtime))
        _shared.append(runtime)
    return _shared[0]


def _reason(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    said = str(error).strip()
    # The core prints nested Rust structures; the innermost text is what a person needs.
    innermost = _INNERMOST.findall(said)
    return innermost[-1] if innermost else said.partition("\n")[0][:300] or type(error).__name__
