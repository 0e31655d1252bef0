"""Where an event store is: a file of SQLite's, or a database of PostgreSQL's."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_PASSWORD: Final = re.compile(r"(?<=//)([^/@?:]*):.*@|(?<=password=)[^&\s]*", re.IGNORECASE | re.DOTALL)
"""Up to the last @: a password may have signs in it that should have been percent-encoded."""
_POSTGRES: Final = ("postgresql", "postgres")


@dataclass(frozen=True, slots=True)
class SqliteAddress:
    """A file."""

    path: Path

    @property
    def url(self) -> str:
        """The same for another process, wherever that runs."""
        return str(self.path.absolute())

    def __str__(self) -> str:
        return str(self.path)


@dataclass(frozen=True, slots=True)
class PostgresAddress:
    """A database, as libpq understands it."""

    url: str

    def __str__(self) -> str:
        return _PASSWORD.sub(lambda found: f"{found[1]}:***@" if found[1] is not None else "***", self.url)


StoreAddress = SqliteAddress | PostgresAddress


def parse(url: str) -> StoreAddress:
    """The store that a URL or a path names. Raises ValueError, which says what it may be."""
    scheme, separator, rest = url.partition("://")
    if separator and scheme in _POSTGRES:
        return PostgresAddress(url)
    if separator and (scheme != "sqlite" or not rest.startswith("/") or rest == "/"):
        raise ValueError(
            "name an SQLite file, as sqlite:///relative/file.db, sqlite:////absolute/file.db or a path, "
            "or a PostgreSQL database, as postgresql://user@host/name"
        )
    try:
        return SqliteAddress(Path(rest[1:] if separator else url).expanduser())
    except RuntimeError:
        raise ValueError("nobody on this machine has that name: write the path without ~") from None
