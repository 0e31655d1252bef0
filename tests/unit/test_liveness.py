"""A loop that stands still is told of, once and with its place; one that waits is not; and the end has the last word.

Real agents' runs on threads and loops of their own, with a real store. An agent here blocks until the test lets it go.
"""

from __future__ import annotations

import asyncio
import ctypes
import fcntl
import os
import signal
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

import pytest

from projector.door.hygiene import Hygiene
from projector.door.redaction import Redactor
from projector.engines.sqlite.store import SqliteEventStore
from projector.envelope import RecordedEvent, execution_stream
from projector.event_writer import EventWriter
from projector.events import ConditionCleared, ConditionKind, ConditionObserved
from projector.execution_status import Condition, fold
from runner.agent import Agent, AgentTask, Message, Result, Step
from runner.agent_run import AgentRun, Finished
from runner.emitter import Emitter
from runner.link import ASK_FOR_STACKS, Beat, Link, LinkReader
from runner.liveness import LivenessWatch
from tests.processes import child
from tests.stall_processes import keep_watch
from tests.store_processes import open_sqlite

STALL_AFTER: Final = 0.5


class Gate:
    """What an agent of these tests waits for, blocking its thread or not."""

    def __init__(self) -> None:
        self._is_open = threading.Event()

    def open(self) -> None:
        self._is_open.set()

    async def blocks(self, task: AgentTask) -> AsyncIterator[Step]:
        yield Message("assistant", "I reckon the tides.")
        self._is_open.wait()
        yield Result("high water at noon")

    async def blocks_twice(self, task: AgentTask) -> AsyncIterator[Step]:
        async for step in self.blocks(task):
            if isinstance(step, Result):
                self._is_open.clear()
                yield Message("assistant", "I reckon again.")
                self._is_open.wait()
            yield step

    async def blocks_a_thread_of_its_own(self, task: AgentTask) -> AsyncIterator[Step]:
        await asyncio.to_thread(self._is_open.wait)
        yield Result("high water at noon")

    async def is_silent(self, task: AgentTask) -> AsyncIterator[Step]:
        while not self._is_open.is_set():
            await asyncio.sleep(0.05)
        yield Result("the fog has lifted")


async def is_done_at_once(task: AgentTask) -> AsyncIterator[Step]:
    yield Result("moored")


class Harbour:
    """A store, a watch over this test's own event loop, and agents on their way."""

    def __init__(self, store: SqliteEventStore, writer: EventWriter, watch: LivenessWatch, pipe: int) -> None:
        self.store = store
        self.writer = writer
        self.watch = watch
        self._pipe = pipe
        self._reader = LinkReader()

    @contextmanager
    def run(self, name: str, agent: Agent) -> Iterator[AgentRun]:
        """Run and watch an agent for the length of the block."""
        task = AgentTask(name, input="", session_id=None, thread_id=name, thread_dir=Path(), attempt=1)
        emitter = Emitter(self.writer, name, runner_id="polaris", attempt=1)
        run = AgentRun(agent, task, emitter, Hygiene(Redactor()), lambda: None)
        run.start()
        with self.watch.watching(emitter, run):
            yield run

    def history(self, name: str) -> list[RecordedEvent]:
        return self.store.read(execution_stream(name))

    def told(self, name: str) -> list[ConditionObserved | ConditionCleared]:
        events = [record.event for record in self.history(name)]
        return [event for event in events if isinstance(event, ConditionObserved | ConditionCleared)]

    def condition(self, name: str) -> Condition | None:
        status = fold(None, self.history(name))
        return status.condition if status else None

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not await asyncio.to_thread(holds):
                await asyncio.sleep(0.02)

    async def until_stalled(self, name: str) -> Condition:
        await self.until(lambda: self.condition(name) is not None)
        condition = self.condition(name)
        assert condition is not None
        return condition

    async def until_turns(self, number: int) -> None:
        """Wait for so many turns of the watch."""
        while number > 0:
            number -= sum(isinstance(said, Beat) for said in await self.beats())

    async def beats(self) -> list[object]:
        return list(self._reader.feed(await asyncio.to_thread(os.read, self._pipe, 4096)))


@pytest.fixture
async def harbour(tmp_path: Path) -> AsyncIterator[Harbour]:
    reading, writing = os.pipe()
    try:
        with closing(open_sqlite(str(tmp_path / "store.db"))) as store, closing(EventWriter(store)) as writer:
            watch = LivenessWatch(Link(writing), stall_after=STALL_AFTER)
            watch.start(asyncio.get_running_loop())
            try:
                yield Harbour(store, writer, watch, reading)
            finally:
                watch.stop()
    finally:
        os.close(reading)
        os.close(writing)


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.open()


