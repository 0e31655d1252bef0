"""The classifier's rules, as the table that they are: what Temporal says and what the store knows → the verdict."""

from __future__ import annotations

from typing import Any, NamedTuple

from projector.catalogue import Code
from projector.events import Timeouts
from projector.failures import Cause, ErrorReport
from workflows.queues.queue_state import QueueKind, QueueState
from workflows.verdict.error_link import ErrorChain, ErrorLink
from workflows.verdict.evidence import Evidence, RunnerFact


def activity(
    retry_state: str = "MAXIMUM_ATTEMPTS_REACHED", name: str = "execute_agent", *, started: bool = True
) -> ErrorLink:
    return ErrorLink(
        kind="activity",
        message="Activity task failed",
        retry_state=retry_state,
        activity_type=name,
        was_started=started,
    )


def application(type: str, message: str, detail: Any = None) -> ErrorLink:
    return ErrorLink(kind="application", type=type, message=message, detail=detail)


def timeout(type: str, message: str = "activity timeout") -> ErrorLink:
    return ErrorLink(kind="timeout", timeout_type=type, message=message)


CANCELLED = ErrorLink(kind="cancelled", message="Cancelled")
NOT_STARTED: ErrorChain = (activity("TIMEOUT", started=False), timeout("SCHEDULE_TO_START"))
SILENT: ErrorChain = (activity("TIMEOUT"), timeout("HEARTBEAT"))
SENT = ErrorReport(type="ValueError", message="no such reef", stack='File "survey.py", line 7')

ASKED: ErrorChain = (application("reconsider", "look into the store again"),)
REFUSED: ErrorChain = (activity("NON_RETRYABLE_FAILURE"), application("AttemptRefused", "it is not run twice"))
DEATH = {"runner_id": "polaris:4711", "how": "signal SIGSEGV", "last_words": "the hull is breached\n"}


def stands(kind: QueueKind, reason: str) -> QueueState:
    return QueueState(kind=kind, reason=reason)


BROKEN = QueueState(
    kind="startup_failed",
    reason="no runner polls queue 'agent-runner'; the last one could not start: ImportError: test",
    cause=Cause(type="ImportError", message="test"),
    headline="ImportError: test",
)

WAITING = Evidence(task_queue="agent-runner", last_event="RunnerAwaited", last_event_at="06:00:03 UTC")
RUNNING = Evidence(
    task_queue="agent-runner",
    attempt=1,
    runner_id="polaris:4711",
    tool_in_flight="sound_depth",
    last_event="ToolCallStarted",
    last_event_at="06:00:06 UTC",
    steps=10,
)


def ready(runner_id: str = "polaris:4711") -> RunnerFact:
    return RunnerFact(runner_id=runner_id, state="ready", at="05:59:00 UTC")


def ended(state: str, type: str, message: str, runner_id: str = "polaris:4711") -> RunnerFact:
    return RunnerFact(runner_id=runner_id, state=state, at="06:00:07 UTC", error=Cause(type=type, message=message))


class Row(NamedTuple):
    """One line of the table; `evidence_says` are fragments of the verdict's evidence."""

    name: str
    chain: ErrorChain
    evidence: Evidence
    code: Code
    message: tuple[str, ...]
    retryable: bool
    evidence_says: tuple[str, ...] = ()


