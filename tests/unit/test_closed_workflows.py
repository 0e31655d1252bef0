"""The verdicts that no workflow could give, as a table: what Temporal says and what the store knows → the end."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final, NamedTuple, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projector.catalogue import CATALOGUE, Code
from projector.failures import Cause, ErrorReport, Failure
from tests.classifier_table import RUNNING, WAITING, activity, application, timeout
from tests.strategies import models, texts
from workflows.reconciliation.closed_workflows import judge_closed, judge_missing, judge_stuck
from workflows.reconciliation.workflow_facts import Closing, TaskFact, TaskFailure, WorkflowFacts, WorkflowState
from workflows.verdict.error_link import ErrorLink, LinkKind
from workflows.verdict.evidence import Cancelled, Completed, Evidence, Undecided

AT: Final = datetime(2030, 5, 17, 6, 0, 9, tzinfo=UTC)
FOG: Final = Closing(reason="fog in the channel", identity="harbour-master@pier-4")
BUG: Final = Closing(chain=(application("KeyError", "'no such chart'"),), stack='File "survey.py", line 7')
CARRIED: Final = application("E203", "Lost contact with the runner.", {"remedy": "Look at the lighthouse."})

FINISHED: Final = RUNNING.model_copy(update={"finished": True, "output": {"depth": 42}, "output_bytes": 12})
FAILED: Final = RUNNING.model_copy(update={"report": ErrorReport(type="ValueError", message="no such reef")})
ABANDONED: Final = RUNNING.model_copy(
    update={"report": ErrorReport(kind="cancelled", type="Abandoned", message="nobody waits any more")}
)
UNWANTED: Final = WAITING.model_copy(update={"cancellation_requested": True, "cancellation_reason": "the ferry left"})
STOPPED: Final = RUNNING.model_copy(
    update={
        "report": ErrorReport(kind="cancelled", type="Cancelled", message="the execution was cancelled"),
        "cancellation_requested": True,
        "cancellation_reason": "the ferry left",
    }
)


def closed(state: WorkflowState, limit: float | None = None) -> WorkflowFacts:
    return WorkflowFacts(run_id="run-7", state=state, closed_at=AT, limit=limit)


class Row(NamedTuple):
    """One line of the table: fragments that the message and the evidence must have."""

    name: str
    state: WorkflowState
    closing: Closing
    evidence: Evidence
    code: Code
    message: tuple[str, ...]
    says: tuple[str, ...] = ()


FAILURES: Final = [
    Row(
        "terminated before a runner took it",
        "terminated",
        FOG,
        WAITING,
        Code.WORKFLOW_TERMINATED,
        ("fog in the channel (by harbour-master@pier-4)", "The agent had not begun."),
        ("the workflow is terminated since 06:00:09 UTC, run run-7", "store: no attempt began"),
    ),
    Row(
        "terminated while the agent used a tool",
        "terminated",
        FOG,
        RUNNING,
        Code.WORKFLOW_TERMINATED,
        ("fog in the channel", "The agent was using the tool 'sound_depth'", "after 10 steps"),
        ("the tool 'sound_depth' had not answered", "attempt 1 began on runner polaris:4711"),
    ),
    Row(
        "terminated without a reason",
        "terminated",
        Closing(),
        WAITING,
        Code.WORKFLOW_TERMINATED,
        ("no reason was given",),
    ),
    Row(
        "terminated, and the runner has given the agent up since",
        "terminated",
        FOG,
        ABANDONED,
        Code.WORKFLOW_TERMINATED,
        ("fog in the channel",),
    ),
    Row(
        "terminated after the agent had failed: the agent's error is the reason",
        "terminated",
        FOG,
        FAILED,
        Code.AGENT_FAILED,
        ("ValueError: no such reef",),
        ("the workflow is terminated", "the runner stored the attempt's failure"),
    ),
    Row(
        "terminated although a cancellation was asked for and nothing had stopped",
        "terminated",
        FOG,
        UNWANTED,
        Code.WORKFLOW_TERMINATED,
        ("fog in the channel",),
    ),
    Row(
        "timed out while the agent was at work",
        "timed_out",
        Closing(),
        RUNNING,
        Code.WORKFLOW_TIMED_OUT,
        ("at its time limit", "The workflow's limit of 45 s was over.", "was using the tool 'sound_depth'"),
        ("the workflow is timed out since 06:00:09 UTC", "WorkflowTimeout timeout"),
    ),
    Row(
        "timed out after the agent had failed",
        "timed_out",
        Closing(),
        FAILED,
        Code.AGENT_FAILED,
        ("ValueError: no such reef",),
    ),
    Row(
        "failed by a bug of the workflow",
        "failed",
        BUG,
        RUNNING,
        Code.WORKFLOW_STUCK,
        ("cannot advance the workflow: KeyError: 'no such chart'", "The agent was using the tool"),
        ("the workflow is failed", "KeyError: 'no such chart'"),
    ),
    Row(
        "failed by an input that cannot be read: the outer error says of what, the root why",
        "failed",
        Closing(chain=(application("", "Failed decoding arguments"), application("TypeError", "no field 'agent'"))),
        WAITING,
        Code.WORKFLOW_STUCK,
        ("Failed decoding arguments (root cause: TypeError: no field 'agent')", "The agent had not begun."),
    ),
    Row(
        "failed by a bug after the agent had failed",
        "failed",
        BUG,
        FAILED,
        Code.AGENT_FAILED,
        ("ValueError: no such reef",),
    ),
    Row(
        "failed with a verdict of ours that the store lacks",
        "failed",
        Closing(chain=(CARRIED,)),
        RUNNING,
        Code.RUNNER_LOST,
        ("Lost contact with the runner.",),
        ("the verdict is the workflow's own",),
    ),
    Row(
        "failed with an activity's error that nobody judged",
        "failed",
        Closing(chain=(activity(), timeout("START_TO_CLOSE"))),
        RUNNING,
        Code.EXECUTION_TIMED_OUT,
        ("longer than its limit",),
    ),
    Row(
        "failed, and Temporal keeps no reason",
        "failed",
        Closing(),
        WAITING,
        Code.WORKFLOW_STUCK,
        ("Temporal keeps no reason",),
    ),
    Row(
        "continued as a run that Temporal does not have",
        "continued_as_new",
        Closing(),
        WAITING,
        Code.WORKFLOW_TERMINATED,
        ("continued as a new run", "The agent had not begun."),
    ),
]


@pytest.mark.parametrize("row", FAILURES, ids=[row.name for row in FAILURES])
def test_how_a_closed_workflow_is_judged(row: Row) -> None:
    verdict = judge_closed(closed(row.state, limit=45), row.closing, row.evidence)

    assert isinstance(verdict, Failure)
    assert verdict.code == row.code
    for part in row.message:
        assert part in verdict.message
    told = "\n".join(verdict.evidence)
    for part in row.says:
        assert part in told


def test_the_stack_of_a_bug_is_in_the_failure() -> None:
    verdict = judge_closed(closed("failed"), BUG, WAITING)

    assert isinstance(verdict, Failure)
    assert verdict.stack == BUG.stack
    assert verdict.cause == Cause(type="KeyError", message="'no such chart'")


def test_a_verdict_that_the_workflow_carried_keeps_its_remedy() -> None:
    verdict = judge_closed(closed("failed"), Closing(chain=(CARRIED,)), RUNNING)

    assert isinstance(verdict, Failure)
    assert (verdict.category, verdict.remedy) == ("runner_lost", "Look at the lighthouse.")


@pytest.mark.parametrize(
    ("state", "closing"),
    [
        ("terminated", FOG),
        ("timed_out", Closing()),
        ("cancelled", Closing()),
        ("failed", BUG),
        ("failed", Closing(chain=(CARRIED,))),
        ("failed", Closing(chain=(activity(), timeout("HEARTBEAT")))),
        ("completed", Closing(has_output=True, output="an older tale", output_bytes=15)),
        ("continued_as_new", Closing()),
    ],
)
def test_a_result_in_the_store_outranks_every_way_of_closing(state: WorkflowState, closing: Closing) -> None:
    verdict = judge_closed(closed(state), closing, FINISHED)

    assert isinstance(verdict, Completed)
    assert (verdict.output, verdict.output_bytes) == ({"depth": 42}, 12)
    assert "the runner" in verdict.recovered and "stored the result" in verdict.recovered


def test_a_completed_workflow_gives_its_own_result_where_the_store_has_none() -> None:
    verdict = judge_closed(closed("completed"), Closing(has_output=True, output=[41, 42], output_bytes=8), RUNNING)

    assert isinstance(verdict, Completed)
    assert (verdict.output, verdict.output_bytes) == ([41, 42], 8)
    assert "the result is the workflow's" in verdict.recovered


def test_a_completed_workflow_whose_result_cannot_be_read_is_completed_and_says_so() -> None:
    verdict = judge_closed(closed("completed"), Closing(), RUNNING)

    assert isinstance(verdict, Completed)
    assert verdict.output is None
    assert "could not be read" in verdict.recovered


@pytest.mark.parametrize(("evidence", "reason"), [(UNWANTED, "the ferry left"), (RUNNING, "on request, in Temporal")])
def test_a_cancelled_workflow_is_a_cancelled_execution(evidence: Evidence, reason: str) -> None:
    assert judge_closed(closed("cancelled"), Closing(), evidence) == Cancelled(reason)


def test_an_agent_that_had_stopped_on_request_is_cancelled_although_the_workflow_was_terminated() -> None:
    assert judge_closed(closed("terminated"), FOG, STOPPED) == Cancelled("the ferry left")


@pytest.mark.parametrize("state", ["running", "paused", "unknown"])
def test_a_workflow_that_is_not_closed_is_not_judged(state: WorkflowState) -> None:
    assert isinstance(judge_closed(closed(state), Closing(), RUNNING), Undecided)


# --- Temporal has no such workflow ---------------------------------------------------------------------------------


def test_a_start_that_was_lost_is_e601_and_safe_to_retry() -> None:
    verdict = judge_missing("dory-1", WAITING, was_started=False, asked_at=AT)

    assert isinstance(verdict, Failure)
    assert (verdict.code, verdict.retryable) == ("E601", True)
    assert (
        "the request was stored at 06:00:09 UTC, but Temporal has no such workflow: it never started" in verdict.message
    )
    assert "Temporal: there is no workflow 'dory-1'" in verdict.evidence


@pytest.mark.parametrize(("evidence", "was_started"), [(WAITING, True), (RUNNING, True), (RUNNING, False)])
def test_a_workflow_that_had_been_started_and_is_gone_is_e602(evidence: Evidence, was_started: bool) -> None:
    verdict = judge_missing("dory-1", evidence, was_started=was_started, asked_at=AT)

    assert isinstance(verdict, Failure)
    assert verdict.code == "E602"
    assert "it was deleted, or its retention is over" in verdict.message


def test_a_start_that_was_lost_and_is_no_longer_wanted_is_cancelled() -> None:
    assert judge_missing("dory-1", UNWANTED, was_started=False, asked_at=AT) == Cancelled("the ferry left")


def test_a_result_outranks_a_workflow_that_is_gone() -> None:
    verdict = judge_missing("dory-1", FINISHED, was_started=True, asked_at=AT)

    assert isinstance(verdict, Completed)
    assert "deleted" in verdict.recovered


# --- the workflow cannot advance -----------------------------------------------------------------------------------

STUCK: Final = WorkflowFacts(run_id="run-7", state="running", task=TaskFact(attempt=9, is_waiting=False, since=AT))
BROKEN: Final = TaskFailure(why="NON_DETERMINISTIC_ERROR", chain=(application("ChartError", "two norths"),), stack="s")


def stuck(evidence: Evidence, *, is_due: bool) -> object:
    return judge_stuck(STUCK, BROKEN, BROKEN.cause, evidence, is_due=is_due, since=AT)


def test_a_stuck_workflow_is_not_judged_before_its_time() -> None:
    assert isinstance(stuck(RUNNING, is_due=False), Undecided)


def test_a_stuck_workflow_is_e604_with_the_error_and_since_when_it_fails() -> None:
    verdict = stuck(RUNNING, is_due=True)

    assert isinstance(verdict, Failure)
    assert (verdict.code, verdict.stack) == ("E604", "s")
    assert "cannot advance the workflow: ChartError: two norths (NON_DETERMINISTIC_ERROR)" in verdict.message
    assert "Temporal: the orchestrator has kept failing since 06:00:09 UTC" in verdict.evidence


@pytest.mark.parametrize("is_due", [False, True])
def test_what_the_attempt_stored_decides_at_once_although_the_workflow_is_stuck(is_due: bool) -> None:
    finished, failed = stuck(FINISHED, is_due=is_due), stuck(FAILED, is_due=is_due)

    assert isinstance(finished, Completed)
    assert isinstance(failed, Failure)
    assert (finished.output, failed.code) == ({"depth": 42}, "E401")


def test_a_task_that_is_never_answered_is_e604_too() -> None:
    silent = TaskFailure(why="TIMED_OUT")
    verdict = judge_stuck(STUCK, silent, silent.cause, WAITING, is_due=True, since=AT)

    assert isinstance(verdict, Failure)
    assert verdict.code == "E604"
    assert "took the task and did not answer" in verdict.message


@given(
    facts=st.builds(
        WorkflowFacts,
        run_id=texts,
        state=st.sampled_from(get_args(WorkflowState)),
        closed_at=st.none() | st.just(AT),
        limit=st.none() | st.floats(min_value=0.001, max_value=1e9),
    ),
    closing=st.builds(
        Closing,
        reason=texts,
        identity=texts,
        chain=st.lists(models(ErrorLink, kind=st.sampled_from(get_args(LinkKind))), max_size=6).map(tuple),
        stack=texts,
    ),
    evidence=st.sampled_from([WAITING, RUNNING, FINISHED, FAILED, ABANDONED, UNWANTED, STOPPED]),
)
def test_whatever_temporal_says_there_is_a_verdict(facts: WorkflowFacts, closing: Closing, evidence: Evidence) -> None:
    verdict = judge_closed(facts, closing, evidence)

    if isinstance(verdict, Failure):
        assert verdict.message.strip() and verdict.evidence
        assert CATALOGUE[Code(verdict.code)].category == verdict.category
        assert "the classifier itself failed" not in verdict.message
    if evidence.finished and facts.is_closed:
        assert isinstance(verdict, Completed)
