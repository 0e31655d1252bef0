"""Room for streams: the limit of open files is raised where it can be, and bounds them where it cannot."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
from workflows.service.open_files import room_for
soft, hard, streams = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
print(room_for(streams), resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


@pytest.mark.parametrize(
    ("soft", "hard", "streams", "room", "then"),
    [(256, 4096, 2000, 2000, 2128), (256, 512, 2000, 384, 512), (4096, 4096, 2000, 2000, 4096), (64, 64, 9, 1, 64)],
)
def test_room(soft: int, hard: int, streams: int, room: int, then: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, (soft, hard, streams))], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [str(room), str(then)]
