"""Rebuild: the query tables made anew are the same to the byte, and what was meddled with is found and made good."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from projector.engines.ports import StoreEngine
from projector.envelope import execution_stream
from projector.execution_status import Phase
from projector.projecting.projection_runner import ProjectionRunner
from projector.projecting.rebuild import rebuild
from projector.projections.tables import QUERY_TABLES
from tests.fleet import set_sail
from tests.histories import ATTEMPT, COMPLETED, REMARK, REQUESTED, SURVEY, VOYAGE, new, news
from tests.tables import change, folded, insert_raw, project, rewrite, rows, statuses

REEF = execution_stream(SURVEY)
MOST_VOYAGES = 150


@pytest.fixture
def fleet(store: StoreEngine) -> StoreEngine:
    """A store with every kind of row: executions, groups, runners, and one execution that is parked."""
    set_sail(store, times=3)
    store.append(REEF, [new(REQUESTED), new(ATTEMPT, attempt=2**70), new(REMARK)])
    project(store)
    assert all(rows(store)[table] for table in QUERY_TABLES)
    return store


def test_a_rebuild_gives_the_same_rows_to_the_byte(fleet: StoreEngine) -> None:
    before = rows(fleet)
    for verify_only in (True, False, True):
        report = rebuild(fleet, verify_only=verify_only)
        assert report.differences == ()
        assert report.position == fleet.head()
        assert report.seconds > 0
        assert rows(fleet) == before


MEDDLING = {
    "a phase that was changed": (
        "UPDATE executions SET phase = 'COMPLETED' WHERE execution_id = 'voyage-0-1'",
        "executions: voyage-0-1",
    ),
    "a status that was changed": (
        "UPDATE executions SET status = replace(status, 'reef', 'riff') WHERE execution_id = 'voyage-1-0'",
        "executions: voyage-1-0",
    ),
    "an execution that is gone": (
        "DELETE FROM executions WHERE execution_id = 'voyage-2-2'",
        "executions: voyage-2-2",
    ),
    "an execution that never was": (
        "INSERT INTO executions SELECT 'the-flying-dutchman', phase, agent, task_queue, session_id, thread_id, "
        "attempt, runner, code, category, fingerprint, message, tool_in_flight, condition, condition_reason, "
        "requested_at, started_at, finished_at, first_position, version, position, status FROM executions LIMIT 1",
        "executions: the-flying-dutchman",
    ),
    "a count that is one too high": (
        "UPDATE failure_groups SET executions = executions + 1 WHERE code = 'E102'",
        "failure_groups: E102 ",
    ),
    "a runner that was called ready": (
        "UPDATE runners SET state = 'ready' WHERE runner_id = 'runner-1'",
        "runners: runner-1",
    ),
    "a parked stream that was let go": ("DELETE FROM parked", f"parked: {REEF}"),
    "a column that holds null": (
        "UPDATE executions SET session_id = NULL WHERE execution_id = 'voyage-0-0'",
        "executions: voyage-0-0",
    ),
}


@pytest.mark.parametrize("meddling", MEDDLING)
def test_a_row_that_was_meddled_with_is_found_and_made_good(fleet: StoreEngine, meddling: str) -> None:
    statement, found = MEDDLING[meddling]
    truth = rows(fleet)
    change(fleet, statement)
    meddled = rows(fleet)
    assert meddled != truth
    report = rebuild(fleet, verify_only=True)
    assert len(report.differences) == 1
    assert report.differences[0].startswith(found)
    assert rows(fleet) == meddled, "to verify is only to look"
    assert rebuild(fleet).differences == report.differences
    assert rows(fleet) == truth
    assert rebuild(fleet, verify_only=True).differences == ()


def test_tables_that_are_behind_are_no_difference_and_a_rebuild_brings_them_up(fleet: StoreEngine) -> None:
    before = rows(fleet)
    fleet.append(execution_stream("late"), news(*VOYAGE))
    assert rebuild(fleet, verify_only=True).differences == ()
    assert rows(fleet) == before
    assert rebuild(fleet).position == fleet.head()
    assert statuses(fleet)["late"].phase is Phase.COMPLETED


def test_tables_of_another_store_s_future_are_brought_back(fleet: StoreEngine) -> None:
    """As when a store is restored from a backup that is older than its tables."""
    truth = rows(fleet)
    change(fleet, "UPDATE tracking SET notification_id = 1000000 WHERE application_name = 'projector'")
    rebuild(fleet)
    fleet.append(execution_stream("late"), news(*VOYAGE))
    project(fleet)
    assert statuses(fleet)["late"].phase is Phase.COMPLETED
    assert rows(fleet)["failure_groups"] == truth["failure_groups"]


def test_tables_that_were_dropped_are_made_again(fleet: StoreEngine) -> None:
    truth = rows(fleet)
    for table in QUERY_TABLES:
        change(fleet, f"DROP TABLE {table}")
    rebuild(fleet)
    assert rows(fleet) == truth


def test_a_rebuild_beside_a_projector_and_a_writer_loses_and_doubles_nothing(fleet: StoreEngine) -> None:
    stopping = threading.Event()

    def write() -> int:
        number = 0
        # Not for ever: on a busy machine each rebuild would take longer than the one before it.
        while number < MOST_VOYAGES and not stopping.wait(0.02):
            fleet.append(execution_stream(f"live-{number}"), news(*VOYAGE))
            number += 1
        return number

    with ThreadPoolExecutor(2) as threads:
        projector = ProjectionRunner(fleet, fleet.database)
        projecting = threads.submit(projector.run, stopping, poll_interval=0.01)
        writing = threads.submit(write)
        try:
            for meddling in ("a phase that was changed", "a count that is one too high", "an execution that is gone"):
                statement, found = MEDDLING[meddling]
                change(fleet, statement)
                assert any(each.startswith(found) for each in rebuild(fleet, verify_only=True).differences)
                assert any(each.startswith(found) for each in rebuild(fleet).differences)
                assert rebuild(fleet, verify_only=True).differences == ()
        finally:
            stopping.set()
        projecting.result(10)
        assert writing.result(10) > 0
    project(fleet)
    assert rebuild(fleet, verify_only=True).differences == ()
    told, truth = statuses(fleet), folded(fleet)
    assert {name: status for name, status in told.items() if name != SURVEY} == {
        name: status for name, status in truth.items() if name != SURVEY
    }


def test_a_running_projector_notices_that_the_rows_were_exchanged(store: StoreEngine) -> None:
    store.append(REEF, [new(REQUESTED), new(ATTEMPT, attempt=2**70)])
    old_hand = project(store)
    assert rows(store)["parked"]
    rewrite(store, REEF, 2, lambda state: state.replace(str(2**70).encode(), b"1"))
    rebuild(store)
    assert rows(store)["parked"] == []
    store.append(REEF, news(COMPLETED))
    old_hand.catch_up()
    assert statuses(store) == folded(store)
    assert statuses(store)[SURVEY].phase is Phase.COMPLETED


def test_an_execution_that_was_degraded_is_whole_after_a_rebuild_by_a_version_that_reads_it(
    store: StoreEngine,
) -> None:
    store.append(REEF, news(REQUESTED))
    body = {"id": "x", "time": "2026-03-14T06:00:00Z", "writer": "w", "attempt": 0, "class_version": 2, "data": {}}
    insert_raw(store, REEF, "MessageAppended", json.dumps(body).encode())
    project(store)
    assert statuses(store)[SURVEY].unreadable_events == 1
    readable = json.dumps(body | {"class_version": 1, "data": {"role": "user", "text": "Ahoy."}}).encode()
    rewrite(store, REEF, 2, lambda _: readable)
    rebuild(store)
    status = statuses(store)[SURVEY]
    assert (status.messages, status.unreadable_events, status.condition) == (1, 0, None)


def test_two_rebuilds_at_once_end_well(fleet: StoreEngine) -> None:
    before = rows(fleet)
    with ThreadPoolExecutor(2) as threads:
        reports = list(threads.map(lambda _: rebuild(fleet), range(2)))
    assert [report.differences for report in reports] == [(), ()]
    assert rows(fleet) == before


@pytest.mark.slow
def test_several_processes_give_the_same_rows_as_one(fleet: StoreEngine) -> None:
    before = rows(fleet)
    assert rebuild(fleet, processes=3, verify_only=True).differences == ()
    change(fleet, "DELETE FROM executions")
    change(fleet, "UPDATE failure_groups SET executions = 0")
    report = rebuild(fleet, processes=2)
    assert (report.position, len(report.differences) > 10) == (fleet.head(), True)
    assert rows(fleet) == before
    fleet.append(execution_stream("late"), news(*VOYAGE))
    project(fleet)
    assert rebuild(fleet, verify_only=True).differences == ()


def test_an_empty_store_is_rebuilt_to_empty_tables(store: StoreEngine) -> None:
    report = rebuild(store)
    assert (report.position, report.differences) == (0, ())
    assert not any(rows(store).values())
