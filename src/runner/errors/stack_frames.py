"""Frames of a stack as text, as Python prints them, and never with local variables.

The newest frames are kept. Recursion is folded into one line. Source lines are read from ordinary files only, and
at most `SOURCE_BUDGET` bytes of them a stack, so that no file can hold the reader up.
"""

from __future__ import annotations

import linecache
import os
import stat
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from types import CodeType
from typing import Final, NamedTuple

from runner.errors.cause_chain import plain

FRAME_LIMIT: Final = 24
"""Frames kept; the newest."""

LINE_LIMIT: Final = 512
"""Characters of a source line: generated code may have it all on one."""

SOURCE_BUDGET: Final = 1_048_576
"""Bytes of source files read for one stack."""

WALK_LIMIT: Final = 100_000
"""Frames looked at; the newest."""


class Frame(NamedTuple):
    """A place in the code; `function` is its qualified name."""

    file: str
    line: int
    function: str


def frame_of(code: CodeType, line: int | None) -> Frame:
    """A frame by its code and the line it is at."""
    return Frame(plain(code.co_filename) or "?", line or 0, plain(code.co_qualname) or "?")


def folder_of(module_file: str) -> str:
    """The folder of a module's `__file__`, as the beginning of the file names of all code in it."""
    return str(Path(module_file).parent) + os.sep


RUNNER: Final = str(Path(__file__).parents[1]) + os.sep
"""The folder of the runner's own code, folders in it included."""


def frames_text(frames: Iterable[Frame]) -> str:
    """One line for each frame and its source, in the order given, which is oldest first."""
    newest, left_out = _newest(frames)
    lines = [f"  … {left_out} older frames left out"] if left_out else []
    budget = SOURCE_BUDGET
    for frame, times in newest:
        source, read = _source(frame, budget)
        budget -= read
        lines.append(f'  File "{frame.file}", line {frame.line}, in {frame.function}')
        lines += [f"    {source}"] if source else []
        lines += [f"  … the same frame {times - 1} more times"] if times > 1 else []
    return "\n".join(lines)


def _newest(frames: Iterable[Frame]) -> tuple[list[tuple[Frame, int]], int]:
    """The newest frames, equal neighbours counted as one, and how many older ones were left out."""
    folded: deque[tuple[Frame, int]] = deque(maxlen=FRAME_LIMIT)
    left_out = 0
    for frame in frames:
        if folded and folded[-1][0] == frame:
            folded[-1] = (frame, folded[-1][1] + 1)
            continue
        if len(folded) == FRAME_LIMIT:
            left_out += folded[0][1]
        folded.append((frame, 1))
    return list(folded), left_out


def _source(frame: Frame, budget: int) -> tuple[str, int]:
    """The frame's line of source, and the bytes read for it."""
    try:
        found = Path(frame.file).stat()
        cost = 0 if frame.file in linecache.cache else found.st_size
        if not stat.S_ISREG(found.st_mode) or cost > budget:
            return "", 0
        return linecache.getline(frame.file, frame.line)[:LINE_LIMIT].strip(), cost
    except BaseException:
        return "", 0
