"""The envelope: who said an event, when, and where it stands. The event itself says only what happened."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from projector.errors import InputRejected
from projector.events import EXECUTION_ID_PATTERN, AnyEvent, Unreadable, WritableEvent

_EXECUTION_ID: Final = re.compile(EXECUTION_ID_PATTERN)
_EXECUTION: Final = "execution/"
RUNNER_STREAMS: Final = "runner/"
"""Prefix of the streams in which runners tell about themselves. An id cannot hold a slash, so prefixes never meet."""
ARCHIVE_LOG: Final = "archive/log"
"""The stream that tells which executions were taken out of the store, and where they are."""

END_EVENT_ID: Final = "end"
"""The id of every terminal event. Ids are unique in a stream, so the store itself refuses a second verdict."""


LEASE_EVENT_ID: Final = "lease"
"""The id of every AttemptStarted: the store itself refuses a second one, so an agent is run once."""


def execution_stream(execution_id: str) -> str:
    """The stream of an execution. Raises InputRejected for a malformed id."""
    if not _EXECUTION_ID.fullmatch(execution_id):
        shown = execution_id if len(execution_id) <= 60 else execution_id[:57] + "…"
        raise InputRejected(
            f"{shown!r} is not an execution id: use 1 to 200 letters, digits and the characters . _ : -"
        )
    return _EXECUTION + execution_id


def runner_stream(runner_id: str) -> str:
    """The stream in which a runner tells about itself."""
    return RUNNER_STREAMS + runner_id


def execution_id_of(stream: str) -> str | None:
    """The execution whose stream this is, or None for a runner's."""
    return stream.removeprefix(_EXECUTION) if stream.startswith(_EXECUTION) else None


def role_of(writer: str) -> str:
    """The kind of process that wrote an event: client, orchestrator, reconciler, runner or supervisor."""
    return writer.partition(":")[0]


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event on its way into the store.

    `id` is made by the writer and unique in its stream: appending it twice stores it once. `time` is the writer's
    clock (UTC). `writer` names the process, for instance `runner:host:4711`. `attempt` is 0 outside an attempt.
    """

    id: str
    time: datetime
    writer: str
    event: WritableEvent
    attempt: int = 0


@dataclass(frozen=True, slots=True)
class RecordedEvent:
    """An event in the store: `version` is its place in its stream (1, 2, 3 …), `position` in the whole store."""

    stream: str
    version: int
    position: int
    id: str
    time: datetime
    writer: str
    attempt: int
    event: AnyEvent

    @property
    def type(self) -> str:
        """The event's name in storage."""
        return self.event.name if isinstance(self.event, Unreadable) else type(self.event).__name__

    @property
    def originator_id(self) -> str:
        """The stream, by the name that the eventsourcing library gives it."""
        return self.stream

    @property
    def originator_version(self) -> int:
        """The version, by the name that the eventsourcing library gives it."""
        return self.version
