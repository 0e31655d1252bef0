"""Which printer stdout asks for."""

from __future__ import annotations

from projector.console import is_plain
from projector.rendering.printer import PlainPrinter, Printer


def printer() -> Printer:
    """The printer for what stdout is."""
    if is_plain():
        return PlainPrinter()
    from projector.rendering.terminal import TerminalPrinter

    return TerminalPrinter()
