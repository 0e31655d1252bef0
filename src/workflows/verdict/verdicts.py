"""Failures as the classifier's rules give them: the catalogue's words, filled with the case; pure."""

from __future__ import annotations

from typing import Final

from projector.catalogue import Code
from projector.failures import Cause, ErrorKind, ErrorReport, Failure, build_failure
from workflows.verdict.error_link import ErrorLink
from workflows.verdict.verdict_case import Case
from workflows.verdict.verdict_words import evidence_lines, in_seconds, shown, where

_CODE_OF: Final[dict[ErrorKind, Code]] = {
    "agent": Code.AGENT_FAILED,
    "provider": Code.PROVIDER_UNAVAILABLE,
    "system": Code.SYSTEM_ERROR,
    "result": Code.RESULT_REJECTED,
    "mismatch": Code.RUNNER_MISMATCH,
    "shutdown": Code.RUNNER_SHUT_DOWN,
    "cancelled": Code.AGENT_FAILED,
}


def reported(case: Case, report: ErrorReport, source: str) -> Failure:
    """The failure that a runner reported; `source` says where the report was found."""
    code = _CODE_OF[report.kind]
    wait = f" (it asks to wait {in_seconds(report.retry_after)})" if report.retry_after is not None else ""
    return failure(
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


def failure(
    case: Case,
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
    """A failure in the catalogue's words, with its evidence. `retryable` overrides the catalogue."""
    made = build_failure(
        code,
        cause=cause,
        headline=headline,
        stack=stack,
        evidence=(*evidence_lines(case.chain, case.evidence, note), *more),
        queue=case.evidence.task_queue,
        where=where(case.evidence),
        **facts,
    )
    return made if retryable is None else made.model_copy(update={"retryable": retryable})


def unclassified(case: Case) -> Failure:
    """What no rule knows, shown whole."""
    whole = " ← ".join(shown(link) for link in case.chain) or "no error was given"
    deepest = root(case)
    return build_failure(
        Code.UNCLASSIFIED,
        cause=deepest,
        headline=whole[:3000],
        evidence=evidence_lines(case.chain, case.evidence, ""),
    )


def root(case: Case) -> Cause:
    """The deepest error."""
    link = (case.links or case.chain or (ErrorLink(kind="other", type="Unknown"),))[-1]
    return Cause(type=link.type or link.timeout_type or link.kind, message=link.message)
