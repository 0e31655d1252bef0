"""The stack of an error as text, as Python prints it, without the runner's own frames and never with local variables.

The newest frames are kept. Recursion is folded into one line. Source lines are read from ordinary files only, and
at most `SOURCE_BUDGET` bytes of them a stack, so that no file can hold the reader up.
"""

from __future__ import annotations

import importlib
import linecache
import os
import stat
from collections import deque
from collections.abc import Iterable
from itertools import dropwhile
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple

from runner.cause_chain import plain

FRAME_LIMIT: Final = 24
"""Frames kept; those nearest to the error."""

LINE_LIMIT: Final = 512
"""Characters of a source line: generated code may have it all on one."""

SOURCE_BUDGET: Final = 1_048_576
"""Bytes of source files read for one stack."""

_RUNNER: Final = str(Path(__file__).resolve().parent) + os.sep
_IMPORTLIB: Final = str(Path(importlib.__file__).resolve().parent) + os.sep
_WALK_LIMIT: Final = 100_000


class _Frame(NamedTuple):
    file: str
    line: int
    function: str


def stack_text(error: BaseException) -> str:
    """One line for each frame and its source, oldest first; empty when the error was never raised."""
    frames, left_out = _newest(_frames(BaseException.__dict__["__traceback__"].__get__(error)))
    lines = [f"  … {left_out} older frames left out"] if left_out else []
    budget = SOURCE_BUDGET
    for frame, times in frames:
        source, read = _source(frame, budget)
        budget -= read
        lines.append(f'  File "{frame.file}", line {frame.line}, in {frame.function}')
        lines += [f"    {source}"] if source else []
        lines += [f"  … the same frame {times - 1} more times"] if times > 1 else []
    return "\n".join(lines)


def _frames(at: TracebackType | None) -> list[_Frame]:
    """All frames, without the machinery's at the outer end, unless there is nothing else."""
    found: deque[_Frame] = deque(maxlen=_WALK_LIMIT)
    while at is not None:
        code = at.tb_frame.f_code
        found.append(_Frame(plain(code.co_filename) or "?", at.tb_lineno or 0, plain(code.co_qualname) or "?"))
        at = at.tb_next
    return list(dropwhile(_is_machinery, found)) or list(found)


def _is_machinery(frame: _Frame) -> bool:
    """Whether it is on the way to the agent: the runner, or Python's import of the agent's module."""
    return frame.file.startswith((_RUNNER, _IMPORTLIB, "<frozen importlib."))


def _newest(frames: Iterable[_Frame]) -> tuple[list[tuple[_Frame, int]], int]:
    """The newest frames, equal neighbours counted as one, and how many older ones were left out."""
    folded: deque[tuple[_Frame, int]] = deque(maxlen=FRAME_LIMIT)
    left_out = 0
    for frame in frames:
        if folded and folded[-1][0] == frame:
            folded[-1] = (frame, folded[-1][1] + 1)
            continue
        if len(folded) == FRAME_LIMIT:
            left_out += folded[0][1]
        folded.append((frame, 1))
    return list(folded), left_out


def _source(frame: _Frame, budget: int) -> tuple[str, int]:
    """The frame's line of source, and the bytes read for it."""
    try:
        found = Path(frame.file).stat()
        cost = 0 if frame.file in linecache.cache else found.st_size
        if not stat.S_ISREG(found.st_mode) or cost > budget:
            return "", 0
        return linecache.getline(frame.file, frame.line)[:LINE_LIMIT].strip(), cost
    except BaseException:
        return "", 0
