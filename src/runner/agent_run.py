"""One attempt of an agent, on a thread and an event loop of its own.

The agent never shares a loop with the worker: one that blocks holds up nobody's heartbeats but its own thread's work.
Whatever it raises ends up in the outcome; nothing that an agent does can raise here.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from pydantic_core import PydanticSerializationError, to_json

from projector.door.hygiene import EVENT_LIMIT, Hygiene
from projector.events import MessageAppended, ProgressReported, ToolCallFinished, ToolCallStarted, WritableEvent
from projector.failures import ErrorReport
from runner.agent import Agent, AgentTask, Message, Progress, Result, Step, ToolCall, ToolResult
from runner.contracts import RESULT_LIMIT, Heartbeat
from runner.emitter import Emitter, size_of
from runner.errors.failure_report import report_failure

CLOSING_PATIENCE: Final = 1.0
"""How long an agent may take to close after its result or failure, in seconds."""

_LONG_STEP: Final = 0.1
"""After a step of so many seconds the loop has a turn: if it was blocked all the time, it can say that it goes on."""


@dataclass(frozen=True, slots=True)
class Finished:
    """The agent finished; the output is plain JSON data."""

    output: Any
    output_bytes: int


@dataclass(frozen=True, slots=True)
class Raised:
    """The agent, or the acceptance of its result, failed."""

    report: ErrorReport


@dataclass(frozen=True, slots=True)
class Stopped:
    """The agent stopped because it was told to."""


Outcome = Finished | Raised | Stopped


class _Counts(NamedTuple):
    """What the agent has done so far, in one object: another thread reads it. `tool` is the one in use."""

    steps: int = 0
    messages: int = 0
    tool_calls: int = 0
    phase: str = Heartbeat().phase
    tool: str | None = None


class AgentRun:
    """Runs one agent to its outcome. `on_step` is called on the agent's thread after each step is handed over.

    There is an outcome once every step is stored: nothing that the agent said can come after its end.
    """

    def __init__(
        self, agent: Agent, task: AgentTask, emitter: Emitter, hygiene: Hygiene, on_step: Callable[[], None]
    ) -> None:
        self._agent = agent
        self._task = task
        self._emitter = emitter
        self._hygiene = hygiene
        self._on_step = on_step
        self._loop: asyncio.AbstractEventLoop | None = None
        self._driver: asyncio.Task[Any] | None = None
        self._stopping = threading.Event()
        self._pid = os.getpid()
        self._counts = _Counts()
        self.outcome: Future[Outcome] = Future()
        self._thread = threading.Thread(target=self._main, name=f"agent-{task.execution_id}"[:60], daemon=True)

    @property
    def progress(self) -> Heartbeat:
        """How far the agent is."""
        counts = self._counts
        phase = counts.phase
        if counts.tool is not None:
            phase = f"in tool {self._hygiene.text(counts.tool, 200).text}"
        return Heartbeat(
            events_processed=counts.steps, messages=counts.messages, tool_calls=counts.tool_calls, phase=phase
        )

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The agent's event loop, None before it has begun. Once there is an outcome it no longer matters."""
        return self._loop

    @property
    def thread_id(self) -> int | None:
        """Identifier of the agent's thread, None before it was started."""
        return self._thread.ident

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Ask the agent to stop, by cancelling what it awaits. One that blocks cannot be stopped, only left behind."""
        self._stopping.set()
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop has ended meanwhile
                self._loop.call_soon_threadsafe(self._cancel)

    def _cancel(self) -> None:
        if self._driver is not None:
            self._driver.cancel()

    def _end_if_forked(self) -> None:
        """End a process that the agent forked and that comes back out of its code: the loop is its parent's too."""
        if os.getpid() != self._pid:
            os._exit(1)

    def _main(self) -> None:
        try:
            outcome = asyncio.run(self._drive())
        except BaseException as error:  # SystemExit and the like out of a task that the agent started itself
            outcome = Raised(report_failure(error, self._hygiene))
        with suppress(Exception):
            self.outcome.set_result(outcome)

    async def _drive(self) -> Outcome:
        self._loop = asyncio.get_running_loop()
        self._driver = asyncio.current_task()
        steps: AsyncIterator[Step] | None = None
        try:
            if self._stopping.is_set():
                return Stopped()
            steps = self._agent(self._task)
            outcome: Outcome = await self._consume(steps)
        except asyncio.CancelledError as error:
            outcome = Stopped() if self._stopping.is_set() else Raised(report_failure(error, self._hygiene))
        except BaseException as error:  # an agent may raise anything at all
            outcome = Raised(report_failure(error, self._hygiene, was_stopped=self._stopping.is_set()))
        self._end_if_forked()
        if not self._stopping.is_set():
            with suppress(asyncio.CancelledError):  # it is told to stop meanwhile: the end then waits for its turn
                await self._emitter.settled()
        # Told before the agent is closed and the loop's threads are joined: neither may delay the verdict.
        self.outcome.set_result(outcome)
        await _close(steps)
        return outcome

    async def _consume(self, steps: AsyncIterator[Step]) -> Outcome:
        resumed_at = time.monotonic()
        async for step in steps:
            self._end_if_forked()
            if time.monotonic() - resumed_at > _LONG_STEP:
                await asyncio.sleep(0)
            if isinstance(step, Result):
                return self._accept(step.output)
            await self._emitter.emit(self._event(step))
            self._on_step()
            resumed_at = time.monotonic()
        return self._accept(None)

    def _event(self, step: Step) -> WritableEvent:
        """The step as an event, which nothing that the agent does can change any more."""
        before = self._counts
        steps, messages, tool_calls = before.steps + 1, before.messages, before.tool_calls
        event: WritableEvent
        match step:
            case Message():
                self._counts = _Counts(steps, messages + 1, tool_calls, "talking")
                event = MessageAppended(role=str(step.role), text=self._text(step.text))
            case ToolCall():
                tool = str(step.name)
                self._counts = _Counts(steps, messages, tool_calls + 1, tool=tool)
                data = self._hygiene.snapshot(step.arguments, field="arguments")
                event = ToolCallStarted(call_id=str(step.call_id), tool=tool, arguments=data)
            case ToolResult():
                self._counts = _Counts(steps, messages, tool_calls, "thinking")
                error = None if step.error is None else self._text(step.error)
                data = self._hygiene.snapshot(step.output, field="output")
                event = ToolCallFinished(call_id=str(step.call_id), output=data, error=error)
            case Progress():
                self._counts = _Counts(steps, messages, tool_calls, "working")
                event = ProgressReported(done=step.done, total=step.total, note=self._text(step.note))
            case _:
                raise TypeError(
                    f"the agent yielded {type(step).__name__}, which is not a step: yield Message, ToolCall, "
                    "ToolResult, Progress or Result from runner.agent"
                )
        # What is huge passes the door here: until it is written it would take the memory of thousands.
        return self._hygiene.admit(event) if size_of(event) > EVENT_LIMIT else event

    def _text(self, value: object) -> str:
        return value if isinstance(value, str) else self._hygiene.text(value).text

    def _accept(self, output: Any) -> Outcome:
        """Refuse a result that would not survive the way to Temporal, while the reason can still be told."""
        try:
            encoded = to_json(output, inf_nan_mode="strings")
        except (PydanticSerializationError, ValueError, RecursionError, UnicodeError) as error:
            return self._reject("ResultNotSerialisable", f"a {type(output).__name__} is not plain JSON data ({error})")
        if len(encoded) > RESULT_LIMIT:
            return self._reject("ResultTooLarge", f"{len(encoded):,} bytes of JSON, and {RESULT_LIMIT:,} are the limit")
        return Finished(self._hygiene.redacted_json(encoded), len(encoded))

    def _reject(self, name: str, message: str) -> Raised:
        return Raised(ErrorReport(kind="result", type=name, message=self._hygiene.text(message).text))


async def _close(steps: AsyncIterator[Step] | None) -> None:
    close = getattr(steps, "aclose", None)
    if close is not None:
        with suppress(BaseException):  # its outcome stands; how it closes cannot change it
            await asyncio.wait_for(close(), CLOSING_PATIENCE)
