"""Many subscribers of one execution, over HTTP: how many messages a second, how late, and what the service takes."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from typing import Any, Final

from benchmarks import samples
from benchmarks.elsewhere import beside
from benchmarks.harness import OURS, PEER, Figures, Quantity, Table, Target, Variant, quantiles
from benchmarks.place import Place, a_place
from projector.engines.ports import StoreEngine
from projector.envelope import NewEvent, execution_stream
from projector.streams import StatusTail

_ID: Final = "survey"
_STREAM: Final = execution_stream(_ID)
_PACED: Final = 20
_PAUSE: Final = 0.25
"""Between two events when it is about being soon, in seconds."""

Publish = Callable[[int, int], None]


# --- our service, in a process of its own ---------------------------------------------------------------------------


def serve(path: str) -> None:
    """Serve a store until standard input ends."""
    asyncio.run(_serve(path))


async def _serve(path: str) -> None:
    from projector.opening import hygiene_from_environment
    from workflows.service.desk import desk
    from workflows.service.serving import serving, settle
    from workflows.settings import OrchestratorSettings

    settings = OrchestratorSettings(store=path)
    with closing(samples.opened(path)) as store:
        async with desk(settings, store, hygiene_from_environment()) as made, serving(made, port=0) as address:
            settle()
            print(address, flush=True)
            await asyncio.to_thread(sys.stdin.read)


# --- one turn ---------------------------------------------------------------------------------------------------------


def broadcast(server: subprocess.Popen[str], path: str, clients: int, burst: int, publish: Publish) -> Figures:
    """Publish a burst and then paced events to so many readers; `publish` is told the first number and how many."""
    import psutil

    assert server.stdout is not None
    address = server.stdout.readline().strip()
    process = psutil.Process(server.pid)
    with beside("benchmarks.stream_readers:read", address, path, clients, burst, _PACED) as readers:
        assert readers.stdout is not None
        _expect(readers, "ready")
        cpu, began = _cpu(process), time.monotonic()
        publish(0, burst)
        _expect(readers, "done")
        cpu = _cpu(process) - cpu
        published = []
        for number in range(_PACED):
            time.sleep(_PAUSE)
            published.append(time.monotonic())
            publish(burst + number, 1)
        answer: dict[str, Any] = json.loads(readers.stdout.readline())
        memory = process.memory_info().rss
    lags = [at - since for each in answer["paced"] for at, since in zip(each, published, strict=True)]
    messages = clients * burst
    return (
        {"messages/s": messages / (answer["done"] - began), "CPU a message": 1e6 * cpu / messages}
        | quantiles("append to client", lags, 0.5, 0.99)
        | {"memory": memory / 2**20}
    )


def ours(place: Place, clients: int, burst: int) -> Figures:
    """Events that are appended to a store, read by the service."""
    with ExitStack() as stack:
        path = stack.enter_context(place.folder()) / "store.db"
        store = stack.enter_context(closing(samples.opened(path)))
        store.append(_STREAM, _events(0, 1, "begin"))
        server = stack.enter_context(beside("benchmarks.broadcasting:serve", str(path)))
        return broadcast(
            server,
            f"/api/executions/{_ID}/stream",
            clients,
            burst,
            lambda first, count: _append(store, _events(first + 1, count)),
        )


def peer(place: Place, function: str, clients: int, burst: int) -> Figures:
    """Messages of the same bytes that are told to the process."""
    message = _message(place)
    with beside(f"benchmarks.peers.starlette_broadcast:{function}") as server:

        def publish(_: int, count: int) -> None:
            assert server.stdin is not None
            server.stdin.write(f"{message}\n" * count)
            server.stdin.flush()

        return broadcast(server, "/stream", clients, burst, publish)


def _append(store: StoreEngine, events: Sequence[NewEvent]) -> None:
    store.append(_STREAM, events)


def _events(first: int, count: int, name: str = "told") -> list[NewEvent]:
    return [
        NewEvent(
            f"{name}-{number}",
            samples.NOON,
            samples.WRITER,
            samples.BEGINNING[0] if number == 0 else samples.progress(number),
            1,
        )
        for number in range(first, first + count)
    ]


def _message(place: Place) -> str:
    """What our service sends for one event."""
    from workflows.service.frames import Frame

    with place.folder() as folder, closing(samples.opened(folder / "store.db")) as store:
        store.append(_STREAM, _events(0, 2))
        changes = StatusTail(store, 0).page()
        assert changes is not None
        return Frame(changes[-1]).data.partition(b"data: ")[2].decode().strip()


def _expect(process: subprocess.Popen[str], words: str) -> None:
    assert process.stdout is not None
    if (said := process.stdout.readline().strip()) != words:
        raise RuntimeError(f"the readers said {said!r} where {words!r} was due")


def _cpu(process: Any) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


# --- the table --------------------------------------------------------------------------------------------------------


@contextmanager
def _variants(place: Place) -> Iterator[Sequence[Variant]]:
    clients, burst = place.size(1000, quick=200), place.size(100, quick=50)
    yield [
        Variant("ours", OURS, lambda: ours(place, clients, burst)),
        Variant("bare Starlette", PEER, lambda: peer(place, "bare", clients, burst)),
        Variant("sse-starlette", PEER, lambda: peer(place, "with_sse", clients, burst)),
    ]


TABLES: Final = (
    Table(
        name="broadcast",
        subject="broadcast",
        title="A thousand subscribers of one execution, over HTTP",
        about="A burst of a hundred events, appended at once, and then four events a second. Ours reads them from the "
        "store, folds them and encodes each once; the peers are told messages of the same bytes and put each into a "
        "queue a client. The readers are a process of their own, and share the machine's two cores with the service.",
        quantities=(
            Quantity("messages/s", high_is_good=True),
            Quantity("CPU a message", "µs"),
            Quantity("append to client p50", "ms"),
            Quantity("append to client p99", "ms"),
            Quantity("memory", "MiB"),
        ),
        variants=_variants,
        targets=(Target("ours", "messages/s", of="bare Starlette", at_least=1.0),),
        rounds=3,
        budget=120,
        bound="",
    ),
)


def main() -> None:
    """Print the figures of one turn each."""
    with a_place() as place, _variants(place) as variants:
        for variant in variants:
            print(variant.name, *(f"{key} {value:.2f}" for key, value in variant.measure().items()), sep="  ")


if __name__ == "__main__":
    main()
