"""Why a workflow that runs does not move: facts → the conditions that the execution should show; pure.

A condition is written once. Whether one that stands is the same as one that is due is told by its first words, which
are constants: what comes after them changes, and may be redacted in the store.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from projector.events import ConditionCleared, ConditionKind, ConditionObserved
from projector.execution_status import Condition, ExecutionStatus
from projector.failures import Cause
from workflows.reconciliation.workflow_facts import PauseFact, TaskFact, TaskFailure, WorkflowFacts

OBSERVER: Final = "reconciler"
"""The role under which these conditions are written; only its own are cleared."""

STUCK: Final = "the orchestrator cannot advance the workflow"
UNTAKEN: Final = "no orchestrator takes the workflow's task"
ELSEWHERE: Final = "Temporal does not know the workflow"
PAUSED: Final = "an operator paused the workflow"
ACTIVITY_PAUSED: Final = "an operator paused an activity of the workflow"
_TOPICS: Final = (STUCK, UNTAKEN, ELSEWHERE, ACTIVITY_PAUSED, PAUSED)
_KINDS: Final = (ConditionKind.STALLED, ConditionKind.PAUSED)

TAKEN_WITHIN: Final = timedelta(seconds=5)
"""How long a task may wait for an orchestrator until the execution shows it."""
KEEPS_FAILING: Final = 3
"""From which try on a task counts as one that keeps failing; from one fewer, if Temporal has written down an error."""
STILL_TRIED: Final = timedelta(seconds=15)
"""How long ago the last try may be for a recording to count as failing now; its pauses are 5 s at most."""
HELD_FOR: Final = timedelta(seconds=3)
"""How long an orchestrator must have had a task that failed before, for it to count as failing again: a healthy one
answers within milliseconds."""


def must_ask_why(facts: WorkflowFacts, status: ExecutionStatus) -> bool:
    """Whether the history must be read to know if the workflow task keeps failing."""
    return facts.task is not None and (facts.task.attempt > 1 or stuck_since(status) is not None)


def due_conditions(
    facts: WorkflowFacts, failure: TaskFailure | None, status: ExecutionStatus, now: datetime
) -> tuple[ConditionObserved, ...]:
    """What the execution should show. `failure` is the last workflow task's, if it is known."""
    due = list(map(_pause, facts.pauses[:1]))
    stalled = _standing(status) if facts.state == "paused" else _stuck(facts, failure, status)
    stalled = stalled or _untaken(facts, status, now)
    return (*due, stalled) if stalled is not None else tuple(due)


def changes(
    status: ExecutionStatus, due: Sequence[ConditionObserved]
) -> tuple[ConditionObserved | ConditionCleared, ...]:
    """The events that make the status show what is due. What somebody else observed is left alone."""
    events: list[ConditionObserved | ConditionCleared] = []
    for kind in _KINDS:
        held = next((condition for condition in status.conditions if condition.kind is kind), None)
        wanted = next((condition for condition in due if condition.kind is kind), None)
        is_ours = held is not None and held.observer == OBSERVER
        is_same = held is not None and wanted is not None and _topic(held.reason) == _topic(wanted.reason)
        if is_ours and not is_same:
            events.append(ConditionCleared(kind=kind))
        if wanted is not None and (held is None or (is_ours and not is_same)):
            events.append(wanted)
    return tuple(events)


def known_elsewhere(status: ExecutionStatus) -> ConditionObserved:
    """What an execution shows that was started in another Temporal than the one that was asked."""
    reason = f"{ELSEWHERE}: it was started in another one, whose namespace has the id {status.engine}"
    return ConditionObserved(kind=ConditionKind.STALLED, reason=reason)


def elsewhere_since(status: ExecutionStatus) -> datetime | None:
    """Since when the execution has shown that its Temporal is another one; None when it does not."""
    held = _ours(status)
    return held.since if held is not None and held.reason.startswith(ELSEWHERE) else None


