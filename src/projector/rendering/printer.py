"""Where rendered things go: a terminal gets rich tables, a pipe gets plain aligned text.

Nothing that came from an agent is ever taken for markup, and everything passes `harmless` here, whoever rendered it.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple, Protocol

from rich.cells import cell_len

from projector.rendering.words import harmless, one_line, shortened

GAP: Final = 2
"""How many columns are between two cells."""
LEAST_LAST: Final = 20
"""The least width of a last column that is worth reading."""
MOST_LAST: Final = 200
"""The most columns of a last one where no terminal sets a bound: a table is for looking over, JSON has it whole."""


class Cell(NamedTuple):
    """A text and how it is set off on a terminal, in rich's words. Numbers stand at the right of their column."""

    text: str
    style: str = ""
    is_number: bool = False


class Field(NamedTuple):
    """One line of a card, or several: a label and what it says."""

    label: str
    value: Cell


class Printer(Protocol):
    """Prints to stdout, flushed."""

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> None:
        """One line a row. The last column is cut: on a terminal to what fits, elsewhere to MOST_LAST columns."""
        ...

    def line(self, cells: Sequence[Cell], widths: Sequence[int]) -> None:
        """One line of a table without end. `widths` are those of all cells but the last, cut on a terminal."""
        ...

    def card(self, fields: Sequence[Field]) -> None:
        """Labels and texts, whole: long ones wrap and are never cut."""
        ...


class PlainPrinter:
    """Text in columns, without colour. Where stdout is a terminal all the same (NO_COLOR), lines keep to its width."""

    def __init__(self) -> None:
        self._width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> None:
        """See Printer.table."""
        rows = list(rows)
        numbers = [cell.is_number for cell in rows[0]] if rows else [False] * len(columns)
        heads = [Cell(column.upper(), "", is_number) for column, is_number in zip(columns, numbers, strict=True)]
        lines = [[cell._replace(text=one_line(cell.text)) for cell in line] for line in (heads, *rows)]
        widths = [max(cell_len(cell.text) for cell in column) for column in zip(*lines, strict=True)][:-1]
        for line in lines:
            self._print(line, widths, most=MOST_LAST)
        sys.stdout.flush()

    def line(self, cells: Sequence[Cell], widths: Sequence[int]) -> None:
        """See Printer.line."""
        self._print([cell._replace(text=one_line(cell.text)) for cell in cells], widths)
        sys.stdout.flush()

    def card(self, fields: Sequence[Field]) -> None:
        """See Printer.card."""
        margin = max(cell_len(field.label) for field in fields) + GAP
        for field in fields:
            first, *rest = harmless(field.value.text).split("\n")
            print(f"{field.label:<{margin}}{first}".rstrip())
            for line in rest:
                print((" " * margin + line).rstrip())
        sys.stdout.flush()

    def _print(self, cells: Sequence[Cell], widths: Sequence[int], *, most: int | None = None) -> None:
        """One line; `most` is the room of the last cell where no terminal says how much there is."""
        *heads, last = cells
        begin = "".join(padded(cell, width) for cell, width in zip(heads, widths, strict=True))
        room = most if self._width is None else max(self._width - cell_len(begin), LEAST_LAST)
        print((begin + (last.text if room is None else shortened(last.text, room))).rstrip())


def padded(cell: Cell, width: int) -> str:
    """A text that takes up its column and the gap behind it."""
    space = " " * max(width - cell_len(cell.text), 0)
    return (space + cell.text if cell.is_number else cell.text + space) + " " * GAP
