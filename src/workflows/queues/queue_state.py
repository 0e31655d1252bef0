"""How a task queue of runners stands, judged from what runners said in the store and what Temporal hears; pure.

Temporal knows who polls, the store knows why nobody does. Where they disagree, the one that knows more wins: a runner
whose end is stored is gone although Temporal still lists it, and one that has just said that it is ready is there
although Temporal does not list it yet.

The reasons hold clock times, never ages, so that the same state is told in the same words at every look.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict

from projector.failures import Cause
from projector.projections.runners import Runner, RunnerState

JUST_READY: Final = timedelta(seconds=5)
"""How long a runner's own word that it is ready counts before Temporal must hear it too."""
FRESH_START: Final = timedelta(seconds=60)
"""How long a runner may take to start before it no longer counts as starting."""
FRESH_FAILURE: Final = timedelta(seconds=60)
"""How long before an execution began to wait a runner may have failed to start, for that to prove that waiting is
pointless. Later attempts count anew."""
CRASH_LOOP: Final = 3
"""From how many crashes in a row on it is a loop."""
LAST_WORDS_SHOWN: Final = 200
"""How many characters of the last line that a crashed runner wrote are shown."""

QueueKind = Literal[
    "ready", "starting", "startup_failed", "crash_looping", "absent", "saturated", "mismatched", "unknown"
]
_NEVER: Final = datetime.min.replace(tzinfo=UTC)
_GONE: Final = frozenset({RunnerState.STARTUP_FAILED, RunnerState.STOPPED, RunnerState.EXITED})


class WorkerFact(BaseModel):
    """One worker that polls the queue for activities, as Temporal knows it.

    `is_heard` means that it polled or beat lately. `slots` and `free_slots` are None where Temporal does not know.
    `version` is its deployment version when it takes only work that is pinned to one.
    """

    model_config = ConfigDict(frozen=True)

    identity: str
    is_heard: bool
    is_shutting_down: bool = False
    slots: int | None = None
    free_slots: int | None = None
    version: str = ""

    @property
    def runner_id(self) -> str:
        """The runner's own id; empty for a worker that is none of ours."""
        role, _, runner_id = self.identity.partition(":")
        return runner_id if role == "runner" else ""


class QueueState(BaseModel):
    """How the queue stands, and `reason` in words for the person who waits.

    For `startup_failed`: `since` is when the first of the failures in a row was, `latest`, `cause` and `headline` are
    the last one's. For `crash_looping` they tell how the last runner ended.
    """

    model_config = ConfigDict(frozen=True)

    kind: QueueKind
    reason: str
    since: datetime | None = None
    latest: datetime | None = None
    cause: Cause | None = None
    headline: str = ""


def judge_queue(
    queue: str, runners: Sequence[Runner], workers: Sequence[WorkerFact] | None, now: datetime
) -> QueueState:
    """How a queue stands. `runners` are those of the queue, the latest to change first; `workers` None means that
    Temporal could not say.
    """
    known = {runner.runner_id: runner for runner in runners}
    alive = [worker for worker in workers or () if _is_alive(worker, known)]
    if _just_ready(runners, workers or (), now):
        return _ready(queue)
    if alive:
        return _of_the_living(queue, alive)
    if workers is None and any(runner.state is RunnerState.READY for runner in runners):
        return _unknown(queue)
    settled = next((runner for runner in runners if runner.state is not RunnerState.STARTING), None)
    if settled is not None and settled.state is RunnerState.STARTUP_FAILED:
        return _startup_failed(queue, settled, runners)
    if settled is not None and settled.state is RunnerState.EXITED and settled.crashes >= CRASH_LOOP:
        return _crash_looping(queue, settled)
    starting = next((runner for runner in runners if _is_starting(runner, now)), None)
    if starting is not None:
        reason = f"no runner polls queue '{queue}' yet; {starting.runner_id} is starting since {_clock(starting)}"
        return QueueState(kind="starting", reason=reason)
    if workers is None:
        return _unknown(queue)
    return QueueState(kind="absent", reason=f"no runner polls queue '{queue}'; {_who_was_there(runners)}")


def is_proof(state: QueueState, waiting_since: datetime, now: datetime, grace: float) -> bool:
    """Whether waiting is pointless: runners cannot start, and in `grace` seconds no other one has come up.

    A failure of long before anybody waited proves nothing: whoever cared may be gone, and others may come.
    """
    if state.kind != "startup_failed" or state.since is None:
        return False
    if waiting_since - (state.latest or state.since) > FRESH_FAILURE:
        return False  # nobody was at it any more: somebody may well begin
    return now - max(waiting_since, state.since) >= timedelta(seconds=grace)