TABLE = [
    # --- nobody took it ---
    Row(
        "a runner of the queue said why it could not start",
        NOT_STARTED,
        WAITING.model_copy(update={"runners": (ended("startup_failed", "ImportError", "test"),), "queue": BROKEN}),
        Code.RUNNER_STARTUP_FAILED,
        ("could not start", "'agent-runner'", "ImportError: test"),
        True,
        ("never started", "SCHEDULE_TO_START timeout", "runner polaris:4711: startup_failed", "queue: no runner polls"),
    ),
    Row(
        "the same, before the time is over: its grace is",
        ASKED,
        WAITING.model_copy(update={"queue": BROKEN, "may_stop_waiting": True}),
        Code.RUNNER_STARTUP_FAILED,
        ("could not start", "'agent-runner'", "ImportError: test"),
        True,
    ),
    Row(
        "no runner was ever there",
        NOT_STARTED,
        WAITING.model_copy(update={"queue": stands("absent", "no runner has ever announced itself on queue 'q'")}),
        Code.RUNNER_UNAVAILABLE,
        ("No runner took the execution", "'agent-runner'", "within 60 s. No runner has ever announced itself"),
        True,
        ("store: no attempt began", "store: the last event was RunnerAwaited at 06:00:03 UTC"),
    ),
    Row(
        "nobody took even the preparation of the thread",
        (activity("TIMEOUT", "ensure_thread", started=False), timeout("SCHEDULE_TO_START")),
        WAITING.model_copy(update={"timeouts": Timeouts(schedule_to_start=180)}),
        Code.RUNNER_UNAVAILABLE,
        ("within 3 min",),
        True,
        ("activity ensure_thread failed",),
    ),
    Row(
        "a runner polls and did not take it: nothing is claimed about it",
        NOT_STARTED,
        WAITING.model_copy(update={"queue": stands("ready", "1 runner polls queue 'q'"), "runners": (ready(),)}),
        Code.RUNNER_UNAVAILABLE,
        ("1 runner polls queue 'q'.",),
        True,
        ("runner polaris:4711: ready at 05:59:00 UTC",),
    ),
    Row(
        "the runner of the queue keeps crashing",
        NOT_STARTED,
        WAITING.model_copy(update={"queue": stands("crash_looping", "it crashed 4 times in a row: signal SIGSEGV")}),
        Code.RUNNER_UNAVAILABLE,
        ("It crashed 4 times in a row: signal SIGSEGV.",),
        True,
    ),
    Row(
        "every slot is taken",
        NOT_STARTED,
        WAITING.model_copy(update={"queue": stands("saturated", "all 2 slots of 1 runner are taken")}),
        Code.RUNNER_SATURATED,
        ("Every runner on queue 'agent-runner' was busy for 60 s. All 2 slots of 1 runner are taken.",),
        True,
    ),
    Row(
        "only runners of another version poll",
        NOT_STARTED,
        WAITING.model_copy(update={"queue": stands("mismatched", "only runners of version ferry:2 poll")}),
        Code.RUNNER_MISMATCH,
        ("cannot serve this execution", "only runners of version ferry:2 poll"),
        True,
    ),
    # --- it does not fit ---
    Row(
        "the activity is not registered",
        (
            activity(),
            application(
                "NotFoundError", "Activity function execute_agent for workflow w is not registered on this worker"
            ),
        ),
        WAITING,
        Code.RUNNER_MISMATCH,
        ("cannot serve this execution", "is not registered on this worker"),
        True,
    ),
    Row(
        "an agent's own NotFoundError is the agent's",
        (activity(), application("NotFoundError", "there is no such reef")),
        RUNNING,
        Code.AGENT_FAILED,
        ("NotFoundError: there is no such reef",),
        False,
    ),
    Row(
        "the input cannot be decoded",
        (activity(), application("", "Failed decoding arguments"), application("TypeError", "draught is not a number")),
        WAITING,
        Code.RUNNER_MISMATCH,
        ("cannot serve this execution", "TypeError: draught is not a number"),
        True,
    ),
    Row(
        "the runner does not serve this agent",
        (
            activity(),
            application(
                "AttemptFailed",
                "no such agent",
                {"kind": "mismatch", "type": "AgentNotServed", "message": "it has none"},
            ),
        ),
        WAITING,
        Code.RUNNER_MISMATCH,
        ("AgentNotServed: it has none",),
        True,
    ),
    # --- the runner went away ---
    *(
        Row(
            f"the supervisor saw the process end, and {name}",
            chain,
            RUNNING.model_copy(update={"runners": (ended("exited", "ProcessEnded", "signal SIGKILL"),)}),
            Code.RUNNER_CRASHED,
            ("The runner's process died while it used the tool 'sound_depth'", "signal SIGKILL", "after 10 steps"),
            False,
            ("runner polaris:4711: exited at 06:00:07 UTC: ProcessEnded: signal SIGKILL", "the supervisor saw"),
        )
        for name, chain in {
            "heartbeats stopped": SILENT,
            "somebody noticed": ASKED,
            "the execution was handed out again": REFUSED,
            "it was handed out again, to nobody": NOT_STARTED,
        }.items()
    ),
    Row(
        "the supervisor told Temporal itself",
        (activity(), application("RunnerCrashed", "signal SIGSEGV", DEATH)),
        RUNNING,
        Code.RUNNER_CRASHED,
        ("The runner's process died while it used the tool 'sound_depth'", "signal SIGSEGV"),
        False,
        ("saw the process of runner polaris:4711 end: signal SIGSEGV", "its last words: the hull is breached"),
    ),
    Row(
        "the kernel ended it for its memory",
        (activity(), application("RunnerCrashed", "it died", DEATH | {"how": "signal SIGKILL, out of memory"})),
        RUNNING,
        Code.RUNNER_CRASHED,
        ("signal SIGKILL, out of memory",),
        False,
    ),
    Row(
        "the process died before it began the agent",
        (activity(), application("RunnerCrashed", "signal SIGSEGV", DEATH)),
        WAITING,
        Code.RUNNER_CRASHED,
        ("The runner's process died: signal SIGSEGV before it began the agent.",),
        True,
    ),
    Row(
        "the supervisor had to kill a runner that it was told to stop",
        (activity(), application("RunnerCrashed", "signal SIGKILL", DEATH | {"was_told": True})),
        RUNNING,
        Code.RUNNER_SHUT_DOWN,
        ("The runner was stopped while it used the tool 'sound_depth'",),
        False,
    ),
    Row(
        "heartbeats stopped while the runner was known to stand still",
        SILENT,
        RUNNING.model_copy(update={"stalled": "the runner's process is stopped (SIGSTOP)", "silent_for": 29.0}),
        Code.RUNNER_STALLED,
        ("was alive but stopped responding while it used the tool", "The runner's process is stopped (SIGSTOP)."),
        False,
        ("stalled: the runner's process is stopped",),
    ),
    Row(
        "an attempt that was handed out twice, and whose first runner is silent",
        REFUSED,
        RUNNING.model_copy(update={"silent_for": 31.0}),
        Code.RUNNER_LOST,
        ("Lost contact with the runner",),
        False,
        ("AttemptRefused: it is not run twice",),
    ),
    Row(
        "another run of the workflow found no runner, and the first one's is silent",
        NOT_STARTED,
        RUNNING.model_copy(update={"silent_for": 31.0, "queue": BROKEN}),
        Code.RUNNER_LOST,
        ("Lost contact with the runner",),
        False,
    ),
    Row(
        "an agent that goes on without Temporal must still end in time",
        SILENT,
        RUNNING.model_copy(update={"silent_for": 1.0, "is_overdue": True}),
        Code.EXECUTION_TIMED_OUT,
        ("longer than its limit of 10 min",),
        False,
    ),
    Row(
        "too slow, and it is known where it stands still",
        (activity("TIMEOUT"), timeout("START_TO_CLOSE")),
        RUNNING.model_copy(update={"stalled": "the agent blocks its event loop at tides.py:41", "stack": "tides.py"}),
        Code.EXECUTION_TIMED_OUT,
        ("longer than its limit of 10 min", "The agent blocks its event loop at tides.py:41."),
        False,
    ),
    Row(
        "heartbeats stopped and nothing is proven",
        SILENT,
        RUNNING,
        Code.RUNNER_LOST,
        (
            "Lost contact with the runner while it used the tool 'sound_depth'",
            "last event: ToolCallStarted at 06:00:06 UTC",
            "no heartbeat for 30 s",
            "Nothing proves whether it crashed, froze or lost its connection",
        ),
        False,
        ("HEARTBEAT timeout", "attempt 1 began on runner polaris:4711", "the tool 'sound_depth' had not answered"),
    ),
    Row(
        "another runner's end proves nothing about this one",
        SILENT,
        RUNNING.model_copy(update={"runners": (ended("exited", "ProcessEnded", "signal SIGKILL", "vega:1"),)}),
        Code.RUNNER_LOST,
        ("Nothing proves",),
        False,
    ),
    Row(
        "the task was taken and the agent never began",
        SILENT,
        WAITING,
        Code.RUNNER_LOST,
        ("It took the task but never began the agent, so a retry is safe.",),
        True,
        ("store: no attempt began",),
    ),
    Row(
        "the worker shut down",
        (
            activity(),
            application("WorkerShutdown", "Worker is shutting down and this activity did not complete in time"),
        ),
        RUNNING,
        Code.RUNNER_SHUT_DOWN,
        ("The runner was stopped while it used the tool", "Worker is shutting down"),
        False,
    ),
    Row(
        "the runner itself said that it was stopped",
        (
            activity(),
            application("AttemptFailed", "stopped", {"kind": "shutdown", "type": "Shutdown", "message": "SIGTERM"}),
        ),
        RUNNING,
        Code.RUNNER_SHUT_DOWN,
        ("Shutdown: SIGTERM",),
        False,
    ),
    # --- it took too long ---
    Row(
        "longer than start-to-close",
        (activity("TIMEOUT"), timeout("START_TO_CLOSE")),
        RUNNING,
        Code.EXECUTION_TIMED_OUT,
        ("longer than its limit of 10 min", "while it used the tool 'sound_depth'"),
        False,
    ),
    Row(
        "preparing the thread took too long",
        (activity("TIMEOUT", "ensure_thread"), timeout("START_TO_CLOSE")),
        WAITING,
        Code.SYSTEM_ERROR,
        ("could not be prepared", "preparing the thread took too long"),
        True,
    ),
    Row(
        "past its deadline",
        (activity("TIMEOUT"), timeout("SCHEDULE_TO_CLOSE", "activity ScheduleToClose timeout")),
        RUNNING,
        Code.DEADLINE_EXCEEDED,
        ("did not end before its deadline", "activity ScheduleToClose timeout"),
        False,
    ),
    Row(
        "past its deadline while it was tried again: what went wrong stands below the timeout",
        (
            activity("TIMEOUT"),
            timeout("SCHEDULE_TO_CLOSE", "Not enough time to schedule next retry"),
            application("OSError", "the chart room is flooded"),
        ),
        RUNNING,
        Code.AGENT_FAILED,
        ("OSError: the chart room is flooded",),
        False,
        ("SCHEDULE_TO_CLOSE timeout ← OSError: the chart room is flooded",),
    ),
    # --- the agent ---
    Row(
        "the agent raised",
        (activity(), application("ValueError", "test error")),
        RUNNING,
        Code.AGENT_FAILED,
        ("ValueError: test error",),
        False,
        ("Temporal handed on the error: ValueError: test error",),
    ),
    Row(
        "the agent raised one error from another: the root is named",
        (activity(), application("ChartError", "no chart"), application("KeyError", "'reef'")),
        RUNNING,
        Code.AGENT_FAILED,
        ("ChartError: no chart (root cause: KeyError: 'reef')",),
        False,
    ),
    *(
        Row(
            f"the agent ended itself with {type}",
            (activity(), application(type, message)),
            RUNNING,
            Code.AGENT_FAILED,
            (f"{type}: {message}",),
            False,
        )
        for type, message in (
            ("SystemExit", "3"),
            ("MemoryError", "out of memory"),
            ("ModuleNotFoundError", "No module named 'sextant'"),
            ("CancelledError", "nobody asked for it"),
        )
    ),
    Row(
        "a local activity failed: its error comes without a wrapping",
        (application("ValueError", "no such reef"),),
        RUNNING,
        Code.AGENT_FAILED,
        ("ValueError: no such reef",),
        False,
    ),
    Row(
        "the runner sent its report",
        (activity(), application("AttemptFailed", "ValueError: no such reef", SENT.model_dump(mode="json"))),
        RUNNING,
        Code.AGENT_FAILED,
        ("ValueError: no such reef",),
        False,
        ("the runner sent the attempt's failure: ValueError: no such reef",),
    ),
    Row(
        "the runner sent a report that cannot be read",
        (activity(), application("AttemptFailed", "ValueError: no such reef", ["from", "another", "age"])),
        RUNNING,
        Code.AGENT_FAILED,
        ("AttemptFailed: ValueError: no such reef",),
        False,
    ),
    Row(
        "the error was too large for the server, which put itself on top",
        (
            activity("NON_RETRYABLE_FAILURE"),
            ErrorLink(kind="server", message="Failure exceeds size limit."),
            application("ValueError", "the ledger says xxxxxxx"),
        ),
        RUNNING,
        Code.AGENT_FAILED,
        ("ValueError: the ledger says xxxxxxx",),
        False,
    ),
    Row(
        "an upstream service was not there",
        (
            activity(),
            application(
                "AttemptFailed",
                "RateLimited",
                {"kind": "provider", "type": "RateLimited", "message": "429", "retry_after": 7.5},
            ),
        ),
        RUNNING,
        Code.PROVIDER_UNAVAILABLE,
        ("RateLimited: 429",),
        True,
    ),
    *(
        Row(
            f"the result is too large: {link.message[:20]}",
            (activity(), link),
            RUNNING,
            Code.RESULT_REJECTED,
            ("its result could not be accepted", link.message),
            False,
        )
        for link in (
            application("PayloadsTooLarge", "payloads size of 3 MiB exceeded"),
            application("", "[TMPRL1103] Attempted to upload payloads"),
            application("", "Blob data size exceeds limit."),
        )
    ),
    Row(
        "the result is no JSON",
        (activity(), application("AttemptFailed", "", {"kind": "result", "type": "TypeError", "message": "a socket"})),
        RUNNING,
        Code.RESULT_REJECTED,
        ("TypeError: a socket",),
        False,
    ),
    Row(
        "the thread could not be prepared",
        (
            activity(name="ensure_thread"),
            application("AttemptFailed", "", {"kind": "system", "type": "PermissionError", "message": "threads/"}),
        ),
        WAITING,
        Code.SYSTEM_ERROR,
        ("could not be prepared", "PermissionError: threads/"),
        True,
    ),
    Row(
        "the runner ran out of memory before it could report on the thread",
        (activity(name="ensure_thread"), application("MemoryError", "")),
        WAITING,
        Code.SYSTEM_ERROR,
        ("could not be prepared", "MemoryError"),
        True,
    ),
    Row(
        "an error without a type",
        (activity(), application("", "Failed building exception result: 'utf-8' codec")),
        RUNNING,
        Code.AGENT_FAILED,
        ("ApplicationError: Failed building exception result: 'utf-8' codec",),
        False,
    ),
    # --- operators ---
    Row(
        "an operator terminated the workflow",
        (ErrorLink(kind="terminated", message="the harbour is closed"),),
        RUNNING,
        Code.WORKFLOW_TERMINATED,
        ("The workflow was ended in Temporal", "the harbour is closed"),
        False,
    ),
    *(
        Row(
            f"an operator did an {type}",
            (activity(), application(type, "by the harbour master")),
            RUNNING,
            Code.WORKFLOW_TERMINATED,
            ("The workflow was ended in Temporal: an operator", f"{done} its activity"),
            False,
        )
        for type, done in {"ActivityPause": "paused", "ActivityReset": "reset"}.items()
    ),
    # --- what the catalogue does not know ---
    Row("nothing at all", (), Evidence(), Code.UNCLASSIFIED, ("no error was given",), False),
    Row(
        "a stranger",
        (ErrorLink(kind="other", type="KrakenError", message="tentacles"),),
        RUNNING,
        Code.UNCLASSIFIED,
        ("KrakenError: tentacles",),
        False,
    ),
    Row(
        "the server's own refusal is shown whole",
        (activity(), ErrorLink(kind="server", message="quota of reefs exceeded")),
        RUNNING,
        Code.UNCLASSIFIED,
        ("activity execute_agent failed", "server: quota of reefs exceeded"),
        False,
    ),
    Row(
        "a cancellation that nobody requested",
        (activity(), CANCELLED),
        RUNNING,
        Code.UNCLASSIFIED,
        ("cancelled: Cancelled",),
        False,
    ),
    # --- evidence outranks wording ---
    *(
        Row(
            f"the stored failure of the attempt outranks {name}",
            chain,
            RUNNING.model_copy(update={"report": SENT}),
            Code.AGENT_FAILED,
            ("ValueError: no such reef",),
            False,
            ("the runner stored the attempt's failure: ValueError: no such reef",),
        )
        for name, chain in {
            "the silence that followed": SILENT,
            "the limit that struck": (activity("TIMEOUT"), timeout("START_TO_CLOSE")),
            "an error that could not be built": (activity(), application("", "Failed building exception result: …")),
            "a worker that shut down": (activity(), application("WorkerShutdown", "Worker is shutting down")),
            "an error that was cut": (activity(), application("ValueError", "no such r")),
        }.items()
    ),
    Row(
        "a stored cancellation never outranks the timeout that caused it",
        (activity("TIMEOUT"), timeout("START_TO_CLOSE")),
        RUNNING.model_copy(update={"report": ErrorReport(kind="cancelled", type="CancelledError", message="stopped")}),
        Code.EXECUTION_TIMED_OUT,
        ("longer than its limit of 10 min",),
        False,
    ),
    Row(
        "nor the silence",
        SILENT,
        RUNNING.model_copy(update={"report": ErrorReport(kind="cancelled", type="CancelledError", message="stopped")}),
        Code.RUNNER_LOST,
        ("Lost contact",),
        False,
    ),
]
