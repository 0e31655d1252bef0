"""The classifier: what Temporal says and what the store knows → one verdict.

A pure, total function: it never raises, sleeps, logs or reads. Evidence outranks Temporal's wording. The rules stand in
one table, in the order in which they are asked; the first that answers decides.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from pydantic import ValidationError

from projector.catalogue import Code
from projector.failures import Cause, ErrorKind, ErrorReport, Failure, build_failure
from runner.contracts import ATTEMPT_FAILED, ENSURE_THREAD
from workflows.error_link import ErrorChain, ErrorLink
from workflows.evidence import Cancelled, Completed, Evidence, Verdict
from workflows.verdict_words import evidence_lines, in_seconds, said, shown, where

_CODE_OF: Final[dict[ErrorKind, Code]] = {
    "agent": Code.AGENT_FAILED,
    "provider": Code.PROVIDER_UNAVAILABLE,
    "system": Code.SYSTEM_ERROR,
    "result": Code.RESULT_REJECTED,
    "mismatch": Code.RUNNER_MISMATCH,
    "shutdown": Code.RUNNER_SHUT_DOWN,
    "cancelled": Code.AGENT_FAILED,
}


class _Case(NamedTuple):
    """One question to the rules: the chain without Temporal's wrappings, and what else is known."""

    chain: ErrorChain
    links: ErrorChain
    evidence: Evidence

    def first(self, kind: str) -> ErrorLink | None:
        return next((link for link in self.links if link.kind == kind), None)

    @property
    def timeout(self) -> str:
        """The timeout that struck, unless it only hid an error below it."""
        last = self.links[-1] if self.links else None
        return last.timeout_type if last is not None and last.kind == "timeout" else ""

    @property
    def activity(self) -> str:
        return next((link.activity_type for link in self.chain if link.activity_type), "")


def classify(chain: ErrorChain, evidence: Evidence) -> Verdict:
    """The verdict on an execution that did not simply succeed."""
    links = tuple(link for link in chain if link.kind != "activity" and not _hides_its_cause(link, chain))
    case = _Case(chain, links, evidence)
    try:
        for rule in _RULES:
            verdict = rule(case)
            if verdict is not None:
                return verdict
        return _unclassified(case)
    except Exception as error:  # a rule that is wrong must not cost the execution its verdict
        own = Cause(type=type(error).__name__, message="the classifier itself failed")
        return build_failure(Code.UNCLASSIFIED, cause=own, evidence=tuple(repr(link)[:1000] for link in chain[:5]))


def _hides_its_cause(link: ErrorLink, chain: ErrorChain) -> bool:
    return link.kind == "server" and "size limit" in link.message and link is not chain[-1]


# --- the rules -----------------------------------------------------------------------------------------------------


def _finished_after_all(case: _Case) -> Verdict | None:
    evidence = case.evidence
    if not evidence.finished:
        return None
    told = f"the runner stored the result before {said(case.chain)}"
    return Completed(evidence.output, evidence.output_bytes, recovered=told)


def _cancelled(case: _Case) -> Verdict | None:
    asked = case.evidence.cancellation_requested or any(link.retry_state == "CANCEL_REQUESTED" for link in case.chain)
    if asked and case.first("cancelled"):
        return Cancelled(case.evidence.cancellation_reason or "on request")
    if case.chain and case.chain[0].kind == "cancelled":
        return Cancelled("on request, in Temporal")
    return None


def _stored_report(case: _Case) -> Verdict | None:
    report = case.evidence.report
    if report is None or report.kind == "cancelled":
        return None
    return _reported(case, report, "the runner stored the attempt's failure")


def _sent_report(case: _Case) -> Verdict | None:
    for link in case.links:
        if link.kind == "application" and link.type == ATTEMPT_FAILED:
            try:
                report = ErrorReport.model_validate(link.detail)
            except ValidationError:
                report = ErrorReport(type=link.type, message=link.message)
            return _reported(case, report, "the runner sent the attempt's failure")
    return None


def _shut_down(case: _Case) -> Verdict | None:
    link = case.first("application")
    if link is None or link.type != "WorkerShutdown":
        return None
    return _failure(case, Code.RUNNER_SHUT_DOWN, cause=Cause(type=link.type, message=link.message))


def _mismatched(case: _Case) -> Verdict | None:
    link = case.first("application")
    if link is None:
        return None
    unregistered = link.type == "NotFoundError" and "is not registered on this worker" in link.message
    unreadable = not link.type and link.message.startswith("Failed decoding")
    if not (unregistered or unreadable):
        return None
    return _failure(case, Code.RUNNER_MISMATCH, cause=_root(case))


def _too_large(case: _Case) -> Verdict | None:
    for link in case.links:
        if link.type == "PayloadsTooLarge" or "TMPRL1103" in link.message or "Blob data size" in link.message:
            return _failure(case, Code.RESULT_REJECTED, cause=Cause(type="ResultTooLarge", message=link.message))
    return None


