"""What `faulthandler` wrote about all threads of a process, made readable: those that do something, oldest frame first.

In a process that runs no Python code one thread holds Python's lock and does not give it back. The dump does not say
which one. Those that are seen to wait for something cannot be it, and it is rather an agent's than one of ours.
"""

from __future__ import annotations

import asyncio
import asyncio.base_events
import os
import re
import selectors
import sysconfig
import threading
from itertools import dropwhile
from pathlib import Path
from typing import Final, NamedTuple

from runner.errors.stack_frames import RUNNER, Frame, folder_of, frames_text

_THREAD: Final = re.compile(r"^(?:Current t|T)hread 0x.*$", re.MULTILINE)
_FRAME: Final = re.compile(r'^  File "(.+)", line (\d+) in (.+)$', re.MULTILINE)
_WAITING: Final = re.compile(
    r"/(?:threading\.py (?:wait|_wait_for_tstate_lock|join|run)"
    r"|selectors\.py select|queue\.py get|concurrent/futures/thread\.py _worker"
    r"|projector/event_writer\.py \w+|aiosqlite/core\.py \w+)$"
)
_PACKAGES: Final = Path(__file__).parents[2]
_NOT_AN_AGENTS: Final = (
    *(str(_PACKAGES / name) + os.sep for name in ("projector", "runner", "workflows")),
    *(str(Path(sysconfig.get_path(name))) + os.sep for name in ("stdlib", "purelib", "platlib")),
    "<",
)
_MACHINERY: Final = (RUNNER, folder_of(asyncio.__file__), threading.__file__, selectors.__file__)


class StackDump(NamedTuple):
    """`where` is the newest place in an agent's code, empty when several threads are in some, or none is."""

    where: str
    text: str


def read_dump(written: str) -> StackDump:
    """The one dump in what was written; empty when there is none."""
    threads = [_frames(part) for part in _THREAD.split(written)[1:]]
    busy = [frames for frames in threads if frames and not _waits(frames[-1])]
    places = [(place, frames) for frames in busy if (place := _place(frames)) is not None]
    shown = [frames for _, frames in places] or busy
    text = "\n\n".join(frames_text(_work(frames)) for frames in shown)
    if len(places) != 1:
        return StackDump("", text)
    ((place, _),) = places
    return StackDump(f"{Path(place.file).name}:{place.line} in {place.function}", text)


def _frames(part: str) -> list[Frame]:
    """A thread's frames, oldest first."""
    found = [Frame(file, int(line), function) for file, line, function in _FRAME.findall(part)]
    return found[::-1]


def _place(frames: list[Frame]) -> Frame | None:
    """The newest place that is in none of Python's, installed packages' or our own files."""
    return next((frame for frame in reversed(frames) if not frame.file.startswith(_NOT_AN_AGENTS)), None)


def _waits(newest: Frame) -> bool:
    return _WAITING.search(f"/{newest.file} {newest.function}") is not None


def _work(frames: list[Frame]) -> list[Frame]:
    """Without what led to the work itself: Python, asyncio and the runner."""
    begins = max((n for n, frame in enumerate(frames, 1) if frame.file == asyncio.base_events.__file__), default=0)
    return list(dropwhile(lambda frame: frame.file.startswith(_MACHINERY), frames[begins:])) or frames
