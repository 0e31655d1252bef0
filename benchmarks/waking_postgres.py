"""From an append to a subscriber in another process, on PostgreSQL, and what a subscriber costs that waits."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any, Final

from benchmarks import samples
from benchmarks.elsewhere import beside
from benchmarks.harness import OURS, PEER, Figures, Quantity, Table, Target, Variant, quantiles
from benchmarks.peers import stock
from benchmarks.place import Place
from projector.envelope import NewEvent, execution_stream
from projector.streams import follow_all

_STREAM: Final = execution_stream("survey")
_IDLE: Final = 3.0
_PAUSE: Final = 0.01
"""Between two events, in seconds: a hundred a second."""


# --- ours ----------------------------------------------------------------------------------------------------------


def subscribe(url: str, events: int) -> dict[str, Any]:
    """Follow all executions; see `_watched`."""

    async def run() -> dict[str, Any]:
        with closing(samples.opened(url)) as store:
            seen: list[float] = []
            changes = follow_all(store)

            async def take() -> None:
                async for _ in changes:
                    seen.append(time.monotonic())
                    if len(seen) == events:
                        return

            task = asyncio.ensure_future(take())
            idle = await asyncio.to_thread(_idle)
            _say("ready")
            await asyncio.wait_for(task, 120)
            return {"seen": seen, "idle": idle}

    return asyncio.run(run())


@contextmanager
def _appending(url: str) -> Iterator[Callable[[int], None]]:
    with closing(samples.opened(url)) as store:

        def append(number: int) -> None:
            event = samples.BEGINNING[0] if number == 0 else samples.progress(number)
            store.append(_STREAM, [NewEvent(f"woken-{number}", samples.NOON, samples.WRITER, event, 1)])

        yield append


# --- stock ---------------------------------------------------------------------------------------------------------


def subscribe_stock(url: str, events: int) -> dict[str, Any]:
    """Subscribe to the application's recorder, which listens for notifications of the database."""
    seen: list[float] = []
    with (
        stock.application(stock.postgres_environment(url)) as app,
        app.recorder.subscribe(app.recorder.max_notification_id()) as subscription,
    ):

        def take() -> None:
            for _ in subscription:
                seen.append(time.monotonic())
                if len(seen) == events:
                    return

        taking = threading.Thread(target=take)
        taking.start()
        idle = _idle()
        _say("ready")
        taking.join(120)
    return {"seen": seen, "idle": idle}


@contextmanager
def _saving(url: str) -> Iterator[Callable[[int], None]]:
    with stock.application(stock.postgres_environment(url)) as app:
        agent = stock.voyage()

        def save(number: int) -> None:
            if number:
                agent.report(float(number), 1000.0, samples.note())
            app.save(agent)

        yield save


# --- the table -----------------------------------------------------------------------------------------------------


def _idle() -> float:
    """The CPU that this process takes while nothing comes, in percent of one."""
    time.sleep(0.5)  # what opening takes is not waiting
    began, cpu = time.monotonic(), time.process_time()
    time.sleep(_IDLE)
    return 100 * (time.process_time() - cpu) / (time.monotonic() - began)


def _say(words: str) -> None:
    print(words, flush=True)


def _woken(function: str, url: str, append: Callable[[int], None], events: int) -> Figures:
    """Append paced events while a subscriber in another process notes when each comes; both read one clock."""
    with beside(f"{__name__}:{function}", url, events) as process:
        assert process.stdout is not None
        if process.stdout.readline().strip() != "ready":
            raise RuntimeError(f"{function} ended before it was ready")
        called = []
        for number in range(events):
            time.sleep(_PAUSE)
            called.append(time.monotonic())
            append(number)
        answer: dict[str, Any] = json.loads(process.stdout.readline())
    latencies = [seen - since for seen, since in zip(answer["seen"], called, strict=True)]
    return quantiles("append to subscriber", latencies, 0.5, 0.99) | {"idle CPU": answer["idle"]}


@contextmanager
def _variants(place: Place) -> Iterator[Sequence[Variant]]:
    events = place.size(500, quick=150)

    def ours() -> Figures:
        with place.postgres() as url, _appending(url) as append:
            return _woken("subscribe", url, append, events)

    def theirs() -> Figures:
        with place.postgres() as url, _saving(url) as save:
            return _woken("subscribe_stock", url, save, events)

    yield [Variant("ours", OURS, ours), Variant("stock subscription, LISTEN/NOTIFY", PEER, theirs)]


TABLES: Final = (
    Table(
        name="waking-postgres",
        subject="waking",
        title="From an append to a subscriber in another process, on PostgreSQL",
        about="A hundred events a second, each appended on its own. From the call that appends, commit included, to "
        "the moment the subscriber has the event, decoded and, for ours, with the status after it. Then the "
        "CPU of a subscriber to whom nothing comes, in percent of one.",
        quantities=(
            Quantity("append to subscriber p50", "ms"),
            Quantity("append to subscriber p99", "ms"),
            Quantity("idle CPU", "%"),
        ),
        variants=_variants,
        targets=(
            Target("ours", "append to subscriber p50", at_most=3),
            Target("ours", "append to subscriber p99", at_most=15),
            Target("ours", "idle CPU", at_most=0.5),
        ),
        rounds=3,
        budget=75,
    ),
)
