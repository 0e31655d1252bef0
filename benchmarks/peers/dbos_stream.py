"""dbos: a workflow that writes its progress to a stream, which is its way of telling how far an agent is.

It promises more than an append: each write is a step of a durable workflow. It is measured in a process of its own,
since it starts threads that go on.
"""

from __future__ import annotations

import importlib
import time
from pathlib import Path
from typing import Any

from benchmarks.samples import note


def measure(url: str, events: int) -> float:
    """Events a second of one workflow that writes `events` events; `url` is a sqlite:/// or postgresql:// URL.

    Raises ImportError without dbos: `make bench` installs it.
    """
    dbos: Any = importlib.import_module("dbos")  # not installed where types are checked
    dbos.DBOS(config={"name": "voyages", "system_database_url": url, "log_level": "ERROR"})

    def survey(count: int) -> float:
        began = time.perf_counter()
        for number in range(count):
            dbos.DBOS.write_stream("progress", {"done": float(number), "total": 1000.0, "note": note()})
        return time.perf_counter() - began

    workflow = dbos.DBOS.workflow()(survey)
    dbos.DBOS.launch()
    try:
        seconds: float = workflow(events)
    finally:
        dbos.DBOS.destroy()
    return events / seconds


def sqlite_url(path: Path) -> str:
    """The address of a file."""
    return f"sqlite:///{path}"
