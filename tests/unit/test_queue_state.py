"""How a queue stands: one table of what the store and Temporal say, and what is made of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import pytest

from projector.failures import Cause
from projector.projections.runners import Runner, RunnerState
from tests.histories import DAWN
from workflows.queues.queue_state import QueueKind, QueueState, WorkerFact, is_proof, judge_queue

NOON: Final = DAWN + timedelta(hours=6)
QUEUE: Final = "lighthouses"
Workers = tuple[WorkerFact, ...] | None


def runner(name: str, state: RunnerState, ago: float, *, slots: int = 0, crashes: int = 0, error: str = "") -> Runner:
    """A runner that changed so many seconds before noon; where it stands in the store follows from that."""
    return Runner(
        runner_id=name,
        state=state,
        task_queue=QUEUE,
        slots=slots,
        crashes=crashes,
        error=error,
        error_type="ProcessEnded" if state is RunnerState.EXITED else error.partition(":")[0],
        error_message=error.partition(": ")[2] or error,
        changed_at=(NOON - timedelta(seconds=ago)).isoformat(),
        position=1_000_000 - int(ago * 10),
    )


def ready(name: str, ago: float) -> Runner:
    return runner(name, RunnerState.READY, ago, slots=2)


def starting(name: str, ago: float) -> Runner:
    return runner(name, RunnerState.STARTING, ago)


def stopped(name: str, ago: float) -> Runner:
    return runner(name, RunnerState.STOPPED, ago, slots=2)


def failed(name: str, ago: float, error: str = "ImportError: no lamp oil") -> Runner:
    return runner(name, RunnerState.STARTUP_FAILED, ago, error=error)


def crashed(name: str, ago: float, times: int, error: str = "signal SIGSEGV", *, slots: int = 2) -> Runner:
    return runner(name, RunnerState.EXITED, ago, crashes=times, error=error, slots=slots)


def heard(name: str, *, free: int | None = 2, version: str = "", leaving: bool = False) -> WorkerFact:
    slots = 2 if free is not None else None
    return WorkerFact(
        identity=name, is_heard=True, is_shutting_down=leaving, slots=slots, free_slots=free, version=version
    )


def silent(name: str) -> WorkerFact:
    return WorkerFact(identity=name, is_heard=False, slots=2, free_slots=2)


@dataclass(frozen=True)
class Case:
    """What is known of a queue at noon, and how it stands."""

    kind: QueueKind
    reason: str
    runners: tuple[Runner, ...] = ()
    workers: Workers = ()


READY: Final = f"a runner polls queue '{QUEUE}'"
UNKNOWN: Final = f"Temporal did not say who polls queue '{QUEUE}'"
NOBODY: Final = f"no runner polls queue '{QUEUE}'"
CANNOT_START: Final = f"{NOBODY}: since 11:59:50 UTC none could start: ImportError: no lamp oil"

CASES: Final[dict[str, Case]] = {
    # somebody is there
    "a runner is heard": Case("ready", READY, (ready("eddystone", 900),), (heard("runner:eddystone"),)),
    "a worker of somebody else is heard": Case("ready", READY, (), (heard("4711@bell-rock"),)),
    "a worker that tells no slots is heard": Case("ready", READY, (), (heard("4711@bell-rock", free=None),)),
    "one of two has a free slot": Case("ready", READY, (), (heard("runner:a", free=0), heard("runner:b", free=1))),
    "one of two tells no slots": Case("ready", READY, (), (heard("runner:a", free=0), heard("b", free=None))),
    "one of two is not pinned to a version": Case("ready", READY, (), (heard("runner:a", version="v1"), heard("b"))),
    "it has just said that it is ready": Case("ready", READY, (ready("fastnet", 3),), ()),
    "it has just said so and Temporal says nothing": Case("ready", READY, (ready("fastnet", 3),), None),
    "its clock is a little ahead": Case("ready", READY, (ready("fastnet", -3),), ()),
    "one is heard while another cannot start": Case(
        "ready", READY, (failed("skerryvore", 5), ready("fastnet", 900)), (heard("runner:fastnet"),)
    ),
    "one is heard that the store knows as starting": Case(
        "ready", READY, (starting("fastnet", 5),), (heard("runner:fastnet"),)
    ),
    # somebody is there, and waiting does not help
    "all slots are taken": Case(
        "saturated", f"all 2 slots of 1 runner on queue '{QUEUE}' are taken", (), (heard("runner:a", free=0),)
    ),
    "all slots of two are taken": Case(
        "saturated",
        f"all 4 slots of 2 runners on queue '{QUEUE}' are taken",
        (),
        (heard("runner:a", free=0), heard("runner:b", free=0), silent("runner:c")),
    ),
    "the only slot is taken": Case(
        "saturated",
        f"the only slot of 1 runner on queue '{QUEUE}' is taken",
        (),
        (WorkerFact(identity="runner:a", is_heard=True, slots=1, free_slots=0),),
    ),
    "the free one is versioned": Case(
        "saturated",
        f"all 2 slots of 1 runner on queue '{QUEUE}' are taken",
        (),
        (heard("runner:a", free=0), heard("runner:b", version="lamp.v1")),
    ),
    "all are of other versions": Case(
        "mismatched",
        f"queue '{QUEUE}' is polled only by 3 runners of version lamp.v1, lamp.v2, "
        "taking only work that is pinned to it",
        (),
        (heard("a", version="lamp.v2"), heard("b", version="lamp.v1", free=0), heard("c", version="lamp.v2")),
    ),
    # nobody is there, and a runner said why
    "it could not start": Case("startup_failed", CANNOT_START, (failed("skerryvore", 10),)),
    "it could not start and Temporal says nothing": Case(
        "startup_failed", CANNOT_START, (failed("skerryvore", 10),), None
    ),
    "it could not start and starts again": Case(
        "startup_failed", CANNOT_START, (starting("wolf-rock", 1), failed("skerryvore", 10))
    ),
    "it could not start again and again": Case(
        "startup_failed",
        f"{NOBODY}: since 11:59:00 UTC none could start: KeyError: 'LAMP'",
        (
            failed("third", 10, "KeyError: 'LAMP'"),
            starting("lost", 20),
            crashed("second", 30, 2, "exit code 3", slots=0),
            failed("first", 60),
            ready("fastnet", 90),
            failed("long-ago", 900),
        ),
    ),
    "one that was stopped ends the row of failures": Case(
        "startup_failed", CANNOT_START, (failed("last", 10), stopped("fastnet", 20), failed("first", 60))
    ),
    "one that had been ready and crashed ends the row of failures": Case(
        "startup_failed", CANNOT_START, (failed("last", 10), crashed("fastnet", 20, 1), failed("first", 60))
    ),
    "Temporal has not noticed yet that it could not start": Case(
        "startup_failed", CANNOT_START, (failed("skerryvore", 10),), (heard("runner:skerryvore"),)
    ),
    "it crashed three times": Case(
        "crash_looping",
        f"{NOBODY}: it crashed 3 times in a row, last at 11:59:52 UTC: signal SIGSEGV",
        (crashed("skerryvore", 8, 3),),
    ),
    "it crashed with last words": Case(
        "crash_looping",
        f"{NOBODY}: it crashed 4 times in a row, last at 11:59:52 UTC: exit code 1; its last words: the lamp is out",
        (
            starting("wolf-rock", 2),
            crashed("skerryvore", 8, 4, "exit code 1").model_copy(
                update={"last_words": "the oil is low\nthe lamp is out\n\n"}
            ),
        ),
        None,
    ),
    # nobody is there
    "one is starting": Case(
        "starting", f"{NOBODY} yet; fastnet is starting since 11:59:55 UTC", (starting("fastnet", 5),)
    ),
    "one is starting and Temporal says nothing": Case(
        "starting", f"{NOBODY} yet; fastnet is starting since 11:59:55 UTC", (starting("fastnet", 5),), None
    ),
    "one is starting after two crashes": Case(
        "starting",
        f"{NOBODY} yet; fastnet is starting since 11:59:58 UTC",
        (starting("fastnet", 2), crashed("eddystone", 4, 2)),
    ),
    "nobody was ever there": Case("absent", f"{NOBODY}; no runner has ever announced itself there"),
    "one did not get ready": Case(
        "absent",
        f"{NOBODY}; the last one, fastnet, began to start at 11:58:00 UTC and was never ready",
        (starting("fastnet", 120),),
    ),
    "one was stopped": Case(
        "absent", f"{NOBODY}; the last one, fastnet, was stopped at 11:45:00 UTC", (stopped("fastnet", 900),)
    ),
    "one was stopped and Temporal has not noticed yet": Case(
        "absent",
        f"{NOBODY}; the last one, fastnet, was stopped at 11:59:59 UTC",
        (stopped("fastnet", 1),),
        (heard("runner:fastnet"),),
    ),
    "one is being stopped": Case(
        "absent",
        f"{NOBODY}; the last one, fastnet, was ready at 11:59:59 UTC and is no longer heard",
        (ready("fastnet", 1),),
        (heard("runner:fastnet", leaving=True),),
    ),
    "one was killed and nobody saw it": Case(
        "absent",
        f"{NOBODY}; the last one, fastnet, was ready at 11:45:00 UTC and is no longer heard",
        (ready("fastnet", 900), failed("skerryvore", 1200)),
        (silent("runner:fastnet"),),
    ),
    "one crashed": Case(
        "absent",
        f"{NOBODY}; the last one, fastnet, ended at 11:59:00 UTC: signal SIGKILL, out of memory",
        (crashed("fastnet", 60, 1, "signal SIGKILL, out of memory"),),
    ),
    # nobody knows
    "neither says anything": Case("unknown", UNKNOWN, (), None),
    "one was ready and Temporal says nothing": Case("unknown", UNKNOWN, (ready("fastnet", 900),), None),
    "one was ready, another cannot start, and Temporal says nothing": Case(
        "unknown", UNKNOWN, (failed("skerryvore", 10), ready("fastnet", 900)), None
    ),
    "one was stopped and Temporal says nothing": Case("unknown", UNKNOWN, (stopped("fastnet", 900),), None),
}


@pytest.mark.parametrize("name", CASES)
def test_a_queue_stands_as_the_store_and_temporal_say(name: str) -> None:
    case = CASES[name]
    positions = [each.position for each in case.runners]
    assert positions == sorted(positions, reverse=True), "the latest to change first"
    state = judge_queue(QUEUE, case.runners, case.workers, NOON)
    assert (state.kind, state.reason) == (case.kind, case.reason)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.kind not in ("ready", "starting")])
def test_the_same_state_is_told_in_the_same_words_a_minute_later(name: str) -> None:
    case = CASES[name]
    looks = [
        judge_queue(QUEUE, case.runners, case.workers, NOON + timedelta(seconds=seconds)).reason
        for seconds in (0, 1, 50, 60)
        if not any(each.state is RunnerState.STARTING for each in case.runners) or seconds < 50
    ]
    assert len(set(looks)) == 1


def test_a_startup_failure_tells_since_when_and_why() -> None:
    last = failed("last", 10, "KeyError: 'LAMP'")
    state = judge_queue(QUEUE, (last, failed("first", 60)), (), NOON)
    assert state.since == NOON - timedelta(seconds=60)
    assert state.cause == Cause(type="KeyError", message="'LAMP'")
    assert state.headline == "KeyError: 'LAMP'"


def test_the_last_words_of_a_crash_are_bounded() -> None:
    last = crashed("skerryvore", 8, 3).model_copy(update={"last_words": "wreck " * 1000})
    assert len(judge_queue(QUEUE, (last,), (), NOON).reason) < 400


@dataclass(frozen=True)
class Wait:
    """How long before noon the runners began to fail, the latest one failed, and the execution began to wait; the grace
    is five seconds."""

    failing: float | None
    waiting: float
    is_over: bool
    latest: float | None = None


@pytest.mark.parametrize(
    "wait",
    [
        Wait(failing=5, waiting=60, is_over=True),
        Wait(failing=4.9, waiting=60, is_over=False),
        Wait(failing=3600, latest=60, waiting=5, is_over=True),
        Wait(failing=3600, latest=60, waiting=4.9, is_over=False),
        Wait(failing=3600, latest=65, waiting=5, is_over=True),
        Wait(failing=3600, latest=65.1, waiting=5, is_over=False),
        Wait(failing=3600, latest=1, waiting=1800, is_over=True),
        Wait(failing=65.1, waiting=5, is_over=False),
        Wait(failing=0, waiting=0, is_over=False),
        Wait(failing=None, waiting=3600, is_over=False),
    ],
    ids=str,
)
def test_waiting_is_pointless_when_a_startup_failure_has_outlasted_its_grace(wait: Wait) -> None:
    since: datetime | None = None if wait.failing is None else NOON - timedelta(seconds=wait.failing)
    latest = None if wait.latest is None else NOON - timedelta(seconds=wait.latest)
    state = QueueState(kind="startup_failed", reason="no lamp oil", since=since, latest=latest)
    assert is_proof(state, NOON - timedelta(seconds=wait.waiting), NOON, 5.0) is wait.is_over


@pytest.mark.parametrize("kind", ["ready", "starting", "crash_looping", "absent", "saturated", "mismatched", "unknown"])
def test_nothing_else_proves_that_waiting_is_pointless(kind: QueueKind) -> None:
    state = QueueState(kind=kind, reason="the lamp is out", since=DAWN)
    assert not is_proof(state, DAWN, NOON, 5.0)


@pytest.mark.parametrize(
    ("identity", "runner_id"),
    [
        ("runner:fastnet-41-ab12", "fastnet-41-ab12"),
        ("orchestrator:41", ""),
        ("41@fastnet", ""),
        ("runner", ""),
        ("", ""),
    ],
)
def test_a_worker_is_one_of_our_runners_by_its_identity(identity: str, runner_id: str) -> None:
    assert WorkerFact(identity=identity, is_heard=True).runner_id == runner_id
