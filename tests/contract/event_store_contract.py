"""What every event store must do, whatever its engine: an engine's own test file inherits this suite.

A subclass says how to open a store and how to hold its write lock. Both are importable functions, so that other
processes can do the same.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest

from projector.door.text import clean_text
from projector.envelope import END_EVENT_ID, RecordedEvent, execution_stream, runner_stream
from projector.errors import StoreClosed, StoreUnavailable, VersionConflict
from projector.event_store import ANY, NO_STREAM, Append, Appended, EventStore, Expectation, exactly
from projector.events import (
    ExecutionCompleted,
    MessageAppended,
    RunnerReady,
    ToolCallFinished,
    ToolCallStarted,
    WritableEvent,
)
from tests.histories import (
    ATTEMPT,
    COMPLETED,
    QUEUE,
    REMARK,
    REQUESTED,
    RUNNER,
    SHIPWRECK,
    SURVEY,
    VOYAGE,
    failed,
    new,
    news,
)
from tests.processes import child, children
from tests.store_processes import append_many, append_verdict, hold_lock, open_and_append

REEF = execution_stream(SURVEY)
WRECK = execution_stream("survey-of-the-wreck")
SHIP = runner_stream(RUNNER)


@dataclass(frozen=True)
class Engine:
    """How to get at an engine's store. `lock` holds whatever keeps every other process from appending."""

    open: Callable[[str, float], EventStore]
    lock: Callable[[str], AbstractContextManager[None]]


