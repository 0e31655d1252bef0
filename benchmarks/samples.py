"""The events that are measured: of 350 bytes as the store holds them, and whole stores made of them in bulk.

A store is filled behind its back: rows made from one encoded event, with only its id exchanged, go in with bulk
statements and without waiting for the disk. What is measured begins after that.
"""

from __future__ import annotations

import itertools
import os
import shutil
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Final

from projector.catalogue import Code
from projector.codec import EventMapper
from projector.engines.ports import StoreEngine
from projector.envelope import END_EVENT_ID, RecordedEvent, execution_stream
from projector.events import (
    AttemptStarted,
    ExecutionCompleted,
    ExecutionFailed,
    ExecutionRequested,
    ExecutionStarted,
    MessageAppended,
    ProgressReported,
    RunnerAwaited,
    ThreadEnsured,
    ToolCallFinished,
    ToolCallStarted,
    WritableEvent,
)
from projector.failures import Cause, build_failure
from projector.opening import open_store
from projector.settings import StoreSettings

EVENT_BYTES: Final = 350
"""What one event takes in the store, envelope and all: about what a line of an agent's progress has."""
AGENT: Final = "ship.surveyor:agent"
QUEUE: Final = "agent-runner"
RUNNER: Final = "polaris:4711"
WRITER: Final = f"runner:{RUNNER}"
NOON: Final = datetime(2026, 6, 21, 12, 0, 0, 123456, tzinfo=UTC)
"""When every event of a filled store happened."""

_ID: Final = "4f1c6d0a9b3e7758-000000"
"""As long as an emitter's ids are."""
_SENTENCE: Final = "Sounding the north reef: seven fathoms over the ledge, a current of two knots setting to the west. "

BEGINNING: Final[tuple[WritableEvent, ...]] = (
    ExecutionRequested(agent=AGENT, input="Sound the north reef.", session_id="reefs", task_queue=QUEUE),
    ExecutionStarted(run_id="0f7c1a52-run"),
    RunnerAwaited(task_queue=QUEUE),
    ThreadEnsured(thread_id="thread-of-the-reefs"),
    AttemptStarted(runner_id=RUNNER, task_queue=QUEUE),
)
"""How every execution begins."""


def progress(number: int = 0, total: int = 1000) -> ProgressReported:
    """A progress event that takes EVENT_BYTES in the store."""
    return ProgressReported(done=float(number % total), total=float(total), note=note())


@cache
def note() -> str:
    """The text that makes it that long."""
    bare = _encoded(ProgressReported(done=100.0, total=1000.0, note=""), _ID)
    return (_SENTENCE * 4)[: EVENT_BYTES - len(bare)]


def body(number: int = 0) -> bytes:
    """The bytes of a progress event, for those who store bytes."""
    return _encoded(progress(number), f"{_ID[:16]}-{number % 10**6:06d}")


def work() -> tuple[WritableEvent, ...]:
    """What an agent at work leaves behind, over and over: six in ten are progress."""
    sounding = ToolCallStarted(call_id="call-1", tool="sound_depth", arguments={"at": note()[:150]})
    sounded = ToolCallFinished(call_id="call-1", output={"fathoms": 7, "remark": note()[:150]})
    said = MessageAppended(role="assistant", text=note())
    return (progress(1), sounding, sounded, progress(2), progress(3), said, progress(4), progress(5), progress(6), said)


def completed() -> ExecutionCompleted:
    """A good end."""
    return ExecutionCompleted(output={"shallowest": 7}, output_bytes=16)


def failed(reason: str = "the lead line parted") -> ExecutionFailed:
    """A bad end."""
    cause = Cause(type="ValueError", message=reason)
    return ExecutionFailed(failure=build_failure(Code.AGENT_FAILED, cause=cause, queue=QUEUE, seconds="30 s"))


def settings_of(address: str | Path) -> StoreSettings:
    """Settings of a store at a path or a PostgreSQL URL; nothing of this machine's environment gets in."""
    return StoreSettings(store=str(address))


def opened(address: str | Path) -> StoreEngine:
    """A store at a path or a PostgreSQL URL, made when it is absent."""
    return open_store(settings_of(address))


def make_store(address: str | Path) -> None:
    """Make an empty store."""
    opened(address).close()


