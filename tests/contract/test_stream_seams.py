"""Where the parts of a service's stream meet: snapshot, store and feed. Each event is told once, wherever it fell.

The test takes a stream piece by piece, and appends in between, so that every seam is met on purpose.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import Any, Final, cast

import pytest

from projector.engines.ports import StoreEngine
from projector.envelope import END_EVENT_ID, execution_stream, runner_stream
from projector.events import RunnerReady, WritableEvent
from projector.opening import hygiene_from_environment
from tests.histories import ATTEMPT, COMPLETED, QUEUE, REMARK, REQUESTED, SURVEY, failed, new, news
from tests.tables import insert_raw
from workflows.service import feed as feeds
from workflows.service.desk import Desk, desk
from workflows.service.stream_response import StreamResponse
from workflows.service.streaming import stream_all, stream_execution
from workflows.settings import OrchestratorSettings

REEF = execution_stream(SURVEY)
REMARKS: Final[list[WritableEvent]] = [REMARK] * 9
PATIENCE = 20.0


@dataclass
class Taken:
    """A stream that is taken piece by piece."""

    desk: Desk
    response: StreamResponse
    text: str = ""

    @property
    def chunks(self) -> AsyncGenerator[bytes, None]:
        """What it is made of."""
        return cast("AsyncGenerator[bytes, None]", self.response.body_iterator)

    async def take(self) -> None:
        """One piece."""
        async with asyncio.timeout(PATIENCE):
            self.text += (await anext(self.chunks)).decode()

    async def open(self) -> None:
        """The first piece: from here on it listens, and has read nothing yet."""
        await self.take()

    async def given(self, *events: WritableEvent, stream: str = REEF) -> None:
        """Append, one by one, and wait until the feed has given them all to those who listen."""
        for event in events:
            await asyncio.to_thread(self.desk.store.append, stream, [new(event)])
        async with asyncio.timeout(PATIENCE):
            while self.desk.feed.position < self.desk.store.head():
                await asyncio.sleep(0.005)

    async def rest(self, *, until: int | None = None) -> None:
        """Everything to its end, or until the event at a position has come."""
        while until is None or f"id: {until}\r" not in self.text:
            try:
                await self.take()
            except StopAsyncIteration:
                return

    async def close(self) -> None:
        await self.chunks.aclose()

    @property
    def sent(self) -> list[tuple[str, int, dict[str, Any]]]:
        """Name, id and data of each event."""
        found = re.findall(r"(?:id: (\d+)\r\n)?event: (\w+)\r\ndata: (.*)\r\n", self.text)
        return [(name, int(id or 0), json.loads(data)) for id, name, data in found]

    @property
    def versions(self) -> list[tuple[str, int]]:
        """The execution's events, the end left out."""
        return [(name, data["version"]) for name, _, data in self.sent if "version" in data]


@pytest.fixture
async def made(store: StoreEngine, place: str) -> AsyncIterator[Desk]:
    async with desk(OrchestratorSettings(store=place, poll_interval=0.02), store, hygiene_from_environment()) as made:
        yield made


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """A queue that is soon full, and pages of which a history has several."""
    monkeypatch.setattr(feeds, "MOST_WAITING", 5)
    for module in ("projector.streams", "workflows.service.catching_up"):
        monkeypatch.setattr(f"{module}.PAGE", 4)


async def one(made: Desk, after: int | None = None) -> Taken:
    """The stream of the survey."""
    return Taken(made, await stream_execution(made, SURVEY, after))


async def everything(made: Desk, after: int | None = None, **wanted: str) -> Taken:
    """The stream of all."""
    return Taken(made, await stream_all(made, after=after, **wanted))


def told(first: int, last: int) -> list[tuple[str, int]]:
    return [("status", version) for version in range(first, last + 1)]


# --- one execution -------------------------------------------------------------------------------------------------


