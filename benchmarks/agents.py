"""Agents that leave events, as the benchmarks play them: ours through an emitter, the peer's by saving."""

from __future__ import annotations

import gc
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

from eventsourcing.application import Application

from benchmarks import samples
from benchmarks.peers import stock
from projector.event_writer import EventWriter
from runner.emitter import Emitter

SURVEY: Final = "survey"

Act = Callable[[int], Awaitable[object]]
"""What an agent does to leave its event of this number."""


@contextmanager
def writer_of(address: str | Path) -> Iterator[EventWriter]:
    """A writer in a process that has told the collector of garbage, as a runner does, what stays."""
    gc.freeze()
    try:
        with closing(samples.opened(address)) as store, closing(EventWriter(store)) as writer:
            yield writer
    finally:
        gc.unfreeze()


def emitter_of(writer: EventWriter, name: str = SURVEY) -> Emitter:
    return Emitter(writer, name, runner_id=samples.RUNNER, attempt=1)


def appending(writer: EventWriter, name: str) -> Act:
    emitter = emitter_of(writer, name)

    async def act(number: int) -> None:
        await emitter.store(samples.progress(number))

    return act


def saving(app: Application[Any], how: Callable[..., Awaitable[object]]) -> Act:
    agent = stock.voyage()
    app.save(agent)

    async def act(number: int) -> None:
        agent.report(float(number), 1000.0, samples.note())
        await how(app.save, agent)

    return act
