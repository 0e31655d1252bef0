"""Walk from an error down to its root cause, however hostile, deep or cyclic the chain is.

An exception is read through the slots of `BaseException` itself, so that no property, metaclass or `__class__` of the
agent's can run, raise or lie on the way. `attribute` and `words` are the only two that run foreign code, and they
swallow whatever it raises, `KeyboardInterrupt` included. Nothing here recurses.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

WALK_LIMIT: Final = 20_000
"""Errors visited at most: a chain of 10,000 takes about 5 ms, and nobody builds a longer one in good faith."""

_SLOT: Final = BaseException.__dict__
_MEMBERS: Final = BaseExceptionGroup.__dict__["exceptions"]
_CANCELLED: Final = (asyncio.CancelledError, concurrent.futures.CancelledError)


class Link(NamedTuple):
    """One error of a chain. `explicit` means that `raise … from` (or membership in a group) leads here all the way."""

    error: BaseException
    explicit: bool


def is_a(value: object, kind: type | tuple[type, ...]) -> bool:
    """`isinstance` that looks at the true type only: `__class__` may lie or raise."""
    return issubclass(type(value), kind)


def plain(value: object) -> str | None:
    """The exact `str` of a string, free of any subclass's methods; None for anything else."""
    return str.__str__(value) if is_a(value, str) else None


def attribute(value: object, name: str) -> Any:
    """`getattr` that gives None when the attribute is missing or raises."""
    try:
        return getattr(value, name, None)
    except BaseException:
        return None


def arguments(error: BaseException) -> tuple[Any, ...]:
    """What the error was raised with."""
    found = _SLOT["args"].__get__(error)
    return found if type(found) is tuple else ()


def walk(error: BaseException) -> Iterator[Link]:
    """The error, then what caused it, down to the root; each error once."""
    seen: set[int] = set()
    link: Link | None = Link(error, True)
    while link is not None and id(link.error) not in seen and len(seen) < WALK_LIMIT:
        seen.add(id(link.error))
        yield link
        link = _cause_of(link)


def chain(error: BaseException, limit: int) -> tuple[Link, ...]:
    """The first `limit` links of the walk, and the root as the last of them."""
    kept: list[Link] = []
    for link in walk(error):
        if len(kept) < limit:
            kept.append(link)
        else:
            kept[-1] = link
    return tuple(kept)


def leaves(error: BaseException, limit: int) -> tuple[BaseException, ...]:
    """The first `limit` members of a group that are no groups themselves, in order; empty for any other error."""
    found: list[BaseException] = []
    seen: set[int] = {id(error)}
    open_groups = [iter(_members(error))]
    while open_groups and len(found) < limit and len(seen) < WALK_LIMIT:
        member = next(open_groups[-1], None)
        if member is None:
            open_groups.pop()
        elif id(member) not in seen:
            seen.add(id(member))
            if is_a(member, BaseExceptionGroup):
                open_groups.append(iter(_members(member)))
            else:
                found.append(member)
    return tuple(found)


def _members(error: BaseException) -> tuple[BaseException, ...]:
    if not is_a(error, BaseExceptionGroup):
        return ()
    found = _MEMBERS.__get__(error)
    return found if type(found) is tuple else ()


def _cause_of(link: Link) -> Link | None:
    """`raise … from` first; then a group's first leaf, which says more than what the group was raised amidst."""
    error = link.error
    cause = _SLOT["__cause__"].__get__(error)
    if cause is not None:
        return None if _is_a_timer(error, cause) else Link(cause, link.explicit)
    for leaf in leaves(error, 1):
        return Link(leaf, link.explicit)
    context = _SLOT["__context__"].__get__(error)
    if context is None or _SLOT["__suppress_context__"].__get__(error) or _is_a_timer(error, context):
        return None
    return Link(context, False)


def _is_a_timer(error: BaseException, cause: BaseException) -> bool:
    """asyncio makes a `TimeoutError` from the cancellation that its own timer sent: mechanism, not cause."""
    return is_a(error, TimeoutError) and is_a(cause, _CANCELLED)
