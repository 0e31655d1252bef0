"""What a client missed, read from the store page by page in a thread, up to where the feed takes over."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from projector.engines.ports import StoreEngine
from projector.envelope import execution_stream
from projector.execution_status import ExecutionStatus, evolve
from projector.streams import PAGE, StatusChange, StatusTail
from workflows.service.frames import Frame


class OneExecution:
    """Reads one execution onwards. `status` is how it is after the last event that was read."""

    def __init__(self, store: StoreEngine, execution_id: str, status: ExecutionStatus | None = None) -> None:
        self._store = store
        self._stream = execution_stream(execution_id)
        self.status = status
        self.has_ended = status is not None and status.phase.is_terminal

    def take(self, frame: Frame) -> None:
        """Go on from an event that came another way."""
        self.status = frame.change.status
        self.has_ended = frame.is_end

    def page(self, after: int, until: int) -> Sequence[Frame] | None:
        """Events between two positions, the first excluded, encoded; None when there are no more. Raises StoreError."""
        if self.has_ended:
            return None
        records = self._store.read(self._stream, after=self.status.version if self.status else 0, limit=PAGE)
        frames: list[Frame] = []
        for record in records:
            if record.position > until:
                return frames or None
            before, self.status = self.status, evolve(self.status, record)
            frame = Frame(StatusChange(record, self.status, before))
            if record.position > after:
                _ = frame.data  # it is encoded here, in the thread
                frames.append(frame)
            if frame.is_end:
                self.has_ended = True
                return frames
        return frames if records else None


class AllExecutions:
    """Reads all executions onwards, for somebody who wants some of it."""

    def __init__(self, store: StoreEngine, position: int, wants: Callable[[Frame], bool]) -> None:
        self._tail = StatusTail(store, position)
        self._wants = wants

    @property
    def position(self) -> int:
        """The last one that was read."""
        return self._tail.position

    def page(self, until: int) -> Sequence[Frame] | None:
        """Wanted events up to a position, encoded; None when there are no more. Raises StoreError."""
        if self.position >= until:
            return None
        changes = self._tail.page(min(PAGE, until - self.position))
        if changes is None:
            return None
        frames = [Frame(change) for change in changes if change.record.position <= until]
        return [frame for frame in frames if self._wants(frame) and frame.data]