async def test_what_comes_before_the_snapshot_is_read_is_in_it_and_not_told_again(made: Desk) -> None:
    made.store.append(REEF, news(REQUESTED, ATTEMPT))
    stream = await one(made)
    await stream.open()
    await stream.given(REMARK, REMARK, REMARK)
    await stream.take()
    assert stream.versions == [("snapshot", 5)]
    await stream.given(REMARK, COMPLETED)
    await stream.rest()
    assert stream.versions == [("snapshot", 5), *told(6, 7)]
    assert stream.sent[-1][0] == "end"


@pytest.mark.parametrize("missed", [2, 5, 9], ids=["some wait", "the queue is just full", "it is too full"])
async def test_what_comes_while_the_past_is_read_is_told_once(made: Desk, missed: int) -> None:
    made.store.append(REEF, news(REQUESTED, ATTEMPT, *[REMARK] * 8))
    stream = await one(made, after=0)
    await stream.open()
    await stream.given(*REMARKS[:missed])
    await stream.take()
    await stream.given(*REMARKS[:missed], COMPLETED)
    await stream.rest()
    assert stream.versions == told(1, 10 + 2 * missed + 1)
    assert [each[0] for each in stream.sent][-1] == "end"


async def test_a_client_that_falls_behind_again_and_again_is_caught_up_each_time(made: Desk) -> None:
    made.store.append(REEF, news(REQUESTED, ATTEMPT))
    stream = await one(made)
    await stream.open()
    await stream.take()
    for _ in range(4):
        await stream.given(*REMARKS)
        await stream.take()
    await stream.given(COMPLETED)
    await stream.rest()
    assert stream.versions == [("snapshot", 2), *told(3, 39)]
    positions = [position for _, position, _ in stream.sent]
    assert positions == sorted(positions)
    statuses = [data["status"]["messages"] for name, _, data in stream.sent if name == "status"]
    assert statuses == [*range(1, 37), 36], "each with the status after it"


@pytest.mark.parametrize("ends_in", ["the past", "the queue", "what was missed"])
async def test_what_came_after_the_end_is_not_told(made: Desk, ends_in: str) -> None:
    late: list[WritableEvent] = [COMPLETED, REMARK, REMARK]
    made.store.append(REEF, news(REQUESTED, ATTEMPT, *(late if ends_in == "the past" else ())))
    stream = await one(made, after=0)
    await stream.open()
    await stream.take()
    if ends_in == "the queue":
        await stream.given(*late)
    elif ends_in == "what was missed":
        await stream.given(*REMARKS, *late)
    await stream.rest()
    assert stream.versions == told(1, 12 if ends_in == "what was missed" else 3)
    assert [name for name, _, _ in stream.sent].count("end") == 1


async def test_who_comes_back_at_or_after_the_end_is_told_the_end_alone(made: Desk) -> None:
    made.store.append(REEF, news(REQUESTED, failed(), REMARK))
    for after in (2, 3):
        stream = await one(made, after=after)
        await stream.rest()
        assert [name for name, _, _ in stream.sent] == ["end"]


async def test_an_end_that_cannot_be_read_is_one_too(made: Desk) -> None:
    made.store.append(REEF, news(REQUESTED, ATTEMPT))
    body = {"id": END_EVENT_ID, "time": "2026-03-14T06:00:00+00:00", "writer": "orchestrator", "attempt": 0, "data": {}}
    insert_raw(made.store, REEF, "ExecutionCompleted", json.dumps(body | {"class_version": 99}).encode())
    for after in (None, 0, 2, 3):
        stream = await one(made, after)
        await stream.rest()
        assert [name for name, _, _ in stream.sent][-1] == "end", f"after {after}"


