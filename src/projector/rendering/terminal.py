"""The printer for terminals, on rich."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from projector.rendering.printer import GAP, Cell, Field
from projector.rendering.words import harmless, one_line

_REASONABLE: int = 20
"""The least width of a last column that is worth reading."""


class TerminalPrinter:
    """See Printer."""

    def __init__(self) -> None:
        self._console = Console(file=sys.stdout, markup=False, emoji=False, highlight=False)

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> None:
        """See Printer.table."""
        table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")
        for column in columns[:-1]:
            table.add_column(column, overflow="fold")
        table.add_column(columns[-1], no_wrap=True, overflow="ellipsis", min_width=_REASONABLE)
        for row in rows:
            table.add_row(*(Text(one_line(cell.text), cell.style) for cell in row))
        self._console.print(table)

    def line(self, cells: Sequence[Cell], widths: Sequence[int]) -> None:
        """See Printer.line."""
        line = Text()
        for cell, width in zip(cells, [*widths, 0], strict=True):
            text = Text(one_line(cell.text), cell.style)
            if width:
                text.append(" " * (max(width - text.cell_len, 0) + GAP))
            line.append_text(text)
        self._console.print(line, no_wrap=True, overflow="ellipsis")

    def card(self, fields: Sequence[Field]) -> None:
        """See Printer.card."""
        card = Table.grid(padding=(0, GAP))
        card.add_column(style="dim", no_wrap=True)
        card.add_column(overflow="fold")
        for field in fields:
            card.add_row(Text(field.label), Text(harmless(field.value.text), field.value.style))
        self._console.print(card)
