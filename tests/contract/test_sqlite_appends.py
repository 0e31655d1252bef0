"""Appends in batches on SQLite: whatever is in a batch, it ends as if its appends had come one by one."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from projector.door.hygiene import Hygiene
from projector.door.redaction import Redactor
from projector.engines.sqlite.appends import BatchedAppends
from projector.engines.sqlite.store import SqliteEventStore
from projector.envelope import NewEvent, execution_stream
from projector.errors import VersionConflict
from projector.event_store import ANY, STORED_UNTOLD, Append, Appended, Expectation
from tests.contract.event_store_contract import REEF, WRECK
from tests.histories import REMARK, VOYAGE, new, news
from tests.store_processes import open_sqlite

ids = st.lists(st.sampled_from("abcdef"), unique=True, max_size=3)
appends = st.builds(
    lambda stream, ids, expect: Append(stream, tuple(new(REMARK, each) for each in ids), expect),
    st.sampled_from([REEF, WRECK]),
    ids,
    st.just(ANY) | st.integers(0, 4).map(Expectation),
)


def outcome_of(store: SqliteEventStore, append: Append) -> Appended | VersionConflict:
    try:
        return store.append(append.stream, append.events, append.expect)
    except VersionConflict as conflict:
        return conflict


def told(outcomes: list[Appended | VersionConflict]) -> list[object]:
    return [str(outcome) if isinstance(outcome, VersionConflict) else outcome for outcome in outcomes]


@settings(max_examples=60)
@given(st.lists(st.lists(appends, max_size=6), min_size=1, max_size=3))
def test_a_batch_is_its_appends_one_by_one(batches: list[list[Append]]) -> None:
    with (
        TemporaryDirectory() as folder,
        closing(open_sqlite(f"{folder}/a.db")) as together,
        closing(open_sqlite(f"{folder}/b.db")) as one_by_one,
    ):
        for batch in batches:
            assert told(together.append_batch(batch)) == told([outcome_of(one_by_one, each) for each in batch])
        assert together.tail(after=0) == one_by_one.tail(after=0)


def test_a_large_batch_has_its_versions_and_positions_in_order(tmp_path: Path) -> None:
    """More rows than go into one statement, and of every number that is left over."""
    with closing(open_sqlite(str(tmp_path / "store.db"))) as store:
        stored = 0
        for size in (1, 7, 8, 9, 39, 48, 199, 249, 1000):
            events = tuple(new(REMARK, f"{size}-{at}") for at in range(size))
            outcome = store.append_batch([Append(REEF, events[: size // 2]), Append(REEF, events[size // 2 :])])
            records = [record for one in outcome if isinstance(one, Appended) for record in one.records]
            assert [record.id for record in records] == [event.id for event in events]
            assert records == store.read(REEF, after=stored)
            stored += size
        assert [record.version for record in store.read(REEF)] == list(range(1, stored + 1))
        assert [record.position for record in store.tail(after=0, limit=stored)] == list(range(1, stored + 1))


def test_an_append_that_nobody_is_told_of_is_stored_all_the_same(tmp_path: Path) -> None:
    with closing(open_sqlite(str(tmp_path / "store.db"))) as store:
        told_of, untold = store.append_batch(
            [Append(REEF, tuple(news(*VOYAGE))), Append(WRECK, tuple(news(REMARK)), is_told=False)]
        )
        assert isinstance(told_of, Appended) and list(told_of.records) == store.read(REEF)
        assert untold is STORED_UNTOLD
        assert store.version(WRECK) == 1


def test_what_was_half_done_when_an_id_was_found_is_undone(tmp_path: Path) -> None:
    with closing(open_sqlite(str(tmp_path / "store.db"))) as store:
        held = [NewEvent("held", event.time, event.writer, event.event) for event in news(REMARK)]
        store.append(REEF, held)
        batch = [Append(execution_stream(f"boat-{number}"), tuple(news(REMARK))) for number in range(300)]
        outcomes = store.append_batch([*batch, Append(REEF, tuple(held))])
        assert [outcome.is_new for outcome in outcomes if isinstance(outcome, Appended)] == [True] * 300 + [False]
        assert store.head() == 301


def test_a_batch_that_began_anew_is_still_one_transaction(tmp_path: Path) -> None:
    with closing(open_sqlite(str(tmp_path / "store.db"))) as store:
        held = tuple(news(REMARK))
        store.append(REEF, held)
        appends = [Append(WRECK, tuple(news(*VOYAGE))), Append(REEF, held)]
        batch = BatchedAppends(appends, Hygiene(Redactor()), store.mapper)
        with pytest.raises(InterruptedError), store.datastore.transaction(commit=True) as cursor:
            first, again = batch.store(cursor)
            assert isinstance(first, Appended) and isinstance(again, Appended)
            assert (first.is_new, again.is_new) == (True, False)
            raise InterruptedError
        assert store.version(WRECK) == 0
