"""Who appends is killed at random points, again and again: what was acknowledged is there, whole, once and in order."""

from __future__ import annotations

import os
import random
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from projector.envelope import execution_stream
from tests.emitting_processes import TALKERS, number_of, talk_for_ever
from tests.processes import child
from tests.store_processes import append_entries, append_until_told, open_sqlite

KILLS = int(os.environ.get("EXECUTION_STATUS_TEST_KILLS", "50"))
EMITTER_KILLS = int(os.environ.get("EXECUTION_STATUS_TEST_KILLS", "40"))
LOGBOOK = execution_stream("the-logbook")


@pytest.mark.chaos
@pytest.mark.timeout(120)
def test_an_appender_that_is_killed_often_loses_no_entry_that_was_acknowledged(tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    place = str(tmp_path / "store.db")
    acknowledged, repeated = -1, 0
    with child(append_until_told, open_sqlite, place, execution_stream("a-bystander")) as bystander:
        for _ in range(KILLS):
            # It begins with the first entry that was not acknowledged, which may well have been stored.
            with child(append_entries, place, LOGBOOK, acknowledged + 1) as appender:
                assert appender.hear() == "ready"
                time.sleep(dice.uniform(0, 0.08))  # the point of it is that nobody knows when
                appender.kill()
                for number, is_new in appender.rest():
                    assert number == acknowledged + 1
                    acknowledged = number
                    repeated += not is_new
        bystander.tell("enough")
        undisturbed = bystander.hear()
        bystander.join()

    with closing(sqlite3.connect(place)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    with closing(open_sqlite(place)) as store:
        records = store.read(LOGBOOK)
        assert [record.version for record in records] == list(range(1, len(records) + 1))
        entries: dict[int, list[str]] = {}
        for record in records:
            _, number, part = record.id.split("-")
            entries.setdefault(int(number), []).append(part)
        assert list(entries) in (list(range(acknowledged + 1)), list(range(acknowledged + 2)))
        for number, parts in entries.items():
            assert parts == [str(part) for part in range(1 + number % 3)], f"entry {number} is whole"
        assert store.version(execution_stream("a-bystander")) == undisturbed > KILLS
        positions = [record.position for record in store.tail(after=0, limit=1_000_000)]
        assert positions == sorted(set(positions)) and len(positions) == len(records) + undisturbed
    assert acknowledged > KILLS
    print(f"{acknowledged + 1} entries acknowledged, of which {repeated} had been stored before their answer was lost")


@pytest.mark.chaos
@pytest.mark.timeout(300)
def test_an_emitter_that_is_killed_loses_the_end_of_what_was_said_and_nothing_that_was_waited_for(
    tmp_path: Path,
) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    place = str(tmp_path / "store.db")
    open_sqlite(place).close()
    heard: dict[tuple[str, int], int] = {}
    for attempt in range(1, EMITTER_KILLS + 1):
        with child(talk_for_ever, place, attempt) as runner:
            assert runner.hear() == "ready"
            time.sleep(dice.uniform(0, 0.08))  # the point of it is that nobody knows when
            runner.kill()
            heard |= {(name, attempt): number for name, number in runner.rest()}

    with closing(sqlite3.connect(place)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    stored = 0
    with closing(open_sqlite(place)) as store:
        for name in TALKERS:
            records = store.read(execution_stream(name))
            assert [record.version for record in records] == list(range(1, len(records) + 1))
            assert [record.attempt for record in records] == sorted(record.attempt for record in records)
            for attempt in range(1, EMITTER_KILLS + 1):
                said = [number_of(record.event) for record in records if record.attempt == attempt]
                assert said == list(range(1, len(said) + 1)), "what is there has no gaps"
                assert len(said) >= heard.get((name, attempt), 0), "and ends after what was waited for"
            stored += len(records)
    assert len(heard) > EMITTER_KILLS / 2
    print(f"{stored} events stored, {sum(heard.values())} known to be so")
