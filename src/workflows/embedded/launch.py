"""The way from a command line to a Temporal server that answers, and to its end."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import sys
from asyncio.subprocess import DEVNULL, STDOUT, Process
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from workflows.embedded.errors import EmbeddedTemporalFailed

DEFAULT_PORT: Final = 7233
STOP_GRACE: Final = 5.0
"""How long a server may take to end, in seconds, before it is killed."""
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


@dataclass(frozen=True)
class Launch:
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
            await stop(process)
            raise failure from None
        except BaseException:
            await stop(process)
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


async def stop(process: Process) -> None:
    """End a server: SIGTERM, and SIGKILL when that does not do."""
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


def _free_port(ip: str, preferred: int) -> int:
    for port in (preferred, 0):
        with suppress(OSError), socket.create_server((ip, port)) as probe:
            return int(probe.getsockname()[1])
    raise EmbeddedTemporalFailed(f"the embedded Temporal cannot listen on {ip}. Next: name another loopback address")
