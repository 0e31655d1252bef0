"""Waiting for news on an event loop: until the store's bell rings, or for a while at most."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from projector.engines.ports import Bell


class Waking:
    """Woken by a bell. Forget first, look then, and wait when there was nothing: so no ring is missed."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._rung = asyncio.Event()

    def wake(self) -> None:
        """End the wait. May be called from any thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._rung.set)

    def forget(self) -> None:
        """Take no notice of rings up to now."""
        self._rung.clear()

    async def wait(self, longest: float) -> None:
        """Return at the next ring since `forget`, and after `longest` seconds in any case."""
        try:
            async with asyncio.timeout(longest):
                await self._rung.wait()
        except TimeoutError:
            return


@contextmanager
def waking(bell: Bell) -> Iterator[Waking]:
    """Listen to a bell for as long as the context lasts."""
    woken = Waking()
    with bell.listen(woken.wake):
        yield woken
