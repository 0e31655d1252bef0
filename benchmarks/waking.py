"""From an append to a subscriber in another process, on SQLite, and what a subscriber costs that waits."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, Final

from benchmarks import samples
from benchmarks.elsewhere import beside
from benchmarks.harness import FLOOR, OURS, PEER, Figures, Quantity, Table, Target, Variant, quantiles
from benchmarks.place import Place, a_place
from projector.engines.sqlite.bell import SqliteBell
from projector.envelope import NewEvent, execution_stream
from projector.streams import follow_all

_STREAM: Final = execution_stream("survey")
_IDLE: Final = 3.0
_PAUSE: Final = 0.01
"""Between two events, in seconds: a hundred a second."""


class SilentBell(SqliteBell):
    """A bell that nobody hears, so that who listens to it is left to looking again."""

    @contextmanager
    def listen(self, wake: Callable[[], None]) -> Iterator[None]:
        """Never call `wake`."""
        yield


# --- who subscribes, each in a process of its own -----------------------------------------------------------------


def follow_by_bell(path: str, events: int) -> dict[str, Any]:
    """Follow all executions as we do it."""
    return _follow(path, events, 1.0)


def follow_by_looking(path: str, events: int) -> dict[str, Any]:
    """Follow all executions without a bell: look every 50 ms."""
    return _follow(path, events, 0.05, SilentBell(Path(path)))


def tail_by_bell(path: str, events: int) -> dict[str, Any]:
    """Read the tail in a thread at each ring, without an event loop or a status."""
    with closing(samples.opened(path)) as store:
        seen: list[float] = []
        position, rung = 0, threading.Event()
        with store.bell.listen(rung.set):
            idle = _idle()
            _say("ready")
            while len(seen) < events:
                rung.wait(1.0)
                rung.clear()
                records = store.tail(after=position)
                seen += [time.monotonic()] * len(records)
                position = records[-1].position if records else position
        return {"seen": seen, "idle": idle}


def _follow(path: str, events: int, look_every: float, bell: SqliteBell | None = None) -> dict[str, Any]:
    async def run() -> dict[str, Any]:
        with closing(samples.opened(path)) as store:
            if bell is not None:
                store.bell = bell  # type: ignore[misc]
            seen: list[float] = []

            async def take() -> None:
                async for _ in follow_all(store, poll_interval=look_every):
                    seen.append(time.monotonic())
                    if len(seen) == events:
                        return

            task = asyncio.ensure_future(take())
            idle = await asyncio.to_thread(_idle)
            _say("ready")
            await asyncio.wait_for(task, 120)
            return {"seen": seen, "idle": idle}

    return asyncio.run(run())


def _idle() -> float:
    """The CPU that this process takes while nothing comes, in percent of one."""
    time.sleep(0.5)  # what opening takes is not waiting
    began, cpu = time.monotonic(), time.process_time()
    time.sleep(_IDLE)
    return 100 * (time.process_time() - cpu) / (time.monotonic() - began)


def _say(words: str) -> None:
    print(words, flush=True)


# --- the table -----------------------------------------------------------------------------------------------------


def woken(place: Place, subscriber: str, events: int) -> Figures:
    """Append paced events while a subscriber in another process notes when each comes; both read one clock."""
    with ExitStack() as stack:
        path = stack.enter_context(place.folder()) / "store.db"
        store = stack.enter_context(closing(samples.opened(path)))
        process = stack.enter_context(beside(f"benchmarks.waking:{subscriber}", str(path), events))
        assert process.stdout is not None
        if process.stdout.readline().strip() != "ready":
            raise RuntimeError(f"{subscriber} ended before it was ready")
        called, took = [], []
        for number in range(events):
            time.sleep(_PAUSE)
            event = samples.BEGINNING[0] if number == 0 else samples.progress(number)
            called.append(time.monotonic())
            store.append(_STREAM, [NewEvent(f"woken-{number}", samples.NOON, samples.WRITER, event, 1)])
            took.append(time.monotonic() - called[-1])
        answer: dict[str, Any] = json.loads(process.stdout.readline())
    latencies = [seen - since for seen, since in zip(answer["seen"], called, strict=True)]
    return (
        quantiles("append to subscriber", latencies, 0.5, 0.99)
        | quantiles("append", took, 0.5)
        | {"idle CPU": answer["idle"]}
    )


@contextmanager
def _variants(place: Place) -> Iterator[Sequence[Variant]]:
    events = place.size(500, quick=150)
    yield [
        Variant("ours", OURS, lambda: woken(place, "follow_by_bell", events)),
        Variant("looking every 50 ms", PEER, lambda: woken(place, "follow_by_looking", events)),
        Variant("the bell and one read", FLOOR, lambda: woken(place, "tail_by_bell", events)),
    ]


TABLES: Final = (
    Table(
        name="waking-sqlite",
        subject="waking",
        title="From an append to a subscriber in another process, on SQLite",
        about="A hundred events a second, each appended on its own. From the call that appends, commit included, to "
        "the moment the subscriber has the event, decoded and with the status after it; beside it what the call alone "
        "takes. Then the CPU of a subscriber to whom nothing comes, in percent of one.",
        quantities=(
            Quantity("append to subscriber p50", "ms"),
            Quantity("append to subscriber p99", "ms"),
            Quantity("append p50", "ms"),
            Quantity("idle CPU", "%"),
        ),
        variants=_variants,
        targets=(
            Target("ours", "append to subscriber p50", at_most=1.5),
            Target("ours", "append to subscriber p99", at_most=10),
            Target("ours", "idle CPU", at_most=0.5),
        ),
        rounds=3,
        budget=75,
        bound="The commit, and threads that wake each other on an idle machine: the floor rings the bell and reads "
        "one row.",
    ),
)


def main(events: int) -> None:
    """Print the figures of one turn each."""
    with a_place() as place:
        for subscriber in ("follow_by_bell", "follow_by_looking", "tail_by_bell"):
            figures = woken(place, subscriber, events)
            print(subscriber, *(f"{name} {value:.2f}" for name, value in figures.items()), sep="  ")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 300)