# --- all -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("missed", [2, 9], ids=["some wait", "the queue is too full"])
async def test_all_are_told_once_across_every_seam(made: Desk, missed: int) -> None:
    made.store.append(REEF, news(REQUESTED, ATTEMPT, *[REMARK] * 8))
    stream = await everything(made, after=0)
    await stream.open()
    for _ in range(3):
        await stream.given(*REMARKS[:missed])
        await stream.given(RunnerReady(task_queue=QUEUE, slots=1), stream=runner_stream("polaris:1"))
        await stream.given(REQUESTED, *REMARKS[:missed], stream=execution_stream(f"another-{made.store.head()}"))
        await stream.take()
    last = made.store.head()
    await stream.rest(until=last)
    await stream.close()
    history = [record.position for record in made.store.tail(after=0, limit=1000) if "runner/" not in record.stream]
    assert [position for _, position, _ in stream.sent] == history


async def test_all_begin_with_a_position_and_tell_what_comes_after_it(made: Desk) -> None:
    made.store.append(REEF, news(REQUESTED, ATTEMPT))
    stream = await everything(made)
    await stream.open()
    begun = made.store.head()
    await stream.given(REMARK)
    await stream.rest(until=made.store.head())
    await stream.close()
    assert [(name, position) for name, position, _ in stream.sent] == [("snapshot", begun), ("status", begun + 1)]


async def test_a_filter_is_asked_before_and_after_each_event_whichever_way_it_comes(made: Desk) -> None:
    def story() -> list[WritableEvent]:
        return [REQUESTED, REMARK, ATTEMPT, REMARK, REMARK, COMPLETED]

    made.store.append(REEF, news(*story()))
    stream = await everything(made, after=0, phase="PENDING")
    await stream.open()
    await stream.given(*story(), stream=execution_stream("by-the-queue"))
    await stream.take()
    for number in range(4):
        await stream.given(*story(), stream=execution_stream(f"missed-{number}"))
    await stream.given(REQUESTED, stream=execution_stream("last"))
    await stream.rest(until=made.store.head())
    await stream.close()
    seen = [(data["execution_id"], data["version"]) for _, _, data in stream.sent]
    names = [SURVEY, "by-the-queue", *(f"missed-{number}" for number in range(4))]
    assert seen == [(name, version) for name in names for version in (1, 2, 3)] + [("last", 1)]


# --- signs of life -------------------------------------------------------------------------------------------------


async def test_a_sign_of_life_never_says_more_than_was_told(made: Desk) -> None:
    def said() -> str:
        return stream.response.ping_message_factory().encode().decode()  # type: ignore[misc]

    made.store.append(REEF, news(REQUESTED))
    stream = await everything(made, phase="COMPLETED")
    assert "id:" not in said()
    await stream.open()
    assert "id:" not in said(), "it has not been told where it is"
    await stream.take()
    waiting = asyncio.create_task(stream.take())
    await stream.given(ATTEMPT, REMARK)
    assert f"id: {made.store.head()}\r\n" in said(), "what is not wanted was told in a way"
    await stream.given(COMPLETED)
    await waiting
    assert "id:" not in said(), "what was handed out may be on its way"
    await stream.given(REQUESTED, stream=execution_stream("another"))
    assert "id:" not in said()
    await stream.close()


async def test_the_feed_rests_while_nobody_listens_and_ends_streams_when_it_closes(made: Desk) -> None:
    made.store.append(REEF, news(REQUESTED))
    stream = await one(made)
    await stream.open()
    assert made.feed.clients == made.streams.clients["execution"] == 1
    await stream.close()
    assert made.feed.clients == made.streams.clients["execution"] == 0
    stream = await one(made)
    await stream.open()
    await stream.take()
    rest = asyncio.create_task(stream.rest())
    await made.feed.close(0.1)
    await asyncio.wait_for(rest, PATIENCE)
    assert [name for name, _, _ in stream.sent] == ["snapshot"]
    late = await one(made)
    await late.rest()
    assert [name for name, _, _ in late.sent] == ["snapshot"], "it is told how it is, and comes back elsewhere"