class EventStoreContract:
    """The suite. `place` is where the engine keeps a store of the test's own, empty or absent at first."""

    engine: ClassVar[Engine]

    @pytest.fixture
    def place(self) -> str:
        raise NotImplementedError

    @pytest.fixture
    def store(self, place: str) -> Iterator[EventStore]:
        with closing(self.engine.open(place, 30.0)) as store:
            yield store

    # --- append and read ---

    def test_what_was_appended_is_read_in_order_with_its_envelope(self, store: EventStore) -> None:
        written = news(*VOYAGE)
        store.append(REEF, written)
        assert [
            (record.stream, record.version, record.id, record.time, record.writer, record.attempt, record.event)
            for record in store.read(REEF)
        ] == [
            (REEF, version, event.id, event.time, event.writer, event.attempt, event.event)
            for version, event in enumerate(written, start=1)
        ]

    def test_what_an_append_returns_is_what_is_read(self, store: EventStore) -> None:
        odd = ToolCallStarted(call_id="1", tool="chart", arguments={7: ("a", "tuple"), "set": {1}, "bytes": b"\xff"})
        appended = store.append(
            REEF, news(REQUESTED, odd, MessageAppended(role="user", text="\x1b[31mred\x1b[0m \ud83d"))
        )
        assert appended.is_new
        assert list(appended.records) == store.read(REEF)

    def test_an_empty_store_has_neither_events_nor_versions(self, store: EventStore) -> None:
        assert store.read(REEF) == []
        assert store.tail(after=0) == []
        assert (store.head(), store.version(REEF)) == (0, 0)

    def test_versions_have_no_gaps_and_positions_are_in_the_order_of_commits(self, store: EventStore) -> None:
        for stream, events in ((REEF, VOYAGE[:3]), (SHIP, [RunnerReady(task_queue=QUEUE)]), (REEF, VOYAGE[3:5])):
            store.append(stream, news(*events))
        everything = store.tail(after=0)
        assert [(record.stream, record.version) for record in everything] == [
            (REEF, 1),
            (REEF, 2),
            (REEF, 3),
            (SHIP, 1),
            (REEF, 4),
            (REEF, 5),
        ]
        positions = [record.position for record in everything]
        assert positions == sorted(set(positions))
        assert store.head() == positions[-1]
        assert (store.version(REEF), store.version(SHIP), store.version(WRECK)) == (5, 1, 0)
        assert [record for record in everything if record.stream == REEF] == store.read(REEF)

    @pytest.mark.parametrize(
        ("options", "versions"),
        [
            ({}, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]),
            ({"after": 10}, [11, 12]),
            ({"upto": 2}, [1, 2]),
            ({"after": 3, "upto": 5}, [4, 5]),
            ({"after": 3, "limit": 2}, [4, 5]),
            ({"limit": 0}, []),
            ({"after": 12}, []),
            ({"after": 5, "upto": 3}, []),
            ({"after": 10**30}, []),
            ({"after": 10, "upto": 10**30, "limit": 10**30}, [11, 12]),
        ],
    )
    def test_a_part_of_a_history_is_read(self, store: EventStore, options: dict[str, int], versions: list[int]) -> None:
        store.append(REEF, news(*VOYAGE))
        assert [record.version for record in store.read(REEF, **options)] == versions

    def test_the_tail_is_read_in_pages_without_gap_or_repeat(self, store: EventStore) -> None:
        for stream in (REEF, WRECK):
            store.append(stream, news(*VOYAGE))
        seen: list[RecordedEvent] = []
        while page := store.tail(after=seen[-1].position if seen else 0, limit=5):
            assert len(page) <= 5
            seen += page
        assert seen == store.read(REEF) + store.read(WRECK)

    def test_beyond_the_head_there_is_nothing(self, store: EventStore) -> None:
        store.append(REEF, news(*VOYAGE))
        assert store.tail(after=store.head()) == []
        assert store.tail(after=10**30) == []
        assert len(store.tail(after=0, limit=10**30)) == len(VOYAGE)

    def test_an_append_of_nothing_stores_nothing(self, store: EventStore) -> None:
        assert store.append(REEF, []).records == ()
        assert (store.head(), store.version(REEF)) == (0, 0)

    def test_a_store_that_is_opened_again_holds_what_it_held(self, store: EventStore, place: str) -> None:
        store.append(REEF, news(*VOYAGE))
        with closing(self.engine.open(place, 30.0)) as other:
            assert other.read(REEF) == store.read(REEF)

    def test_closing_twice_does_no_harm_and_a_closed_store_says_so(self, place: str) -> None:
        store = self.engine.open(place, 30.0)
        store.close()
        store.close()
        for use in (lambda: store.head(), lambda: store.append(REEF, news(REQUESTED))):
            with pytest.raises(StoreClosed):
                use()

    # --- expectations ---

    @pytest.mark.parametrize(
        ("expect", "holds_when_empty", "holds_at_two"),
        [(ANY, True, True), (NO_STREAM, True, False), (exactly(2), False, True), (exactly(1), False, False)],
        ids=["anything", "no stream", "exactly 2", "exactly 1"],
    )
    def test_an_expectation_holds_or_nothing_is_stored(
        self, store: EventStore, expect: Expectation, holds_when_empty: bool, holds_at_two: bool
    ) -> None:
        store.append(WRECK, news(*VOYAGE[:2]))
        for stream, held, holds in ((REEF, 0, holds_when_empty), (WRECK, 2, holds_at_two)):
            if holds:
                store.append(stream, news(REMARK, REMARK), expect)
                assert store.version(stream) == held + 2
            else:
                with pytest.raises(VersionConflict) as conflict:
                    store.append(stream, news(REMARK, REMARK), expect)
                refusal = conflict.value
                assert (refusal.stream, refusal.expected, refusal.actual) == (stream, expect.version, held)
                assert store.version(stream) == held

    def test_a_conflict_leaves_its_neighbours_in_the_batch_alone(self, store: EventStore) -> None:
        first, refused, last = store.append_batch(
            [
                Append(REEF, tuple(news(*VOYAGE[:2])), NO_STREAM),
                Append(REEF, tuple(news(REMARK)), NO_STREAM),
                Append(REEF, tuple(news(ATTEMPT)), exactly(2)),
            ]
        )
        assert isinstance(first, Appended) and isinstance(last, Appended)
        assert isinstance(refused, VersionConflict)
        assert refused.actual == 2, "an append sees those before it in its batch"
        assert [type(record.event) for record in store.read(REEF)] == [type(e) for e in (*VOYAGE[:2], ATTEMPT)]

    def test_a_batch_of_nothing_is_answered_with_nothing(self, store: EventStore) -> None:
        assert store.append_batch([]) == []

    # --- once is enough ---

    @pytest.mark.parametrize("expect", [ANY, NO_STREAM, exactly(0), exactly(7)])
    def test_a_retried_append_is_stored_once_whatever_it_expected(self, store: EventStore, expect: Expectation) -> None:
        written = news(*VOYAGE[:3])
        first = store.append(REEF, written)
        store.append(REEF, news(REMARK))
        again = store.append(REEF, written, expect)
        assert (first.is_new, again.is_new) == (True, False)
        assert again.records == first.records
        assert store.version(REEF) == 4

    def test_a_retry_in_the_same_batch_is_stored_once(self, store: EventStore) -> None:
        written = tuple(news(*VOYAGE[:3]))
        first, again = store.append_batch([Append(REEF, written), Append(REEF, written)])
        assert isinstance(first, Appended) and isinstance(again, Appended)
        assert again == Appended(first.records, is_new=False)
        assert store.version(REEF) == 3

    @pytest.mark.parametrize("kept", [slice(0, 1), slice(1, 2), slice(2, 3), slice(0, 2)])
    def test_an_append_of_which_only_a_part_is_stored_is_refused(self, store: EventStore, kept: slice) -> None:
        written = news(*VOYAGE[:3])
        store.append(REEF, written[kept])
        before = store.read(REEF)
        with pytest.raises(VersionConflict):
            store.append(REEF, written)
        assert store.read(REEF) == before

    def test_two_events_of_one_append_cannot_share_an_id(self, store: EventStore) -> None:
        with pytest.raises(ValueError, match="have the same id"):
            store.append(REEF, [new(REQUESTED, "twin"), new(REMARK, "twin")])
        assert store.read(REEF) == []

    def test_one_id_in_two_streams_is_two_events(self, store: EventStore) -> None:
        assert store.append(REEF, [new(REMARK, "once")]).is_new
        assert store.append(WRECK, [new(REMARK, "once")]).is_new

    def test_a_second_verdict_is_refused_and_the_first_is_returned(self, store: EventStore) -> None:
        store.append(REEF, news(*SHIPWRECK[:-1]))
        first = store.append(REEF, [new(failed())])
        second = store.append(REEF, [new(COMPLETED)])
        assert (first.is_new, second.is_new) == (True, False)
        assert second.records == first.records
        assert second.records[0].event == failed()
        assert [record.id for record in store.read(REEF)].count(END_EVENT_ID) == 1

    def test_of_verdicts_from_many_processes_one_stands_and_all_are_told_which(
        self, store: EventStore, place: str
    ) -> None:
        store.append(REEF, news(*VOYAGE[:5]))
        with children(append_verdict, [(self.engine.open, place, REEF, number) for number in range(8)]) as judges:
            for judge in judges:
                assert judge.hear() == "ready"
            for judge in judges:
                judge.tell("now")
            told = [judge.hear() for judge in judges]
        assert [is_new for is_new, _ in told].count(True) == 1
        (standing,) = {number for _, number in told}
        end = store.read(REEF, after=5)
        assert [record.event for record in end] == [ExecutionCompleted(output=standing)]

    # --- the door ---

    def test_hostile_text_is_clean_when_it_is_read(self, store: EventStore) -> None:
        hostile: list[WritableEvent] = [
            MessageAppended(role="assistant", text="before\0after \ud83d\ude00 \ud83d \x1b[2J\x1b]0;title\x07 \x9b31m"),
            MessageAppended(role="\x00", text="x" * 10_000_000),
            ToolCallStarted(
                call_id="\x1b[1m", tool="t\0", arguments={"\ud800": float("nan"), "deep": [{"\0": b"\xfe"}]}
            ),
            ToolCallFinished(call_id="1", output=float("inf"), error="\ud800" * 100),
        ]
        store.append(REEF, news(*hostile))
        records = store.read(REEF)
        assert [type(record.event) for record in records] == [type(event) for event in hostile]
        for record in records:
            shown = record.event.model_dump_json()
            assert len(shown.encode()) <= 65_536
            for text in (shown, *_texts_in(record.event.model_dump())):
                assert clean_text(text) == text

    def test_a_secret_is_not_in_what_is_read_or_returned(self, store: EventStore) -> None:
        secret = "ghp_" + "a1B2c3D4e5F6" * 3
        appended = store.append(REEF, news(MessageAppended(role="user", text=f"push it with {secret}, please")))
        for record in (*appended.records, *store.read(REEF), *store.tail(after=0)):
            assert secret not in str(record)
            assert "please" in str(record), "and its neighbours are"

    # --- many at once ---

    def test_threads_share_one_store_object(self, store: EventStore) -> None:
        def work(number: int) -> None:
            for remark in range(25):
                store.append(REEF, [new(REMARK, f"{number}-{remark}")])
                assert store.read(REEF, limit=1)[0].version == 1

        with ThreadPoolExecutor(8) as threads:
            for done in [threads.submit(work, number) for number in range(8)]:
                done.result(60)
        assert [record.version for record in store.read(REEF)] == list(range(1, 201))

    def test_eight_processes_append_to_one_place_without_a_refusal(self, store: EventStore, place: str) -> None:
        each = 200
        with children(append_many, [(self.engine.open, place, REEF, number, each) for number in range(8)]) as crew:
            told = [one.hear(60) for one in crew]
            for one in crew:
                one.join()
        assert told == [each] * 8
        shared = store.read(REEF)
        assert [record.version for record in shared] == list(range(1, 8 * each // 2 + 1))
        for number in range(8):
            own = store.read(execution_stream(f"watch-{number}"))
            assert [record.id for record in own] == [f"{number}-{place}" for place in range(1, each, 2)]
            mine = [record.id for record in shared if record.id.startswith(f"{number}-")]
            assert mine == [f"{number}-{place}" for place in range(0, each, 2)]
        everything = store.tail(after=0, limit=10_000)
        assert len(everything) == 8 * each
        positions = [record.position for record in everything]
        assert positions == sorted(set(positions))

    def test_eight_processes_make_the_store_at_once(self, place: str) -> None:
        with children(open_and_append, [(self.engine.open, place, f"boat-{number}") for number in range(8)]) as crew:
            for one in crew:
                assert one.hear() == "ready"
            for one in crew:
                one.tell("now")
            assert [one.hear() for one in crew] == ["stored"] * 8
        with closing(self.engine.open(place, 30.0)) as store:
            assert len(store.tail(after=0)) == 8
            assert {record.stream for record in store.tail(after=0)} == {
                execution_stream(f"boat-{n}") for n in range(8)
            }

    # --- the lock ---

    def test_a_lock_of_another_process_delays_an_append_and_does_not_fail_it(
        self, store: EventStore, place: str
    ) -> None:
        with child(hold_lock, self.engine.lock, place) as keeper, ThreadPoolExecutor(1) as thread:
            assert keeper.hear() == "locked"
            waiting = thread.submit(store.append, REEF, news(REQUESTED))
            with pytest.raises(TimeoutError):
                waiting.result(1.0)
            keeper.tell("let go")
            assert waiting.result(30).is_new

    def test_a_lock_beyond_the_timeout_is_refused_and_the_same_store_works_again(self, place: str) -> None:
        written = news(REQUESTED)
        with closing(self.engine.open(place, 0.2)) as store:
            with child(hold_lock, self.engine.lock, place) as keeper:
                assert keeper.hear() == "locked"
                for _ in range(2):
                    with pytest.raises(
                        StoreUnavailable,
                        match=r"cannot be used at this moment: .*; (check that|process \d+ .* has its write lock)",
                    ):
                        store.append(REEF, written)
            assert store.version(REEF) == 0, "nothing is half written"
            assert store.append(REEF, written).is_new

    def test_who_waits_for_the_lock_does_not_keep_others_from_reading(self, store: EventStore, place: str) -> None:
        store.append(REEF, news(REQUESTED))
        with child(hold_lock, self.engine.lock, place) as keeper, ThreadPoolExecutor(3) as threads:
            assert keeper.hear() == "locked"
            waiting = [threads.submit(store.append, WRECK, news(REMARK)) for _ in range(2)]
            with pytest.raises(TimeoutError):
                waiting[0].result(0.2)
            read = threads.submit(store.read, REEF)
            assert [record.event for record in read.result(5)] == [REQUESTED]
            keeper.tell("let go")
            assert all(append.result(30).is_new for append in waiting)

    def test_a_store_can_be_closed_while_a_thread_appends(self, place: str) -> None:
        store = self.engine.open(place, 30.0)
        started, refused = threading.Event(), threading.Event()

        def work() -> None:
            try:
                while True:
                    store.append(REEF, [new(REMARK)])
                    started.set()
            except StoreClosed:
                refused.set()

        thread = threading.Thread(target=work)
        thread.start()
        assert started.wait(10)
        store.close()
        thread.join(10)
        assert refused.is_set()
        with closing(self.engine.open(place, 30.0)) as store:
            versions = [record.version for record in store.read(REEF)]
            assert versions == list(range(1, len(versions) + 1))


def _texts_in(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _texts_in(key)
            yield from _texts_in(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts_in(inner)
