"""Folding many stored events at once: the same statuses as `evolve` gives, some ten times as fast.

Nearly all events of a long execution are its agent's steps and heartbeats, and of most of them only a count remains.
Those five kinds are decoded by msgspec into just what the fold needs, and counted; the few texts that a status keeps
are made when it is asked for. Every other event, and every body that is not exactly as this version writes it, goes
the long way: through the mapper, and through `evolve`. So there is one meaning and a short cut to it, and a property in
the tests holds the two together.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, Final

import msgspec

from projector.codec import EventMapper
from projector.execution_status import (
    LAST_MESSAGES,
    MESSAGE_PREVIEW,
    NAME_PREVIEW,
    TOOLS_IN_FLIGHT,
    ExecutionStatus,
    MessagePreview,
    Progress,
    ToolInFlight,
    evolve,
)
from projector.stored_row import StoredRow


class _Message(msgspec.Struct):
    role: str
    text: str
    truncated: None = None  # a list where something was cut: then the long way


class _ToolCall(msgspec.Struct):
    call_id: str
    tool: str
    arguments: msgspec.Raw
    truncated: None = None


class _ToolAnswer(msgspec.Struct):
    call_id: str
    output: msgspec.Raw
    error: str | None = None
    truncated: None = None


class _Progress(msgspec.Struct):
    done: float | None
    total: float | None
    note: str
    truncated: None = None


class _Heartbeat(msgspec.Struct):
    events_processed: int
    messages: int
    tool_calls: int
    phase: str
    truncated: None = None


class _Body(msgspec.Struct):
    id: str
    time: datetime
    writer: str
    attempt: int
    class_version: None = None  # there when it is above 1: then the long way


class _MessageBody(_Body, kw_only=True):
    data: _Message


class _ToolCallBody(_Body, kw_only=True):
    data: _ToolCall


class _ToolAnswerBody(_Body, kw_only=True):
    data: _ToolAnswer


class _ProgressBody(_Body, kw_only=True):
    data: _Progress


class _HeartbeatBody(_Body, kw_only=True):
    data: _Heartbeat


class StatusFold:
    """The status of one execution while many events are folded into it."""

    __slots__ = (
        "_calls",
        "_count",
        "_evolved",
        "_is_plain",
        "_last_event",
        "_last_event_at",
        "_late",
        "_mapper",
        "_messages",
        "_position",
        "_previews",
        "_progress",
        "_status",
        "_tool_calls",
        "_version",
    )

    def __init__(self, mapper: EventMapper, status: ExecutionStatus | None = None) -> None:
        self._mapper = mapper
        self._is_plain = mapper.is_plain
        self._previews: deque[_Message] = deque(maxlen=LAST_MESSAGES)
        self._take_up(status)

    def _take_up(self, status: ExecutionStatus | None) -> None:
        self._status = status
        self._evolved = True
        self._count = self._messages = self._tool_calls = self._late = 0
        self._previews.clear()
        self._calls: list[tuple[str, str, datetime]] | None = None
        self._progress: _Progress | None = None
        self._version = status.version if status else 0
        self._position = status.position if status else 0
        self._last_event = ""
        self._last_event_at: datetime | None = None

    @property
    def position(self) -> int:
        """The position of the last event that was taken."""
        return self._position

    def take(self, row: StoredRow) -> None:
        """Fold one more event. Total, as `evolve` is."""
        position, _, version, topic, state = row
        status = self._status
        step = _STEPS.get(topic)
        if status is not None and step is not None:
            if status.phase.is_terminal:
                self._late += 1
                self._version, self._position, self._evolved = version, position, False
                return
            decode, take = step
            try:
                body = decode(state if self._is_plain else self._mapper.opened(state))
            except Exception:  # whatever it is, the long way says what it means
                body = None
            if body is not None:
                take(self, body)
                self._version, self._position, self._evolved = version, position, False
                self._last_event, self._last_event_at = topic, body.time
                return
        self._take_up(evolve(self.status(), self._mapper.to_domain_event(row.notification())))

    def message(self, body: _MessageBody) -> None:
        self._count += 1
        self._messages += 1
        self._previews.append(body.data)

    def tool_call(self, body: _ToolCallBody) -> None:
        self._count += 1
        self._tool_calls += 1
        calls = self._in_flight()
        data = body.data
        calls.append((data.call_id[:NAME_PREVIEW], data.tool[:NAME_PREVIEW], body.time))
        if len(calls) > TOOLS_IN_FLIGHT:
            del calls[0]

    def tool_answer(self, body: _ToolAnswerBody) -> None:
        self._count += 1
        calls = self._in_flight()
        wanted = body.data.call_id[:NAME_PREVIEW]
        for place, call in enumerate(calls):
            if call[0] == wanted:
                del calls[place]
                return

    def progress(self, body: _ProgressBody) -> None:
        self._count += 1
        self._progress = body.data

    def heartbeat(self, body: _HeartbeatBody) -> None:
        """It says nothing that the others have not said."""

    def _in_flight(self) -> list[tuple[str, str, datetime]]:
        if self._calls is None:
            held = self._status.in_flight_calls if self._status else ()
            self._calls = [(call.call_id, call.tool, call.since) for call in held]
        return self._calls

    def status(self) -> ExecutionStatus | None:
        """The status after all that was taken; None when that was nothing."""
        status = self._status
        if status is None or self._evolved:
            return status
        changes: dict[str, Any] = {"version": self._version, "position": self._position}
        if self._late:
            changes["late_events"] = status.late_events + self._late
        else:
            changes |= {
                "last_event": self._last_event,
                "last_event_at": self._last_event_at,
                "events_processed": status.events_processed + self._count,
                "messages": status.messages + self._messages,
                "tool_calls": status.tool_calls + self._tool_calls,
            }
            if self._previews:
                added = [MessagePreview(role=m.role, text=m.text[:MESSAGE_PREVIEW]) for m in self._previews]
                changes["last_messages"] = (*status.last_messages, *added)[-LAST_MESSAGES:]
            if self._calls is not None:
                changes["in_flight_calls"] = tuple(
                    ToolInFlight(call_id=call_id, tool=tool, since=since) for call_id, tool, since in self._calls
                )
            if (last := self._progress) is not None:
                changes["progress"] = Progress(done=last.done, total=last.total, note=last.note)
        self._take_up(status.model_copy(update=changes))
        return self._status


def fold_stored(
    mapper: EventMapper, status: ExecutionStatus | None, rows: Iterable[StoredRow]
) -> ExecutionStatus | None:
    """The status after some stored events of one execution; None when there is neither a status nor an event."""
    fold = StatusFold(mapper, status)
    for row in rows:
        fold.take(row)
    return fold.status()


_STEPS: Final[dict[str, tuple[Callable[[bytes], Any], Callable[[StatusFold, Any], None]]]] = {
    "MessageAppended": (msgspec.json.Decoder(_MessageBody).decode, StatusFold.message),
    "ToolCallStarted": (msgspec.json.Decoder(_ToolCallBody).decode, StatusFold.tool_call),
    "ToolCallFinished": (msgspec.json.Decoder(_ToolAnswerBody).decode, StatusFold.tool_answer),
    "ProgressReported": (msgspec.json.Decoder(_ProgressBody).decode, StatusFold.progress),
    "HeartbeatRecorded": (msgspec.json.Decoder(_HeartbeatBody).decode, StatusFold.heartbeat),
}
