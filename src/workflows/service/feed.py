"""One tail of the store for all clients: each event is read, folded and encoded once, and given to those who want it.

A client has a bounded queue. Who takes too little of it falls behind, which costs nobody else anything: its queue is
emptied, and it reads on from the store until it has come to where the tail is.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

import structlog

from projector.engines.ports import StoreEngine
from projector.errors import TooManyStreams
from projector.streams import StatusTail, patiently
from projector.waking import waking
from workflows.service.frames import Frame
from workflows.service.stream_gauges import StreamGauges

MOST_WAITING: Final = 256
"""How many events wait for one client at most; who has more to take reads them from the store."""

log = structlog.get_logger("feed")


class Listener:
    """What one client has yet to be sent. Belongs to the event loop."""

    def __init__(self, position: int, wants: Callable[[Frame], bool] | None = None) -> None:
        self._wants = wants
        self._waiting: list[Frame] = []
        self._woken = asyncio.Event()
        self.since = position
        """All that comes after this position is put into the queue."""
        self.is_behind = False
        """Whether its queue was full: what comes after its last event has to be read from the store."""
        self.is_over = False
        """Whether nothing more will come."""
        self.is_waiting = False
        """Whether it was given all that there is."""

    def offer(self, frame: Frame) -> None:
        """Put an event into the queue if it is wanted and there is room."""
        if self.is_behind or not (self._wants is None or self._wants(frame)):
            return
        if len(self._waiting) >= MOST_WAITING:
            self._waiting.clear()
            self.is_behind = True
        else:
            self._waiting.append(frame)
        self.is_waiting = False
        self._woken.set()

    def finish(self) -> None:
        """Nothing more will come."""
        self.is_over = True
        self._woken.set()

    def rejoin(self, position: int) -> None:
        """Take part again, from a position on."""
        self.since, self.is_behind = position, False

    async def take(self) -> list[Frame]:
        """All that waits, at least one event; nothing when it fell behind, or it is over."""
        while not (self._waiting or self.is_behind or self.is_over):
            self._woken.clear()
            self.is_waiting = True
            await self._woken.wait()
        self.is_waiting = False
        taken = list(self._waiting)
        self._waiting.clear()
        return taken


class Feed:
    """The tail of one store, and those who listen. Reads nothing while nobody does. Belongs to one event loop."""

    def __init__(self, store: StoreEngine, gauges: StreamGauges, *, poll_interval: float, most: int) -> None:
        """`poll_interval` is in seconds; `most` is how many may listen."""
        self._store = store
        self.gauges = gauges
        self._poll_interval = poll_interval
        self._most = most
        self._of_one: defaultdict[str, set[Listener]] = defaultdict(set)
        self._of_all: set[Listener] = set()
        self._position = 0
        self._reading: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()
        self._is_closed = False
        self.connections: set[Callable[[], None]] = set()
        """What breaks the connection of each open stream."""

    @property
    def position(self) -> int:
        """The last one that was given to all who listen."""
        return self._position

    @property
    def clients(self) -> int:
        """How many listen."""
        return len(self._of_all) + sum(map(len, self._of_one.values()))

    def check_room(self) -> None:
        """Raises TooManyStreams."""
        if self.clients >= self._most:
            self.gauges.dropped("full")
            raise TooManyStreams(self._most)

    async def start(self) -> None:
        """Begin to read, unless it does. Call it before listening. Waits for a store that cannot serve."""
        async with self._starting:
            if not self._is_closed and (self._reading is None or self._reading.done()):
                self._position = await patiently(self._store.head)
                self._reading = asyncio.create_task(self._read(StatusTail(self._store, self._position)))

    @contextmanager
    def listening(
        self, execution_id: str | None = None, wants: Callable[[Frame], bool] | None = None
    ) -> Iterator[Listener]:
        """Listen to one execution, or to those events of all that are wanted, for the length of the block."""
        listener = Listener(self._position, wants)
        among = self._of_all if execution_id is None else self._of_one[execution_id]
        kind = "all" if execution_id is None else "execution"
        among.add(listener)
        self.gauges.opened(kind)
        if self._reading is None or self._reading.done():
            listener.finish()
        try:
            yield listener
        finally:
            among.discard(listener)
            self.gauges.closed(kind)
            if execution_id is not None and not among:
                self._of_one.pop(execution_id, None)
            if not self.clients:
                self._stop_reading()

    async def close(self, grace: float) -> None:
        """End every stream: whoever listens comes back to another service with the last position.

        A client that takes nothing cannot be told so. After `grace` seconds its connection is broken.
        """
        self._is_closed = True
        self._stop_reading()
        self._finish_all()
        with suppress(TimeoutError):
            async with asyncio.timeout(grace):
                while self.connections:
                    await asyncio.sleep(0.01)
        for abort in tuple(self.connections):
            abort()

    def _stop_reading(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None

    async def _read(self, tail: StatusTail) -> None:
        try:
            with waking(self._store.bell) as woken:
                while True:
                    woken.forget()
                    changes = await patiently(tail.page)
                    for change in changes or ():
                        self._give(Frame(change))
                    self._position = tail.position
                    if changes is None:
                        await woken.wait(self._poll_interval)
        except Exception as error:  # whatever it is: streams that silently stand still help nobody
            log.error("the streams end, and their clients come back", reason=f"{type(error).__name__}: {error}")
            self._finish_all()

    def _give(self, frame: Frame) -> None:
        for listener in self._of_one.get(frame.execution_id, ()):
            listener.offer(frame)
        for listener in self._of_all:
            listener.offer(frame)
        self._position = frame.position

    def _finish_all(self) -> None:
        for listener in [*self._of_all, *(each for among in self._of_one.values() for each in among)]:
            listener.finish()
