"""Archives while others work, and archives that were interrupted: nobody is harmed, and nothing is lost."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from projector.engines.ports import Keeper, StoreEngine
from projector.envelope import ARCHIVE_LOG, execution_stream
from projector.errors import EventFileError, ExecutionNotFound, InputRejected
from projector.events import ExecutionsArchived
from projector.projecting.projection_runner import ProjectionRunner
from projector.projecting.rebuild import rebuild
from projector.queries import Queries
from projector.stored_row import StoredRow
from projector.streams import PAGE, follow, follow_all
from tests.engines import Engine
from tests.fleet import set_sail
from tests.histories import COMPLETED, REMARK, REQUESTED, SURVEY, VOYAGE, new, news
from tests.keeping import ENDED, another_store, archived, held_ids, log_of, stored_rows, streams_in
from tests.tables import folded, statuses

REEF = execution_stream(SURVEY)


# --- others at work ----------------------------------------------------------------------------------


class Meddled:
    """A store with which something happens between its events being read and their being taken out, each time."""

    def __init__(self, store: StoreEngine, meddle: Callable[[], None]) -> None:
        self._store = store
        self._meddle = meddle

    def keeper(self) -> Any:
        return MeddledKeeper(self._store.keeper(), self._meddle)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


class MeddledKeeper:
    def __init__(self, keeper: Keeper, meddle: Callable[[], None]) -> None:
        self._keeper = keeper
        self._meddle = meddle

    def take_out(self, *arguments: Any) -> list[str]:
        self._meddle()
        return self._keeper.take_out(*arguments)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._keeper, name)


def busy_meanwhile(store: StoreEngine, stream: str) -> StoreEngine:
    """The store, with somebody who appends to an execution once at the wrong moment."""
    left = [stream]

    def meddle() -> None:
        while left:
            store.append(left.pop(), [new(REMARK)])

    return cast("StoreEngine", Meddled(store, meddle))


def test_an_execution_that_got_an_event_meanwhile_stays_with_all_its_events(fleet: StoreEngine, folder: Path) -> None:
    busy, said = execution_stream("voyage-1-4"), list[str]()
    (made,) = archived(busy_meanwhile(fleet, busy), folder, said=said)
    assert streams_in(made) == set(map(execution_stream, ENDED)) - {busy}
    assert [record.version for record in fleet.read(busy)] == [1, 2, 3, 4]
    assert said == [f"left in the store, for something came meanwhile: {busy}"]
    assert [file.name for file in folder.iterdir()] == [made.file.name]
    assert log_of(fleet)[0].executions == made.executions == 20
    assert rebuild(fleet, verify_only=True).differences == ()


def test_when_all_got_one_there_is_no_file(store: StoreEngine, folder: Path) -> None:
    store.append(REEF, news(*VOYAGE))
    assert archived(busy_meanwhile(store, REEF), folder, said=[]) == []
    assert list(folder.iterdir()) == []
    assert len(store.read(REEF)) == len(VOYAGE) + 1


@contextmanager
def projecting(engine: Engine, place: str) -> Iterator[None]:
    """A projector on a store of its own, at work."""
    stopping = threading.Event()
    store = engine.open(place, 10.0)
    runner = ProjectionRunner(store, store.database, renew=lambda: rebuild(store))
    thread = threading.Thread(target=runner.run, args=(stopping,))
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join(30)
        store.close()
    assert not thread.is_alive()


async def test_a_projector_and_a_stream_at_work_notice_nothing_amiss(
    store: StoreEngine, engine: Engine, place: str, folder: Path
) -> None:
    set_sail(store, times=4)
    with projecting(engine, place):
        changes = follow_all(store, poll_interval=0.01)
        following = asyncio.ensure_future(anext(changes))
        await asyncio.sleep(0)
        made = await asyncio.to_thread(archived, store, folder, events_a_file=60)
        assert len(made) > 2
        await asyncio.to_thread(store.append, REEF, news(*VOYAGE))
        assert (await asyncio.wait_for(following, 30)).status.execution_id == SURVEY
        assert [(await asyncio.wait_for(anext(changes), 30)).record.version for _ in VOYAGE[1:]] == list(range(2, 13))
        async with asyncio.timeout(30), Queries(store.reader()) as queries:
            while (await queries.lag()).events:
                await asyncio.sleep(0.01)
    assert statuses(store) == folded(store)
    assert rebuild(store, verify_only=True).differences == ()


async def test_a_stream_of_all_from_the_beginning_passes_over_what_is_archived_meanwhile(
    fleet: StoreEngine, folder: Path
) -> None:
    """It has read a page in which an execution is that it has not seen before, and then that one is gone."""
    half = fleet.head() // 2
    changes = follow_all(fleet, after=half, poll_interval=0.01)
    first = await asyncio.wait_for(anext(changes), 30)
    assert first.record.position == half + 1
    await asyncio.to_thread(archived, fleet, folder)
    await asyncio.to_thread(fleet.append, REEF, [new(REQUESTED)])
    async with asyncio.timeout(30):
        async for change in changes:
            if change.status.execution_id == SURVEY:
                return


async def test_a_stream_of_one_that_is_archived_while_it_is_read_ends(store: StoreEngine, folder: Path) -> None:
    store.append(REEF, [*news(*VOYAGE[:-1]), *(new(REMARK) for _ in range(PAGE)), new(COMPLETED)])
    changes = follow(store, SURVEY, poll_interval=0.01)
    for _ in range(PAGE):
        await asyncio.wait_for(anext(changes), 30)
    await asyncio.to_thread(archived, store, folder)
    with pytest.raises(ExecutionNotFound):
        await asyncio.wait_for(anext(changes), 30)


def test_two_archives_of_one_store_do_not_meet(fleet: StoreEngine, folder: Path) -> None:
    lead = fleet.leadership("archive")
    assert lead.hold()
    try:
        with pytest.raises(InputRejected, match=r"another archive of .* runs at this moment"):
            archived(fleet, folder)
    finally:
        lead.release()
    assert len(archived(fleet, folder)) == 1


# --- what was interrupted ----------------------------------------------------------------------------------


class KilledBeforeTheStore(Exception):
    pass


def killed() -> None:
    raise KilledBeforeTheStore


def test_a_file_whose_executions_were_not_taken_out_is_removed_by_the_next_archive(
    fleet: StoreEngine, folder: Path
) -> None:
    with pytest.raises(KilledBeforeTheStore):
        archived(cast("StoreEngine", Meddled(fleet, killed)), folder)
    (left,) = folder.iterdir()
    (folder / f".{left.name}.part").write_bytes(b"half")
    fleet.append(execution_stream("voyage-0-0"), [new(REMARK)])
    said: list[str] = []
    (made,) = archived(fleet, folder, said=said)
    assert said == [f"removed {left}: an archive was interrupted before it took these executions out of the store"]
    assert [path.name for path in folder.iterdir()] == [made.file.name]
    assert made.executions == 21


def test_the_archive_of_another_store_is_left_alone(
    fleet: StoreEngine, engine: Engine, folder: Path, tmp_path: Path
) -> None:
    (mine,) = archived(fleet, folder)
    content = mine.file.read_bytes()
    with another_store(engine, tmp_path / "other") as other:
        other.append(execution_stream("voyage-0-0"), news(*VOYAGE))
        (theirs,) = archived(other, folder)
        assert theirs.file.name == "executions-2026-06-01-2.jsonl.gz"
    assert mine.file.read_bytes() == content


def test_a_file_that_differs_from_the_store_takes_nothing_out(fleet: StoreEngine, folder: Path) -> None:
    class Changing:
        def __init__(self) -> None:
            self.reads = 0

        def keeper(self) -> Any:
            return self

        def read_streams(self, streams: list[str]) -> list[StoredRow]:
            self.reads += 1
            end = b" " * (self.reads - 1)
            return [row._replace(state=row.state + end) for row in fleet.keeper().read_streams(streams)]

        def __getattr__(self, name: str) -> Any:
            return getattr(fleet, name)

    before = stored_rows(fleet)
    with pytest.raises(EventFileError, match="is not as the store says: nothing was taken out"):
        archived(cast("StoreEngine", Changing()), folder)
    assert stored_rows(fleet) == before
    assert list(folder.iterdir()) == []


def test_tables_that_were_not_made_anew_are_made_so_by_whoever_comes_next(fleet: StoreEngine, folder: Path) -> None:
    streams = {execution_stream(i): fleet.version(execution_stream(i)) for i in ENDED}
    note = new(ExecutionsArchived(file="f", executions=21, events=1, sha256="00"))
    ids = [(event_id, stream) for stream, event_id, _ in held_ids(fleet) if stream in streams]
    assert fleet.keeper().take_out(streams, ids, ARCHIVE_LOG, note) == []  # and then it was killed
    assert set(statuses(fleet)) == {f"voyage-{number}-2" for number in range(3)}
    ProjectionRunner(fleet, fleet.database, renew=lambda: rebuild(fleet)).catch_up()
    assert rebuild(fleet, verify_only=True).differences == ()
