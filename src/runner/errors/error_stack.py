"""The stack of an error as text, as Python prints it, without the frames on the way to the agent."""

from __future__ import annotations

import importlib
from collections import deque
from itertools import dropwhile
from types import TracebackType
from typing import Final

from runner.errors.stack_frames import RUNNER, WALK_LIMIT, Frame, folder_of, frame_of, frames_text

# On the way to the agent: the runner, and Python's import of the agent's module.
_MACHINERY: Final = (RUNNER, folder_of(importlib.__file__), "<frozen importlib.")


def stack_text(error: BaseException) -> str:
    """One line for each frame and its source, oldest first; empty when the error was never raised."""
    return frames_text(_frames(BaseException.__dict__["__traceback__"].__get__(error)))


def _frames(at: TracebackType | None) -> list[Frame]:
    """All frames, without the machinery's at the outer end, unless there is nothing else."""
    found: deque[Frame] = deque(maxlen=WALK_LIMIT)
    while at is not None:
        found.append(frame_of(at.tb_frame.f_code, at.tb_lineno))
        at = at.tb_next
    return list(dropwhile(lambda frame: frame.file.startswith(_MACHINERY), found)) or list(found)
