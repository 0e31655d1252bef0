"""Nudges: telling a workflow that the store holds something decisive, so that it looks there again.

A nudge says nothing itself and does no harm when it is repeated, so nobody keeps book of which arrived.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from datetime import timedelta
from typing import Final

import structlog
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from runner.contracts import RECONSIDER

AGAIN_AFTER: Final = 5.0
"""Seconds between two nudges of the same execution."""
AT_ONCE: Final = 20
"""How many are on their way at the same time."""
MOST_IN_A_ROW: Final = 500
"""How many are sent by one call; the others come with the next."""
PATIENCE: Final = 1.0
"""How long one may take, in seconds."""

log = structlog.get_logger("nudges")


class Nudges:
    """Nudges workflows of one Temporal, each execution every few seconds at most."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._sent: dict[str, float] = {}
        self._places = asyncio.Semaphore(AT_ONCE)

    async def send(self, execution_ids: Iterable[str]) -> None:
        """Nudge those that have not been nudged lately. Never raises: what could not be sent is sent again later."""
        now = time.monotonic()
        self._sent = {name: at for name, at in self._sent.items() if now - at < AGAIN_AFTER}
        due = [name for name in dict.fromkeys(execution_ids) if name not in self._sent][:MOST_IN_A_ROW]
        self._sent |= dict.fromkeys(due, now)
        await asyncio.gather(*(self._send(name) for name in due))

    async def _send(self, execution_id: str) -> None:
        async with self._places:
            try:
                handle = self._client.get_workflow_handle(execution_id)
                async with asyncio.timeout(PATIENCE):
                    await handle.signal(RECONSIDER, rpc_timeout=timedelta(seconds=PATIENCE))
            except (RPCError, TimeoutError) as error:
                # Its workflow has just ended, or was never started: others look after that.
                is_over = isinstance(error, RPCError) and error.status is RPCStatusCode.NOT_FOUND
                tell = log.debug if is_over else log.warning
                tell("an execution could not be nudged", execution_id=execution_id, reason=str(error) or "no answer")
