"""The words that the engines share, as PostgreSQL wants them.

Parameters `?` and `:name` become psycopg's. In CREATE TABLE, types become those that behave as SQLite's do: integers
and floats of 64 bits, and text that is compared byte by byte, whatever the collation of the database is, so that lists
have the same order and pages the same seams on both engines.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final

import psycopg

from projector.engines.ports import Parameters
from projector.engines.postgres.address import Address
from projector.engines.postgres.errors import translated

_TOKENS: Final = re.compile(
    r"""(?P<kept>'(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*|/\*.*?\*/|::)"""
    r"""|(?P<place>\?)|:(?P<name>[A-Za-z_]\w*)|(?P<dropped>\s*\bWITHOUT\s+ROWID\b)"""
    r"""|(?P<type>\b(?:TEXT|INTEGER|REAL|BLOB)\b)|(?P<percent>%)""",
    re.DOTALL | re.IGNORECASE,
)
_TYPES: Final = {"TEXT": 'TEXT COLLATE "C"', "INTEGER": "BIGINT", "REAL": "DOUBLE PRECISION", "BLOB": "BYTEA"}
_CREATE_TABLE: Final = re.compile(r"\s*CREATE\s+TABLE\b", re.IGNORECASE)


@lru_cache(maxsize=1000)
def in_postgres_words(statement: str) -> str:
    """A statement in the shared words, as psycopg takes it with its parameters."""
    makes_table = _CREATE_TABLE.match(statement) is not None

    def word(found: re.Match[str]) -> str:
        match found.lastgroup:
            case "place":
                return "%s"
            case "name":
                return f"%({found['name']})s"
            case "dropped":
                return ""
            case "percent":
                return "%%"
            case "type":
                return _TYPES[found["type"].upper()] if makes_table else found["type"]
            case _:
                return found["kept"].replace("%", "%%")

    return _TOKENS.sub(word, statement)


def query(statement: str) -> bytes:
    """The same, for psycopg's types: they ask for literals, and all statements are written out in our own files."""
    return in_postgres_words(statement).encode()


class SharedCursor:
    """The Cursor port over psycopg's: takes the shared words, gives tuples, raises StoreErrors."""

    def __init__(self, cursor: psycopg.Cursor[tuple[Any, ...]], address: Address) -> None:
        self._cursor = cursor
        self._address = address

    def execute(self, statement: str, parameters: Parameters = (), /) -> SharedCursor:
        """See Cursor.execute."""
        try:
            self._cursor.execute(query(statement), parameters)
        except psycopg.Error as error:
            self._raise(error)
        return self

    def executemany(self, statement: str, rows: Iterable[Parameters], /) -> SharedCursor:
        """See Cursor.executemany."""
        try:
            self._cursor.executemany(query(statement), rows)
        except psycopg.Error as error:
            self._raise(error)
        return self

    def fetchone(self) -> tuple[Any, ...] | None:
        """See Cursor.fetchone."""
        return self._cursor.fetchone()

    def fetchall(self) -> list[tuple[Any, ...]]:
        """See Cursor.fetchall."""
        return self._cursor.fetchall()

    def _raise(self, error: psycopg.Error) -> None:
        meant = translated(self._address, error)
        if meant is error:
            raise error
        raise meant from error
