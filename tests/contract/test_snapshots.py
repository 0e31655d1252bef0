"""A process that meets a long execution for the first time begins with its row, and folds only what came since."""

from __future__ import annotations

import pytest

from projector.engines.ports import StoreEngine
from projector.envelope import execution_stream
from projector.events import WritableEvent
from projector.execution_status import ExecutionStatus, Phase, fold
from projector.repository import WORTH_A_SNAPSHOT, ExecutionRepository
from tests.histories import ATTEMPT, COMPLETED, REMARK, REQUESTED, SURVEY, VOYAGE, new, news
from tests.tables import change, project

REEF = execution_stream(SURVEY)
LONG: tuple[WritableEvent, ...] = (REQUESTED, ATTEMPT, *[REMARK] * WORTH_A_SNAPSHOT)


def cold(store: StoreEngine) -> ExecutionRepository:
    """A repository of a process that has not seen anything yet."""
    return ExecutionRepository(store)


def truth(store: StoreEngine, upto: int | None = None) -> ExecutionStatus | None:
    return fold(None, store.read(REEF, upto=upto))


def forget_up_to(store: StoreEngine, version: int) -> None:
    """Take away the events that nobody who begins with the row has any need of."""
    change(store, "DELETE FROM stored_events WHERE originator_version <= ?", version)


def tamper(store: StoreEngine) -> None:
    """Make the row say something else."""
    change(store, "UPDATE executions SET status = replace(status, 'IN_PROGRESS', 'CANCELLED')")


def test_the_row_and_the_events_after_it_are_all_that_is_read(store: StoreEngine) -> None:
    store.append(REEF, news(*LONG))
    project(store)
    store.append(REEF, news(REMARK, COMPLETED))
    expected = truth(store)
    forget_up_to(store, len(LONG))
    assert cold(store).get(SURVEY) == expected
    change(store, "DELETE FROM executions")
    assert cold(store).get(SURVEY) != expected, "or they would not have been missed"


def test_a_row_that_is_not_there_yet_is_not_needed(store: StoreEngine) -> None:
    store.append(REEF, news(*LONG))
    assert cold(store).get(SURVEY) == truth(store)


def test_a_version_before_the_row_is_folded_from_the_beginning(store: StoreEngine) -> None:
    store.append(REEF, news(*LONG))
    project(store)
    tamper(store)
    for version in (1, 2, WORTH_A_SNAPSHOT):
        assert cold(store).get(SURVEY, version) == truth(store, version)


def test_a_version_at_or_after_the_row_begins_with_it(store: StoreEngine) -> None:
    store.append(REEF, news(*LONG))
    project(store)
    store.append(REEF, news(REMARK, COMPLETED))
    expected = {version: truth(store, version) for version in range(len(LONG), len(LONG) + 3)}
    forget_up_to(store, len(LONG))
    for version, status in expected.items():
        assert cold(store).get(SURVEY, version) == status


def test_a_short_execution_s_row_is_not_believed(store: StoreEngine) -> None:
    store.append(REEF, news(*VOYAGE[:5]))
    project(store)
    tamper(store)
    assert cold(store).get(SURVEY).phase is Phase.IN_PROGRESS
    assert cold(store).get(SURVEY) == truth(store)


@pytest.mark.parametrize("longer_by", [-1, 0])
def test_an_execution_is_long_from_a_thousand_events_on(store: StoreEngine, longer_by: int) -> None:
    store.append(REEF, news(*LONG[: WORTH_A_SNAPSHOT + longer_by]))
    project(store)
    tamper(store)
    believed = cold(store).get(SURVEY).phase is Phase.CANCELLED
    assert believed == (longer_by == 0)


def test_a_row_that_stands_still_is_no_snapshot(store: StoreEngine) -> None:
    store.append(REEF, news(*LONG))
    project(store)
    store.append(REEF, [new(ATTEMPT, attempt=2**70), new(COMPLETED)])
    project(store)
    status = cold(store).get(SURVEY)
    assert status == truth(store)
    assert status.conditions == (), "what the row says of the projector's trouble is not in the history"


def test_a_history_longer_than_a_page_has_no_seam(store: StoreEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("projector.repository.PAGE", 100)
    store.append(REEF, news(*LONG[:1000]))
    project(store)
    store.append(REEF, news(*[REMARK] * 350, COMPLETED))
    assert cold(store).get(SURVEY) == truth(store)
    assert cold(store).get(SURVEY, 1100) == truth(store, 1100)
