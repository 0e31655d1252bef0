"""What a forked child must let go of: locks, sockets and threads that are its parent's.

A descriptor that a child inherits is the same open file as its parent's: a lock on it would outlive the parent, and
what is read from a socket is taken away from the other. A program started anew inherits none of them.
"""

from __future__ import annotations

import os
from typing import Protocol
from weakref import WeakSet


class Inherited(Protocol):
    """Something that a child inherits and must not use."""

    def let_go_in_child(self) -> None:
        """Close what is the parent's, and be as new. Called in the child, which has one thread; must not raise."""
        ...


_inherited: WeakSet[Inherited] = WeakSet()


def let_go_in_children(thing: Inherited) -> None:
    """Have each child that is forked from now on let go of this."""
    _inherited.add(thing)


def _let_go() -> None:
    for thing in list(_inherited):
        thing.let_go_in_child()


os.register_at_fork(after_in_child=_let_go)
