"""Archiving: executions that ended long ago go out of the store into files, whole and verified.

File by file: the histories of some executions are written, read again and compared with the store; only then one
transaction takes them out of it and says so in an event. A process that is killed leaves each execution in the store,
or in a file that was verified, or for a moment in both: the next archive removes a file of which the store still holds
everything. That event is the last one of the store when it is written, and stays in it, so that no position is ever
given twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import count
from pathlib import Path
from typing import Final

from projector.codec import EventMapper
from projector.engines.ports import StoreEngine
from projector.envelope import ARCHIVE_LOG, NewEvent
from projector.errors import EventFileError, InputRejected
from projector.events import ExecutionsArchived
from projector.keeping.ended import Ended, all_ended, is_end
from projector.keeping.event_file import SUFFIX, EventFile, Header, Trailer
from projector.keeping.event_line import FiledEvent
from projector.keeping.filed_events import Filing
from projector.keeping.leftovers import archived_files, remove_leftovers
from projector.keeping.new_file import write_event_file
from projector.projecting.projection_runner import ProjectionRunner
from projector.projecting.rebuild import rebuild

EVENTS_A_FILE: Final = 100_000
"""A file is closed when it has so many: taking them out keeps everybody else from writing for about a second."""

_PLAIN: Final = EventMapper()

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class ArchivedFile:
    """A file that was made, and what was taken out of the store for it. `sha256` is that of its lines, in hex."""

    file: Path
    executions: int
    events: int
    sha256: str


class _Portion:
    """What goes into one file: the last version of each stream, and the ids of all events, as (event id, stream)."""

    def __init__(self) -> None:
        self.versions: dict[str, int] = {}
        self.ids: list[tuple[str, str]] = []

    def noting(self, events: Iterator[FiledEvent]) -> Iterator[FiledEvent]:
        """Pass events on."""
        for event in events:
            yield event
            self.versions[event.stream] = event.version
            if event.id is not None:
                self.ids.append((event.id, event.stream))


class _NotEnded(Exception):
    """Executions were read that have not ended, whatever their rows say."""

    def __init__(self, streams: list[str]) -> None:
        super().__init__()
        self.streams = streams


class Archive:
    """One run of archiving on one store."""

    def __init__(
        self, store: StoreEngine, folder: Path, *, before: datetime, now: datetime, writer: str, say: Say
    ) -> None:
        """Executions that ended before `before` go into `folder`; `writer` is who does it, for the event."""
        self._store = store
        self._folder = folder
        self._before = before
        self._now = now
        self._writer = writer
        self._say = say
        self._filing = Filing(store)

    def run(self, events_a_file: int = EVENTS_A_FILE) -> Iterator[ArchivedFile]:
        """Archive; gives each file when its executions are out of the store. At the end the query tables are made anew.

        Raises InputRejected when another archive of this store runs, EventFileError when no file can be written,
        StoreError.
        """
        lead = self._store.leadership("archive")
        try:
            if not lead.hold():
                raise InputRejected(f"another archive of {self._store.place} runs at this moment: wait for it")
            yield from self._run(events_a_file)
        finally:
            lead.release()

    def _run(self, events_a_file: int) -> Iterator[ArchivedFile]:
        self._make_folder()
        renew = partial(rebuild, self._store)
        ProjectionRunner(self._store, self._store.database, renew=renew).catch_up()
        remove_leftovers(self._folder, self._store, self._filing, self._say)
        has_taken_out = False
        for some in _portions(all_ended(self._store, self._before), events_a_file):
            for made in self._archive(some):
                has_taken_out = True
                yield made
        if has_taken_out:
            rebuild(self._store)

    def _archive(self, some: list[Ended]) -> Iterator[ArchivedFile]:
        sizes = {ended.stream: ended.events for ended in some}
        while sizes:
            file, portion = self._next_name(), _Portion()
            events = portion.noting(self._filing.streams(sizes))
            try:
                written = write_event_file(file, self._header(), events, check=partial(self._compare, portion))
            except _NotEnded as found:
                stay = found.streams
                self._say(f"left in the store, which tells of no end of them: {', '.join(stay)}")
            else:
                if not portion.versions:  # somebody else has taken them all out
                    file.unlink()
                    return
                stay = self._take_out(file, portion, written)
                if not stay:
                    yield ArchivedFile(file, len(portion.versions), written.events, written.sha256)
                    return
                file.unlink()
                self._say(f"left in the store, for something came meanwhile: {', '.join(stay)}")
            sizes = {stream: size for stream, size in sizes.items() if stream not in set(stay)}

    def _compare(self, portion: _Portion, written: EventFile) -> None:
        """Refuse a file that is not, event by event, what the store holds. Raises EventFileError, _NotEnded."""
        held = (e for e in self._filing.streams(portion.versions) if e.version <= portion.versions[e.stream])
        going_on = set(portion.versions)
        mapper = self._store.mapper if self._filing.keeps_encryption else _PLAIN
        for event in written.events():
            if event != next(held, None):
                raise EventFileError(f"{written} is not as the store says: nothing was taken out; try again")
            if event.stream in going_on and is_end(event, mapper, self._before):
                going_on.remove(event.stream)
        if next(held, None) is not None:
            raise EventFileError(f"{written} holds less than the store: nothing was taken out; try again")
        if going_on:
            raise _NotEnded(sorted(going_on))

    def _take_out(self, file: Path, portion: _Portion, written: Trailer) -> list[str]:
        event = ExecutionsArchived(
            file=file.name, executions=len(portion.versions), events=written.events, sha256=written.sha256
        )
        note = NewEvent(f"archived-{file.name}", self._now, self._writer, event)
        return self._store.keeper().take_out(portion.versions, portion.ids, ARCHIVE_LOG, note)

    def _header(self) -> Header:
        return Header.of(self._now, encrypted=self._filing.keeps_encryption)

    def _next_name(self) -> Path:
        """A name that no archive of this store has had, wherever its file is by now."""
        taken = archived_files(self._store)
        for number in count(1):
            name = f"executions-{self._now:%Y-%m-%d}-{number}{SUFFIX}"
            if name not in taken and not (self._folder / name).exists():
                return self._folder / name
        raise AssertionError("there is always another number")

    def _make_folder(self) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputRejected(
                f"the folder {self._folder} cannot be made: {error.strerror}; name another one with --to"
            ) from None


def _portions(ended: Iterator[Ended], events: int) -> Iterator[list[Ended]]:
    """Parts of so many events, or a little more; an execution is never divided."""
    portion: list[Ended] = []
    size = 0
    for one in ended:
        portion.append(one)
        size += one.events
        if size >= events:
            yield portion
            portion, size = [], 0
    if portion:
        yield portion
