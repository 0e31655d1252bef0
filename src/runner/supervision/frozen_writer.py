"""A runner that was stopped (SIGSTOP) while it had the store's write lock is continued by its supervisor.

Whoever stops a process means that process. In the middle of a write it would hold up every other one: no event of any
execution could be stored, not even that this runner stands still. So it goes on, and says so in the supervisor's log;
stopped a second time it will most likely not be writing.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

import structlog

from projector.process_state import state_of
from runner.supervision.stall_watch import TICK
from runner.supervision.supervised_runner import SupervisedRunner

if TYPE_CHECKING:
    from projector.engines.sqlite.lock_holder import LockHolder

log = structlog.get_logger("supervisor")


async def thaw_while_it_locks(runner: SupervisedRunner, lock_holder: Callable[[], LockHolder | None]) -> None:
    """Look again and again whether it is stopped and has the lock that `lock_holder` tells of; ends when cancelled."""
    was_stopped = False
    while True:
        await asyncio.sleep(TICK)
        is_stopped = state_of(runner.pid) == "T"
        if is_stopped and was_stopped:  # twice: who stops it for a moment continues it himself
            holder = await asyncio.to_thread(lock_holder)
            if holder is not None and holder.pid == runner.pid and holder.stands_still:
                log.warning(
                    "the runner was stopped while it had the store's write lock; it is continued", pid=holder.pid
                )
                with suppress(ProcessLookupError):
                    os.kill(runner.pid, signal.SIGCONT)
        was_stopped = is_stopped
