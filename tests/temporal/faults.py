"""Faults that a test brings about on its machine, each for the length of a block."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Final

from projector.opening import lock_holder
from projector.process_state import state_of
from projector.settings import StoreSettings

MEMORY_GROUPS: Final = Path("/sys/fs/cgroup/memory")
"""Where the kernel's memory groups are, if it has those of the first version."""


@contextmanager
def disk_full_for(pid: int) -> Iterator[None]:
    """Let no file of this process grow or change."""
    limits = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, limits[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)


@asynccontextmanager
async def standing_still(pid: int, settings: StoreSettings) -> AsyncIterator[None]:
    """Stop a process at a moment when it does not have the store's lock, so that all the others can go on."""
    try:
        async with asyncio.timeout(20):
            await stand_still(pid, settings)
        yield
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


async def stand_still(pid: int, settings: StoreSettings) -> None:
    """Like `standing_still`; the test continues the process."""
    while True:
        os.kill(pid, signal.SIGSTOP)
        while state_of(pid) != "T":
            await asyncio.sleep(0.005)
        holder = await asyncio.to_thread(lock_holder, settings)
        if holder is None or holder.pid != pid:
            return
        os.kill(pid, signal.SIGCONT)
        await asyncio.sleep(0.01)
