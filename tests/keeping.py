"""What tests of backups and archives ask of a store: all that it holds, and what its next event gets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from projector.engines.ports import StoreEngine
from projector.envelope import ARCHIVE_LOG, execution_stream
from projector.events import ExecutionsArchived
from projector.keeping.archive import EVENTS_A_FILE, Archive, ArchivedFile
from projector.keeping.backup import check_backup, restore
from projector.keeping.event_file import EventFile
from projector.stored_row import StoredRow
from tests.engines import Engine
from tests.fleet import STORIES
from tests.histories import REMARK, new

NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
"""When tests make backups and archives: the histories of `tests.histories` ended months before."""


def stored_rows(store: StoreEngine) -> list[StoredRow]:
    """All events as the store holds them, to the byte."""
    return store.tail_stored(after=0, limit=10_000_000)


def held_ids(store: StoreEngine) -> list[tuple[Any, ...]]:
    """The ids that make appends idempotent, of all streams."""
    with store.database.transaction(commit=False) as cursor:
        cursor.execute("SELECT originator_id, event_id, originator_version FROM event_ids ORDER BY 1, 2")
        return [tuple(row) for row in cursor.fetchall()]


def next_position(store: StoreEngine) -> int:
    """The position that the next event gets; it is appended."""
    (record,) = store.append(execution_stream("the-next-one"), [new(REMARK)]).records
    return record.position


@contextmanager
def another_store(engine: Engine, folder: Path) -> Iterator[StoreEngine]:
    """An empty store of this engine in a place of its own."""
    folder.mkdir()
    with engine.make_place(folder) as place, closing(engine.open(place, 10.0)) as store:
        yield store


@contextmanager
def restored(file: Path, engine: Engine, folder: Path) -> Iterator[StoreEngine]:
    """A store that was made from a backup."""
    with another_store(engine, folder) as store:
        restore(check_backup(file), store)
        yield store


def archived(
    store: StoreEngine,
    folder: Path,
    *,
    before: datetime = NOW,
    now: datetime = NOW,
    events_a_file: int = EVENTS_A_FILE,
    said: list[str] | None = None,
) -> list[ArchivedFile]:
    """Archive what ended before then; `said` takes what a person would be told."""
    telling = said.append if said is not None else _nobody
    archive = Archive(store, folder, before=before, now=now, writer="archiver:1", say=telling)
    return list(archive.run(events_a_file))


def _nobody(_: str) -> None:
    pass


ENDED = [f"voyage-{number}-{story}" for number in range(3) for story in range(len(STORIES)) if story != 2]
"""What has ended of three fleets: of each all stories but the third."""


def log_of(store: StoreEngine) -> list[ExecutionsArchived]:
    """What the store tells of its archives."""
    events = [record.event for record in store.read(ARCHIVE_LOG)]
    assert all(isinstance(event, ExecutionsArchived) for event in events)
    return cast("list[ExecutionsArchived]", events)


def streams_in(made: ArchivedFile) -> set[str]:
    """The streams that a file holds."""
    return {event.stream for event in EventFile(made.file).events()}


def nobody_is_told(_: str) -> None:
    """For what must go without a word."""
    raise AssertionError("nothing is amiss")