def stuck_since(status: ExecutionStatus) -> datetime | None:
    """Since when the execution has shown that its workflow is stuck; None when it does not."""
    held = _ours(status)
    return held.since if held is not None and held.reason.startswith(STUCK) else None


def stuck_cause(facts: WorkflowFacts, failure: TaskFailure | None, status: ExecutionStatus) -> Cause | None:
    """Why the workflow cannot advance; None when it can."""
    task = facts.task
    if task is not None and task.attempt >= KEEPS_FAILING:
        return (failure or TaskFailure(why="UNKNOWN")).cause
    if task is not None and failure is not None:
        is_written_down = task.attempt == KEEPS_FAILING - 1 and failure.chain
        # A signal makes Temporal count from one again: only a task that succeeds heals.
        if is_written_down or stuck_since(status) is not None:
            return failure.cause
    for recording in facts.recordings:
        if recording.failure is not None and recording.attempt >= KEEPS_FAILING and not _waits_for_store(recording):
            return Cause(type=recording.failure.type, message=f"{recording.failure.message} (in {recording.activity})")
    return None


def fails_now(facts: WorkflowFacts, now: datetime) -> bool:
    """Whether an orchestrator that runs at this moment is the one that fails: another one may be about to heal it."""
    if facts.task is not None and not facts.task.is_waiting and now - facts.task.since >= HELD_FOR:
        return True
    return any(r.tried_at is not None and now - r.tried_at < STILL_TRIED for r in facts.recordings)


def clock(time: datetime) -> str:
    """A time for people to read."""
    return f"{time.astimezone(UTC):%H:%M:%S} UTC"


def _stuck(facts: WorkflowFacts, failure: TaskFailure | None, status: ExecutionStatus) -> ConditionObserved | None:
    cause = stuck_cause(facts, failure, status)
    if cause is None:
        return None
    why = f" ({failure.why})" if failure is not None and failure.chain else ""
    stack = failure.stack if failure is not None else ""
    return ConditionObserved(kind=ConditionKind.STALLED, reason=f"{STUCK}: {cause}{why}", stack=stack)


def _untaken(facts: WorkflowFacts, status: ExecutionStatus, now: datetime) -> ConditionObserved | None:
    if facts.state == "paused":
        return None
    held = _ours(status)
    # A task that an orchestrator's own queue gives up goes to the common one, and waits anew.
    patience = timedelta(0) if held is not None and held.reason.startswith(UNTAKEN) else TAKEN_WITHIN
    tasks = [task for task in (facts.task, *facts.recordings) if task is not None]
    waiting = [task for task in tasks if task.is_waiting and now - task.since >= patience]
    if not waiting:
        return None
    since = min(task.since for task in waiting)
    reason = f"{UNTAKEN} from queue '{facts.task_queue}': it waits since {clock(since)}; is one running?"
    return ConditionObserved(kind=ConditionKind.STALLED, reason=reason)


def _pause(pause: PauseFact) -> ConditionObserved:
    said = ", ".join(
        part
        for part in (
            pause.activity,
            f"at {clock(pause.since)}" if pause.since is not None else "",
            f"by {pause.identity}" if pause.identity else "",
            pause.reason,
        )
        if part
    )
    topic = ACTIVITY_PAUSED if pause.activity else PAUSED
    return ConditionObserved(kind=ConditionKind.PAUSED, reason=f"{topic}: {said}" if said else topic)


def _ours(status: ExecutionStatus) -> Condition | None:
    return next((c for c in status.conditions if c.kind is ConditionKind.STALLED and c.observer == OBSERVER), None)


def _standing(status: ExecutionStatus) -> ConditionObserved | None:
    held = _ours(status)
    return ConditionObserved(kind=held.kind, reason=held.reason) if held is not None else None


def _topic(reason: str) -> str:
    return next((topic for topic in _TOPICS if reason.startswith(topic)), "")


def _waits_for_store(recording: TaskFact) -> bool:
    return recording.failure is not None and recording.failure.type == "StoreUnavailable"
