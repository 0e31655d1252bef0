"""The classifier's rules, as the table that they are: what Temporal says and what the store knows → the verdict."""

from __future__ import annotations

from typing import Any, NamedTuple

from projector.catalogue import Code
from projector.events import Timeouts
from projector.failures import Cause, ErrorReport
from workflows.error_link import ErrorChain, ErrorLink
from workflows.evidence import Evidence, RunnerFact


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
        WAITING.model_copy(update={"runners": (ended("startup_failed", "ImportError", "test"),)}),
        Code.RUNNER_STARTUP_FAILED,
        ("could not start", "'agent-runner'", "ImportError: test"),
        True,
        ("never started", "SCHEDULE_TO_START timeout", "runner polaris:4711: startup_failed", "ImportError: test"),
    ),
    Row(
        "no runner was ever there",
        NOT_STARTED,
        WAITING,
        Code.RUNNER_UNAVAILABLE,
        ("No runner took the execution", "'agent-runner'", "within 60 s", "No runner has ever announced itself"),
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
        "a runner is known and did not take it: nothing is claimed about it",
        NOT_STARTED,
        WAITING.model_copy(update={"runners": (ready(),)}),
        Code.RUNNER_UNAVAILABLE,
        ("polaris:4711, said 'ready' at 05:59:00 UTC",),
        True,
    ),
    Row(
        "a start-up failure that a newer runner has made good proves nothing",
        NOT_STARTED,
        WAITING.model_copy(update={"runners": (ready("vega:1"), ended("startup_failed", "ImportError", "test"))}),
        Code.RUNNER_UNAVAILABLE,
        ("vega:1, said 'ready'",),
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
    Row(
        "heartbeats stopped and the supervisor saw the process end",
        SILENT,
        RUNNING.model_copy(update={"runners": (ended("exited", "ProcessEnded", "signal SIGKILL"),)}),
        Code.RUNNER_CRASHED,
        ("died while the agent ran", "while it used the tool 'sound_depth'", "signal SIGKILL", "after 10 steps"),
        False,
        ("runner polaris:4711: exited at 06:00:07 UTC: ProcessEnded: signal SIGKILL",),
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
        ("was stopped while the agent ran", "Worker is shutting down"),
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
        ("An operator ended the workflow", "the harbour is closed"),
        False,
    ),
    *(
        Row(
            f"an operator did an {type}",
            (activity(), application(type, "by the harbour master")),
            RUNNING,
            Code.WORKFLOW_TERMINATED,
            ("An operator ended the workflow", "by the harbour master"),
            False,
        )
        for type in ("ActivityPause", "ActivityReset")
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
