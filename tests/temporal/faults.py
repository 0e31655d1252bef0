"""Faults that a test brings about on its machine, each for the length of a block."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

MEMORY_GROUPS: Final = Path("/sys/fs/cgroup/memory")
"""Where the kernel's memory groups are, if it has those of the first version."""


@contextmanager
def disk_full_for(pid: int) -> Iterator[None]:
    """Let no file of this process grow or change."""
    limits = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, limits[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)
