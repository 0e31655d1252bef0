"""Which benchmarks there are, in the order of the page."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Final

from benchmarks.harness import Table

MODULES: Final = (
    "emitting",
    "awaiting",
    "agent_loop",
    "emitting_dbos",
    "folding",
    "projection",
    "rebuilding",
    "waking",
    "waking_postgres",
    "following",
    "broadcasting",
    "querying",
    "sharing",
    "memory",
)
"""The modules that export TABLES."""


def tables() -> list[Table]:
    """All tables there are. Raises ValueError when two have the same name."""
    found: list[Table] = []
    for name in MODULES:
        found += importlib.import_module(f"benchmarks.{name}").TABLES
    names = [table.name for table in found]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"two benchmarks are called {', '.join(sorted(twice))}: give one another name")
    return found


def chosen(words: Sequence[str]) -> list[Table]:
    """The tables of these subjects or names, all when there is no word. Raises ValueError for a word that is none."""
    known = tables()
    words_known = sorted({table.subject for table in known} | {table.name for table in known})
    if unknown := [word for word in words if word not in words_known]:
        raise ValueError(f"{', '.join(unknown)}: no such benchmark; choose from {', '.join(words_known)}")
    return [table for table in known if not words or table.name in words or table.subject in words]
