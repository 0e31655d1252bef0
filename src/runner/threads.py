"""The conversation's state on disk: one folder a thread, made before the agent runs and kept for the next execution."""

from __future__ import annotations

import re
from pathlib import Path

from projector.errors import InputRejected
from projector.events import EXECUTION_ID_PATTERN
from runner.contracts import Thread


def prepare_thread(threads_dir: Path, name: str) -> Thread:
    """Make the thread's folder if it is absent.

    Raises InputRejected for a name that could lead elsewhere, OSError when the folder cannot be made or written.
    """
    if not re.fullmatch(EXECUTION_ID_PATTERN, name):
        raise InputRejected(f"{name[:60]!r} is not a session id")
    thread = Thread(thread_id=f"thread-{name}")
    folder = threads_dir / thread.thread_id
    folder.mkdir(parents=True, exist_ok=True)
    probe = folder / ".writable"
    probe.touch()
    probe.unlink(missing_ok=True)
    return thread
