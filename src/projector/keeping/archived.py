"""Reading executions that are no longer in the store, from the files that an archive has made."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from projector.codec import EventMapper
from projector.envelope import RecordedEvent, execution_stream
from projector.errors import EventFileError, ExecutionNotFound, InputRejected
from projector.keeping.at_rest import opens
from projector.keeping.event_file import SUFFIX, EventFile
from projector.keeping.event_line import FiledEvent
from projector.stored_row import StoredRow

Say = Callable[[str], None]

_PLAIN: Final = EventMapper()


class ArchivedHistory:
    """The history of one execution, as it was in the store; it stands in for the store where only that is asked for."""

    def __init__(self, stream: str, records: Sequence[RecordedEvent]) -> None:
        self._stream = stream
        self._records = records

    def read(
        self, stream: str, *, after: int = 0, upto: int | None = None, limit: int | None = None
    ) -> list[RecordedEvent]:
        """See EventStore.read."""
        end = len(self._records) if upto is None else upto
        found = self._records[after:end] if stream == self._stream else ()  # versions have no gaps
        return list(found[:limit])

    def version(self, stream: str) -> int:
        """See EventStore.version."""
        return len(self._records) if stream == self._stream else 0


def archived_history(place: Path, execution_id: str, mapper: EventMapper, say: Say) -> ArchivedHistory:
    """The history of an execution from a file, or from the files of a folder; `mapper` has the key, if there is one.

    Each file that is looked at is verified whole. Of several that hold the execution, the one with the latest events
    counts. A file of a folder that cannot be read is told to `say`, and only matters when no other has the execution.
    Raises ExecutionNotFound, InputRejected, EventFileError.
    """
    stream = execution_stream(execution_id)
    latest: list[FiledEvent] = []
    encrypted = False
    trouble: EventFileError | None = None
    for path in _files(place):
        try:
            file = EventFile(path)
            found = [event for event in file.events() if event.stream == stream]
        except EventFileError as error:
            if path == place:
                raise
            trouble = error
            say(f"passed over: {error}")
            continue
        if found and (not latest or found[-1].position > latest[-1].position):
            latest, encrypted = found, file.header.encrypted
    if not latest:
        raise trouble or ExecutionNotFound(execution_id, f"in {place}")
    if encrypted:
        _check_key(place, latest, mapper)
    return ArchivedHistory(stream, list(_records(latest, mapper if encrypted else _PLAIN)))


def _files(place: Path) -> Sequence[Path]:
    if not place.is_dir():
        return [place]
    try:
        found = sorted(path for path in place.glob(f"*{SUFFIX}") if not path.name.startswith("."))
    except OSError as error:
        raise InputRejected(f"the folder {place} cannot be read: {error.strerror}") from None
    if not found:
        raise InputRejected(f"the folder {place} holds no archive: its files are named executions-…{SUFFIX}")
    return found


def _records(events: Sequence[FiledEvent], mapper: EventMapper) -> Iterator[RecordedEvent]:
    for event in events:
        row = StoredRow(event.position, event.stream, event.version, event.topic, event.body)
        yield mapper.to_domain_event(row.notification())


def _check_key(place: Path, events: Sequence[FiledEvent], mapper: EventMapper) -> None:
    if mapper.cipher is None:
        raise EventFileError(
            f"{place} holds encrypted events, and there is no key: set EXECUTION_STATUS_CIPHER_KEY to the key of the "
            "store that they were in"
        )
    if not any(opens(mapper, event.body) for event in events):
        raise EventFileError(
            f"{place} was encrypted with another key: set EXECUTION_STATUS_CIPHER_KEY to the key of the store that its "
            "events were in"
        )
