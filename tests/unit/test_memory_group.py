"""Whether the kernel killed a process for lack of memory: read from the counters of its memory cgroup."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from runner.supervision.memory_group import MemoryGroup

PID: Final = 4711
V1: Final = "9:name=systemd:/\n4:memory:{}\n0::/elsewhere\n"
V2: Final = "0::{}\n"


class Kernel:
    """Files as the kernel shows them."""

    def __init__(self, folder: Path) -> None:
        self.proc, self.groups = folder / "proc", folder / "cgroup"
        (self.proc / str(PID)).mkdir(parents=True)
        self.groups.mkdir()

    def puts(self, lines: str, group: str) -> None:
        (self.proc / str(PID) / "cgroup").write_text(lines.format(group))

    def counts(self, file: str, kills: int) -> None:
        place = self.groups / file
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(f"oom_kill_disable 0\nunder_oom 0\noom_kill {kills}\n")

    def group(self) -> MemoryGroup:
        return MemoryGroup(PID, proc=self.proc, groups=self.groups)


@pytest.fixture
def kernel(tmp_path: Path) -> Kernel:
    return Kernel(tmp_path)


@pytest.mark.parametrize(
    ("lines", "file"),
    [
        (V1, "memory/hold/memory.oom_control"),
        (V2, "hold/memory.events.local"),
        (V2, "hold/memory.events"),
        (V1, "memory/memory.oom_control"),  # in a container, whose own group stands for the root
        (V2, "memory.events"),
    ],
)
def test_a_counter_that_rises_is_a_kill(kernel: Kernel, lines: str, file: str) -> None:
    kernel.puts(lines, "/hold")
    kernel.counts(file, 3)
    group = kernel.group()
    group.look()
    assert not group.has_killed

    kernel.counts(file, 4)
    group.look()

    assert group.has_killed


def test_a_process_that_is_moved_is_followed_and_what_its_new_group_counted_before_is_not_held_against_it(
    kernel: Kernel,
) -> None:
    kernel.puts(V1, "/hold")
    kernel.counts("memory/hold/memory.oom_control", 0)
    kernel.counts("memory/bilge/memory.oom_control", 9)
    group = kernel.group()
    kernel.puts(V1, "/bilge")
    group.look()
    assert not group.has_killed

    kernel.counts("memory/bilge/memory.oom_control", 10)
    group.look()

    assert group.has_killed


def test_a_process_that_has_gone_is_still_known_by_its_last_group(kernel: Kernel) -> None:
    kernel.puts(V2, "/hold")
    kernel.counts("hold/memory.events", 0)
    group = kernel.group()
    (kernel.proc / str(PID) / "cgroup").unlink()
    kernel.counts("hold/memory.events", 1)
    group.look()

    assert group.has_killed


def test_without_cgroups_nothing_is_claimed(kernel: Kernel) -> None:
    group = kernel.group()
    group.look()

    assert not group.has_killed


@pytest.mark.parametrize("content", ["", "oom_kill\n", "oom_kill many\n", "oom 3\n"])
def test_a_counter_that_cannot_be_read_proves_nothing(kernel: Kernel, content: str) -> None:
    kernel.puts(V2, "/hold")
    kernel.counts("hold/memory.events", 0)
    group = kernel.group()
    (kernel.groups / "hold" / "memory.events").write_text(content)
    group.look()

    assert not group.has_killed
