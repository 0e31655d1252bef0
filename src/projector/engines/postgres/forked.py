"""What a forked child must not do with its parent's connections: say a word on them, or keep them open.

A word of the child's would be taken for its parent's; so libpq's own way to close one, which says goodbye to the
server, is not for the child. A copy of a socket that stays open keeps the server's side of it, with its locks, when
the parent is gone.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from typing import Any, Final
from weakref import WeakSet

import psycopg
from psycopg import BaseConnection

_door: Final = threading.RLock()
_open: Final[WeakSet[BaseConnection[Any]]] = WeakSet()
_inherited: Final[list[BaseConnection[Any]]] = []
"""Held while forking, so that none is lost before its socket is closed."""
_forgotten: Final[list[BaseConnection[Any]]] = []
"""Held for good in the child: a connection that is thrown away complains of being open."""


def keep_from_children(connection: BaseConnection[Any]) -> None:
    """Have children that are forked leave a connection alone; its owner must forget it there."""
    with _door:
        _open.add(connection)


def _before() -> None:
    _door.acquire()
    _inherited.extend(_open)


def _in_parent() -> None:
    _inherited.clear()
    _door.release()


def _in_child() -> None:
    for connection in _inherited:
        with suppress(OSError, psycopg.Error):  # it was closed already
            os.close(connection.fileno())
    _forgotten.extend(_inherited)
    _inherited.clear()
    _open.clear()
    _door.release()


os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
