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
from runner.contracts import ATTEMPT_FAILED, ATTEMPT_REFUSED, ENSURE_THREAD, RECONSIDER, RUNNER_CRASHED, RunnerDeath
from workflows.error_link import ErrorChain, ErrorLink
from workflows.evidence import Cancelled, Completed, Evidence, Undecided, Verdict
from workflows.queue_state import QueueState
from workflows.verdict_words import evidence_lines, in_seconds, said, sentence, shown, where

_GONE: Final = ("exited", "stopped")

GOES_ON: Final = 0.6
"""How much of the heartbeat timeout may have passed since a runner stored something, for it to count as at work. An
idle one stores a heartbeat after each third of it."""
LEAST_PATIENCE: Final = 1.5
"""The same in seconds, at least: a heartbeat is stored once a second at most."""
LAST_WORDS: Final = 800
"""How many characters of a runner's last words the evidence quotes."""

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
    def is_refused(self) -> bool:
        """Whether a runner was handed the execution and did not run the agent."""
        return any(link.kind == "application" and link.type == ATTEMPT_REFUSED for link in self.links)

    @property
    def asks_again(self) -> bool:
        """Whether nothing ended: somebody saw that the store may hold what decides."""
        return len(self.links) == 1 and self.links[0].type == RECONSIDER

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
    if case.asks_again:
        told = "the runner had stored the result, and Temporal did not have it"
    else:
        told = f"the runner stored the result before {said(case.chain)}"
    return Completed(evidence.output, evidence.output_bytes, recovered=told)


def _cancelled(case: _Case) -> Verdict | None:
    evidence = case.evidence
    asked = evidence.cancellation_requested or any(link.retry_state == "CANCEL_REQUESTED" for link in case.chain)
    stopped = evidence.report is not None and (evidence.report.kind, evidence.report.type) == ("cancelled", "Cancelled")
    if asked and (case.first("cancelled") or stopped):
        return Cancelled(evidence.cancellation_reason or "on request")
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


def _died(case: _Case) -> Verdict | None:
    """The supervisor saw the runner's process end: it told Temporal, or the store, or both."""
    evidence = case.evidence
    link = case.first("application")
    runner = next((r for r in evidence.runners if r.runner_id == evidence.runner_id and r.state in _GONE), None)
    if link is not None and link.type == RUNNER_CRASHED:
        try:
            death = RunnerDeath.model_validate(link.detail)
        except ValidationError:
            death = RunnerDeath(runner_id="", how=link.message)
    elif runner is not None and evidence.began and (case.timeout == "HEARTBEAT" or case.asks_again):
        how = runner.error.message if runner.error else "its process ended"
        was_told = runner.state == "stopped"
        death = RunnerDeath(runner_id=runner.runner_id, how=how, was_told=was_told, last_words=runner.last_words)
    else:
        return None
    code = Code.RUNNER_SHUT_DOWN if death.was_told else Code.RUNNER_CRASHED
    cause = Cause(type="OutOfMemory" if death.out_of_memory else "ProcessEnded", message=death.how)
    note = f"the supervisor saw the process of runner {death.runner_id or evidence.runner_id} end: {death.how}"
    words = (f"its last words: {death.last_words.strip()[-LAST_WORDS:]}",) if death.last_words.strip() else ()
    began = None if evidence.began else True
    detail = "" if evidence.began else " before it began the agent"
    return _failure(case, code, cause=cause, headline=death.how + detail, note=note, more=words, retryable=began)


def _goes_on(case: _Case) -> Verdict | None:
    """Temporal has given the attempt up, or has handed it out twice; the runner that has the lease is at work."""
    evidence = case.evidence
    if not evidence.began or not (case.timeout == "HEARTBEAT" or case.is_refused):
        return None
    patience = max(evidence.timeouts.heartbeat * GOES_ON, LEAST_PATIENCE)
    if evidence.silent_for is None or evidence.silent_for > patience or evidence.is_overdue:
        return None
    lost = "Temporal handed the execution out again" if case.is_refused else "Temporal lost contact with the runner"
    return Undecided(
        f"{lost}, but runner {evidence.runner_id} goes on with it: its result will be taken from the store", patience
    )


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
    evidence = case.evidence
    if case.timeout != "SCHEDULE_TO_START" and not (
        case.asks_again and evidence.may_stop_waiting and not evidence.began
    ):
        return None
    seconds = in_seconds(evidence.timeouts.schedule_to_start)
    state = evidence.queue or QueueState(kind="unknown", reason="")
    match state.kind:
        case "startup_failed":
            cause = state.cause or Cause(type="RunnerStartupFailed")
            return _failure(case, Code.RUNNER_STARTUP_FAILED, cause=cause, headline=state.headline)
        case "saturated":
            cause = Cause(type="NoFreeSlot", message=f"no slot became free within {seconds}")
            return _failure(case, Code.RUNNER_SATURATED, cause=cause, seconds=seconds, detail=sentence(state.reason))
        case "mismatched":
            return _failure(case, Code.RUNNER_MISMATCH, cause=Cause(type="OtherVersion", message=state.reason))
        case _:
            cause = Cause(type="ScheduleToStartTimeout", message=f"nobody took the task within {seconds}")
            detail = sentence(state.reason)
            return _failure(case, Code.RUNNER_UNAVAILABLE, cause=cause, seconds=seconds, detail=detail)


