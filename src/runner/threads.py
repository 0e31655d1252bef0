"""The conversation's state on disk: one folder a thread, made before the agent runs and kept for the next execution."""

from __future__ import annotations

from pathlib import Path

from runner.contracts import Thread


def prepare_thread(threads_dir: Path, name: str) -> Thread:
    """Make the thread's folder if it is absent. Raises OSError when it cannot be made or written."""
    thread = Thread(thread_id=f"thread-{name}")
    folder = threads_dir / thread.thread_id
    folder.mkdir(parents=True, exist_ok=True)
    probe = folder / ".writable"
    probe.touch()
    probe.unlink(missing_ok=True)
    return thread
