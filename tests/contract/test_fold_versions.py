"""Rows that another version of the fold has made are not believed, not folded on, and made anew by who projects."""

from __future__ import annotations

import threading
from functools import partial

import pytest

from projector.engines.ports import StoreEngine
from projector.envelope import execution_stream
from projector.errors import StoreError
from projector.execution_filter import ExecutionFilter
from projector.execution_status import FOLD_VERSION, Phase
from projector.projecting.projection_runner import ProjectionRunner
from projector.projecting.rebuild import OUTDATED, rebuild
from projector.projections.tables import QUERY_TABLES
from projector.queries import Queries
from projector.repository import WORTH_A_SNAPSHOT, ExecutionRepository
from tests.fleet import set_sail
from tests.histories import AGENT, REMARK, REQUESTED, SURVEY, VOYAGE, news
from tests.postgres import wait_for
from tests.tables import Rows, change, folded, project, rows, statuses

REEF = execution_stream(SURVEY)
OTHERS = [FOLD_VERSION + 1, FOLD_VERSION - 1, None]
"""A later one, an earlier one, and none at all: tables that were made before versions were noted."""


def made_by(store: StoreEngine, version: int | None) -> Rows:
    """Make the tables those of another version, which saw every execution as pending; returns them as they should be.

    The version notes itself, or nothing when it is None.
    """
    truth = rows(store)
    change(store, "UPDATE executions SET phase = 'PENDING', status = replace(status, 'COMPLETED', 'PENDING')")
    change(store, "DELETE FROM tracking WHERE application_name = 'projector.fold'")
    if version is not None:
        change(store, "INSERT INTO tracking VALUES ('projector.fold', ?)", version)
    assert rows(store) != truth
    return truth


@pytest.fixture
def fleet(store: StoreEngine) -> StoreEngine:
    set_sail(store, times=2)
    store.append(REEF, news(*VOYAGE))
    project(store)
    return store


@pytest.mark.parametrize("version", OTHERS)
async def test_one_execution_is_told_from_the_store_alone(fleet: StoreEngine, version: int | None) -> None:
    made_by(fleet, version)
    async with Queries(fleet.reader()) as queries:
        assert await queries.execution(SURVEY) == folded(fleet)[SURVEY]


def test_they_are_no_snapshots(store: StoreEngine) -> None:
    store.append(REEF, news(REQUESTED, *[REMARK] * WORTH_A_SNAPSHOT))
    project(store)
    truth = ExecutionRepository(store).get(SURVEY)
    change(store, "UPDATE executions SET status = replace(status, 'PENDING', 'CANCELLED')")
    assert ExecutionRepository(store).get(SURVEY).phase is Phase.CANCELLED, "a row of this version's is one"
    change(store, "UPDATE tracking SET notification_id = ? WHERE application_name = 'projector.fold'", FOLD_VERSION + 1)
    assert ExecutionRepository(store).get(SURVEY) == truth


@pytest.mark.parametrize("version", OTHERS)
def test_a_projector_that_may_not_make_them_anew_refuses_them(fleet: StoreEngine, version: int | None) -> None:
    made_by(fleet, version)
    before = rows(fleet)
    with pytest.raises(StoreError, match="another version of this program: `execution-status rebuild` makes them anew"):
        ProjectionRunner(fleet, fleet.database).step()
    assert rows(fleet) == before


@pytest.mark.parametrize("version", OTHERS)
def test_a_projector_that_runs_makes_them_anew_and_goes_on(fleet: StoreEngine, version: int | None) -> None:
    made_by(fleet, version)
    stopping = threading.Event()
    runner = ProjectionRunner(fleet, fleet.database, renew=partial(rebuild, fleet))
    thread = threading.Thread(target=runner.run, args=(stopping,), kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        fleet.append(execution_stream("late"), news(*VOYAGE))
        wait_for(lambda: runner.position == fleet.head())
    finally:
        stopping.set()
        thread.join(10)
    assert statuses(fleet) == folded(fleet)
    assert rebuild(fleet, verify_only=True).differences == ()


def test_tables_with_other_columns_are_made_anew(fleet: StoreEngine) -> None:
    truth = made_by(fleet, FOLD_VERSION - 1)
    change(fleet, "ALTER TABLE executions RENAME COLUMN tool_in_flight TO tool")
    change(fleet, "ALTER TABLE runners ADD COLUMN mood TEXT")
    change(fleet, "DROP TABLE failure_groups")
    change(fleet, "CREATE TABLE failure_groups (code TEXT PRIMARY KEY)")
    assert ProjectionRunner(fleet, fleet.database, renew=partial(rebuild, fleet)).catch_up() == fleet.head()
    assert rows(fleet) == truth
    change(fleet, "SELECT tool_in_flight FROM executions")  # it has its name again


def as_before_causes(store: StoreEngine) -> None:
    """Give the table of executions the columns of the first version, which could not be asked for a cause."""
    for statement in (
        "DROP INDEX executions_by_cause",
        "DROP INDEX executions_by_agent",
        "ALTER TABLE executions DROP COLUMN fingerprint",
        "DELETE FROM tracking WHERE application_name = 'projector.fold'",
    ):
        change(store, statement)


async def test_tables_without_causes_are_read_and_then_made_anew(fleet: StoreEngine) -> None:
    truth = rows(fleet)
    as_before_causes(fleet)
    change(fleet, "INSERT INTO tracking VALUES ('projector.fold', 1)")
    async with Queries(fleet.reader()) as queries:
        (group, *_) = await queries.failure_groups()
        by_cause = ExecutionFilter.parse(cause=group.fingerprint)
        assert len((await queries.executions(ExecutionFilter(agent=AGENT))).items) == len(folded(fleet))
        with pytest.raises(StoreError, match=r"another version \(.*\): `execution-status rebuild` makes them anew"):
            await queries.executions(by_cause)
        assert (await queries.execution(SURVEY)).phase is folded(fleet)[SURVEY].phase, "what was refused broke nothing"

        ProjectionRunner(fleet, fleet.database, renew=partial(rebuild, fleet)).catch_up()
        assert len((await queries.executions(by_cause)).items) == group.executions
    assert rows(fleet) == truth


async def test_tables_without_causes_that_hold_nothing_yet_are_made_anew(store: StoreEngine) -> None:
    as_before_causes(store)
    set_sail(store, times=1)
    project(store)
    assert rows(store)["parked"] == []
    async with Queries(store.reader()) as queries:
        (group, *_) = await queries.failure_groups()
        page = await queries.executions(ExecutionFilter(cause=group.fingerprint))
        assert len(page.items) == group.executions
    assert rebuild(store, verify_only=True).differences == ()


def test_to_verify_says_that_they_are_another_versions_and_leaves_them(fleet: StoreEngine) -> None:
    truth = made_by(fleet, FOLD_VERSION + 1)
    before = rows(fleet)
    assert rebuild(fleet, verify_only=True).differences == (OUTDATED,)
    assert rows(fleet) == before
    assert rebuild(fleet).differences == (OUTDATED,)
    assert rows(fleet) == truth
    assert rebuild(fleet, verify_only=True).differences == ()


def test_new_and_empty_tables_are_no_others(store: StoreEngine) -> None:
    assert rebuild(store, verify_only=True).differences == ()
    store.append(REEF, news(*VOYAGE))
    project(store)
    with store.database.transaction(commit=False) as cursor:
        cursor.execute("SELECT notification_id FROM tracking WHERE application_name = 'projector.fold'")
        assert cursor.fetchone()[0] == FOLD_VERSION
    assert set(QUERY_TABLES) == set(rows(store))
