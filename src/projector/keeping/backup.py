"""Backups: all events of a store in one file, from which any engine makes the same store again.

A backup is as of the head of the store when it began. Events are only ever added, so reading them in pages while
everybody works gives the same as reading them at once; only an archive takes some out, and then it is begun anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from projector.engines.ports import StoreEngine
from projector.envelope import ARCHIVE_LOG
from projector.errors import EventFileError, InputRejected, StoreUnavailable
from projector.keeping.at_rest import LOOKED_AT, opens
from projector.keeping.event_file import EventFile, Header
from projector.keeping.event_line import FiledEvent
from projector.keeping.filed_events import Filing
from projector.keeping.new_file import write_event_file
from projector.projecting.rebuild import rebuild

_TRIES: Final = 5


@dataclass(frozen=True, slots=True)
class Backup:
    """What a backup holds: events of so many streams, up to a position. `sha256` is that of its lines, in hex."""

    file: Path
    position: int
    events: int
    streams: int
    sha256: str
    encrypted: bool


def backup(
    store: StoreEngine, file: Path, *, made_at: datetime, replace: bool = False, decrypt: bool = False
) -> Backup:
    """Write all events that the store holds now into a new file, verified; `replace` allows to replace one.

    The events of an encrypted store stay encrypted, unless `decrypt` is set.
    Raises InputRejected when the file cannot have that name, EventFileError when it cannot be written, StoreError.
    """
    if replace and _is_same(file, store.place):
        raise InputRejected(f"{file} is the event store itself: name another file")
    filing = Filing(store, decrypt=decrypt)
    header = Header.of(made_at, encrypted=filing.keeps_encryption)
    for _ in range(_TRIES):
        archives, head = store.version(ARCHIVE_LOG), store.head()

        def check(written: EventFile, archives: int = archives) -> None:
            written.verify()
            if store.version(ARCHIVE_LOG) != archives:
                raise _ArchivedMeanwhile

        try:
            trailer = write_event_file(file, header, filing.whole_store(head), replace=replace, check=check)
        except _ArchivedMeanwhile:
            continue
        return Backup(file, head, trailer.events, trailer.streams, trailer.sha256, header.encrypted)
    raise StoreUnavailable(
        f"the event store {store.place} was being archived all the time: make a backup when that has ended"
    )


class _ArchivedMeanwhile(Exception):
    """Events were taken out of the store while they were read."""


def _is_same(file: Path, place: str) -> bool:
    try:
        return file.samefile(place)
    except (OSError, ValueError):  # one of them is no file
        return False


def check_backup(file: Path) -> EventFile:
    """A file that can be restored: it is ours, and whole. Raises InputRejected, EventFileError."""
    found = EventFile(file)
    found.verify()
    return found


def restore(file: EventFile, store: StoreEngine) -> None:
    """Put all events of a file into a store that has none, in one transaction, and make the query tables anew.

    Bodies are encrypted and compressed as this store does it; those of an encrypted file must open with its key.
    Raises StoreHasEvents, EventFileError, StoreError.
    """
    if file.header.encrypted:
        _check_key(file, store)
    store.keeper().put_all(_as_stored(file, store))
    rebuild(store)


def _as_stored(file: EventFile, store: StoreEngine) -> Iterator[FiledEvent]:
    if file.header.encrypted:
        return file.events()
    sealed = store.mapper.sealed
    return (event._replace(body=sealed(event.body)) for event in file.events())


def _check_key(file: EventFile, store: StoreEngine) -> None:
    """Refuse a file that was encrypted with another key than this store's."""
    if store.mapper.cipher is None:
        raise EventFileError(
            f"{file} holds encrypted events, and there is no key: set EXECUTION_STATUS_CIPHER_KEY to the key of the "
            "store that it was made from, or make the backup again with --decrypt"
        )
    for looked, event in enumerate(file.events(), start=1):
        if opens(store.mapper, event.body):
            return
        if looked == LOOKED_AT:
            break
    if file.trailer is not None and file.trailer.events == 0:
        return
    raise EventFileError(
        f"{file} was encrypted with another key: set EXECUTION_STATUS_CIPHER_KEY to the key of the store that it was "
        "made from, or make the backup again with --decrypt"
    )
