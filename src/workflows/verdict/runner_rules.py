"""Rules about the runner: it died, went silent, was stopped, does not fit, or never took the execution; pure.

Each answers with a verdict or leaves it to the next.
"""

from __future__ import annotations

from typing import Final

from pydantic import ValidationError

from projector.catalogue import Code
from projector.failures import Cause, Failure
from runner.contracts import ENSURE_THREAD, RUNNER_CRASHED, RunnerDeath
from workflows.queues.queue_state import QueueState
from workflows.verdict.evidence import Undecided, Verdict
from workflows.verdict.verdict_case import Case
from workflows.verdict.verdict_words import in_seconds, sentence
from workflows.verdict.verdicts import failure, root

_GONE: Final = ("exited", "stopped")

GOES_ON: Final = 0.6
"""How much of the heartbeat timeout may have passed since a runner stored something, for it to count as at work. An
idle one stores a heartbeat after each third of it."""
LEAST_PATIENCE: Final = 1.5
"""The same in seconds, at least: a heartbeat is stored once a second at most."""
LAST_WORDS: Final = 800
"""How many characters of a runner's last words the evidence quotes."""


def died(case: Case) -> Verdict | None:
    """The supervisor saw the runner's process end: it told Temporal, or the store, or both."""
    evidence = case.evidence
    link = case.first("application")
    runner = next((r for r in evidence.runners if r.runner_id == evidence.runner_id and r.state in _GONE), None)
    if link is not None and link.type == RUNNER_CRASHED:
        try:
            death = RunnerDeath.model_validate(link.detail)
        except ValidationError:
            death = RunnerDeath(runner_id="", how=link.message)
    elif runner is not None and evidence.began and (case.lost_sight or case.asks_again):
        how = runner.error.message if runner.error else "its process ended"
        was_told = runner.state == "stopped"
        death = RunnerDeath(runner_id=runner.runner_id, how=how, was_told=was_told, last_words=runner.last_words)
    else:
        return None
    code = Code.RUNNER_SHUT_DOWN if death.was_told else Code.RUNNER_CRASHED
    cause = Cause(type="OutOfMemory" if death.out_of_memory else "ProcessEnded", message=death.how)
    note = f"the supervisor saw the process of runner {death.runner_id or evidence.runner_id} end: {death.how}"
    words = (f"its last words: {death.last_words.strip()[-LAST_WORDS:]}",) if death.last_words.strip() else ()
    began = None if evidence.began else True
    detail = "" if evidence.began else " before it began the agent"
    return failure(case, code, cause=cause, headline=death.how + detail, note=note, more=words, retryable=began)


def goes_on(case: Case) -> Verdict | None:
    """Temporal has given the attempt up, or has handed it out twice; the runner that has the lease is at work."""
    evidence = case.evidence
    if not evidence.began or not case.lost_sight:
        return None
    patience = max(evidence.timeouts.heartbeat * GOES_ON, LEAST_PATIENCE)
    if evidence.silent_for is None or evidence.silent_for > patience or evidence.is_overdue:
        return None
    lost = "Temporal lost contact with the runner"
    if case.timeout != "HEARTBEAT":
        lost = "Temporal handed the execution out again"
    return Undecided(
        f"{lost}, but runner {evidence.runner_id} goes on with it: its result will be taken from the store", patience
    )


def shut_down(case: Case) -> Verdict | None:
    """Temporal says that the worker shut down."""
    link = case.first("application")
    if link is None or link.type != "WorkerShutdown":
        return None
    return failure(case, Code.RUNNER_SHUT_DOWN, cause=Cause(type=link.type, message=link.message))


def mismatched(case: Case) -> Verdict | None:
    """The runner lacks the activity, or cannot read its input."""
    link = case.first("application")
    if link is None:
        return None
    unregistered = link.type == "NotFoundError" and "is not registered on this worker" in link.message
    unreadable = not link.type and link.message.startswith("Failed decoding")
    if not (unregistered or unreadable):
        return None
    return failure(case, Code.RUNNER_MISMATCH, cause=root(case))


def not_started(case: Case) -> Verdict | None:
    """Nobody took it: schedule-to-start struck, or a startup failure has outlasted its grace."""
    evidence = case.evidence
    if evidence.began:  # a run that was to do it again found no runner: nothing is said about the one that does it
        return None
    if case.timeout != "SCHEDULE_TO_START" and not (case.asks_again and evidence.may_stop_waiting):
        return None
    seconds = in_seconds(evidence.timeouts.schedule_to_start)
    state = evidence.queue or QueueState(kind="unknown", reason="")
    match state.kind:
        case "startup_failed":
            cause = state.cause or Cause(type="RunnerStartupFailed")
            return failure(case, Code.RUNNER_STARTUP_FAILED, cause=cause, headline=state.headline)
        case "saturated":
            cause = Cause(type="NoFreeSlot", message=f"no slot became free within {seconds}")
            return failure(case, Code.RUNNER_SATURATED, cause=cause, seconds=seconds, detail=sentence(state.reason))
        case "mismatched":
            return failure(case, Code.RUNNER_MISMATCH, cause=Cause(type="OtherVersion", message=state.reason))
        case _:
            cause = Cause(type="ScheduleToStartTimeout", message=f"nobody took the task within {seconds}")
            detail = sentence(state.reason)
            return failure(case, Code.RUNNER_UNAVAILABLE, cause=cause, seconds=seconds, detail=detail)


def went_silent(case: Case) -> Verdict | None:
    """Heartbeats stopped, or the attempt that has the lease does not go on."""
    if not case.lost_sight:
        return None
    evidence = case.evidence
    seconds = in_seconds(evidence.timeouts.heartbeat)
    cause = Cause(type="HeartbeatTimeout", message=f"no heartbeat for {seconds}")
    if evidence.is_overdue and evidence.began:
        return _overdue(case)
    if evidence.stalled:
        cause = Cause(type="RunnerStalled", message=evidence.stalled)
        detail = sentence(evidence.stalled)
        return failure(case, Code.RUNNER_STALLED, cause=cause, seconds=seconds, detail=detail, stack=evidence.stack)
    if evidence.began:
        detail = "Nothing proves whether it crashed, froze or lost its connection."
        return failure(case, Code.RUNNER_LOST, cause=cause, seconds=seconds, detail=detail)
    detail = "It took the task but never began the agent, so a retry is safe."
    return failure(case, Code.RUNNER_LOST, cause=cause, seconds=seconds, detail=detail, retryable=True)


def took_too_long(case: Case) -> Verdict | None:
    """A limit struck."""
    match case.timeout:
        case "START_TO_CLOSE" if case.activity == ENSURE_THREAD:
            cause = Cause(type="StartToCloseTimeout", message="preparing the thread took too long, three times")
            return failure(case, Code.SYSTEM_ERROR, cause=cause)
        case "START_TO_CLOSE":
            return _overdue(case)
        case "SCHEDULE_TO_CLOSE":
            cause = Cause(type="ScheduleToCloseTimeout", message=root(case).message)
            return failure(case, Code.DEADLINE_EXCEEDED, cause=cause, detail=f"Temporal says: {cause.message}.")
        case _:
            return None


def _overdue(case: Case) -> Failure:
    evidence = case.evidence
    seconds = in_seconds(evidence.timeouts.start_to_close)
    cause = Cause(type="StartToCloseTimeout", message=f"still running after {seconds}")
    return failure(
        case,
        Code.EXECUTION_TIMED_OUT,
        cause=cause,
        seconds=seconds,
        detail=sentence(evidence.stalled),
        stack=evidence.stack if evidence.stalled else "",
    )