def history(
    execution_id: str, events: int, *, end: WritableEvent | None = None
) -> Iterator[tuple[str, str, str, bytes]]:
    """The rows of one execution: stream, event id, topic, body. `end` is the last of them when it is given."""
    stream = execution_stream(execution_id)
    busy = events - len(BEGINNING) - (end is not None)
    middle = itertools.islice(itertools.cycle(_prepared_work()), max(busy, 0))
    beginning = ((type(event).__name__, _template(event)) for event in BEGINNING[:events])
    for number, (topic, template) in enumerate(itertools.chain(beginning, middle), start=1):
        event_id = f"{_ID[:16]}-{number:06d}"
        yield stream, event_id, topic, template.replace(_ID.encode(), event_id.encode())
    if end is not None:
        yield stream, END_EVENT_ID, type(end).__name__, _encoded(end, END_EVENT_ID)


def interleaved(executions: int, events: int, *, at_once: int) -> Iterator[tuple[str, int, str, str, bytes]]:
    """The rows of many executions, `at_once` of them running at a time: stream, version, event id, topic, body.

    Each has `events` events; one in ten fails, the others complete.
    """
    waiting = iter(range(executions))
    running: list[Iterator[tuple[int, tuple[str, str, str, bytes]]]] = []
    while True:
        while len(running) < at_once and (number := next(waiting, None)) is not None:
            end = failed() if number % 10 == 9 else completed()
            running.append(enumerate(history(f"survey-{number:07d}", events, end=end), start=1))
        if not running:
            return
        still = []
        for each in running:
            if (row := next(each, None)) is not None:
                version, (stream, event_id, topic, state) = row
                yield stream, version, event_id, topic, state
                still.append(each)
        running = still


def fill_sqlite(path: Path, rows: Iterable[tuple[str, int, str, str, bytes]]) -> int:
    """Put rows into a new store on SQLite; returns how many they were."""
    make_store(path)
    count = 0
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous=OFF")
        while chunk := list(itertools.islice(rows := iter(rows), 20_000)):
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(
                "INSERT INTO stored_events (originator_id, originator_version, topic, state) VALUES (?, ?, ?, ?)",
                [(stream, version, topic, state) for stream, version, _, topic, state in chunk],
            )
            connection.executemany(
                "INSERT INTO event_ids VALUES (?, ?, ?)", [(row[0], row[2], row[1]) for row in chunk]
            )
            connection.execute("COMMIT")
            count += len(chunk)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return count


def copied(path: Path, folder: Path) -> Path:
    """A copy of a store that nobody has open, on disk before this returns."""
    copy = Path(shutil.copyfile(path, folder / path.name))
    with copy.open("rb") as file:
        os.fsync(file.fileno())
    return copy


def fill_postgres(url: str, rows: Iterable[tuple[str, int, str, str, bytes]]) -> int:
    """Put rows into a new store on PostgreSQL; returns how many they were."""
    import psycopg

    make_store(url)
    count = 0
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        while chunk := list(itertools.islice(rows := iter(rows), 20_000)):
            with cursor.copy("COPY stored_events (originator_id, originator_version, topic, state) FROM STDIN") as copy:
                for stream, version, _, topic, state in chunk:
                    copy.write_row((stream, version, topic, state))
            with cursor.copy("COPY event_ids (originator_id, event_id, originator_version) FROM STDIN") as copy:
                for stream, version, event_id, _, _ in chunk:
                    copy.write_row((stream, event_id, version))
            count += len(chunk)
        connection.commit()
        cursor.execute("ANALYZE stored_events")
    return count


def soon(number: int) -> datetime:
    """A time of its own for each event."""
    return NOON + timedelta(milliseconds=number)


@cache
def _prepared_work() -> tuple[tuple[str, bytes], ...]:
    return tuple((type(event).__name__, _template(event)) for event in work())


def _template(event: WritableEvent) -> bytes:
    return _encoded(event, _ID)


def _encoded(event: WritableEvent, event_id: str) -> bytes:
    record = RecordedEvent(execution_stream("survey"), 1, 0, event_id, NOON, WRITER, 1, event)
    return bytes(_MAPPER.to_stored_event(record).state)


_MAPPER: Final = EventMapper()
