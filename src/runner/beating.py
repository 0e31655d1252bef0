"""The heartbeats of one attempt: to Temporal, and less often to the store."""

from __future__ import annotations

import asyncio
import math
import sys
import time
from typing import Any, Final

from temporalio import activity

from projector.events import HeartbeatRecorded
from runner.agent_run import AgentRun, Outcome
from runner.emitter import Emitter

STEPS_A_BEAT: Final = 5
LONGEST_BEAT: Final = 2.0
"""Seconds between two beats at most: a cancellation reaches the runner as the answer to one."""
SHORTEST_BEAT: Final = 0.05
"""Seconds between two beats at least: who takes a thousand steps a second must not wake the worker 200 times."""
RECORDED_BEAT: Final = 1.0
"""Seconds between two HeartbeatRecorded events at least."""


def longest_silence() -> float:
    """Seconds that this attempt may be silent: a third of its heartbeat timeout."""
    timeout = activity.info().heartbeat_timeout
    return (timeout.total_seconds() if timeout else 30.0) / 3


async def beat_until(done: asyncio.Future[Any], patience: float = math.inf) -> bool:
    """Wait for something outside the agent's run while beating; False when `patience` (seconds) ran out before."""
    interval = min(longest_silence(), LONGEST_BEAT)
    deadline = time.monotonic() + patience
    while not done.done() and (left := deadline - time.monotonic()) > 0:
        if not (await asyncio.wait({done}, timeout=min(interval, left)))[0]:
            activity.heartbeat()
    return done.done()


class Beating:
    """Beats while an agent runs. `is_heard` is False once Temporal does not want to hear of the attempt any more."""

    def __init__(self, emitter: Emitter) -> None:
        longest = longest_silence()
        self.is_heard = True
        self._emitter = emitter
        self._interval = min(longest, LONGEST_BEAT)
        self._pause = min(SHORTEST_BEAT, self._interval / 2)
        self._beaten_at = -math.inf
        self._recorded_interval = max(longest, RECORDED_BEAT)
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        self._wakes_at = STEPS_A_BEAT
        self._steps = 0
        self._recorded_at = time.monotonic()
        self._recorded_steps = 0

    def step_taken(self) -> None:
        """Count a step; called on the agent's thread."""
        self._steps += 1
        if self._steps >= self._wakes_at:
            self._wakes_at = sys.maxsize  # it is woken once, however many steps follow until it has beaten
            self._loop.call_soon_threadsafe(self._wake.set)

    async def until_done(self, run: AgentRun) -> Outcome:
        """Beat until the agent has ended."""
        while (outcome := await self.once(run)) is None:
            pass
        return outcome

    async def once(self, run: AgentRun) -> Outcome | None:
        """Wait for the agent's end, some steps, or until it is time; then beat, or return how the agent ended."""
        ended = asyncio.wrap_future(run.outcome)
        waking = asyncio.ensure_future(self._wake.wait())
        try:
            if (pause := self._beaten_at + self._pause - time.monotonic()) > 0:
                await asyncio.wait({ended}, timeout=pause)
            waited: set[asyncio.Future[Any]] = {ended, waking}
            await asyncio.wait(waited, timeout=self._interval, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waking.cancel()
        if ended.done():
            return ended.result()
        self._beat(run)
        return None

    def _beat(self, run: AgentRun) -> None:
        self._wake.clear()
        self._wakes_at = self._steps + STEPS_A_BEAT
        self._beaten_at = now = time.monotonic()
        progress = run.progress
        if self.is_heard:
            activity.heartbeat(progress)
        due = RECORDED_BEAT if progress.events_processed != self._recorded_steps else self._recorded_interval
        if now - self._recorded_at >= due:
            self._recorded_at, self._recorded_steps = now, progress.events_processed
            self._emitter.emit_if_room(HeartbeatRecorded(**progress.model_dump()))
