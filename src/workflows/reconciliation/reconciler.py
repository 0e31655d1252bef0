"""Compares the executions that the store holds open with Temporal, and writes what no code of a workflow could.

Led by the store, not by Temporal's lists: what is open there is asked about here, one workflow at a time. Any number of
reconcilers may run. An end has one id, and everything else is appended at the version at which it was decided, so two
that see the same write it once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

import structlog
from temporalio.client import Client
from temporalio.service import RPCError

from projector.engines.ports import StoreEngine
from projector.errors import StatusError
from projector.event_writer import EventWriter
from projector.execution_status import ExecutionStatus
from projector.live_statuses import LiveStatuses
from runner.connection import engine_of
from workflows.reconciliation.case import Case, CaseTools
from workflows.reconciliation.closed_workflows import judge_closed, judge_missing, judge_stuck
from workflows.reconciliation.orphans import free_orphans
from workflows.reconciliation.reconcile_report import ReconcileReport, Trouble, Written
from workflows.reconciliation.workflow_conditions import (
    due_conditions,
    elsewhere_since,
    fails_now,
    known_elsewhere,
    must_ask_why,
    stuck_cause,
    stuck_since,
)
from workflows.reconciliation.workflow_facts import TaskFailure, WorkflowFacts
from workflows.reconciliation.workflow_reader import WorkflowReader
from workflows.settings import OrchestratorSettings
from workflows.verdict.evidence import Evidence, Verdict
from workflows.verdict.gathering import Gathering

AT_ONCE: Final = 16
"""How many executions are compared at the same time."""

log = structlog.get_logger("reconciler")

Tell = Callable[[ReconcileReport], None]


class Reconciler:
    """Reconciles one store with one Temporal."""

    def __init__(
        self,
        client: Client,
        store: StoreEngine,
        writer: EventWriter,
        live: LiveStatuses,
        settings: OrchestratorSettings,
    ) -> None:
        self._client = client
        self._reader = WorkflowReader(client)
        self._live = live
        self._settings = settings
        gathering = Gathering(store, None, startup_grace=settings.startup_grace)
        self._tools = CaseTools(store, writer, gathering)
        self._trouble = ""
        self._engine = ""
        self._answers_since: datetime | None = None

    async def run(self, tell: Tell | None = None) -> None:
        """One pass after the other until it is cancelled; `tell` hears of each.

        Trouble with Temporal, the store or anything else is logged once and outlasted; what `tell` raises is not.
        """
        self._answers_since = datetime.now(UTC)
        while True:
            try:
                report = await self.once()
            except Exception as error:  # whatever it is, the next pass may succeed
                self._log_trouble(f"{type(error).__name__}: {error}")
            else:
                self._log(report)
                if tell is not None:
                    tell(report)
            await asyncio.sleep(self._settings.reconcile_interval)

    async def once(self) -> ReconcileReport:
        """Compare every open execution once. Raises StoreError when the store cannot be read at all."""
        await self._live.refresh()
        statuses = self._live.open_executions()
        if statuses and not self._engine:
            with suppress(RPCError):  # it does not answer: each execution will say so
                self._engine = await engine_of(self._client)
        room = asyncio.Semaphore(AT_ONCE)
        silences = 0

        async def one(status: ExecutionStatus) -> list[Written] | Trouble:
            nonlocal silences
            async with room:
                if silences >= AT_ONCE:  # each would be waited for in vain
                    return Trouble(status.execution_id, "Temporal did not answer about others either")
                outcome = await self._outlast(status)
                silences = silences + 1 if isinstance(outcome, Trouble) and outcome.is_silence else 0
                return outcome

        outcomes = await asyncio.gather(*map(one, statuses))
        return ReconcileReport(
            compared=len(statuses),
            written=tuple(each for outcome in outcomes if isinstance(outcome, list) for each in outcome),
            troubles=tuple(outcome for outcome in outcomes if isinstance(outcome, Trouble)),
        )

    async def _outlast(self, status: ExecutionStatus) -> list[Written] | Trouble:
        try:
            return await self._compare(status)
        except RPCError as error:
            self._answers_since = datetime.now(UTC)
            return Trouble(status.execution_id, f"Temporal does not answer: {error.message}", is_silence=True)
        except StatusError as error:
            return Trouble(status.execution_id, str(error))
        except Exception as error:  # one execution must not cost the others their verdicts
            reason = f"{type(error).__name__}: {error}"
            if reason != self._trouble:
                log.exception("an execution cannot be reconciled", execution_id=status.execution_id)
            return Trouble(status.execution_id, reason)

    async def _compare(self, status: ExecutionStatus) -> list[Written]:
        case = Case(self._tools, status, await self._reader.look(status.execution_id))
        if case.facts is None:
            await self._missing(case)
        elif await case.follow(case.facts, self._engine):
            if case.facts.is_closed:
                await self._closed(case, case.facts)
            else:
                await self._running(case, case.facts)
        return case.written

    async def _missing(self, case: Case) -> None:
        status, now = case.before, datetime.now(UTC)
        asked_at = status.requested_at or status.last_event_at or now
        # Whoever starts it may have had to wait for Temporal, too.
        unknown_since = max(asked_at, self._answers_since or asked_at)
        if status.run_id is None and (now - unknown_since).total_seconds() < self._settings.lost_start_after:
            return

        if status.engine and self._engine and status.engine != self._engine:
            # Asked of the wrong Temporal, perhaps: that is for people to see before it is anybody's end.
            await case.show(lambda fresh: (known_elsewhere(fresh),))
            since = elsewhere_since(status)
            if since is None or (now - since).total_seconds() < self._settings.stuck_after:
                return

        def judge(evidence: Evidence) -> Verdict:
            return judge_missing(case.execution_id, evidence, was_started=status.run_id is not None, asked_at=asked_at)

        await case.end(judge)

    async def _closed(self, case: Case, facts: WorkflowFacts) -> None:
        closing = await self._reader.closing(case.execution_id, facts.run_id)
        if closing is not None:
            await case.end(lambda evidence: judge_closed(facts, closing, evidence))

    async def _running(self, case: Case, facts: WorkflowFacts) -> None:
        failure = None
        if must_ask_why(facts, case.before):
            failure = await self._reader.task_failure(case.execution_id, facts.run_id)
        stood_since = stuck_since(case.before)
        await case.show(lambda fresh: due_conditions(facts, failure, fresh, datetime.now(UTC)))
        await free_orphans(self._client, case.before, facts, self._live)
        if stood_since is not None and facts.state == "running":
            await self._stuck(case, facts, failure, stood_since)

    async def _stuck(self, case: Case, facts: WorkflowFacts, failure: TaskFailure | None, since: datetime) -> None:
        """It was stuck one pass ago and still is: end it where the store knows how, or when its time is up."""
        cause = stuck_cause(facts, failure, case.before)
        if cause is None:
            return
        now = datetime.now(UTC)
        is_over = (now - since).total_seconds() >= self._settings.stuck_after
        is_due = is_over and fails_now(facts, now) and not facts.agent_is_running

        def judge(evidence: Evidence) -> Verdict:
            return judge_stuck(facts, failure, cause, evidence, is_due=is_due, since=since)

        await case.end(judge)

    def _log(self, report: ReconcileReport) -> None:
        for each in report.written:
            log.info("written", execution_id=each.execution_id, event_type=each.type, said=each.said)
        if not report.troubles:
            self._trouble = ""
            return
        first = report.troubles[0]
        self._log_trouble(first.reason, execution_id=first.execution_id, count=len(report.troubles))

    def _log_trouble(self, reason: str, **about: object) -> None:
        """Say it once, and again when it is another."""
        if reason != self._trouble:
            log.warning("executions cannot be compared with Temporal", reason=reason, **about)
        self._trouble = reason
