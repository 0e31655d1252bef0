"""Rendering is total: whatever a history holds is printed, a line where a line was promised, and never obeyed."""

from __future__ import annotations

import io
import re
from contextlib import redirect_stdout
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projector.envelope import RecordedEvent
from projector.events import AnyEvent
from projector.execution_status import ExecutionStatus, evolve
from projector.rendering.describing_events import describe
from projector.rendering.histories import print_events, print_steps
from projector.rendering.printer import PlainPrinter, Printer
from projector.rendering.statuses import LIST_COLUMNS, card, list_row
from projector.rendering.terminal import TerminalPrinter
from projector.rendering.words import between, counted, duration, harmless, one_line, shortened
from projector.streams import StatusChange
from tests.strategies import any_event, recorded_events

OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
COLOUR = re.compile(r"\x1b\[[0-9;]*m")

histories = st.lists(recorded_events(), min_size=1, max_size=6)


def steps_of(history: list[RecordedEvent]) -> list[StatusChange]:
    status: ExecutionStatus | None = None
    steps = []
    for record in history:
        status = evolve(status, record)
        steps.append(StatusChange(record, status))
    return steps


@given(any_event)
def test_any_event_is_one_harmless_line(event: AnyEvent) -> None:
    line = describe(event)
    assert "\n" not in line and "\t" not in line
    assert not OBEYED.search(line)


@given(histories)
def test_any_history_is_printed(history: list[RecordedEvent]) -> None:
    steps = steps_of(history)
    with redirect_stdout(io.StringIO()) as out:
        print_events(history)
        print_steps(steps, lambda version: steps[0].status)
    assert len(out.getvalue().split("\n")) == 1 + len(history) + 2 * len(history) + 1
    assert not OBEYED.search(out.getvalue())


@pytest.mark.parametrize("kind", [PlainPrinter, TerminalPrinter])
@given(history=histories)
def test_any_status_is_printed_whole_and_as_a_row(kind: type[Printer], history: list[RecordedEvent]) -> None:
    status = steps_of(history)[-1].status
    with redirect_stdout(io.StringIO()) as out:
        printer = kind()
        printer.card(card(status))
        printer.table(LIST_COLUMNS, [list_row(status, datetime(2026, 3, 15, tzinfo=UTC))])
    shown = COLOUR.sub("", out.getvalue())
    assert status.phase in shown and "REASON" in shown
    assert not OBEYED.search(shown)


@given(st.text(max_size=200), st.integers(1, 80))
def test_a_shortened_text_fits_and_one_that_fits_is_left_alone(text: str, width: int) -> None:
    from rich.cells import cell_len

    line = one_line(text)
    assert cell_len(shortened(line, width)) <= width
    assert shortened(line, cell_len(line)) == line


def test_columns_stand_under_each_other_also_with_wide_characters() -> None:
    from projector.rendering.printer import Cell

    with redirect_stdout(io.StringIO()) as out:
        PlainPrinter().table(("ship", "port"), [(Cell("海图"), Cell("a")), (Cell("polaris"), Cell("b"))])
    assert out.getvalue() == "SHIP     PORT\n海图     a\npolaris  b\n"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-3, "0.0s"),
        (0.04, "0.0s"),
        (9.94, "9.9s"),
        (42.9, "42s"),
        (60, "1m"),
        (185, "3m 5s"),
        (3600, "1h"),
        (7384, "2h 3m"),
        (86400 * 3 + 7200, "3d 2h"),
        (86400 * 254 + 58000, "254d"),
    ],
)
def test_a_duration_has_two_units_at_most(seconds: float, words: str) -> None:
    assert duration(seconds) == words
    begin = datetime(2026, 3, 14, tzinfo=UTC)
    assert between(begin, begin + timedelta(seconds=seconds)) == words


def test_words_for_people_are_as_they_would_say_them() -> None:
    assert (counted(1, "message"), counted(0, "message"), counted(12000, "event")) == (
        "1 message",
        "0 messages",
        "12,000 events",
    )
    assert between(None, datetime.now(UTC)) == "-"
    assert harmless("a\tb\nc\x1b[31m\u202e") == "a\tb\nc<U+001B>[31m<U+202E>"
    assert one_line({"depth": [7, None], "name": "récif"}) == '{"depth": [7, null], "name": "récif"}'
    assert one_line("x" * 5000) == "x" * 4096 + " …"