def _went_silent(case: _Case) -> Verdict | None:
    if case.timeout != "HEARTBEAT" and not case.is_refused:
        return None
    evidence = case.evidence
    seconds = in_seconds(evidence.timeouts.heartbeat)
    cause = Cause(type="HeartbeatTimeout", message=f"no heartbeat for {seconds}")
    if evidence.is_overdue and evidence.began:
        return _overdue(case)
    if evidence.stalled:
        cause = Cause(type="RunnerStalled", message=evidence.stalled)
        detail = sentence(evidence.stalled)
        return _failure(case, Code.RUNNER_STALLED, cause=cause, seconds=seconds, detail=detail, stack=evidence.stack)
    if evidence.began:
        detail = "Nothing proves whether it crashed, froze or lost its connection."
        return _failure(case, Code.RUNNER_LOST, cause=cause, seconds=seconds, detail=detail)
    detail = "It took the task but never began the agent, so a retry is safe."
    return _failure(case, Code.RUNNER_LOST, cause=cause, seconds=seconds, detail=detail, retryable=True)


def _took_too_long(case: _Case) -> Verdict | None:
    match case.timeout:
        case "START_TO_CLOSE" if case.activity == ENSURE_THREAD:
            cause = Cause(type="StartToCloseTimeout", message="preparing the thread took too long, three times")
            return _failure(case, Code.SYSTEM_ERROR, cause=cause)
        case "START_TO_CLOSE":
            return _overdue(case)
        case "SCHEDULE_TO_CLOSE":
            cause = Cause(type="ScheduleToCloseTimeout", message=_root(case).message)
            return _failure(case, Code.DEADLINE_EXCEEDED, cause=cause, detail=f"Temporal says: {cause.message}.")
        case _:
            return None


def _overdue(case: _Case) -> Failure:
    evidence = case.evidence
    seconds = in_seconds(evidence.timeouts.start_to_close)
    cause = Cause(type="StartToCloseTimeout", message=f"still running after {seconds}")
    return _failure(
        case,
        Code.EXECUTION_TIMED_OUT,
        cause=cause,
        seconds=seconds,
        detail=sentence(evidence.stalled),
        stack=evidence.stack if evidence.stalled else "",
    )


def _ended_by_operator(case: _Case) -> Verdict | None:
    link = case.first("terminated")
    if link is None:
        link = case.first("application")
        if link is None or link.type not in {"ActivityPause", "ActivityReset"}:
            return None
    cause = Cause(type=link.type or "Terminated", message=link.message)
    # Who terminates a workflow gives a reason in words; of the others the type says what they did.
    headline = link.message if link.kind == "terminated" else ""
    return _failure(case, Code.WORKFLOW_TERMINATED, cause=cause, headline=headline)


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


def _nothing_yet(case: _Case) -> Verdict | None:
    return Undecided("", 0.0) if case.asks_again else None


_RULES: Final[tuple[Callable[[_Case], Verdict | None], ...]] = (
    _finished_after_all,
    _cancelled,
    _stored_report,
    _sent_report,
    _died,
    _goes_on,
    _shut_down,
    _mismatched,
    _too_large,
    _not_started,
    _went_silent,
    _took_too_long,
    _nothing_yet,
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
    more: tuple[str, ...] = (),
    retryable: bool | None = None,
    **facts: str,
) -> Failure:
    failure = build_failure(
        code,
        cause=cause,
        headline=headline,
        stack=stack,
        evidence=(*evidence_lines(case.chain, case.evidence, note), *more),
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
