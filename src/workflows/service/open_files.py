"""Each open stream is an open file of the process, and the system bounds those."""

from __future__ import annotations

import resource
from typing import Final

OTHERS: Final = 128
"""Files that the process needs beside its streams: the store's, Temporal's, those of its own code."""


def room_for(streams: int) -> int:
    """How many of so many streams there is room for; the soft limit is raised where it can be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = streams + OTHERS
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return streams if soft == resource.RLIM_INFINITY else max(1, min(streams, soft - OTHERS))
