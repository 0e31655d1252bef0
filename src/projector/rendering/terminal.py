"""The printer for terminals, on rich."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Final

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console, JustifyMethod
from rich.table import Table
from rich.text import Text

from projector.rendering.printer import GAP, LEAST_LAST, Cell, Field, padded
from projector.rendering.words import harmless, one_line, shortened

_BETWEEN: Final = 2
"""How many columns rich puts between two cells of such a table."""


class TerminalPrinter:
    """See Printer."""

    def __init__(self) -> None:
        self._console = Console(file=sys.stdout, markup=False, emoji=False, highlight=False)

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> None:
        """See Printer.table."""
        table = Table(box=SIMPLE_HEAD, collapse_padding=True, pad_edge=False, show_edge=False, header_style="bold")
        lines = [[cell._replace(text=one_line(cell.text)) for cell in row] for row in rows]
        # Rich would rather let the first columns vanish than cut the last.
        used = sum(max(map(cell_len, texts)) + _BETWEEN for texts in _texts(columns, lines)[:-1])
        room = max(self._console.width - used, LEAST_LAST)
        for place, column in enumerate(columns[:-1]):
            justify: JustifyMethod = "right" if lines and lines[0][place].is_number else "left"
            table.add_column(column.upper(), overflow="fold", justify=justify)
        table.add_column(columns[-1].upper(), no_wrap=True)
        for *heads, last in lines:
            table.add_row(
                *(Text(cell.text, cell.style) for cell in heads), Text(shortened(last.text, room), last.style)
            )
        self._console.print(table)

    def line(self, cells: Sequence[Cell], widths: Sequence[int]) -> None:
        """See Printer.line."""
        *heads, last = (cell._replace(text=one_line(cell.text)) for cell in cells)
        line = Text()
        for cell, width in zip(heads, widths, strict=True):
            line.append(padded(cell, width), cell.style)
        line.append(last.text, last.style)
        self._console.print(line, no_wrap=True, overflow="ellipsis")

    def card(self, fields: Sequence[Field]) -> None:
        """See Printer.card."""
        card = Table.grid(padding=(0, GAP))
        card.add_column(style="dim", no_wrap=True)
        card.add_column(overflow="fold")
        for field in fields:
            card.add_row(Text(field.label), Text(harmless(field.value.text), field.value.style))
        self._console.print(card)


def _texts(columns: Sequence[str], lines: Sequence[Sequence[Cell]]) -> list[list[str]]:
    """The texts of each column, with its name."""
    return [[column, *(line[place].text for line in lines)] for place, column in enumerate(columns)]
