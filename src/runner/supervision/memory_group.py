"""Whether the kernel killed a process for lack of memory, as far as its memory cgroup proves it.

SIGKILL alone proves nothing: people send it, too. But the kernel counts, for each memory cgroup, the processes of it
that it killed for lack of memory. A process may be moved to another cgroup while it lives, so its place is looked up
again and again.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

LATELY: Final = 10.0
"""A process counts as killed for lack of memory when its group's counter rose at most so long before its end (s)."""

_V1: Final = "memory"


class MemoryGroup:
    """The memory cgroup of one process, and its count of kills."""

    def __init__(self, pid: int, *, proc: Path = Path("/proc"), groups: Path = Path("/sys/fs/cgroup")) -> None:
        self._place = proc / str(pid) / "cgroup"
        self._groups = groups
        self._counts: dict[Path, int] = {}
        self._rose_at: float | None = None
        self.look()

    def look(self) -> None:
        """Read the counter; to be called now and then while the process lives, and once after."""
        counter = self._counter()
        # The last group too: a process that has died may be shown elsewhere before its parent has looked.
        for known in self._counts:
            count = _kills(known)
            if count is not None:
                if count > self._counts[known]:
                    self._rose_at = time.monotonic()
                self._counts[known] = count
        if counter is not None and counter not in self._counts and (count := _kills(counter)) is not None:
            self._counts = {**dict(list(self._counts.items())[-1:]), counter: count}

    @property
    def has_killed(self) -> bool:
        """Whether a process of the group was killed for lack of memory just now."""
        return self._rose_at is not None and time.monotonic() - self._rose_at <= LATELY

    def _counter(self) -> Path | None:
        """The file with the counter of the process's group."""
        try:
            lines = self._place.read_text().splitlines()
        except OSError:  # it is gone, or this is not Linux
            return None
        places = {kind: path for _, kind, path in (line.split(":", 2) for line in lines if line.count(":") >= 2)}
        first = next((path for kinds, path in places.items() if _V1 in kinds.split(",")), None)
        if first is not None:
            return _existing(self._groups / _V1, first, ("memory.oom_control",))
        names = ("memory.events.local", "memory.events")
        return _existing(self._groups, places.get("", "/"), names)


def _existing(mount: Path, path: str, names: tuple[str, ...]) -> Path | None:
    # In a container the group's own folder may be mounted in place of the root.
    folders = (mount / path.lstrip("/"), mount)
    return next((folder / name for folder in folders for name in names if (folder / name).is_file()), None)


def _kills(counter: Path) -> int | None:
    try:
        fields = dict(line.split(maxsplit=1) for line in counter.read_text().splitlines() if " " in line)
        return int(fields["oom_kill"])
    except (OSError, ValueError, KeyError):
        return None