def line_of(function: Callable[..., object], offset: int) -> int:
    return function.__code__.co_firstlineno + offset


async def outcome(run: AgentRun) -> object:
    async with asyncio.timeout(20):
        return await asyncio.wrap_future(run.outcome)


# --- an agent's loop -----------------------------------------------------------------------------------------------


async def test_an_agent_that_blocks_is_stalled_at_its_own_line_until_it_goes_on(harbour: Harbour, gate: Gate) -> None:
    with harbour.run("tides", gate.blocks) as run:
        condition = await harbour.until_stalled("tides")
        place = f"test_liveness.py:{line_of(Gate.blocks, 2)} in Gate.blocks"
        assert condition.kind is ConditionKind.STALLED and condition.observer == "runner"
        assert condition.reason.startswith(f"the agent blocks its event loop at {place}: it neither takes steps")
        assert f'File "{__file__}", line {line_of(Gate.blocks, 2)}, in Gate.blocks' in condition.stack.splitlines()[0]

        gate.open()
        assert isinstance(await outcome(run), Finished)
        await harbour.until(lambda: harbour.condition("tides") is None)

    assert [type(event) for event in harbour.told("tides")] == [ConditionObserved, ConditionCleared]


async def test_an_agent_that_blocks_is_told_of_soon(harbour: Harbour, gate: Gate) -> None:
    with harbour.run("tides", gate.blocks):
        began = time.monotonic()
        await harbour.until_stalled("tides")
        assert STALL_AFTER <= time.monotonic() - began < STALL_AFTER + 5


async def test_only_the_agent_that_blocks_its_loop_is_told_of(harbour: Harbour, gate: Gate) -> None:
    calm: dict[str, Agent] = {
        "silent": gate.is_silent,
        "threaded": gate.blocks_a_thread_of_its_own,
        "moored": is_done_at_once,
    }
    with (
        harbour.run("silent", calm["silent"]),
        harbour.run("threaded", calm["threaded"]),
        harbour.run("moored", calm["moored"]) as moored,
        harbour.run("tides", gate.blocks) as tides,
    ):
        await outcome(moored)
        await harbour.until_stalled("tides")
        await harbour.until_turns(6)
        gate.open()
        await outcome(tides)

    assert harbour.told("tides")
    assert {name: harbour.told(name) for name in calm} == {name: [] for name in calm}


async def test_a_stall_is_told_once_however_long_it_lasts(harbour: Harbour, gate: Gate) -> None:
    with harbour.run("tides", gate.blocks):
        await harbour.until_stalled("tides")
        await harbour.until_turns(12)
        assert len(harbour.told("tides")) == 1


async def test_a_second_stall_is_told_as_well(harbour: Harbour, gate: Gate) -> None:
    with harbour.run("tides", gate.blocks_twice):
        first = await harbour.until_stalled("tides")
        gate.open()
        await harbour.until(lambda: len(harbour.told("tides")) == 3)
        second = harbour.condition("tides")

    assert second is not None and second.since > first.since
    assert "in Gate.blocks_twice" in second.reason
    assert [type(event) for event in harbour.told("tides")] == [ConditionObserved, ConditionCleared, ConditionObserved]


# --- the worker's loop ---------------------------------------------------------------------------------------------


def hold_this_loop_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.02)


async def test_a_blocked_worker_is_told_on_every_execution(harbour: Harbour, gate: Gate) -> None:
    with harbour.run("silent", gate.is_silent), harbour.run("threaded", gate.blocks_a_thread_of_its_own):
        hold_this_loop_until(lambda: bool(harbour.condition("silent") and harbour.condition("threaded")))
        held = [harbour.condition("silent"), harbour.condition("threaded")]
        for condition in held:
            assert condition is not None
            assert condition.reason.startswith("the runner's event loop is blocked at test_liveness.py:")
            assert condition.reason.endswith("in hold_this_loop_until: heartbeats do not go out")
            assert "in hold_this_loop_until" in condition.stack

        await harbour.until(lambda: not harbour.condition("silent") and not harbour.condition("threaded"))


async def test_an_agent_that_still_blocks_is_told_again_after_the_worker_went_on(harbour: Harbour, gate: Gate) -> None:
    with harbour.run("tides", gate.blocks):
        since = (await harbour.until_stalled("tides")).since
        hold_this_loop_until(lambda: len(harbour.told("tides")) == 2)
        await harbour.until(lambda: len(harbour.told("tides")) == 3)
        condition = harbour.condition("tides")

    agent, worker, again = (event for event in harbour.told("tides") if isinstance(event, ConditionObserved))
    assert "the runner's event loop" in worker.reason
    assert again == agent
    assert condition is not None and condition.since == since