def _not_started(case: _Case) -> Verdict | None:
    if case.timeout != "SCHEDULE_TO_START":
        return None
    evidence = case.evidence
    seconds = in_seconds(evidence.timeouts.schedule_to_start)
    # One that is starting has not said yet whether it can; the one before it has.
    settled = [runner for runner in evidence.runners if runner.state != "starting"]
    newest = next(iter(settled or evidence.runners), None)
    if newest is not None and newest.state == "startup_failed" and newest.error is not None:
        return _failure(case, Code.RUNNER_STARTUP_FAILED, cause=newest.error, headline=newest.headline)
    if newest is None:
        detail = "No runner has ever announced itself on this queue."
    else:
        detail = f"The last one known, {newest.runner_id}, said '{newest.state}' at {newest.at}."
    cause = Cause(type="ScheduleToStartTimeout", message=f"nobody took the task within {seconds}")
    return _failure(case, Code.RUNNER_UNAVAILABLE, cause=cause, seconds=seconds, detail=detail)


def _went_silent(case: _Case) -> Verdict | None:
    if case.timeout != "HEARTBEAT":
        return None
    evidence = case.evidence
    seconds = in_seconds(evidence.timeouts.heartbeat)
    died = next((r for r in evidence.runners if r.runner_id == evidence.runner_id and r.state == "exited"), None)
    if evidence.began and died is not None and died.error is not None:
        return _failure(case, Code.RUNNER_CRASHED, cause=died.error)
    cause = Cause(type="HeartbeatTimeout", message=f"no heartbeat for {seconds}")
    if evidence.began:
        detail = "Nothing proves whether it crashed, froze or lost its connection."
        return _failure(case, Code.RUNNER_LOST, cause=cause, seconds=seconds, detail=detail)
    detail = "It took the task but never began the agent, so a retry is safe."
    return _failure(case, Code.RUNNER_LOST, cause=cause, seconds=seconds, detail=detail, retryable=True)


def _took_too_long(case: _Case) -> Verdict | None:
    limits = case.evidence.timeouts
    match case.timeout:
        case "START_TO_CLOSE" if case.activity == ENSURE_THREAD:
            cause = Cause(type="StartToCloseTimeout", message="preparing the thread took too long, three times")
            return _failure(case, Code.SYSTEM_ERROR, cause=cause)
        case "START_TO_CLOSE":
            seconds = in_seconds(limits.start_to_close)
            cause = Cause(type="StartToCloseTimeout", message=f"still running after {seconds}")
            return _failure(case, Code.EXECUTION_TIMED_OUT, cause=cause, seconds=seconds)
        case "SCHEDULE_TO_CLOSE":
            cause = Cause(type="ScheduleToCloseTimeout", message=_root(case).message)
            return _failure(case, Code.DEADLINE_EXCEEDED, cause=cause, detail=f"Temporal says: {cause.message}.")
        case _:
            return None


def _ended_by_operator(case: _Case) -> Verdict | None:
    link = case.first("terminated")
    if link is None:
        link = case.first("application")
        if link is None or link.type not in {"ActivityPause", "ActivityReset"}:
            return None
    return _failure(case, Code.WORKFLOW_TERMINATED, cause=Cause(type=link.type or "Terminated", message=link.message))


def _raised(case: _Case) -> Verdict | None:
    raised = [
        Cause(type=link.type or "ApplicationError", message=link.message)
        for link in case.links
        if link.kind == "application"
    ]
    if not raised:
        return None
    # The outermost error is what the agent said; the others are why.
    outer, *causes = raised
    kind: ErrorKind = "system" if case.activity == ENSURE_THREAD else "agent"
    report = ErrorReport(kind=kind, type=outer.type, message=outer.message, causes=tuple(causes))
    return _reported(case, report, "Temporal handed on the error")


_RULES: Final[tuple[Callable[[_Case], Verdict | None], ...]] = (
    _finished_after_all,
    _cancelled,
    _stored_report,
    _sent_report,
    _shut_down,
    _mismatched,
    _too_large,
    _not_started,
    _went_silent,
    _took_too_long,
    _ended_by_operator,
    _raised,
)


# --- words -----------------------------------------------------------------------------------------------------------


def _reported(case: _Case, report: ErrorReport, source: str) -> Failure:
    code = _CODE_OF[report.kind]
    wait = f" (it asks to wait {in_seconds(report.retry_after)})" if report.retry_after is not None else ""
    return _failure(
        case,
        code,
        cause=report.root,
        headline=report.headline,
        detail=wait,
        stack=report.stack,
        # A wrong setting usually shows before the agent begins; where it shows later, steps have been taken.
        retryable=False if code is Code.SYSTEM_ERROR and case.evidence.steps else None,
        note=f"{source}: {report.headline}",
    )


def _failure(
    case: _Case,
    code: Code,
    *,
    cause: Cause,
    headline: str = "",
    stack: str = "",
    note: str = "",
    retryable: bool | None = None,
    **facts: str,
) -> Failure:
    failure = build_failure(
        code,
        cause=cause,
        headline=headline,
        stack=stack,
        evidence=evidence_lines(case.chain, case.evidence, note),
        queue=case.evidence.task_queue,
        where=where(case.evidence),
        **facts,
    )
    return failure if retryable is None else failure.model_copy(update={"retryable": retryable})


def _unclassified(case: _Case) -> Failure:
    whole = " ← ".join(shown(link) for link in case.chain) or "no error was given"
    root = _root(case)
    return build_failure(
        Code.UNCLASSIFIED,
        cause=root,
        headline=whole[:3000],
        evidence=evidence_lines(case.chain, case.evidence, ""),
    )


def _root(case: _Case) -> Cause:
    link = (case.links or case.chain or (ErrorLink(kind="other", type="Unknown"),))[-1]
    return Cause(type=link.type or link.timeout_type or link.kind, message=link.message)
