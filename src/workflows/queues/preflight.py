"""The first look at a queue: what an execution is told about its runners before it has waited at all.

It is taken while the start is being stored, and given up after a short budget, so that a healthy start is not held up.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from projector.events import ConditionKind, ConditionObserved
from projector.live_statuses import LiveStatuses
from workflows.queues.queue_state import judge_queue
from workflows.queues.task_queue import TaskQueues

LOOK_BUDGET: Final = 0.08
"""How long Temporal may take to say who polls the queue, in seconds; without an answer the store is judged alone."""
_NOTHING_TO_SAY: Final = frozenset({"ready", "unknown"})


@dataclass(frozen=True, slots=True)
class Preflight:
    """Looks at queues for executions that have just been started."""

    queues: TaskQueues
    statuses: LiveStatuses

    async def look(self, queue: str) -> ConditionObserved | None:
        """What keeps this queue from serving, if that is known in time."""
        workers = await self.queues.workers(queue, timeout=LOOK_BUDGET)
        if not self.statuses.has_caught_up:
            return None
        state = judge_queue(queue, self.statuses.runners(queue), workers, datetime.now(UTC))
        if state.kind in _NOTHING_TO_SAY:
            return None
        return ConditionObserved(kind=ConditionKind.WAITING_FOR_RUNNER, reason=state.reason)
