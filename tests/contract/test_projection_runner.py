"""The projector's loop: its rows are what the store says, whoever projects, how often, and whatever an event holds."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from projector.engines.ports import StoreEngine
from projector.envelope import execution_stream, runner_stream
from projector.errors import StoreUnavailable
from projector.events import ConditionKind
from projector.execution_status import Phase
from projector.failures import fingerprint
from projector.projecting.projection_runner import ProjectionRunner
from projector.projecting.rebuild import rebuild
from projector.projections import executions
from projector.projections.failure_groups import FailureGroup
from projector.projections.tables import QUERY_TABLES
from tests.engines import Engine
from tests.fleet import RUNNERS, STORIES, set_sail
from tests.histories import (
    ATTEMPT,
    AWAITED,
    COMPLETED,
    REMARK,
    REQUESTED,
    SOUNDING,
    SURVEY,
    VOYAGE,
    failed,
    new,
    news,
)
from tests.processes import child, children
from tests.store_processes import hold_lock, open_sqlite, project_to
from tests.tables import change, folded, insert_raw, project, rows, statuses

REEF = execution_stream(SURVEY)
BODY = {"id": "raw", "time": "2026-03-14T06:00:00Z", "writer": "a disk", "attempt": 0}
BEYOND_ALL = 2**70
"""An attempt that no column of any engine can hold: the fold takes it, the row does not."""


@contextmanager
def projecting(store: StoreEngine) -> Iterator[ProjectionRunner]:
    """A projector in a thread of its own."""
    runner, stopping = ProjectionRunner(store, store.database), threading.Event()
    thread = threading.Thread(target=runner.run, args=(stopping,), kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield runner
    finally:
        stopping.set()
        thread.join(10)
        assert not thread.is_alive()


def wait_until(condition: Callable[[], bool], timeout: float = 10.0) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.005)


# --- rows are the fold ---------------------------------------------------------------------------------------------


def test_every_row_holds_the_fold_of_its_history(store: StoreEngine) -> None:
    set_sail(store, times=5)
    project(store)
    assert statuses(store) == folded(store)
    assert len(statuses(store)) == 5 * len(STORIES)


def test_the_columns_say_what_people_filter_by(store: StoreEngine) -> None:
    store.append(REEF, news(REQUESTED, AWAITED, ATTEMPT, SOUNDING, failed()))
    project(store)
    row = dict(zip(executions.COLUMNS, rows(store)["executions"][0], strict=True))
    status = statuses(store)[SURVEY]
    assert status.failure is not None
    assert row.pop("status") == status.model_dump_json()
    assert row == {
        "execution_id": SURVEY,
        "phase": "FAILED",
        "agent": REQUESTED.agent,
        "task_queue": REQUESTED.task_queue,
        "session_id": REQUESTED.session_id,
        "thread_id": None,
        "attempt": 1,
        "runner": ATTEMPT.runner_id,
        "code": "E401",
        "category": "agent_failed",
        "fingerprint": fingerprint(status.failure),
        "message": status.failure.message,
        "tool_in_flight": "sound_depth",
        "condition": None,
        "condition_reason": None,
        "requested_at": "2026-03-14T06:00:00+00:00",
        "started_at": "2026-03-14T06:00:02+00:00",
        "finished_at": "2026-03-14T06:00:04+00:00",
        "first_position": 1,
        "version": 5,
        "position": 5,
    }


def test_failures_of_one_cause_are_one_group(store: StoreEngine) -> None:
    set_sail(store, times=3)
    project(store)
    groups = [
        FailureGroup(**dict(zip(FailureGroup.model_fields, row, strict=True))) for row in rows(store)["failure_groups"]
    ]
    assert {(group.code, group.cause): group.executions for group in groups} == {
        ("E102", "ScheduleToStartTimeout"): 3,
        ("E401", "ValueError"): 6,
        ("E401", "OSError"): 6,
    }
    for group in groups:
        last = statuses(store)[group.last_execution_id]
        assert last.failure is not None and last.failure.message == group.message
        assert group.first_at <= group.last_at


def test_runners_are_what_they_last_said(store: StoreEngine) -> None:
    set_sail(store)
    project(store)
    told = {row[0]: json.loads(row[-1]) for row in rows(store)["runners"]}
    assert {runner: (row["state"], row["error"], row["stage"]) for runner, row in told.items()} == {
        "runner-0": ("ready", "", ""),
        "runner-1": ("startup_failed", "StartupError: no agents (root cause: ImportError: test)", "import"),
        "runner-2": ("stopped", "", ""),
    }
    assert len(told) == len(RUNNERS)


@pytest.mark.parametrize("batch", [1, 2, 7, 5000])
def test_neither_the_size_of_a_batch_nor_the_engine_changes_a_row(
    store: StoreEngine, tmp_path: Path, batch: int
) -> None:
    set_sail(store, times=4)
    project(store)
    with closing(open_sqlite(str(tmp_path / "other.db"))) as other:
        set_sail(other, times=4)
        project(other, batch=batch)
        assert rows(other) == rows(store)


def test_statuses_that_are_no_longer_at_hand_are_read_from_their_rows(
    store: StoreEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("projector.projecting.projection_runner.CACHED", 3)
    set_sail(store, times=10)
    project(store, batch=5)
    assert statuses(store) == folded(store)


def test_an_empty_store_has_empty_tables(store: StoreEngine) -> None:
    assert project(store).position == 0
    assert not any(rows(store).values())


def test_events_that_are_delivered_twice_change_nothing(store: StoreEngine) -> None:
    set_sail(store, times=3)
    project(store)
    once = rows(store)
    change(store, "UPDATE tracking SET notification_id = 0 WHERE application_name = 'projector'")
    project(store)
    assert rows(store) == once


def test_what_comes_later_is_folded_onto_the_rows(store: StoreEngine) -> None:
    runner = project(store)
    for event in news(*VOYAGE):
        store.append(REEF, [event])
        assert runner.catch_up() == store.head()
        assert statuses(store) == folded(store)


# --- several projectors --------------------------------------------------------------------------------------------


def test_two_projectors_in_turn_do_each_event_once(store: StoreEngine) -> None:
    first, second = (ProjectionRunner(store, store.database, batch=3) for _ in range(2))
    set_sail(store, times=3)
    while first.step() or second.step():
        pass
    assert statuses(store) == folded(store)
    assert rebuild(store, verify_only=True).differences == ()


def test_projectors_in_several_processes_do_each_event_once(engine: Engine, store: StoreEngine, place: str) -> None:
    set_sail(store, times=30)
    with children(project_to, [(engine.open, place, store.head(), 7)] * 3) as projectors:
        for each in projectors:
            assert each.hear() == store.head()
    assert statuses(store) == folded(store)
    assert rebuild(store, verify_only=True).differences == ()


def test_a_projector_beside_writers_reaches_the_head(store: StoreEngine) -> None:
    with projecting(store), projecting(store):
        for seed in range(20):
            store.append(execution_stream(f"late-{seed}"), news(*VOYAGE))
        wait_until(lambda: statuses(store) == folded(store))
    assert rebuild(store, verify_only=True).differences == ()


# --- trouble with the store ----------------------------------------------------------------------------------------


def test_rows_and_position_move_together_or_not_at_all(engine: Engine, store: StoreEngine, place: str) -> None:
    set_sail(store)
    with closing(engine.open(place, 0.1)) as impatient:
        runner = ProjectionRunner(impatient, impatient.database, batch=4)
        runner.step()
        before = rows(store)
        with child(hold_lock, engine.locked, place) as keeper:
            assert keeper.hear() == "locked"
            with pytest.raises(StoreUnavailable):
                runner.step()
        assert rows(store) == before
        runner.catch_up()
    assert statuses(store) == folded(store)


def test_a_projector_waits_out_a_store_that_cannot_serve(engine: Engine, store: StoreEngine, place: str) -> None:
    with closing(engine.open(place, 0.1)) as impatient, projecting(impatient) as runner:
        store.append(REEF, news(REQUESTED))
        wait_until(lambda: runner.position == 1)
        store.append(REEF, news(REMARK))
        with child(hold_lock, engine.locked, place) as keeper:
            assert keeper.hear() == "locked"
            time.sleep(0.3)
        store.append(REEF, news(REMARK))
        wait_until(lambda: statuses(store) == folded(store))


# --- trouble with an event -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("topic", "state"),
    [
        ("TideTurned", json.dumps(BODY | {"data": {}}).encode()),
        ("MessageAppended", json.dumps(BODY | {"data": {}, "class_version": 9}).encode()),
        ("MessageAppended", b'{"id": "torn'),
    ],
    ids=["an unknown name", "a newer version", "a damaged body"],
)
def test_an_unreadable_event_degrades_its_execution_and_what_follows_is_folded(
    store: StoreEngine, topic: str, state: bytes
) -> None:
    store.append(REEF, news(REQUESTED, ATTEMPT))
    insert_raw(store, REEF, topic, state)
    store.append(REEF, news(REMARK, COMPLETED))
    store.append(execution_stream("another"), news(*VOYAGE))
    project(store)
    status = statuses(store)[SURVEY]
    assert (status.phase, status.messages, status.unreadable_events) == (Phase.COMPLETED, 1, 1)
    assert status.condition is not None
    assert status.condition.kind is ConditionKind.DEGRADED
    assert f"event 3 ({topic}) cannot be read" in status.condition.reason
    assert statuses(store)["another"].condition is None
    assert rows(store)["parked"] == []


def test_an_unreadable_event_of_a_runner_hurts_no_runner(store: StoreEngine) -> None:
    stream = runner_stream("polaris")
    insert_raw(store, stream, "RunnerPromoted", json.dumps(BODY | {"data": {}}).encode())
    store.append(stream, news(*RUNNERS[0]))
    project(store)
    assert [(row[0], row[1]) for row in rows(store)["runners"]] == [("polaris", "ready")]


def test_a_stream_of_neither_kind_is_passed_over(store: StoreEngine) -> None:
    insert_raw(store, "lighthouse/1", "LampLit", json.dumps(BODY | {"data": {}}).encode())
    store.append(REEF, news(*VOYAGE))
    project(store)
    assert list(statuses(store)) == [SURVEY]


@pytest.mark.parametrize("batch", [1, 3, 500])
def test_a_poisonous_event_parks_its_execution_and_nothing_else(store: StoreEngine, batch: int) -> None:
    store.append(execution_stream("before"), news(*VOYAGE))
    store.append(REEF, news(REQUESTED, AWAITED))
    store.append(REEF, [new(ATTEMPT, attempt=BEYOND_ALL)])
    store.append(REEF, news(REMARK, COMPLETED))
    store.append(execution_stream("poisoned too"[:8]), [new(ATTEMPT, attempt=BEYOND_ALL)])
    store.append(execution_stream("after"), news(*VOYAGE))
    project(store, batch=batch)
    told, truth = statuses(store), folded(store)
    assert {name: told[name] for name in ("before", "after")} == {name: truth[name] for name in ("before", "after")}
    parked = told[SURVEY]
    assert (parked.version, parked.phase, parked.messages) == (2, Phase.PENDING, 0)
    assert parked.condition is not None and parked.condition.kind is ConditionKind.DEGRADED
    assert re.search(r"the projector could not take event 3 \(AttemptStarted\): \w+: .+", parked.condition.reason)
    assert [(stream, position) for stream, position, _ in rows(store)["parked"]] == [
        (execution_stream("poisoned"), 18),
        (REEF, 15),
    ]
    assert rebuild(store, verify_only=True).differences == ()


@pytest.mark.parametrize("poisonous", [1, 3, 8, 20])
def test_however_many_events_are_poisonous_each_parks_its_execution_in_a_batch_of_any_size(
    store: StoreEngine, poisonous: int
) -> None:
    for number in range(20):
        attempt = BEYOND_ALL if number * poisonous % 20 < poisonous else 1
        store.append(execution_stream(f"boat-{number}"), [new(REQUESTED), new(ATTEMPT, attempt=attempt), new(failed())])
        store.append(execution_stream(f"boat-{(number + 7) % 20}"), [new(REMARK)])
    with capture_logs() as said:
        project(store, batch=1000)
    assert len(rows(store)["parked"]) == poisonous
    assert sum(row[5] for row in rows(store)["failure_groups"]) == 20 - poisonous
    assert len([entry for entry in said if entry["event"] == "stream parked"]) == poisonous, "each is told once"
    at_once = rows(store)
    for table in (*QUERY_TABLES, "tracking"):
        change(store, f"DELETE FROM {table}")
    project(store, batch=1)
    assert rows(store) == at_once


def test_a_parked_execution_stays_parked_for_another_projector(store: StoreEngine) -> None:
    store.append(REEF, [new(REQUESTED), new(ATTEMPT, attempt=BEYOND_ALL)])
    project(store)
    parked = rows(store)
    store.append(REEF, news(REMARK, COMPLETED))
    project(store)
    assert rows(store) == parked


def test_a_poisonous_event_of_a_runner_parks_that_runner(store: StoreEngine) -> None:
    store.append(runner_stream("polaris"), news(*RUNNERS[0]))
    data = {"task_queue": "agent-runner", "pid": BEYOND_ALL}
    insert_raw(store, runner_stream("vega"), "RunnerStarting", json.dumps(BODY | {"data": data}).encode())
    store.append(runner_stream("deneb"), news(*RUNNERS[2]))
    project(store)
    assert [row[0] for row in rows(store)["runners"]] == ["deneb", "polaris"]
    assert [row[0] for row in rows(store)["parked"]] == [runner_stream("vega")]


def test_a_poisonous_event_in_the_middle_of_a_live_stream_stops_nobody(store: StoreEngine) -> None:
    with projecting(store) as runner:
        store.append(REEF, [new(REQUESTED), new(ATTEMPT, attempt=BEYOND_ALL)])
        store.append(execution_stream("another"), news(*VOYAGE))
        wait_until(lambda: runner.position == store.head())
    assert statuses(store)["another"].phase is Phase.COMPLETED
