"""What goes over a stream: server-sent events as bytes, made once however many clients get them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, Final

from projector.envelope import END_EVENT_ID
from projector.execution_status import ExecutionStatus
from projector.streams import StatusChange
from projector.views import ChangeView, change_view, status_view

RETRY_AFTER_MS: Final = 2000
"""How long a browser waits before it comes back, in milliseconds."""
MOST_BYTES: Final = 64 * 1024
"""How much is sent at once, in bytes, beyond one event: as much as uvicorn buffers."""


class Frame:
    """One event of an execution and the status after it."""

    __slots__ = ("_data", "change")

    def __init__(self, change: StatusChange) -> None:
        self.change = change
        self._data: bytes | None = None

    @property
    def position(self) -> int:
        """The event's."""
        return self.change.record.position

    @property
    def execution_id(self) -> str:
        """Whose event it is."""
        return self.change.status.execution_id

    @property
    def is_end(self) -> bool:
        """Whether nothing follows that changes the status; an end that cannot be read is one, too."""
        return self.change.status.phase.is_terminal or self.change.record.id == END_EVENT_ID

    @property
    def data(self) -> bytes:
        """As it is sent."""
        if self._data is None:
            view = change_view(self.change.record, self.change.status)
            self._data = encoded("status", view.model_dump_json(), view.position)
        return self._data


def joined(frames: Iterable[Frame]) -> Iterator[bytes]:
    """Many events in few messages, each of one event at least and else no larger than the server buffers."""
    waiting: list[bytes] = []
    size = 0
    for frame in frames:
        if waiting and size + len(frame.data) > MOST_BYTES:
            yield b"".join(waiting)
            waiting, size = [], 0
        waiting.append(frame.data)
        size += len(frame.data)
    if waiting:
        yield b"".join(waiting)


def encoded(event: str, data: str, position: int | None = None) -> bytes:
    """One server-sent event; `data` is JSON, which has no line breaks of its own."""
    mark = f"id: {position}\r\n" if position is not None else ""
    return f"{mark}event: {event}\r\ndata: {data}\r\n\r\n".encode()


def beginning() -> bytes:
    """What a stream begins with."""
    return f"retry: {RETRY_AFTER_MS}\r\n\r\n".encode()


def snapshot_of_one(status: ExecutionStatus) -> bytes:
    """The status as it is, in the shape of its last event."""
    view = ChangeView(
        position=status.position,
        version=status.version,
        type=status.last_event,
        execution_id=status.execution_id,
        status=status_view(status),
    )
    return encoded("snapshot", view.model_dump_json(), status.position)


def snapshot_of_all(position: int) -> bytes:
    """From where on a stream of all tells what happens."""
    return _encoded("snapshot", {"position": position}, position)


def end(status: ExecutionStatus, position: int) -> bytes:
    """The last event of one execution's stream."""
    return _encoded("end", {"execution_id": status.execution_id, "phase": status.phase}, position)


def resync(after: int, head: int) -> bytes:
    """What the client knows is not of this store."""
    detail = (
        f"position {after} is beyond the end of this store, which is at {head}: it comes from another store, or this "
        "one was restored from a backup; forget what you have, all follows anew"
    )
    return _encoded("resync", {"detail": detail, "position": head})


def _encoded(event: str, data: dict[str, Any], position: int | None = None) -> bytes:
    return encoded(event, json.dumps(data), position)
