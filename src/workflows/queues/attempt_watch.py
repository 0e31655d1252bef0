"""Notices attempts whose outcome is stored while Temporal does not seem to know, and nudges their executions.

An agent's last word goes to the store first and to Temporal second. When Temporal was away the second may never arrive,
and when a runner is known to be gone nothing more will: the workflow would wait for a timeout to tell it what the store
has known for long.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from typing import Final

from projector.events import ConditionKind
from projector.execution_status import ExecutionStatus, Phase
from projector.live_statuses import LiveStatuses
from projector.projections.runners import RunnerState
from workflows.queues.nudges import Nudges

SETTLE: Final = 5.0
"""How long Temporal has to hear of a stored outcome, in seconds."""
SETTLE_OF_THE_DEAD: Final = 2.0
"""How long a dead runner's supervisor has to tell Temporal, in seconds."""
TICK: Final = 0.25

_GONE: Final = frozenset({RunnerState.EXITED, RunnerState.STOPPED})


class AttemptWatch:
    """Watches the attempts of one store's open executions. Somebody else keeps `statuses` fresh."""

    def __init__(
        self,
        statuses: LiveStatuses,
        nudges: Nudges,
        *,
        settle: float = SETTLE,
        settle_of_the_dead: float = SETTLE_OF_THE_DEAD,
    ) -> None:
        """Both are in seconds."""
        self._statuses = statuses
        self._nudges = nudges
        self._settle = settle
        self._settle_of_the_dead = settle_of_the_dead
        self._outcome_seen: dict[str, float] = {}
        self._runner_gone_seen: dict[str, float] = {}

    async def run(self) -> None:
        """Look again and again; ends when cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(TICK)

    async def look(self) -> None:
        """One pass: nudge the executions that wait for what the store already knows."""
        if not self._statuses.has_caught_up:
            return
        running = [status for status in self._statuses.open_executions() if status.phase is Phase.IN_PROGRESS]
        now = time.monotonic()
        self._outcome_seen = _first_seen(
            self._outcome_seen, (s.execution_id for s in running if s.attempt_ended_at is not None), now
        )
        self._runner_gone_seen = _first_seen(
            self._runner_gone_seen, (s.execution_id for s in running if self._is_runner_gone(s)), now
        )
        await self._nudges.send(status.execution_id for status in running if self._is_due(status, now))

    def _is_due(self, status: ExecutionStatus, now: float) -> bool:
        outcome = self._outcome_seen.get(status.execution_id)
        if outcome is not None and (now - outcome >= self._settle or _waits_for_the_store(status)):
            return True
        gone = self._runner_gone_seen.get(status.execution_id)
        return gone is not None and now - gone >= self._settle_of_the_dead

    def _is_runner_gone(self, status: ExecutionStatus) -> bool:
        runner = self._statuses.runner(status.runner) if status.runner else None
        return runner is not None and runner.state in _GONE


def _waits_for_the_store(status: ExecutionStatus) -> bool:
    """Whether its workflow has said that Temporal lost the attempt and the store must tell how it ends."""
    return any(held.kind is ConditionKind.DEGRADED and held.observer == "orchestrator" for held in status.conditions)


def _first_seen(before: dict[str, float], now_seen: Iterable[str], now: float) -> dict[str, float]:
    """Since when each is seen; those that are no longer seen are forgotten."""
    return {name: before.get(name, now) for name in now_seen}
