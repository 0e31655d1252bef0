"""What an agent is asked, as given on a command line: a text, @file, or - for standard input."""

from __future__ import annotations

import sys
from pathlib import Path

from projector.errors import InputRejected
from runner.contracts import INPUT_LIMIT


def read_input(given: str) -> str:
    """The text. Raises InputRejected for what is absent, not readable, too large or not UTF-8."""
    if given == "-":
        return _decoded(_standard_input(), "standard input")
    if not given.startswith("@"):
        return given
    path = Path(given[1:])
    try:
        with path.open("rb") as file:
            return _decoded(file.read(INPUT_LIMIT + 1), f"the input file {path}")
    except OSError as error:
        raise InputRejected(f"the input file {path} cannot be read: {error.strerror}") from None


def _standard_input() -> bytes:
    try:
        return sys.stdin.buffer.read(INPUT_LIMIT + 1)
    except OSError as error:  # among others where it was closed
        raise InputRejected(
            f"standard input cannot be read: {error.strerror}; pipe the input into it, or give it as text or @file"
        ) from None


def _decoded(content: bytes, where: str) -> str:
    if len(content) > INPUT_LIMIT:
        raise InputRejected(f"{where} has more than {INPUT_LIMIT:,} bytes: give the agent its path instead")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputRejected(f"{where} is not UTF-8: byte {error.start} is {content[error.start]:#04x}") from None
