"""How a runner's process ended: exit code or signal, and what its last words prove."""

from __future__ import annotations

import re
import signal
from typing import Final, NamedTuple

from projector.failures import ErrorReport
from runner.startup import BLOCK_TITLE

_TRACEBACK: Final = "Traceback (most recent call last):"
_RAISED: Final = re.compile(r"([A-Za-z_][\w.]*)(?::(?: (.*))?)?")
_TOLD: Final = re.compile(r"^error: +([A-Za-z_][\w.]*)(?:: (.*))?$", re.MULTILINE)
_RULE: Final = "===="
_MESSAGE_LINES: Final = 20
_NO_MEMORY: Final = re.compile(
    r"memory allocation of \d+ bytes failed"  # Rust
    r"|terminate called after throwing an instance of 'std::bad_alloc'"  # C++
    r"|Cannot recover from MemoryErrors"  # Python
)


class ProcessEnd(NamedTuple):
    """The exit code, or the name of the signal that ended it."""

    exit_code: int | None
    signal: str | None

    @classmethod
    def of(cls, returncode: int) -> ProcessEnd:
        """From a code as Python gives it: negative for a signal."""
        if returncode >= 0:
            return cls(returncode, None)
        try:
            return cls(None, signal.Signals(-returncode).name)
        except ValueError:  # a real-time signal, which has no name
            return cls(None, str(-returncode))


def prove_out_of_memory(end: ProcessEnd, last_words: str) -> bool:
    """Whether what it wrote last proves that it ended for lack of memory."""
    if end.signal == "SIGABRT":
        return _NO_MEMORY.search(last_words) is not None
    error = last_error(end, last_words)
    return error is not None and error.type.endswith("MemoryError")


def last_error(end: ProcessEnd, last_words: str) -> ErrorReport | None:
    """The error that ended a Python process, from what it wrote last; None when it does not say."""
    if end.exit_code != 1:  # with which Python ends when an exception is not caught
        return None
    at = last_words.rfind(_TRACEBACK)
    if at >= 0:
        return _raised(last_words[at:])
    told = last_words.rfind(BLOCK_TITLE)
    found = _TOLD.search(last_words, told) if told >= 0 else None
    return ErrorReport(kind="system", type=found[1], message=found[2] or "") if found else None


def _raised(traceback: str) -> ErrorReport | None:
    _, *lines = traceback.splitlines()
    at = next((number for number, line in enumerate(lines) if line and not line[0].isspace()), None)
    found = _RAISED.fullmatch(lines[at]) if at is not None else None
    if at is None or found is None:
        return None
    message = [found[2] or ""]
    for more in lines[at + 1 : at + _MESSAGE_LINES]:
        if not more.strip() or more.startswith(_RULE):
            break
        message.append(more)
    frames = "\n".join(lines[:at])
    return ErrorReport(kind="system", type=found[1], message="\n".join(message), stack=f"{_TRACEBACK}\n{frames}")
