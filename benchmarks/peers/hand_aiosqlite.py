"""aiosqlite by hand: one statement, one hop to its thread and back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import aiosqlite


def _reading(path: Path) -> aiosqlite.Connection:
    return aiosqlite.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)


async def latencies(path: Path, statement: str, parameters: Sequence[Sequence[Any]]) -> list[float]:
    """How long each of these queries takes, one after the other, in seconds."""
    took = []
    async with _reading(path) as connection:
        await connection.execute_fetchall(statement, parameters[0])
        for each in parameters:
            began = time.perf_counter()
            await connection.execute_fetchall(statement, each)
            took.append(time.perf_counter() - began)
    return took


async def seconds_in_flight(path: Path, statement: str, parameters: Sequence[Sequence[Any]], flights: int) -> float:
    """How long all of these queries take together with `flights` of them in flight, in seconds."""
    async with _reading(path) as connection:

        async def one(each: Sequence[Any]) -> None:
            await connection.execute_fetchall(statement, each)

        await connection.execute_fetchall(statement, parameters[0])
        return await in_flight(one, parameters, flights)


async def in_flight(one: Callable[[Any], Any], arguments: Sequence[Any], flights: int) -> float:
    """How long it takes to await `one` with each argument, `flights` of them at a time, in seconds."""
    waiting = iter(arguments)

    async def work() -> None:
        for each in waiting:
            await one(each)

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(flights):
            group.create_task(work())
    return time.perf_counter() - began
