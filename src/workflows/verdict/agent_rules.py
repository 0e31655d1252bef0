"""Rules about the agent, and about what people did to it; pure.

Each answers with a verdict or leaves it to the next.
"""

from __future__ import annotations

from typing import Final

from pydantic import ValidationError

from projector.catalogue import Code
from projector.failures import Cause, ErrorKind, ErrorReport
from runner.contracts import ATTEMPT_FAILED, ENSURE_THREAD
from workflows.verdict.evidence import Cancelled, Completed, Undecided, Verdict
from workflows.verdict.verdict_case import Case
from workflows.verdict.verdict_words import said
from workflows.verdict.verdicts import failure, reported

_DONE: Final = {
    "ActivityPause": "an operator paused its activity",
    "ActivityReset": "an operator reset its activity",
}
"""What an operator did, where Temporal says only how the activity took it."""


def finished_after_all(case: Case) -> Verdict | None:
    """The runner stored the result: the execution COMPLETED, whatever Temporal lost."""
    evidence = case.evidence
    if not evidence.finished:
        return None
    if case.asks_again:
        told = "the runner had stored the result, and Temporal did not have it"
    else:
        told = f"the runner stored the result before {said(case.chain)}"
    return Completed(evidence.output, evidence.output_bytes, recovered=told)


def cancelled(case: Case) -> Verdict | None:
    """It was asked to stop, and it or its workflow heard it."""
    evidence = case.evidence
    asked = evidence.cancellation_requested or any(link.retry_state == "CANCEL_REQUESTED" for link in case.chain)
    stopped = evidence.report is not None and (evidence.report.kind, evidence.report.type) == ("cancelled", "Cancelled")
    if asked and (case.first("cancelled") or stopped):
        return Cancelled(evidence.cancellation_reason or "on request")
    if case.chain and case.chain[0].kind == "cancelled":
        return Cancelled("on request, in Temporal")
    return None


def stored_report(case: Case) -> Verdict | None:
    """The runner stored why the attempt failed."""
    report = case.evidence.report
    if report is None or report.kind == "cancelled":
        return None
    return reported(case, report, "the runner stored the attempt's failure")


def sent_report(case: Case) -> Verdict | None:
    """The runner sent why the attempt failed; the store may lack it."""
    for link in case.links:
        if link.kind == "application" and link.type == ATTEMPT_FAILED:
            try:
                report = ErrorReport.model_validate(link.detail)
            except ValidationError:
                report = ErrorReport(type=link.type, message=link.message)
            return reported(case, report, "the runner sent the attempt's failure")
    return None


def too_large(case: Case) -> Verdict | None:
    """Temporal refused a payload for its size."""
    for link in case.links:
        if link.type == "PayloadsTooLarge" or "TMPRL1103" in link.message or "Blob data size" in link.message:
            return failure(case, Code.RESULT_REJECTED, cause=Cause(type="ResultTooLarge", message=link.message))
    return None


def ended_by_operator(case: Case) -> Verdict | None:
    """An operator ended the workflow, or reset its activity."""
    link = case.first("terminated")
    if link is None:
        link = case.first("application")
        if link is None or link.type not in {"ActivityPause", "ActivityReset"}:
            return None
    cause = Cause(type=link.type or "Terminated", message=link.message)
    headline = _DONE.get(link.type, link.message)
    return failure(case, Code.WORKFLOW_TERMINATED, cause=cause, headline=headline)


def raised(case: Case) -> Verdict | None:
    """Any other error of an application."""
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
    return reported(case, report, "Temporal handed on the error")


def nothing_yet(case: Case) -> Verdict | None:
    """Somebody asked to look again, and nothing decides."""
    return Undecided("", 0.0) if case.asks_again else None
