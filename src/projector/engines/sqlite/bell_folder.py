"""Where the sockets of those who listen to one store are: a folder that nobody else can write to.

It has a fixed place and a short name. The address of a socket has about a hundred bytes at most, which the path of a
store may exceed; and TMPDIR or XDG_RUNTIME_DIR may differ between the processes that are to meet, or go away when a
user logs out.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import socket
import stat
from pathlib import Path
from typing import Final

_HOME: Final = "/tmp/execution-status-{user}"  # noqa: S108 - a fixed place, and whose it is is checked
_TRIES: Final = 5
"""How often the folder may be removed by others, who think it empty, while a socket is made in it."""


class BellFolder:
    """The folder of one store for one user. It is there while somebody listens."""

    def __init__(self, store: Path) -> None:
        name = hashlib.sha256(os.fsencode(os.path.realpath(store))).hexdigest()[:16]
        self._home = Path(_HOME.format(user=os.geteuid()))
        self._path = self._home / name

    def changed(self) -> int | None:
        """When it last changed, in ns, by the filesystem's clock; None if it is not there."""
        try:
            return self._path.stat().st_mtime_ns
        except OSError:
            return None

    def sockets(self) -> tuple[str, ...]:
        """The addresses of all who listen, and of some who died. Raises OSError when the folder is not ours."""
        self._check_home()
        return tuple(str(each) for each in self._path.iterdir() if not each.name.startswith("."))

    def add(self) -> tuple[socket.socket, str]:
        """A new socket that all will ring, and its address. Raises OSError when the folder is not ours."""
        with contextlib.suppress(FileExistsError):
            self._home.mkdir(0o700)
        self._check_home()
        self._sweep()
        for _ in range(_TRIES):
            with contextlib.suppress(FileExistsError):
                self._path.mkdir(0o700)
            with contextlib.suppress(FileNotFoundError):
                return self._bind()
        raise OSError(f"{self._path} was removed again and again")

    def remove(self, address: str) -> None:
        """Remove a socket, and its folder when it was the last."""
        socket_file = Path(address)
        with contextlib.suppress(OSError):
            socket_file.unlink()
        with contextlib.suppress(OSError):
            socket_file.parent.rmdir()

    def _sweep(self) -> None:
        """Remove what processes that were killed left behind, for stores that nobody rings for any more."""
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as knocking:
            for each in self._home.glob("*/*"):
                try:
                    knocking.connect(str(each))
                except ConnectionRefusedError:
                    self.remove(str(each))

    def _bind(self) -> tuple[socket.socket, str]:
        name = f"{os.getpid()}-{secrets.token_hex(4)}"
        address, hidden = self._path / name, self._path / f".{name}"
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            listening.setblocking(False)
            # Its file is there for a moment before it can be reached, and would be taken for a dead one's.
            listening.bind(str(hidden))
            hidden.rename(address)
        except BaseException:
            listening.close()
            raise
        return listening, str(address)

    def _check_home(self) -> None:
        found = self._home.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
            raise PermissionError(
                f"{self._home} is not a folder of this user's alone, so nothing that is in it can be trusted: remove it"
            )
