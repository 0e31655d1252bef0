"""Logging of a program: structlog over the standard library, one line an entry, redacted on its way out."""

from __future__ import annotations

import logging
import sys
from typing import Any, TextIO

import structlog

from projector.door.redaction import Redactor
from projector.door.text import clean_text


def configure_logging(redactor: Redactor, *, verbose: bool = False, stream: TextIO | None = None) -> None:
    """Send every entry, ours and other libraries', redacted to `stream` (standard error by default)."""
    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    render = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
        ],
    )
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_Redacting(render, redactor))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.INFO if verbose else logging.WARNING)


class _Redacting(logging.Formatter):
    """The last step before the bytes: no entry, and no traceback in one, gets by with a secret."""

    def __init__(self, inner: logging.Formatter, redactor: Redactor) -> None:
        super().__init__()
        self._inner = inner
        self._redactor = redactor

    def format(self, record: logging.LogRecord) -> str:
        # Before and after: an escape sequence may eat a secret's first letter, or stand in the middle of one.
        redact = self._redactor.redact
        return redact(clean_text(redact(self._inner.format(record))))