# --- the end of the attempt ----------------------------------------------------------------------------------------


async def test_what_is_over_is_cleared_before_the_attempt_is_left(harbour: Harbour, gate: Gate) -> None:
    with harbour.run("tides", gate.blocks) as run:
        await harbour.until_stalled("tides")
        gate.open()
        await outcome(run)
    await harbour.until(lambda: len(harbour.told("tides")) == 2)
    await harbour.until_turns(6)

    assert [type(event) for event in harbour.told("tides")] == [ConditionObserved, ConditionCleared]


async def test_of_an_agent_that_is_left_behind_nothing_more_is_told(harbour: Harbour, gate: Gate) -> None:
    with harbour.run("tides", gate.blocks) as run:
        await harbour.until_stalled("tides")
    gate.open()
    await outcome(run)
    await harbour.until_turns(6)

    assert len(harbour.told("tides")) == 1


async def test_an_attempt_left_before_its_stall_is_never_told_of(harbour: Harbour, gate: Gate) -> None:
    with harbour.run("tides", gate.blocks):
        pass
    await harbour.until_turns(12)

    assert harbour.told("tides") == []


# --- the process ---------------------------------------------------------------------------------------------------


async def test_the_watch_says_that_it_is_alive(harbour: Harbour) -> None:
    began = time.monotonic()
    await harbour.until_turns(6)

    assert time.monotonic() - began > 6 * STALL_AFTER / 3 / 2


def test_after_a_frozen_process_goes_on_only_what_still_stands_is_told_again(tmp_path: Path) -> None:
    place = str(tmp_path / "store.db")
    with child(keep_watch, place, STALL_AFTER) as keeper, closing(open_sqlite(place)) as store:
        assert keeper.hear() == "watching"

        def told(name: str) -> list[str]:
            return [record.type for record in store.read(execution_stream(name))]

        hold_this_loop_until(lambda: told("tides") == ["ConditionObserved"])
        pid = keeper.process.pid
        assert pid is not None
        for times in (2, 3):
            os.kill(pid, signal.SIGSTOP)
            time.sleep(3 * STALL_AFTER)  # for as long as it is frozen there is nothing to be seen
            os.kill(pid, signal.SIGCONT)
            hold_this_loop_until(lambda times=times: len(told("tides")) == times)  # type: ignore[misc]
            assert told("tides") == ["ConditionObserved"] * times
        assert told("silent") == []


@contextmanager
def stacks_pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    try:
        yield reading, writing
    finally:
        os.close(reading)
        os.close(writing)


@contextmanager
def watching_this_thread(writing: int) -> Iterator[None]:
    loop = asyncio.new_event_loop()
    watch = LivenessWatch(Link(), stall_after=STALL_AFTER, stacks_fd=writing)
    watch.start(loop)
    try:
        yield
    finally:
        watch.stop()
        loop.close()


def hold_the_lock_of_python(seconds: float) -> None:
    ctypes.PyDLL(None).usleep(int(seconds * 1_000_000))


def ask_for_stacks_in(seconds: float) -> subprocess.Popen[bytes]:
    """Have another process send the signal: this one runs no Python code then."""
    command = f"sleep {seconds}; kill -s {ASK_FOR_STACKS.name.removeprefix('SIG')} {os.getpid()}"
    return subprocess.Popen(["sh", "-c", command])


def test_the_stacks_of_a_process_that_holds_pythons_lock_come_when_they_are_asked_for() -> None:
    with stacks_pipe() as (reading, writing), watching_this_thread(writing):
        with ask_for_stacks_in(STALL_AFTER):
            hold_the_lock_of_python(6 * STALL_AFTER)
        stacks = os.read(reading, 65_536).decode()

    assert "in hold_the_lock_of_python" in stacks


def test_stacks_that_nobody_asks_for_are_not_written() -> None:
    with stacks_pipe() as (reading, writing):
        with watching_this_thread(writing):
            hold_the_lock_of_python(4 * STALL_AFTER)
        with pytest.raises(BlockingIOError):
            os.read(reading, 65_536)


def test_a_pipe_that_nobody_empties_holds_nothing_up() -> None:
    with stacks_pipe() as (_, writing):
        room = fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
        os.write(writing, b"." * room)
        began = time.monotonic()
        with watching_this_thread(writing), ask_for_stacks_in(STALL_AFTER):
            hold_the_lock_of_python(6 * STALL_AFTER)
        assert time.monotonic() - began < 6 * STALL_AFTER + 5
