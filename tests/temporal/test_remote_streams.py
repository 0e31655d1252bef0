"""The Python client of the service's streams: it comes back by itself, and misses nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from projector import remote_streams
from projector.envelope import execution_stream
from projector.errors import ExecutionNotFound, InputRejected
from projector.execution_status import Phase
from projector.remote_streams import follow, follow_all
from projector.views import ChangeView
from tests.histories import COMPLETED, REMARK, REQUESTED, news
from tests.temporal.harness import Harness
from tests.temporal.http_service import asking
from workflows.service.safety import Rules

PATIENCE = 30.0


async def to_the_end(stream: AsyncIterator[ChangeView]) -> list[ChangeView]:
    async with asyncio.timeout(PATIENCE):
        return [change async for change in stream]


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_streams, "FIRST_PAUSE", 0.02)
    monkeypatch.setattr(remote_streams, "LONGEST_PAUSE", 0.1)


async def test_one_execution_is_followed_to_its_end(ship: Harness) -> None:
    execution_id = await ship.start("surveyor")
    async with asking(ship) as service:
        seen = await to_the_end(follow(str(service.base_url), execution_id))
        whole = await to_the_end(follow(str(service.base_url), execution_id, after=0))
    history = await ship.history(execution_id)
    assert [change.position for change in whole] == [record.position for record in history]
    assert seen == whole[-len(seen) :]
    assert whole[-1].status.phase == Phase.COMPLETED


async def test_it_goes_on_when_the_service_was_away(ship: Harness) -> None:
    stream = execution_stream("far-away")
    ship.store.append(stream, news(REQUESTED))
    async with asking(ship) as service:
        address, port = str(service.base_url), service.base_url.port
        following = asyncio.create_task(to_the_end(follow(address, "far-away", after=0)))
        everything = follow_all(address, after=0)
        async with aclosing(everything):  # type: ignore[type-var]
            while (await anext(everything)).execution_id != "far-away":
                pass  # others share the store
            await service.aclose()
    assert port is not None
    for _ in range(2):
        ship.store.append(stream, news(REMARK, REMARK))
        async with asking(ship, port=port):
            ship.store.append(stream, news(REMARK))
    ship.store.append(stream, news(COMPLETED))
    async with asking(ship, port=port):
        seen = await following
    assert [change.version for change in seen] == list(range(1, 9))


async def test_it_comes_back_when_there_is_room(ship: Harness) -> None:
    status = await ship.run("surveyor")
    async with asking(ship, serve_streams=1) as service:
        address = str(service.base_url)
        async with aclosing(follow_all(address, after=0)) as first:  # type: ignore[type-var]
            await anext(first)
            second = asyncio.create_task(to_the_end(follow(address, status.execution_id)))
            done, _ = await asyncio.wait([second], timeout=0.3)
            assert not done
        assert (await second)[-1].status.phase == Phase.COMPLETED


async def test_what_makes_no_sense_is_refused_at_once(ship: Harness) -> None:
    async with asking(ship) as service:
        address = str(service.base_url)
        with pytest.raises(ExecutionNotFound, match=f"there is no execution 'absent-7' at {address}"):
            await to_the_end(follow(address, "absent-7"))
        with pytest.raises(InputRejected, match="beyond the end of this store"):
            await to_the_end(follow_all(address, after=10**12))
        with pytest.raises(InputRejected, match="'LOST' is not a phase"):
            await to_the_end(follow_all(address, phase="LOST"))


async def test_a_token_is_sent(ship: Harness) -> None:
    status = await ship.run("surveyor")
    async with asking(ship, Rules(operator="aye-aye", reader="look-out")) as service:
        address = str(service.base_url)
        for token in ("aye-aye", "look-out"):
            assert await to_the_end(follow(address, status.execution_id, token=token))
        with pytest.raises(InputRejected, match="send the service's token"):
            await to_the_end(follow(address, status.execution_id, token="stowaway"))
