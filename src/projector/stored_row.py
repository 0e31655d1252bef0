"""An event as the store holds it: what every reader of many events begins with."""

from __future__ import annotations

from typing import Final, NamedTuple

from eventsourcing.persistence import Notification

STEP_TOPICS: Final = ("MessageAppended", "ToolCallStarted", "ToolCallFinished", "ProgressReported", "HeartbeatRecorded")
"""The names in storage of the events of which there are many."""


class Shard(NamedTuple):
    """A part of all streams, for one of several processes: each stream is in one part, and wholly."""

    place: int
    parts: int


class StoredRow(NamedTuple):
    """The columns of the library's table, and the position."""

    position: int
    stream: str
    version: int
    topic: str
    state: bytes

    def notification(self) -> Notification:
        """The same as the library has it, for its mapper."""
        return Notification(
            id=self.position,
            originator_id=self.stream,
            originator_version=self.version,
            topic=self.topic,
            state=self.state,
        )
