"""What child processes do with emitters in tests. Each takes the pipe to its test first; see `tests.processes`."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from multiprocessing.connection import Connection

from projector.event_writer import EventWriter
from projector.events import MessageAppended, ProgressReported, ToolCallStarted, WritableEvent
from runner.emitter import Emitter
from tests.store_processes import open_sqlite

TALKERS = ("the-mate", "the-cook", "the-bosun")
TOOL_EVERY = 17
"""How often a talker uses a tool, and knows from then on that all before it is on disk."""


@contextmanager
def writing(place: str, lock_timeout: float = 30.0) -> Iterator[EventWriter]:
    """A writer on an SQLite file."""
    with closing(open_sqlite(place, lock_timeout)) as store, closing(EventWriter(store)) as writer:
        yield writer


def emitter(writer: EventWriter, name: str, attempt: int = 1) -> Emitter:
    """An emitter of an execution."""
    return Emitter(writer, name, runner_id="polaris:4711", attempt=attempt)


def utterance(number: int) -> WritableEvent:
    """What a talker leaves as its event of this number."""
    if number % TOOL_EVERY == 0:
        return ToolCallStarted(call_id=str(number), tool="sound_depth", arguments={"cast": number})
    if number % 3:
        return MessageAppended(role="assistant", text=f"{number}: seven fathoms over the reef")
    return ProgressReported(done=float(number), note=f"{number} casts of the lead")


def number_of(event: object) -> int:
    """The number of what `utterance` made."""
    match event:
        case ToolCallStarted():
            return int(event.call_id)
        case MessageAppended():
            return int(event.text.partition(":")[0])
        case ProgressReported():
            return int(event.done or 0)
        case _:
            raise AssertionError(f"no talker left {event!r}")


def talk_for_ever(pipe: Connection, place: str, attempt: int) -> None:
    """Several talkers at once; each tells the number of a tool call once `emit` has returned from it."""
    asyncio.run(_talk_for_ever(pipe, place, attempt))


async def _talk_for_ever(pipe: Connection, place: str, attempt: int) -> None:
    async def talk(name: str) -> None:
        talker = emitter(writer, name, attempt)
        for number in itertools.count(1):
            await talker.emit(utterance(number))
            if number % TOOL_EVERY == 0:
                pipe.send((name, number))
            if number % 50 == 0:
                await asyncio.sleep(0.002)

    with writing(place) as writer:
        pipe.send("ready")
        await asyncio.gather(*map(talk, TALKERS))


def fork_while_emitting(pipe: Connection, place: str, name: str) -> None:
    """Fork with events on their way; the child ends as a forked runner does, and the parent goes on."""

    async def emit() -> None:
        talker = emitter(writer, name)
        for number in range(1, 101):
            await talker.emit(utterance(number))
        boat = os.fork()
        if boat == 0:
            os._exit(7)
        _, how = await asyncio.to_thread(os.waitpid, boat, 0)
        for number in range(101, 201):
            await talker.emit(utterance(number))
        await talker.settled()
        pipe.send(os.waitstatus_to_exitcode(how))

    with writing(place) as writer:
        asyncio.run(emit())
