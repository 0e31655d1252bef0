"""Where rendered things go: a terminal gets rich tables, a pipe gets plain aligned text.

Nothing that came from an agent is ever taken for markup, and everything passes `harmless` here, whoever rendered it.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple, Protocol

from rich.cells import cell_len

from projector.console import is_plain
from projector.rendering.words import harmless, one_line, shortened

GAP: Final = 2
"""Columns between two cells."""


class Cell(NamedTuple):
    """A text and how it is set off on a terminal, in rich's words."""

    text: str
    style: str = ""


class Field(NamedTuple):
    """One line of a card, or several: a label and what it says."""

    label: str
    value: Cell


class Printer(Protocol):
    """Prints to stdout, flushed."""

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> None:
        """One line a row; on a terminal the last column is cut to what fits."""
        ...

    def line(self, cells: Sequence[Cell], widths: Sequence[int]) -> None:
        """One line of a table without end. `widths` are those of all cells but the last, which is cut as in a table."""
        ...

    def card(self, fields: Sequence[Field]) -> None:
        """Labels and texts, whole: long ones wrap and are never cut."""
        ...


def printer() -> Printer:
    """The printer for what stdout is."""
    if is_plain():
        return PlainPrinter()
    from projector.rendering.terminal import TerminalPrinter

    return TerminalPrinter()


class PlainPrinter:
    """Text in columns, without colour. Where stdout is a terminal all the same (NO_COLOR), lines keep to its width."""

    def __init__(self) -> None:
        self._width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> None:
        """See Printer.table."""
        lines = [[column.upper() for column in columns], *([one_line(cell.text) for cell in row] for row in rows)]
        widths = [max(map(cell_len, column)) for column in zip(*lines, strict=True)][:-1]
        for line in lines:
            self._print(line, widths)
        sys.stdout.flush()

    def line(self, cells: Sequence[Cell], widths: Sequence[int]) -> None:
        """See Printer.line."""
        self._print([one_line(cell.text) for cell in cells], widths)
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

    def _print(self, texts: Sequence[str], widths: Sequence[int]) -> None:
        *heads, last = texts
        begin = "".join(text + " " * (width - cell_len(text) + GAP) for text, width in zip(heads, widths, strict=True))
        if self._width is not None:
            last = shortened(last, self._width - cell_len(begin))
        print((begin + last).rstrip())
