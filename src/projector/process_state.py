"""What the system says of another process on this machine, from proc(5); nothing where there is no /proc."""

from __future__ import annotations

from pathlib import Path
from typing import Final

STOPPED: Final = {"T": "is stopped (SIGSTOP)", "t": "is held by a debugger"}
"""What the letters of a process that stands still mean."""


def state_of(pid: int) -> str:
    """The letter of the process's state; empty when it cannot be known."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return ""


def command_of(pid: int, longest: int = 80) -> str:
    """The command that the process was started with, cut to so many characters; empty when it cannot be known."""
    try:
        line = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""
    text = "".join(character if character.isprintable() else "?" for character in line)
    return text if len(text) <= longest else text[: longest - 1] + "…"
