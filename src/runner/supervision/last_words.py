"""The last bytes that a process wrote into a pipe, kept by a thread that passes all of them on.

A thread, because the place to which they are passed on may block, and that must hold up nobody but the writer, whom it
would have held up without us too. What an agent has started may keep the pipe open after its runner's end: the thread
then goes on, and whoever wants the last words does not wait for it.
"""

from __future__ import annotations

import os
import select
import threading
from typing import Final

STDERR_KEPT: Final = 64 * 1024
"""How many bytes of a runner's standard error are kept."""
STACKS_KEPT: Final = 16 * 1024
"""How many bytes of the stacks that it leaves are kept."""

_AT_ONCE: Final = 64 * 1024


class LastWords:
    """A pipe and what came last out of it. Safe to use from several threads."""

    def __init__(self, keep: int, *, pass_on_to: int | None = None) -> None:
        """Keeps the last `keep` bytes; `pass_on_to` is a descriptor, which stays the caller's."""
        self._reader, self.writer = os.pipe()
        self._target = os.dup(pass_on_to) if pass_on_to is not None else None
        self._keep = keep
        self._kept = bytearray()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="last-words", daemon=True)
        self._thread.start()

    def let_go(self) -> None:
        """Close our own copy of the writing end; to be called when the process has inherited it."""
        os.close(self.writer)

    def settle(self, patience: float) -> None:
        """Wait until all has been read that the processes wrote, for `patience` seconds at most."""
        self._thread.join(patience)

    def text(self) -> str:
        """What is kept. A line that was cut at the beginning is left out."""
        with self._lock:
            kept = bytes(self._kept)
        if len(kept) == self._keep and b"\n" in kept:
            kept = kept[kept.index(b"\n") + 1 :]
        return kept.decode("utf-8", "replace")

    def forget(self) -> None:
        """Keep nothing of what came so far."""
        with self._lock:
            self._kept.clear()

    def _run(self) -> None:
        try:
            while data := os.read(self._reader, _AT_ONCE):
                with self._lock:
                    self._kept += data
                    del self._kept[: -self._keep]
                self._pass_on(data)
        finally:
            os.close(self._reader)
            if self._target is not None:
                os.close(self._target)

    def _pass_on(self, data: bytes) -> None:
        if self._target is None:
            return
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(self._target, rest) :]
            except BlockingIOError:  # somebody made it so
                waiting = select.poll()
                waiting.register(self._target, select.POLLOUT)
                waiting.poll()
            except OSError:  # its disk is full, or nobody reads: the runner goes on
                return
