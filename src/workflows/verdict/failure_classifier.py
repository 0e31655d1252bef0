"""The classifier: what Temporal says and what the store knows → one verdict.

A pure, total function: it never raises, sleeps, logs or reads. Evidence outranks Temporal's wording. The rules stand in
one table, in the order in which they are asked; the first that answers decides.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from projector.catalogue import Code
from projector.failures import Cause, build_failure
from workflows.verdict import agent_rules, runner_rules
from workflows.verdict.error_link import ErrorChain, ErrorLink
from workflows.verdict.evidence import Evidence, Verdict
from workflows.verdict.verdict_case import Case
from workflows.verdict.verdicts import unclassified

_RULES: Final[tuple[Callable[[Case], Verdict | None], ...]] = (
    agent_rules.finished_after_all,
    agent_rules.cancelled,
    agent_rules.stored_report,
    agent_rules.sent_report,
    runner_rules.died,
    runner_rules.goes_on,
    runner_rules.shut_down,
    runner_rules.mismatched,
    agent_rules.too_large,
    runner_rules.not_started,
    runner_rules.went_silent,
    runner_rules.took_too_long,
    agent_rules.nothing_yet,
    agent_rules.ended_by_operator,
    agent_rules.raised,
)


def classify(chain: ErrorChain, evidence: Evidence) -> Verdict:
    """The verdict on an execution that did not simply succeed."""
    links = tuple(link for link in chain if link.kind != "activity" and not _hides_its_cause(link, chain))
    case = Case(chain, links, evidence)
    try:
        for rule in _RULES:
            verdict = rule(case)
            if verdict is not None:
                return verdict
        return unclassified(case)
    except Exception as error:  # a rule that is wrong must not cost the execution its verdict
        own = Cause(type=type(error).__name__, message="the classifier itself failed")
        return build_failure(Code.UNCLASSIFIED, cause=own, evidence=tuple(repr(link)[:1000] for link in chain[:5]))


def _hides_its_cause(link: ErrorLink, chain: ErrorChain) -> bool:
    return link.kind == "server" and "size limit" in link.message and link is not chain[-1]
