"""The runner's two activities, thin: take the request, find the agent, let an attempt of it run."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from temporalio import activity
from temporalio.exceptions import ApplicationError

from projector.failures import ErrorReport
from runner.agent import Agent, AgentTask
from runner.attempt import Attempt, AttemptTools, fail
from runner.beating import beat_until
from runner.contracts import ENSURE_THREAD, EXECUTE_AGENT, AgentRequest, AgentResult, Thread, ThreadRequest
from runner.errors.failure_report import report_failure
from runner.threads import prepare_thread


@dataclass(frozen=True, slots=True)
class RunnerActivities:
    """The activities of one runner."""

    agents: Mapping[str, Agent]
    threads_dir: Path
    tools: AttemptTools

    @activity.defn(name=ENSURE_THREAD)
    async def ensure_thread(self, request: ThreadRequest) -> Thread:
        """Prepare the conversation of an execution; may run any number of times."""
        self._agent(request.agent)
        name = request.session_id or request.execution_id
        try:
            preparing = asyncio.ensure_future(asyncio.to_thread(prepare_thread, self.threads_dir, name))
            await beat_until(preparing)
            return preparing.result()
        except Exception as error:
            fail(report_failure(error, self.tools.hygiene, kind="system"))

    @activity.defn(name=EXECUTE_AGENT)
    async def execute_agent(self, request: AgentRequest) -> AgentResult:
        """Run the agent once. Whatever it does, its events are stored before Temporal hears of its end."""
        try:
            task = AgentTask(
                execution_id=request.execution_id,
                input=request.input,
                session_id=request.session_id,
                thread_id=request.thread_id,
                thread_dir=self.threads_dir / request.thread_id,
                attempt=activity.info().attempt,
            )
            return await Attempt(self.tools, self._agent(request.agent), task, request.agent).run()
        except (ApplicationError, asyncio.CancelledError):
            raise
        except Exception as error:  # ours, not the agent's: no thread can be started, say
            fail(report_failure(error, self.tools.hygiene, kind="system"))

    def _agent(self, name: str) -> Agent:
        agent = self.agents.get(name)
        if agent is None:
            served = ", ".join(sorted(self.agents)) or "none"
            message = f"this runner does not serve the agent '{name}'; it serves: {served}"
            fail(ErrorReport(kind="mismatch", type="AgentNotServed", message=self.tools.hygiene.text(message).text))
        return agent
