"""Events one line each, as they come: a history, a replay, a watch. Nothing is kept, however long a history is."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from projector.envelope import RecordedEvent
from projector.events import AttemptFailed, ExecutionFailed, RunnerStartupFailed, ToolCallFinished, Unreadable
from projector.execution_status import ExecutionStatus
from projector.rendering.describing_events import describe
from projector.rendering.printer import Cell
from projector.rendering.statuses import STYLES, changed, phase_cell
from projector.rendering.stdout import printer
from projector.rendering.words import clock, moment
from projector.streams import StatusChange

_VERSION: Final = 5
_POSITION: Final = 8
_MOMENT: Final = 19
_CLOCK: Final = 12
_TYPE: Final = 21
_WRITER: Final = 24
_PHASE: Final = 11


def print_events(records: Iterable[RecordedEvent]) -> None:
    """A history as a table: version, position, time, type, writer, what the event says."""
    out = printer()
    widths = (_VERSION, _POSITION, _MOMENT, _TYPE, _WRITER)
    heads = ("VER", "POS", "TIME (UTC)", "TYPE", "WRITER", "WHAT")
    for number, record in enumerate(records):
        if not number:
            out.line([Cell(head, "bold", is_number=place < 2) for place, head in enumerate(heads)], widths)
        cells = [
            Cell(str(record.version), is_number=True),
            Cell(str(record.position), "dim", is_number=True),
            Cell(moment(record.time)),
            _type(record),
            Cell(record.writer, "dim"),
            Cell(describe(record.event)),
        ]
        out.line(cells, widths)


def print_steps(steps: Iterable[StatusChange], status_at: Callable[[int], ExecutionStatus]) -> None:
    """A replay: each event, and under it what it changed. `status_at` gives the status before the first one."""
    out = printer()
    before: ExecutionStatus | None = None
    for step in steps:
        record = step.record
        if before is None and record.version > 1:
            before = status_at(record.version - 1)
        version = Cell(str(record.version), "bold", is_number=True)
        out.line(
            [version, Cell(clock(record.time)), _type(record), Cell(describe(record.event))], (_VERSION, _CLOCK, _TYPE)
        )
        out.line(
            [Cell(""), Cell("→"), Cell(changed(before, step.status), STYLES[step.status.phase])], (_VERSION, _CLOCK)
        )
        before = step.status


def change_teller(*, of_one: bool) -> Callable[[StatusChange], None]:
    """A function that prints one event of a live stream, with its execution unless all are `of_one`."""
    out = printer()

    def tell(change: StatusChange) -> None:
        record = change.record
        heads = [Cell(clock(record.time), "dim"), *([] if of_one else [Cell(change.status.execution_id, "bold")])]
        out.line(
            [*heads, phase_cell(change.status), _type(record), Cell(describe(record.event))],
            (_CLOCK, *(() if of_one else (_WRITER,)), _PHASE, _TYPE),
        )

    return tell


def _type(record: RecordedEvent) -> Cell:
    event = record.event
    is_bad = isinstance(event, AttemptFailed | ExecutionFailed | RunnerStartupFailed | Unreadable) or (
        isinstance(event, ToolCallFinished) and bool(event.error)
    )
    return Cell(record.type, "red" if is_bad else "")
