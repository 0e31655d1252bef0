"""Whoever follows a PostgreSQL store from a position misses nothing, however many write at once."""

from __future__ import annotations

import os
from contextlib import closing

import pytest

from projector.envelope import RecordedEvent
from tests.postgres import run
from tests.postgres_processes import open_postgres, write_much
from tests.processes import Child, children

WRITERS = 8
EVENTS = int(os.environ.get("EXECUTION_STATUS_TEST_EVENTS", "20000"))


LINGER = """
CREATE OR REPLACE FUNCTION linger() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM pg_sleep({seconds}); RETURN NULL; END $$
"""
LINGER_AT_COMMIT = """
CREATE CONSTRAINT TRIGGER linger AFTER INSERT ON stored_events DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW WHEN (NEW.originator_version % 25 = 1 AND right(NEW.originator_id, 1) IN ('1', '3', '5', '7'))
EXECUTE FUNCTION linger()
"""


def slow_commits(dsn: str, seconds: float) -> None:
    """Let half the writers commit some of their events so long after those have their positions, as on a slow disk."""
    open_postgres(dsn).close()
    run(dsn, LINGER.format(seconds=seconds), LINGER_AT_COMMIT)


def follow_writers(dsn: str, crew: list[Child]) -> tuple[list[RecordedEvent], list[tuple[int, int]]]:
    """What a reader sees that goes on from its last position while all write, and what each writer counted."""
    seen: list[RecordedEvent] = []
    told: list[tuple[int, int]] = []
    with closing(open_postgres(dsn)) as store:
        for writer in crew:
            assert writer.hear() == "ready"
        for writer in crew:
            writer.tell("now")
        writing = list(crew)
        while True:
            ended = not writing
            page = store.tail(after=seen[-1].position if seen else 0, limit=1000)
            seen += page
            if ended and not page:
                return seen, told
            for writer in [one for one in writing if one.pipe.poll(0)]:
                told.append(writer.hear())
                writing.remove(writer)


def stored_in(dsn: str) -> list[RecordedEvent]:
    with closing(open_postgres(dsn)) as store:
        return store.tail(after=0, limit=10**9)


@pytest.mark.slow
def test_a_reader_beside_eight_writers_misses_nothing(dsn: str) -> None:
    slow_commits(dsn, 0.002)
    each = EVENTS // WRITERS
    with children(write_much, [(dsn, number, each, True) for number in range(WRITERS)]) as crew:
        seen, told = follow_writers(dsn, crew)
    assert sum(stored for stored, _ in told) == WRITERS * each
    assert all(refused > 0 for _, refused in told)
    assert seen == stored_in(dsn)
    for number in range(WRITERS):
        own = [record for record in seen if record.stream == f"execution/watch-{number}"]
        assert [record.version for record in own] == list(range(1, each + 1))
        assert [record.id for record in own] == [f"{number}-{at}" for at in range(each)]


@pytest.mark.slow
def test_without_the_lock_the_same_reader_does_miss_events(dsn: str) -> None:
    slow_commits(dsn, 0.2)  # so long that the reader looks meanwhile, however busy the machine is
    with children(write_much, [(dsn, number, 250, False) for number in range(WRITERS)]) as crew:
        seen, _ = follow_writers(dsn, crew)
    missed = len(stored_in(dsn)) - len(seen)
    print(f"{missed} of {len(seen) + missed} events were missed")
    assert missed > 0, "the test above proves nothing"
