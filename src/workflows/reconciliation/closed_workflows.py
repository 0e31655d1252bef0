"""The verdict on an execution whose workflow can give none: Temporal ended it, lost it, or cannot advance it; pure.

What the store knows outranks how Temporal ended the workflow, so the classifier is asked first. Only what it has no
rule for is decided here.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from projector.catalogue import CATALOGUE, Code
from projector.failures import Cause, Failure, build_failure
from runner.contracts import ATTEMPT_FAILED, ATTEMPT_REFUSED, RUNNER_CRASHED
from workflows.reconciliation.workflow_conditions import clock
from workflows.reconciliation.workflow_facts import Closing, TaskFailure, WorkflowFacts
from workflows.verdict.error_link import ErrorChain, ErrorLink
from workflows.verdict.evidence import Cancelled, Completed, Evidence, Undecided, Verdict
from workflows.verdict.failure_classifier import classify
from workflows.verdict.verdict_words import evidence_lines, in_seconds, stood

_KNOWN_TYPES: Final = frozenset({ATTEMPT_FAILED, ATTEMPT_REFUSED, RUNNER_CRASHED})
_CODES: Final = {code.value: code for code in Code}


def judge_closed(facts: WorkflowFacts, closing: Closing, evidence: Evidence) -> Verdict:
    """The verdict on an execution whose workflow has ended without leaving one."""
    match facts.state:
        case "completed":
            return _completed(closing, evidence)
        case "cancelled":
            chain: ErrorChain = (ErrorLink(kind="cancelled", message="the workflow was cancelled"),)
            return _with_facts(classify(chain, evidence), facts, evidence)
        case "terminated":
            by = f" (by {closing.identity})" if closing.identity else ""
            chain = (ErrorLink(kind="terminated", message=(closing.reason or "no reason was given") + by),)
            return _with_facts(classify(chain, evidence), facts, evidence)
        case "timed_out":
            return _timed_out(facts, evidence)
        case "failed":
            return _failed(facts, closing, evidence)
        case "continued_as_new":
            return _gone("it was continued as a new run, which Temporal no longer has", evidence, facts)
        case "running" | "paused" | "unknown":
            return Undecided(f"the workflow is {facts.state}", 0.0)


def judge_missing(execution_id: str, evidence: Evidence, *, was_started: bool, asked_at: datetime) -> Verdict:
    """The verdict on an execution whose workflow Temporal does not have, although it was asked for at `asked_at`."""
    if was_started or evidence.began:
        return _gone("Temporal no longer has it: it was deleted, or its retention is over", evidence, None)
    if evidence.cancellation_requested:
        return Cancelled(evidence.cancellation_reason or "on request")
    message = (
        f"the request was stored at {clock(asked_at)}, but Temporal has no such workflow: it never started, or it was "
        "deleted before an orchestrator saw it"
    )
    return build_failure(
        Code.ENGINE_UNAVAILABLE,
        cause=Cause(type="WorkflowNotFound", message=message),
        headline=message,
        evidence=(f"Temporal: there is no workflow '{execution_id}'", *evidence_lines((), evidence, "")),
    )


def judge_stuck(
    facts: WorkflowFacts,
    failure: TaskFailure | None,
    cause: Cause,
    evidence: Evidence,
    *,
    is_due: bool,
    since: datetime,
) -> Verdict:
    """The verdict on an execution whose workflow has been unable to advance since `since`.

    What the attempt stored decides at once; without it nothing is decided before `is_due`.
    """
    chain = failure.chain if failure is not None else ()
    told = chain or (ErrorLink(kind="other", type=cause.type, message=cause.message),)
    if (known := _known_already(told, evidence)) is not None:
        return _with_facts(known, facts, evidence)
    if not is_due:
        return Undecided("the workflow may still be healed", 0.0)
    kind = f" ({failure.why})" if failure is not None and failure.chain else ""
    return _broken(
        facts,
        told,
        evidence,
        cause=cause,
        headline=f"{cause}{kind}",
        note=f"Temporal: the orchestrator has kept failing since {clock(since)}",
        stack=failure.stack if failure is not None else "",
    )


def _completed(closing: Closing, evidence: Evidence) -> Verdict:
    if evidence.finished:
        told = "Temporal says that the workflow completed, and no verdict was stored; the runner had stored the result"
        return Completed(evidence.output, evidence.output_bytes, recovered=told)
    told = "Temporal says that the workflow completed, and no verdict was stored; "
    told += "the result is the workflow's" if closing.has_output else "its result could not be read"
    return Completed(closing.output, closing.output_bytes, recovered=told)


def _timed_out(facts: WorkflowFacts, evidence: Evidence) -> Verdict:
    message = f"the workflow's limit of {in_seconds(facts.limit)} was over" if facts.limit else "its limit was over"
    chain = (ErrorLink(kind="timeout", timeout_type="WorkflowTimeout", message=message),)
    if (known := _known_already(chain, evidence)) is not None:
        return _with_facts(known, facts, evidence)
    failure = build_failure(
        Code.WORKFLOW_TIMED_OUT,
        cause=Cause(type="WorkflowTimeout", message=message),
        detail=f"{message[0].upper()}{message[1:]}. {stood(evidence)}",
        evidence=evidence_lines(chain, evidence, ""),
    )
    return _with_facts(failure, facts, evidence)


def _failed(facts: WorkflowFacts, closing: Closing, evidence: Evidence) -> Verdict:
    chain = closing.chain or (ErrorLink(kind="other", type="Unknown", message="Temporal keeps no reason"),)
    outer = chain[0]
    if outer.type in _CODES and outer.kind == "application" and not evidence.finished:
        return _with_facts(_as_carried(outer, chain, evidence), facts, evidence)
    if outer.kind not in ("application", "other", "server") or outer.type in _KNOWN_TYPES:
        return _with_facts(classify(chain, evidence), facts, evidence)
    if (known := _known_already(chain, evidence)) is not None:
        return _with_facts(known, facts, evidence)
    root = chain[-1]
    cause = Cause(type=root.type or root.kind, message=root.message)
    shown = Cause(type=outer.type or outer.kind, message=outer.message)
    headline = str(cause) if shown == cause else f"{outer.message or shown} (root cause: {cause})"
    return _broken(facts, chain, evidence, cause=cause, headline=headline, stack=closing.stack)


def _as_carried(link: ErrorLink, chain: ErrorChain, evidence: Evidence) -> Failure:
    """The verdict that the workflow ended with, which the store lacks."""
    entry = CATALOGUE[_CODES[link.type]]
    remedy = link.detail.get("remedy") if isinstance(link.detail, dict) else None
    return Failure(
        code=entry.code.value,
        category=entry.category,
        message=link.message or entry.when,
        remedy=remedy if isinstance(remedy, str) and remedy else entry.remedy,
        retryable=entry.retryable,
        cause=Cause(type=link.type, message=link.message),
        evidence=evidence_lines(chain, evidence, "the verdict is the workflow's own; the store had none"),
    )


def _broken(
    facts: WorkflowFacts,
    chain: ErrorChain,
    evidence: Evidence,
    *,
    cause: Cause,
    headline: str,
    note: str = "",
    stack: str = "",
) -> Verdict:
    failure = build_failure(
        Code.WORKFLOW_STUCK,
        cause=cause,
        headline=headline,
        stack=stack,
        evidence=evidence_lines(chain, evidence, note),
    )
    failure = failure.model_copy(update={"message": f"{failure.message} {stood(evidence)}"})
    return _with_facts(failure, facts, evidence)


def _gone(why: str, evidence: Evidence, facts: WorkflowFacts | None) -> Verdict:
    chain = (ErrorLink(kind="terminated", type="WorkflowGone", message=why),)
    return _with_facts(classify(chain, evidence), facts, evidence)


def _known_already(chain: ErrorChain, evidence: Evidence) -> Verdict | None:
    """What the attempt stored, if that decides: the rules that read Temporal's errors know none of this kind."""
    unknown = tuple(
        ErrorLink(kind="other", type=link.type or link.timeout_type, message=link.message) for link in chain
    )
    verdict = classify(unknown, evidence)
    return None if isinstance(verdict, Failure) and verdict.code == Code.UNCLASSIFIED else verdict


def _with_facts(verdict: Verdict, facts: WorkflowFacts | None, evidence: Evidence) -> Verdict:
    if not isinstance(verdict, Failure):
        return verdict
    changes: dict[str, object] = {}
    if verdict.code == Code.WORKFLOW_TERMINATED:
        changes["message"] = f"{verdict.message} {stood(evidence)}"
    if facts is not None:
        at = f" since {clock(facts.closed_at)}" if facts.closed_at is not None else ""
        line = f"Temporal: the workflow is {facts.state.replace('_', ' ')}{at}, run {facts.run_id}"
        changes["evidence"] = (line, *verdict.evidence)
    return verdict.model_copy(update=changes)
