"""Replay: an execution's history, event by event, with the status as it was after each.

History is read in pages, each in a short transaction of its own, so that a long replay never holds up the store.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Protocol

from projector.envelope import RecordedEvent, execution_stream
from projector.errors import ExecutionNotFound, InputRejected
from projector.execution_status import ExecutionStatus, evolve
from projector.streams import StatusChange

PAGE: Final = 500


class Histories(Protocol):
    """What holds histories: a store, or an archive."""

    def read(
        self, stream: str, *, after: int = 0, upto: int | None = None, limit: int | None = None
    ) -> list[RecordedEvent]:
        """See EventStore.read."""
        ...

    def version(self, stream: str) -> int:
        """See EventStore.version."""
        ...


def history(store: Histories, execution_id: str, *, after: int = 0) -> Iterator[RecordedEvent]:
    """The events of an execution above version `after`, in order.

    Raises ExecutionNotFound, InputRejected for a malformed id or a version that is negative or beyond the end,
    StoreError.
    """
    if after < 0:
        raise InputRejected(f"{after} is not a version: versions begin at 1, and 0 means from the beginning")
    _check_is_there(store, execution_id, after)
    stream = execution_stream(execution_id)
    version = after
    while records := store.read(stream, after=version, limit=PAGE):
        yield from records
        version = records[-1].version


def replay(
    store: Histories, execution_id: str, *, from_version: int = 1, to_version: int | None = None
) -> Iterator[StatusChange]:
    """Each event between two versions, both included, and the status after it.

    Raises ExecutionNotFound, InputRejected when the versions make no sense or lie beyond the end, StoreError.
    """
    for version in (from_version, from_version if to_version is None else to_version):
        if version < 1:
            raise InputRejected(f"{version} is not a version: versions begin at 1")
        _check_is_there(store, execution_id, version)
    if to_version is not None and to_version < from_version:
        raise InputRejected(f"nothing lies between version {from_version} and version {to_version}")
    status: ExecutionStatus | None = None
    for record in history(store, execution_id):
        if to_version is not None and record.version > to_version:
            return
        status = evolve(status, record)
        if record.version >= from_version:
            yield StatusChange(record, status)


def status_at(store: Histories, execution_id: str, version: int | None = None) -> ExecutionStatus:
    """The status as it was after one event, the last one when none is named.

    Raises ExecutionNotFound, InputRejected for a version that the execution does not have, StoreError.
    """
    if version is None:
        version = store.version(execution_stream(execution_id)) or 1
    return next(replay(store, execution_id, from_version=version, to_version=version)).status


def _check_is_there(store: Histories, execution_id: str, version: int) -> None:
    last = store.version(execution_stream(execution_id))
    if not last:
        raise ExecutionNotFound(execution_id)
    if version > last:
        raise InputRejected(f"execution '{execution_id}' has {last} events: there is no version {version}")
