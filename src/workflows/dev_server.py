"""The embedded Temporal: the development server of the `embedded` extra, as a child of this process.

Nothing is downloaded: the binary is the one that the extra put beside the interpreter. The server binds loopback only,
as it has no authentication, and on Linux it never outlives this process. Temporal itself lets two servers open one
database file and ruin each other's work, so each holds a lock on a file beside it; the kernel drops the lock with its
last holder, so it is never stale.
"""

from __future__ import annotations

import ipaddress
import shutil
import sys
import sysconfig
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from projector.errors import InputRejected
from workflows.embedded.errors import EmbeddedTemporalMissing
from workflows.embedded.files import locked, open_to_append
from workflows.embedded.launch import Launch, stop

START_TIMEOUT: Final = 30.0


@dataclass(frozen=True)
class DevServer:
    """A development server that answers. `address` is host:port; `pid` is the server's own process."""

    address: str
    namespace: str
    pid: int


@asynccontextmanager
async def dev_server(
    *,
    database: Path | None,
    port: int | None = None,
    ip: str = "127.0.0.1",
    namespace: str = "default",
    log_path: Path | None = None,
    search_attributes: Mapping[str, str] | None = None,
    start_timeout: float = START_TIMEOUT,
) -> AsyncIterator[DevServer]:
    """Run a Temporal server for the length of the block, and end it (SIGTERM, after 5 s SIGKILL) at its end.

    `database` is the file that keeps its state (None: in memory); `port` None takes 7233 when it is free, else any free
    one; `search_attributes` maps names to Temporal's types ("Keyword"); `log_path` is appended to; `start_timeout` is
    in seconds. On Linux the server dies with the thread that enters the block.

    Raises InputRejected when `ip` is not an IPv4 loopback address or the database's name has one of ?, # and %,
    EmbeddedTemporalMissing when there is no binary, and EmbeddedTemporalFailed when the server does not come up.
    """
    _refuse_unless_loopback(ip)
    if database:
        _refuse_unless_plain(database.name)
    binary = find_binary()
    async with AsyncExitStack() as held:
        lock = await held.enter_async_context(locked(database)) if database else None
        log = held.enter_context(open_to_append(log_path))
        command = [str(binary), "server", "start-dev", "--headless", "--ip", ip, "--namespace", namespace]
        command += ["--log-level", "error", "--dynamic-config-value", "frontend.enableServerVersionCheck=false"]
        if database:  # its name alone, relative to the folder that the server runs in: see _refuse_unless_plain
            command += ["--db-filename", database.name]
        for name, kind in (search_attributes or {}).items():
            command += ["--search-attribute", f"{name}={kind}"]

        launch = Launch(command, ip, namespace, log, database, lock, start_timeout)
        process, address = await launch.run(port)
        try:
            if lock:
                lock.write(str(process.pid).encode())
                lock.flush()
            yield DevServer(address=address, namespace=namespace, pid=process.pid)
        finally:
            await stop(process)


def find_binary() -> Path:
    """The `temporal` binary: beside the interpreter, else among the installed scripts, else on the PATH.

    Raises EmbeddedTemporalMissing.
    """
    for folder in (str(Path(sys.executable).parent), sysconfig.get_path("scripts"), None):
        if found := shutil.which("temporal", path=folder):
            return Path(found).absolute()
    raise EmbeddedTemporalMissing


def _refuse_unless_loopback(ip: str) -> None:
    try:
        loopback = ipaddress.IPv4Address(ip).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise InputRejected(
            f"the embedded Temporal cannot listen on '{ip}': it has no authentication, so it takes IPv4 loopback "
            "addresses only, as 127.0.0.1; for other machines run a Temporal of your own and set TEMPORAL_ADDRESS"
        )


def _refuse_unless_plain(name: str) -> None:
    # Temporal puts the name into an SQLite URI as it is, and looks for the file under that same name.
    if found := sorted(set(name) & set("?#%")):
        raise InputRejected(
            f"the embedded Temporal cannot keep its database in a file named '{name}': choose a name without {found[0]}"
        )
