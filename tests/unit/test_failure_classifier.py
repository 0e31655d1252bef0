"""The classifier: its table of rules, what outranks what, and that nothing is too odd for a verdict."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projector.catalogue import CATALOGUE, Code
from projector.events import Timeouts
from projector.failures import ErrorReport, Failure
from runner.contracts import RECONSIDER
from tests.classifier_table import (
    ASKED,
    BROKEN,
    CANCELLED,
    NOT_STARTED,
    REFUSED,
    RUNNING,
    SENT,
    SILENT,
    TABLE,
    WAITING,
    Row,
    activity,
    application,
    ended,
    timeout,
)
from tests.strategies import causes, json_values, models, reports, texts
from workflows.queues.queue_state import QueueKind, QueueState
from workflows.verdict.error_link import ErrorChain, ErrorLink
from workflows.verdict.evidence import Cancelled, Completed, Evidence, RunnerFact, Undecided
from workflows.verdict.failure_classifier import classify


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_the_table_of_rules(row: Row) -> None:
    verdict = classify(row.chain, row.evidence)
    assert isinstance(verdict, Failure)
    assert (verdict.code, verdict.retryable) == (row.code.value, row.retryable)
    assert verdict.category == CATALOGUE[row.code].category
    for fragment in row.message:
        assert fragment in verdict.message
    for fragment in row.evidence_says:
        assert any(fragment in fact for fact in verdict.evidence), verdict.evidence
    assert verdict.evidence and verdict.cause is not None


def test_the_message_of_a_deadline_is_not_put_into_the_mouth_of_the_error_below_it() -> None:
    chain = (activity("TIMEOUT"), timeout("SCHEDULE_TO_CLOSE", "Not enough time"), application("OSError", "flooded"))
    verdict = classify(chain, RUNNING)
    assert isinstance(verdict, Failure)
    assert verdict.message == "OSError: flooded"


def test_the_stack_of_a_report_is_kept() -> None:
    verdict = classify(SILENT, RUNNING.model_copy(update={"report": SENT}))
    assert isinstance(verdict, Failure)
    assert verdict.stack == SENT.stack


def test_a_provider_that_says_when_to_come_back_is_quoted_in_the_remedy() -> None:
    report = ErrorReport(kind="provider", type="RateLimited", message="429", retry_after=7.5)
    verdict = classify(SILENT, RUNNING.model_copy(update={"report": report}))
    assert isinstance(verdict, Failure)
    assert "it asks to wait 7.5 s" in verdict.remedy


@pytest.mark.parametrize(
    ("chain", "told"),
    [
        (SILENT, "HEARTBEAT timeout"),
        ((activity("TIMEOUT"), timeout("START_TO_CLOSE")), "START_TO_CLOSE timeout"),
        ((activity(), application("WorkerShutdown", "Worker is shutting down")), "WorkerShutdown"),
        ((activity("CANCEL_REQUESTED"), CANCELLED), "CANCEL_REQUESTED"),
    ],
)
def test_a_result_that_was_stored_is_the_end_whatever_temporal_lost(chain: ErrorChain, told: str) -> None:
    evidence = RUNNING.model_copy(update={"finished": True, "output": {"shallowest": 7}, "output_bytes": 16})
    verdict = classify(chain, evidence)
    assert isinstance(verdict, Completed)
    assert (verdict.output, verdict.output_bytes) == ({"shallowest": 7}, 16)
    assert verdict.recovered.startswith("the runner stored the result before ")
    assert told in verdict.recovered


@pytest.mark.parametrize(
    ("chain", "evidence"),
    [
        pytest.param((activity("CANCEL_REQUESTED"), CANCELLED), RUNNING, id="Temporal knows of the request"),
        pytest.param(
            (activity(), CANCELLED),
            RUNNING.model_copy(update={"cancellation_requested": True}),
            id="the store knows of the request",
        ),
        pytest.param((CANCELLED,), RUNNING, id="the workflow itself was cancelled"),
        pytest.param(
            (activity("CANCEL_REQUESTED"), CANCELLED),
            RUNNING.model_copy(update={"report": ErrorReport(kind="cancelled", type="CancelledError")}),
            id="the runner stored that it stopped",
        ),
    ],
)
def test_what_was_cancelled_on_request_is_cancelled_and_not_failed(chain: ErrorChain, evidence: Evidence) -> None:
    assert isinstance(classify(chain, evidence), Cancelled)


def test_an_agent_that_failed_before_the_request_reached_it_has_failed() -> None:
    evidence = RUNNING.model_copy(update={"cancellation_requested": True})
    verdict = classify((activity(), application("ValueError", "no such reef")), evidence)
    assert isinstance(verdict, Failure)
    assert verdict.code == Code.AGENT_FAILED


@pytest.mark.parametrize(
    "chain", [SILENT, REFUSED, NOT_STARTED], ids=["lost", "handed out again", "handed out again to nobody"]
)
@pytest.mark.parametrize(("heartbeat", "silent_for"), [(30, 17.9), (2, 1.4)])
def test_a_runner_that_stored_something_lately_is_at_work_whatever_temporal_says(
    chain: ErrorChain, heartbeat: float, silent_for: float
) -> None:
    limits = Timeouts(heartbeat=heartbeat)
    verdict = classify(chain, RUNNING.model_copy(update={"timeouts": limits, "silent_for": silent_for}))
    assert isinstance(verdict, Undecided)
    assert "polaris:4711 goes on with it" in verdict.why
    assert verdict.look_again > 0


def test_a_runner_that_exited_is_not_at_work_however_lately_it_stored_something() -> None:
    gone = (ended("exited", "ProcessEnded", "signal SIGKILL"),)
    verdict = classify(SILENT, RUNNING.model_copy(update={"silent_for": 0.1, "runners": gone}))
    assert isinstance(verdict, Failure)
    assert verdict.code == Code.RUNNER_CRASHED


@pytest.mark.parametrize("evidence", [WAITING, RUNNING], ids=["waiting", "running"])
def test_a_nudge_decides_nothing_when_nothing_has_happened(evidence: Evidence) -> None:
    assert classify(ASKED, evidence) == Undecided("", 0.0)


def test_a_runner_that_could_not_start_ends_nobody_whose_agent_has_begun() -> None:
    evidence = RUNNING.model_copy(update={"queue": BROKEN, "may_stop_waiting": True})
    assert classify(ASKED, evidence) == Undecided("", 0.0)


links: st.SearchStrategy[ErrorLink] = models(
    ErrorLink,
    kind=st.sampled_from(["activity", "application", "timeout", "cancelled", "server", "terminated", "other"]),
    type=st.sampled_from(
        [
            *("AttemptFailed", "AttemptRefused", "NotFoundError", "PayloadsTooLarge", "WorkerShutdown"),
            *("ActivityPause", "RunnerCrashed", "reconsider", "ValueError"),
        ]
    )
    | texts,
    timeout_type=st.sampled_from(["", "SCHEDULE_TO_START", "HEARTBEAT", "START_TO_CLOSE", "SCHEDULE_TO_CLOSE"]) | texts,
    retry_state=st.sampled_from(["CANCEL_REQUESTED", "TIMEOUT", ""]) | texts,
    detail=json_values | reports.map(lambda report: report.model_dump(mode="json")),
)
limits = st.floats(min_value=1e-9, allow_nan=False)
evidences: st.SearchStrategy[Evidence] = models(
    Evidence,
    timeouts=st.builds(Timeouts, schedule_to_start=limits, heartbeat=limits, start_to_close=limits),
    runners=st.lists(
        st.builds(
            RunnerFact,
            runner_id=texts,
            state=st.sampled_from(["ready", "exited", "startup_failed"]) | texts,
            at=texts,
            error=st.none() | causes,
            headline=texts,
            last_words=texts,
        ),
        max_size=4,
    ).map(tuple),
    queue=st.none()
    | st.builds(
        QueueState,
        kind=st.sampled_from(get_args(QueueKind)),
        reason=texts,
        cause=st.none() | causes,
        headline=texts,
    ),
)


@given(st.lists(links, max_size=6).map(tuple), evidences)
def test_any_chain_and_any_evidence_give_a_verdict(chain: ErrorChain, evidence: Evidence) -> None:
    verdict = classify(chain, evidence)
    match verdict:
        case Failure():
            assert verdict.message.strip()
            assert verdict.evidence
            assert CATALOGUE[Code(verdict.code)].category == verdict.category
            assert "the classifier itself failed" not in verdict.message
        case Completed(_, _, recovered):
            assert evidence.finished and recovered
        case Cancelled(reason):
            assert reason
        case Undecided(why):
            assert why or any(link.type == RECONSIDER for link in chain)


@given(st.lists(links, max_size=40).map(tuple), evidences, st.integers(min_value=0, max_value=100_000))
def test_a_verdict_is_bounded_whatever_it_rests_on(chain: ErrorChain, evidence: Evidence, size: int) -> None:
    long = tuple(link.model_copy(update={"message": "w" * size}) for link in chain)
    verdict = classify(long, evidence)
    if isinstance(verdict, Failure) and verdict.code == Code.UNCLASSIFIED:
        assert len(verdict.message) < 4000
    if isinstance(verdict, Failure):
        assert sum(map(len, verdict.evidence)) <= 10_000


def test_a_rule_that_is_wrong_does_not_cost_the_execution_its_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(case: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("workflows.verdict.failure_classifier._RULES", (wrong,))
    verdict = classify((ErrorLink(kind="application", type="Reef", message="we struck it"),), Evidence())
    assert isinstance(verdict, Failure)
    assert (verdict.code, str(verdict.cause)) == ("E999", "ZeroDivisionError: the classifier itself failed")
    assert "we struck it" in verdict.evidence[0]
