"""Where a thread is right now, as text, and in a few words: the place that a person would look at first.

What led to the code that the thread's event loop runs, which is Python, asyncio and the runner, is left out.
"""

from __future__ import annotations

import asyncio
import asyncio.base_events
import os
import selectors
import sys
import sysconfig
import threading
from collections.abc import Iterator
from itertools import dropwhile, islice
from pathlib import Path
from types import FrameType
from typing import Final, NamedTuple

from runner.errors.stack_frames import RUNNER, WALK_LIMIT, Frame, folder_of, frame_of, frames_text

_MACHINERY: Final = (RUNNER, folder_of(asyncio.__file__), threading.__file__, selectors.__file__)
_LIBRARIES: Final = (
    folder_of(threading.__file__),
    *(str(Path(sysconfig.get_path(name))) + os.sep for name in ("purelib", "platlib")),
)


class ThreadStack(NamedTuple):
    """Where a thread is.

    `where` is the newest place outside of Python's library and installed packages, or the newest at all, like
    `tides.py:41 in compute_tides`. `text` is one line for each frame and its source, oldest first.
    """

    where: str
    text: str


def thread_stack(thread_id: int) -> ThreadStack | None:
    """The stack of the thread with this identifier (`threading.Thread.ident`); None when there is no such thread."""
    frames = _frames(sys._current_frames().get(thread_id))
    if not frames:
        return None
    place = next((frame for frame in reversed(frames) if not frame.file.startswith(_LIBRARIES)), frames[-1])
    return ThreadStack(f"{Path(place.file).name}:{place.line} in {place.function}", frames_text(frames))


def _frames(newest: FrameType | None) -> list[Frame]:
    """The frames of what the loop runs, oldest first; all there are when it runs nothing."""
    found = [frame_of(frame.f_code, frame.f_lineno) for frame in islice(_outwards(newest), WALK_LIMIT)]
    found.reverse()
    begins = max((n for n, frame in enumerate(found, 1) if frame.file == asyncio.base_events.__file__), default=0)
    return list(dropwhile(lambda frame: frame.file.startswith(_MACHINERY), found[begins:])) or found


def _outwards(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back
