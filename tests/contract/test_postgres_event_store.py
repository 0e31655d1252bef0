"""The event store on PostgreSQL: the contract, and what is PostgreSQL's own."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import count
from pathlib import Path

import psutil
import psycopg
import pytest
from eventsourcing.persistence import StoredEvent
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from projector.engines.postgres import recorder as postgres_recorder
from projector.envelope import NewEvent, execution_stream
from projector.errors import StoreClosed, VersionConflict
from projector.event_store import ANY, NO_STREAM, STORED_UNTOLD, Append, Appended, EventStore, Expectation, exactly
from projector.events import MessageAppended
from projector.stored_row import Shard
from tests.contract.event_store_contract import REEF, WRECK, Engine, EventStoreContract
from tests.histories import REMARK, REQUESTED, VOYAGE, new, news
from tests.postgres import connections_to, fresh_database, run, wait_for
from tests.postgres_processes import (
    fork_and_append,
    open_and_count,
    open_postgres,
    pause_in_the_middle,
    postgres_locked,
)
from tests.processes import child
from tests.store_processes import open_sqlite


class TestPostgresEventStore(EventStoreContract):
    engine = Engine(open=open_postgres, lock=postgres_locked)

    @pytest.fixture
    def place(self, dsn: str) -> str:
        return dsn


# --- the tables ----------------------------------------------------------------------------------------------------


def stock_recorder(dsn: str) -> PostgresApplicationRecorder:
    where = conninfo_to_dict(dsn)
    parts = [str(where.get(name, "")) for name in ("dbname", "host", "port", "user", "password")]
    return PostgresApplicationRecorder(PostgresDatastore(*parts, originator_id_type="text"))


def test_the_stock_classes_of_the_library_read_our_tables(dsn: str) -> None:
    with closing(open_postgres(dsn)) as store:
        store.append(REEF, news(*VOYAGE))
        store.append(WRECK, news(REMARK))
        stock = stock_recorder(dsn)
        with closing(stock.datastore):
            selected = stock.select_events(REEF)
            assert [
                StoredEvent(event.originator_id, event.originator_version, event.topic, event.state)
                for event in store.recorder.select_events(REEF)
            ] == list(selected)
            assert [event.topic for event in selected] == [type(event).__name__ for event in VOYAGE]
            assert [note.id for note in stock.select_notifications(start=1, limit=100)] == [
                record.position for record in store.tail(after=0)
            ]
            assert stock.max_notification_id() == store.head()


def test_what_the_stock_classes_write_takes_turns_with_ours(dsn: str) -> None:
    with closing(open_postgres(dsn)) as store, closing(stock_recorder(dsn).datastore) as datastore:
        stock = PostgresApplicationRecorder(datastore)
        store.append(REEF, news(REQUESTED))
        foreign = store.mapper.to_stored_event(store.read(REEF)[0])
        ids = stock.insert_events([StoredEvent(WRECK, version, foreign.topic, foreign.state) for version in (1, 2, 3)])
        assert store.append(WRECK, news(REMARK), exactly(3)).records[0].version == 4
        assert store.append(REEF, news(REMARK), exactly(1)).records[0].position > max(ids or ())
        positions = [record.position for record in store.tail(after=0)]
        assert len(positions) == 6
        assert positions == sorted(set(positions))


def test_the_function_that_inserts_without_the_lock_is_not_made(dsn: str) -> None:
    open_postgres(dsn).close()
    assert run(dsn, "SELECT count(*) FROM pg_proc WHERE proname LIKE 'es_insert%'") == [(0,)]


def test_the_newest_events_of_a_stream_can_be_selected_first(dsn: str) -> None:
    with closing(open_postgres(dsn)) as store:
        store.append(REEF, news(*VOYAGE))
        newest = store.recorder.select_events(REEF, desc=True, limit=2)
        assert [event.originator_version for event in newest] == [12, 11]


def test_opening_a_store_that_is_there_waits_for_no_lock_and_writes_nothing(dsn: str) -> None:
    open_postgres(dsn).close()
    read_only = make_conninfo(dsn, options="-c default_transaction_read_only=on")
    with psycopg.connect(dsn) as keeper:
        keeper.execute("LOCK TABLE stored_events, event_ids, executions, tracking IN EXCLUSIVE MODE")
        for address in (dsn, read_only):
            with closing(open_postgres(address, 1.0)) as store:
                assert store.head() == 0


def test_a_commit_waits_for_the_disk_although_the_database_does_not_ask_for_it(dsn: str) -> None:
    name = conninfo_to_dict(dsn)["dbname"]
    run(dsn, f"ALTER DATABASE {name} SET synchronous_commit = off")
    assert run(dsn, "SHOW synchronous_commit") == [("off",)]
    with closing(open_postgres(dsn)) as store:
        assert store.datastore.ask("SHOW synchronous_commit") == [("on",)]
    run(dsn, f"ALTER DATABASE {name} SET synchronous_commit = remote_apply")
    with closing(open_postgres(dsn)) as store:
        assert store.datastore.ask("SHOW synchronous_commit") == [("remote_apply",)], "stricter is left alone"


# --- positions -----------------------------------------------------------------------------------------------------


def test_a_transaction_that_was_rolled_back_leaves_a_gap_and_no_disorder(dsn: str) -> None:
    with closing(open_postgres(dsn)) as store:
        first = store.append(REEF, news(REQUESTED)).records[0].position
        run(dsn, "SELECT nextval('stored_events_notification_id_seq') FROM generate_series(1, 7)")
        assert store.append(REEF, news(REMARK)).records[0].position == first + 8
        assert [record.version for record in store.tail(after=first)] == [2]


@pytest.mark.parametrize("behind", ["SELECT setval(%s, 1, false)", "SELECT setval(%s, 1)", "SELECT setval(%s, 5)"])
def test_a_sequence_that_is_behind_its_table_is_brought_up(dsn: str, behind: str) -> None:
    with closing(open_postgres(dsn)) as store:
        store.append(REEF, news(*VOYAGE))
        head = store.head()
        run(dsn, behind.replace("%s", "'stored_events_notification_id_seq'"))
        appended = store.append(WRECK, news(REMARK, REMARK))
        assert [record.position for record in appended.records] == [head + 1, head + 2]
        assert store.append(WRECK, news(REMARK)).records[0].position == head + 3


def test_a_batch_of_any_size_is_one_transaction(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_recorder, "_MOST_ROWS", 7)
    monkeypatch.setattr(postgres_recorder, "_MOST_BYTES", 1000)
    with closing(open_postgres(dsn)) as store:
        seen = count()
        batch = [Append(execution_stream(f"boat-{next(seen) % 5}"), tuple(news(REMARK, REMARK))) for _ in range(50)]
        outcomes = store.append_batch(batch)
        told = [record for outcome in outcomes if isinstance(outcome, Appended) for record in outcome.records]
        assert store.tail(after=0) == told
        assert len(told) == 100
        assert len(run(dsn, "SELECT DISTINCT xmin::text FROM stored_events")) == 1


# --- the same decisions as SQLite's ----------------------------------------------------------------------------------

EXPECTATIONS = st.sampled_from([ANY, ANY, NO_STREAM, exactly(1), exactly(2), exactly(3)])
IDS = st.lists(st.sampled_from(["a", "b", "c's", 'd"{}', "e\\\\,%s"]), max_size=3, unique=True)
APPENDS = st.lists(st.tuples(st.sampled_from([REEF, WRECK]), IDS, EXPECTATIONS, st.booleans()), min_size=1, max_size=6)


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[EventStore, EventStore]]:
    folder: Path = tmp_path_factory.mktemp("twins")
    with (
        fresh_database() as dsn,
        closing(open_sqlite(str(folder / "store.db"))) as one,
        closing(open_postgres(dsn)) as other,
    ):
        yield one, other


_games = count()


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=st.lists(APPENDS, min_size=1, max_size=4))
def test_whatever_is_appended_both_engines_decide_alike(
    twins: tuple[EventStore, EventStore], batches: list[list[tuple[str, list[str], Expectation, bool]]]
) -> None:
    game = next(_games)
    told: list[list[object]] = [[], []]
    times = count()
    given_batches = [
        [
            Append(f"{stream}-{game}", tuple(new(REMARK, id, seconds=next(times)) for id in ids), expect, is_told)
            for stream, ids, expect, is_told in batch
        ]
        for batch in batches
    ]
    for store, heard in zip(twins, told, strict=True):
        for batch in given_batches:
            heard += [what_was_said(outcome) for outcome in store.append_batch(batch)]
        for stream in (REEF, WRECK):
            heard.append([(record.version, record.id, record.time) for record in store.read(f"{stream}-{game}")])
            heard.append(store.version(f"{stream}-{game}"))
    assert told[0] == told[1]


def what_was_said(outcome: Appended | VersionConflict) -> object:
    if isinstance(outcome, VersionConflict):
        return outcome.stream, outcome.expected, outcome.actual
    return outcome.is_new, [(record.version, record.id, record.time, record.event) for record in outcome.records]


# --- as the store holds them ---------------------------------------------------------------------------------------


def test_events_are_read_as_they_are_stored(dsn: str) -> None:
    with closing(open_postgres(dsn)) as store:
        told = store.append(REEF, news(*VOYAGE)).records
        untold = store.append_batch([Append(WRECK, tuple(news(REMARK, REMARK)), is_told=False)])
        assert untold == [STORED_UNTOLD]
        rows = store.read_stored(REEF, after=2, upto=10**30, limit=3)
        assert [(row.position, row.stream, row.version, row.topic) for row in rows] == [
            (record.position, REEF, record.version, record.type) for record in told[2:5]
        ]
        assert [store.mapper.to_domain_event(row.notification()) for row in rows] == list(told[2:5])
        assert [row.position for row in store.tail_stored(after=11, limit=10**30)] == [12, 13, 14]
        assert store.read_stored(REEF, after=10**30, limit=1) == []


@pytest.mark.parametrize("parts", [1, 2, 3, 7])
def test_the_parts_of_the_streams_are_all_streams_once(dsn: str, parts: int) -> None:
    with closing(open_postgres(dsn)) as store:
        store.append_batch([Append(execution_stream(f"boat-{at % 40}"), tuple(news(REMARK))) for at in range(200)])
        seen = [store.tail_stored(after=0, limit=1000, shard=Shard(place, parts)) for place in range(parts)]
        assert sorted(row for part in seen for row in part) == store.tail_stored(after=0, limit=1000)
        streams = [{row.stream for row in part} for part in seen]
        assert sum(map(len, streams)) == 40
        assert all(streams), "none has all the work"
        assert [row.position for row in seen[0]] == sorted(row.position for row in seen[0])
        (first, *_), limited = seen[0], store.tail_stored(after=seen[0][0].position, limit=2, shard=Shard(0, parts))
        assert first not in limited
        assert limited == seen[0][1:3]


def test_another_process_opens_the_same_store_from_what_it_is_sent(dsn: str) -> None:
    with closing(open_postgres(dsn)) as store:
        store.append(REEF, news(*VOYAGE))
        with child(open_and_count, store.opener()) as other:
            assert other.hear() == len(VOYAGE)


# --- processes that are paused, forked or killed ---------------------------------------------------------------------


@pytest.mark.slow
def test_a_process_that_is_paused_in_the_middle_of_a_write_holds_the_others_up_for_seconds(dsn: str) -> None:
    with closing(open_postgres(dsn)) as store, child(pause_in_the_middle, dsn, REEF) as paused:
        pid = paused.hear()
        wait_for(lambda: is_stopped(pid))
        began = time.monotonic()
        assert store.append(REEF, news(REMARK)).records[0].version == 1, "what it had begun is taken back"
        assert 1 < time.monotonic() - began < 20
        os.kill(pid, signal.SIGCONT)
        assert "cannot be used at this moment" in paused.hear()
        assert paused.hear() == 2, "and it goes on"


def is_stopped(pid: int) -> bool:
    return bool(psutil.Process(pid).status() == psutil.STATUS_STOPPED)


def test_a_forked_child_lets_go_of_what_is_its_parent_s(dsn: str) -> None:
    with closing(open_postgres(dsn)) as store, child(fork_and_append, dsn, REEF) as parent:
        assert parent.hear() == ("child", 2)
        assert parent.hear() == ("parent", 3)
        leadership = store.leadership("projector")
        assert not leadership.hold(), "it leads, and its child did not take that away"
        grandchild = parent.hear()
        parent.kill()
        wait_for(leadership.hold)
        leadership.release()
        os.kill(grandchild, signal.SIGKILL)


# --- threads and connections ---------------------------------------------------------------------------------------


def test_many_threads_need_few_connections(dsn: str) -> None:
    with closing(open_postgres(dsn)) as store, ThreadPoolExecutor(40) as threads:
        done = [threads.submit(store.append, REEF, [new(REMARK)]) for _ in range(40)]
        done += [threads.submit(store.append, WRECK, [new(REMARK)]) for _ in range(40)]
        reads = [threads.submit(store.read, REEF) for _ in range(80)]
        assert all(one.result(60).is_new for one in done)
        assert all(isinstance(one.result(60), list) for one in reads)
        wait_for(lambda: len(connections_to(dsn)) <= 5)  # those that were needed for a moment are not kept
    with pytest.raises(StoreClosed, match="was closed by this program"):
        store.version(REEF)
    wait_for(lambda: connections_to(dsn) == [])


def test_events_of_the_greatest_size_are_appended_in_bulk(dsn: str) -> None:
    events = [NewEvent(f"big-{at}", new(REMARK).time, "runner", large(at)) for at in range(400)]
    with closing(open_postgres(dsn)) as store:
        appended = store.append(REEF, events)
        assert list(appended.records) == store.read(REEF)
        assert sum(len(event.state) for event in store.recorder.select_events(REEF)) > 16 * 2**20


def large(at: int) -> MessageAppended:
    return MessageAppended(role="assistant", text=f"{at}: " + "deep " * 12_700)
