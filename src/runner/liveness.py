"""The runner's own watch: it notices an event loop that stands still, and says where.

A thread asks every watched loop to run a callback: the worker's, whose heartbeats would stop, and the one of each
agent, which could neither take steps nor be stopped. An agent that merely waits, or that blocks on another thread, has
a loop that answers. What stands still becomes the condition `stalled`, with the stack, on the executions concerned,
and is cleared when it goes on.

Only time in which this thread itself had its turns counts, so that a process that was frozen is not taken for one that
blocks. When the whole process stands still, or holds Python's lock for too long, this thread does so too. That is for
the supervisor to see: it misses the beats, and asks by a signal for the stacks of all threads, which are written
without Python. A timer would do the same, but one that ran out while the process was frozen reads the stacks of threads
that run again, and that can crash it.
"""

from __future__ import annotations

import asyncio
import faulthandler
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import structlog

from projector.events import ConditionCleared, ConditionKind, ConditionObserved
from runner.agent_run import AgentRun
from runner.emitter import Emitter
from runner.link import ASK_FOR_STACKS, Beat, Link
from runner.watched_loop import Stall, Turn, WatchedLoop

LONGEST_PAUSE: Final = 1.0
"""Seconds between two turns of the watch at most."""
_PATIENCE: Final = 2.0
_WORKER_BLOCKED: Final = "the runner's event loop is blocked at {where}: heartbeats do not go out"
_AGENT_BLOCKS: Final = (
    "the agent blocks its event loop at {where}: it neither takes steps nor can be stopped until that call returns"
)
_CLEARED: Final = ConditionCleared(kind=ConditionKind.STALLED)

log = structlog.get_logger("runner")


class LivenessWatch:
    """Watches the worker's event loop and those of the agents, from a thread of its own. No turn of it ever raises.

    `stall_after` is how long one of them may stand still, in seconds. `stacks_fd` is a pipe, or nothing, into which the
    stacks of all threads go at the signal ASK_FOR_STACKS.
    """

    def __init__(self, link: Link, *, stall_after: float, stacks_fd: int | None = None) -> None:
        self._link = link
        self._stall_after = stall_after
        self._stacks_fd = stacks_fd
        self._pause = min(LONGEST_PAUSE, stall_after / 3)
        self._worker: WatchedLoop | None = None
        self._attempts: dict[int, _WatchedAttempt] = {}
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._problem = ""
        if stacks_fd is not None:
            os.set_blocking(stacks_fd, False)  # a pipe that nobody empties must not hold everything up
            os.set_inheritable(stacks_fd, False)  # what an agent starts must not hold the pipe open

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to watch, `loop` as the worker's; called on the thread of that loop, once."""
        if self._stacks_fd is not None:
            faulthandler.register(ASK_FOR_STACKS, file=self._stacks_fd, all_threads=True, chain=False)
        worker = threading.get_ident()
        self._worker = WatchedLoop(loop, worker, stall_after=self._stall_after, reason=_WORKER_BLOCKED)
        thread = threading.Thread(target=self._run, name="liveness", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # no more threads can be had
            self._complain(error)
        else:
            self._thread = thread

    def stop(self) -> None:
        """Watch no more."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(_PATIENCE)

    @contextmanager
    def watching(self, emitter: Emitter, run: AgentRun) -> Iterator[None]:
        """Watch an attempt's agent for the length of the block; after it nothing more is told."""
        attempt = _WatchedAttempt(emitter, run, self._stall_after)
        self._attempts[id(attempt)] = attempt
        try:
            yield
        finally:
            del self._attempts[id(attempt)]
            attempt.leave()

    def _run(self) -> None:
        pause, before = 0.0, time.monotonic()
        while not self._stopping.wait(pause):
            now = time.monotonic()
            passed, before = now - before, now
            # Late before the supervisor thinks so: what stands must be told again when it clears the condition.
            turn = Turn(now, min(passed, pause), is_late=passed - pause > self._stall_after / 2)
            pause = self._pause
            self._link.say(Beat())
            try:
                pause = self._look(turn)
            except Exception as error:
                self._complain(error)

    def _look(self, turn: Turn) -> float:
        """Look at every loop once; returns when to look again, in seconds."""
        pause, stall = self._pause, None
        if self._worker is not None:
            self._worker.look(turn)
            pause, stall = min(pause, self._worker.due_in), self._worker.stall
        for attempt in tuple(self._attempts.values()):
            try:
                pause = min(pause, attempt.look(turn, stall))
            except Exception as error:  # one that cannot be watched must not hide the others
                self._complain(error)
        return pause

    def _complain(self, error: Exception) -> None:
        problem = f"{type(error).__name__}: {error}"
        if problem != self._problem:  # once, not at every turn
            self._problem = problem
            log.warning("an event loop cannot be watched", reason=problem)


class _WatchedAttempt:
    """One attempt: its agent's loop, and what was told of it or of the worker's."""

    def __init__(self, emitter: Emitter, run: AgentRun, stall_after: float) -> None:
        self._emitter = emitter
        self._run = run
        self._stall_after = stall_after
        self._loop: WatchedLoop | None = None
        self._told: Stall | None = None
        self._has_left = False
        self._door = threading.Lock()  # nothing may be told once the attempt has been left

    def look(self, turn: Turn, worker: Stall | None) -> float:
        """Tell what has changed, the worker's stall before the agent's; returns when to look again, in seconds."""
        stall = self._look_at_own(turn)
        if worker is not None:
            stall = worker
        with self._door:
            if stall is not self._told and not self._has_left:
                self._told = stall
                self._emitter.emit_soon(_CLEARED if stall is None else _observed(stall))
        return self._loop.due_in if self._loop is not None else self._stall_after

    def _look_at_own(self, turn: Turn) -> Stall | None:
        loop, thread_id = self._run.loop, self._run.thread_id
        if loop is None or thread_id is None or self._run.outcome.done():  # not begun, or over
            self._loop = None
            return None
        if self._loop is None:
            self._loop = WatchedLoop(loop, thread_id, stall_after=self._stall_after, reason=_AGENT_BLOCKS)
        self._loop.look(turn)
        return self._loop.stall

    def leave(self) -> None:
        """Tell what is over, and nothing more. An agent that still blocks is left behind as it was told."""
        with self._door:
            self._has_left = True
            loop = self._loop
            still_blocks = loop is not None and self._told is loop.stall and not self._run.outcome.done()
            if self._told is not None and not still_blocks:
                self._emitter.emit_soon(_CLEARED)


def _observed(stall: Stall) -> ConditionObserved:
    return ConditionObserved(kind=ConditionKind.STALLED, reason=stall.reason, stack=stall.stack.text)