def _is_alive(worker: WorkerFact, known: dict[str, Runner]) -> bool:
    runner = known.get(worker.runner_id)
    is_gone = runner is not None and runner.state in _GONE
    return worker.is_heard and not worker.is_shutting_down and not is_gone


def _just_ready(runners: Sequence[Runner], workers: Sequence[WorkerFact], now: datetime) -> bool:
    listed = {worker.runner_id for worker in workers}
    return any(
        runner.state is RunnerState.READY and runner.runner_id not in listed and abs(now - _time(runner)) <= JUST_READY
        for runner in runners
    )


def _is_starting(runner: Runner, now: datetime) -> bool:
    return runner.state is RunnerState.STARTING and now - _time(runner) < FRESH_START


def _ready(queue: str) -> QueueState:
    return QueueState(kind="ready", reason=f"a runner polls queue '{queue}'")


def _unknown(queue: str) -> QueueState:
    return QueueState(kind="unknown", reason=f"Temporal did not say who polls queue '{queue}'")


def _of_the_living(queue: str, alive: Sequence[WorkerFact]) -> QueueState:
    takers = [worker for worker in alive if not worker.version]
    if not takers:
        versions = sorted({worker.version for worker in alive})
        reason = (
            f"queue '{queue}' is polled only by {_plural('runner', len(alive))} of version {', '.join(versions)}, "
            "taking only work that is pinned to it"
        )
        return QueueState(kind="mismatched", reason=reason)
    if any(worker.free_slots != 0 for worker in takers):
        return _ready(queue)
    slots = sum(worker.slots or 0 for worker in takers)
    of_runners = f"of {_plural('runner', len(takers))} on queue '{queue}'"
    all_taken = f"all {slots} slots {of_runners} are taken" if slots > 1 else f"the only slot {of_runners} is taken"
    return QueueState(kind="saturated", reason=all_taken if slots else f"every slot {of_runners} is taken")


def _startup_failed(queue: str, last: Runner, runners: Sequence[Runner]) -> QueueState:
    first = last
    for runner in runners:
        if runner.state is RunnerState.STARTUP_FAILED:
            first = runner
        elif runner.slots or runner.state in (RunnerState.READY, RunnerState.STOPPED):
            break  # one that was ready ends the row of failures
    return QueueState(
        kind="startup_failed",
        reason=f"no runner polls queue '{queue}': since {_clock(first)} none could start: {last.error}",
        since=_time(first),
        latest=_time(last),
        cause=_cause(last),
        headline=last.error,
    )


def _crash_looping(queue: str, last: Runner) -> QueueState:
    words = next((line for line in reversed(last.last_words.splitlines()) if line.strip()), "").strip()
    said = f"; its last words: {words[:LAST_WORDS_SHOWN]}" if words else ""
    return QueueState(
        kind="crash_looping",
        reason=f"no runner polls queue '{queue}': it crashed {last.crashes} times in a row, "
        f"last at {_clock(last)}: {last.error}{said}",
        since=_time(last),
        cause=_cause(last),
        headline=last.error,
    )


def _who_was_there(runners: Sequence[Runner]) -> str:
    if not runners:
        return "no runner has ever announced itself there"
    last = runners[0]
    at = _clock(last)
    match last.state:
        case RunnerState.STARTING:
            what = f"began to start at {at} and was never ready"
        case RunnerState.READY:
            what = f"was ready at {at} and is no longer heard"
        case RunnerState.STARTUP_FAILED:
            what = f"could not start at {at}: {last.error}"
        case RunnerState.STOPPED:
            what = f"was stopped at {at}"
        case RunnerState.EXITED:
            what = f"ended at {at}: {last.error}"
    return f"the last one, {last.runner_id}, {what}"


def _cause(runner: Runner) -> Cause:
    return Cause(type=runner.error_type or "ProcessEnded", message=runner.error_message or runner.error)


def _time(runner: Runner) -> datetime:
    return datetime.fromisoformat(runner.changed_at) if runner.changed_at else _NEVER


def _clock(runner: Runner) -> str:
    return f"{_time(runner).astimezone(UTC):%H:%M:%S} UTC"


def _plural(noun: str, number: int) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
