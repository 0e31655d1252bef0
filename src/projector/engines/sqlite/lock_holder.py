"""Which process keeps everybody else from writing to a store, when they wait in vain.

SQLite takes its locks on the store's file and on the log's index beside it, `<store>-shm`, and the kernel says who has
them. A process that is stopped or held by a debugger in the middle of a write, or while it opens or closes the store,
keeps them, and so holds up everybody until it goes on.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from projector.process_state import STOPPED, command_of, state_of

# In a process of its own: one that opens and closes these files by itself loses the locks that SQLite has on them.
# Only an exclusive lock stands in the way of a shared one, for which is asked: on the bytes for the database's locks
# (os_unix.c) and for those of the log (sqlite.org/walformat.html).
_ASK: Final = """
import fcntl, os, struct, sys
pid = 0
for name, first, length in ((sys.argv[1], 0x40000000, 512), (sys.argv[1] + "-shm", 120, 9)):
    if not pid and os.path.exists(name):
        with open(name, "rb") as file:
            answer = fcntl.fcntl(file, fcntl.F_GETLK, struct.pack("hhqqi", fcntl.F_RDLCK, 0, first, length, 0))
        kind, _, _, _, found = struct.unpack("hhqqi", answer)
        pid = 0 if kind == fcntl.F_UNLCK else found
print(pid)
"""
_PATIENCE: Final = 2.0


@dataclass(frozen=True, slots=True)
class LockHolder:
    """The process that has the lock, and what it was doing when we looked."""

    pid: int
    state: str
    command: str

    @property
    def stands_still(self) -> bool:
        """Whether it is stopped or held by a debugger, so that it cannot let go of the lock."""
        return self.state in STOPPED

    def __str__(self) -> str:
        what = f" ({self.command})" if self.command else ""
        if not self.stands_still:
            return f"process {self.pid}{what} has its write lock"
        return (
            f"process {self.pid}{what} has its write lock and {STOPPED[self.state]}: "
            f"continue it (`kill -CONT {self.pid}`) or end it (`kill -KILL {self.pid}`)"
        )


def lock_holder(store: Path) -> LockHolder | None:
    """The process that has this store to itself; None when nobody has, or on systems that do not tell."""
    if sys.platform != "linux":
        return None
    command = [sys.executable, "-I", "-S", "-c", _ASK, str(store.absolute())]
    try:
        asked = subprocess.run(command, capture_output=True, timeout=_PATIENCE, text=True, check=True)
        pid = int(asked.stdout)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return LockHolder(pid, state_of(pid), command_of(pid)) if pid else None
