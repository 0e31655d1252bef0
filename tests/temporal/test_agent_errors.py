"""An agent that fails: its own words reach the status, Temporal and Temporal's page, at once."""

from __future__ import annotations

from typing import Final

import pytest
from temporalio.api.sdk.v1 import WorkflowMetadata
from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError
from temporalio.exceptions import ApplicationError

from projector.events import AttemptFailed, ExecutionFailed, Timeouts
from projector.execution_status import ExecutionStatus, Phase
from projector.opening import open_queries
from projector.projections.failure_groups import FailureGroup
from tests.temporal.harness import Harness, failure_of

PATIENT: Final = Timeouts(schedule_to_start=60, heartbeat=60, start_to_close=60)


@pytest.fixture(scope="module")
async def blunder(ship: Harness) -> ExecutionStatus:
    """An execution of the agent that raises `ValueError("test error")`, at its end."""
    return await ship.run("blunderer", "divide by zero", session_id="watch-2", timeouts=PATIENT)


async def test_an_error_of_the_agent_fails_the_execution_with_its_own_words(blunder: ExecutionStatus) -> None:
    failure = failure_of(blunder)

    assert blunder.phase is Phase.FAILED
    assert (failure.code, failure.category, failure.retryable) == ("E401", "agent_failed", False)
    assert failure.message == "ValueError: test error"
    assert failure.cause is not None
    assert (failure.cause.type, failure.cause.message) == ("ValueError", "test error")


async def test_the_verdict_stands_at_once(ship: Harness, blunder: ExecutionStatus) -> None:
    history = await ship.history(blunder.execution_id)
    raised = next(record.time for record in history if isinstance(record.event, AttemptFailed))
    judged = next(record.time for record in history if isinstance(record.event, ExecutionFailed))

    # 0.05 on an idle machine; every timeout of the execution is longer than what is allowed here.
    assert 0 <= (judged - raised).total_seconds() < 20


async def test_the_stack_shows_the_line_of_the_agent_that_raised(blunder: ExecutionStatus) -> None:
    stack = failure_of(blunder).stack

    assert "agents.py" in stack
    assert 'raise ValueError("test error")' in stack
    assert "agent_run.py" not in stack


async def test_the_evidence_names_the_runner_and_the_stored_report(blunder: ExecutionStatus) -> None:
    evidence = "\n".join(failure_of(blunder).evidence)

    assert "the runner stored the attempt's failure: ValueError: test error" in evidence
    assert f"attempt 1 began on runner {blunder.runner}" in evidence


async def test_what_the_agent_said_before_is_still_there(blunder: ExecutionStatus) -> None:
    assert [message.text for message in blunder.last_messages] == ["I divide the crew into watches."]


async def test_temporal_says_failed_too_with_the_code_as_its_type(ship: Harness, blunder: ExecutionStatus) -> None:
    workflow = ship.workflow(blunder.execution_id)

    with pytest.raises(WorkflowFailureError) as caught:
        await workflow.result()

    cause = caught.value.cause
    assert isinstance(cause, ApplicationError)
    assert (cause.type, cause.message) == ("E401", "ValueError: test error")
    assert cause.details[0]["category"] == "agent_failed"
    assert (await workflow.describe()).status is WorkflowExecutionStatus.FAILED


async def test_temporals_own_page_shows_category_message_and_remedy(ship: Harness, blunder: ExecutionStatus) -> None:
    asked = "__temporal_workflow_metadata"
    metadata = await ship.workflow(blunder.execution_id).query(asked, result_type=WorkflowMetadata)

    failure = failure_of(blunder)
    for part in ("FAILED", "E401 agent_failed", failure.message, failure.remedy):
        assert part in metadata.current_details


async def test_executions_that_fail_alike_are_one_group(ship: Harness, blunder: ExecutionStatus) -> None:
    async def group() -> FailureGroup:
        await ship.projected()
        async with open_queries(ship.settings) as queries:
            return next(group for group in await queries.failure_groups() if group.message == "ValueError: test error")

    before = await group()
    again = await ship.run("blunderer")
    group_of_all = await group()

    assert before.executions >= 1
    assert (group_of_all.code, group_of_all.executions) == ("E401", before.executions + 1)
    assert group_of_all.last_execution_id == again.execution_id


@pytest.mark.parametrize(
    ("name", "code", "says", "remedy", "retryable"),
    [
        ("asks_the_shore", "E402", "ProviderUnavailable: the shore station is overloaded", "30 s", True),
        ("lost_its_papers", "E501", "ConfigurationError: CHART_FOLDER is not set", "configuration", False),
    ],
)
async def test_an_agent_may_say_whose_fault_it_is(
    ship: Harness, name: str, code: str, says: str, remedy: str, retryable: bool
) -> None:
    failure = failure_of(await ship.run(name))

    assert failure.code == code
    assert says in failure.message
    assert remedy in failure.remedy
    assert failure.retryable is retryable
