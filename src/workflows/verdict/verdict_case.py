"""What the classifier's rules are asked about; pure."""

from __future__ import annotations

from typing import NamedTuple

from runner.contracts import ATTEMPT_REFUSED, RECONSIDER
from workflows.verdict.error_link import ErrorChain, ErrorLink
from workflows.verdict.evidence import Evidence


class Case(NamedTuple):
    """One question to the rules: the chain without Temporal's wrappings, and what else is known."""

    chain: ErrorChain
    links: ErrorChain
    evidence: Evidence

    def first(self, kind: str) -> ErrorLink | None:
        """The outermost link of a kind."""
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
    def lost_sight(self) -> bool:
        """Whether Temporal gave up on an attempt, or on another run of an execution that has one, without its word."""
        is_another_run = self.timeout == "SCHEDULE_TO_START" and self.evidence.began
        return self.timeout == "HEARTBEAT" or self.is_refused or is_another_run

    @property
    def asks_again(self) -> bool:
        """Whether nothing ended: somebody saw that the store may hold what decides."""
        return len(self.links) == 1 and self.links[0].type == RECONSIDER

    @property
    def activity(self) -> str:
        """The activity that failed; empty when there is none."""
        return next((link.activity_type for link in self.chain if link.activity_type), "")
