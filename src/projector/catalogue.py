"""The failure catalogue: every code, in words for people. A code is stable for ever; its first digit is the family.

An entry has a message for the person who waits, a remedy for the person who can act, and says whether running again is
safe.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple


class Code(StrEnum):
    """The stable codes; the first digit is the family."""

    RUNNER_STARTUP_FAILED = "E101"
    RUNNER_UNAVAILABLE = "E102"
    RUNNER_SATURATED = "E103"
    RUNNER_MISMATCH = "E104"
    RUNNER_CRASHED = "E201"
    RUNNER_STALLED = "E202"
    RUNNER_LOST = "E203"
    RUNNER_SHUT_DOWN = "E204"
    EXECUTION_TIMED_OUT = "E301"
    DEADLINE_EXCEEDED = "E302"
    AGENT_FAILED = "E401"
    PROVIDER_UNAVAILABLE = "E402"
    RESULT_REJECTED = "E403"
    SYSTEM_ERROR = "E501"
    ENGINE_UNAVAILABLE = "E601"
    WORKFLOW_TERMINATED = "E602"
    WORKFLOW_TIMED_OUT = "E603"
    WORKFLOW_STUCK = "E604"
    UNCLASSIFIED = "E999"


class Entry(NamedTuple):
    """One line of the catalogue. `message` may use {cause}, {queue}, {where}, {seconds} and {detail}."""

    code: Code
    category: str
    when: str
    message: str
    remedy: str
    retryable: bool


_ENTRIES: Final = (
    Entry(
        Code.RUNNER_STARTUP_FAILED,
        "runner_startup_failed",
        "a runner for this queue reported why it could not start",
        "The runner for queue '{queue}' could not start: {cause}.",
        "Fix the error and start the runner again (its log has the whole STARTUP FAILURE block; "
        "`execution-status runners` shows it too). The agent never began, so a retry is safe.",
        True,
    ),
    Entry(
        Code.RUNNER_UNAVAILABLE,
        "runner_unavailable",
        "nobody polls the queue",
        "No runner took the execution from queue '{queue}' within {seconds}. {detail}",
        "Start a runner for this queue: `execution-status runner --agent package.module:attribute`. "
        "If one runs, compare its Temporal address, namespace and queue with the client's. "
        "The agent never began, so a retry is safe.",
        True,
    ),
    Entry(
        Code.RUNNER_SATURATED,
        "runner_saturated",
        "runners are alive but every slot is taken",
        "Every runner on queue '{queue}' was busy for {seconds}. {detail}",
        "Start more runners or raise their slots, then retry: the agent never began.",
        True,
    ),
    Entry(
        Code.RUNNER_MISMATCH,
        "runner_mismatch",
        "the runner does not implement the activity, or cannot read its input; wrong version",
        "The runner cannot serve this execution: {cause}.",
        "Start a runner that serves this agent (`execution-status runner --agent …`), in the same version as the "
        "orchestrator. The agent never began, so a retry is safe.",
        True,
    ),
    Entry(
        Code.RUNNER_CRASHED,
        "runner_crashed",
        "proven: exit code, signal, out of memory",
        "The runner's process died{where}: {cause}.",
        "Read the runner's last words in the evidence; raise its memory limit if it was killed for memory. Work done "
        "before the crash is in the history; look at it before you retry.",
        False,
    ),
    Entry(
        Code.RUNNER_STALLED,
        "runner_stalled",
        "proven alive but not responding (blocked event loop, frozen process)",
        "The runner was alive but stopped responding{where}. {detail}",
        "The message says what stood still: continue a process that was stopped, move a blocking call into a thread or "
        "process of its own, or give the machine more room. Look at what was done before you retry.",
        False,
    ),
    Entry(
        Code.RUNNER_LOST,
        "runner_lost",
        "heartbeats stopped and nothing proves more",
        "Lost contact with the runner{where}: no heartbeat for {seconds}. {detail}",
        "Check that the runner and its machine are up and can reach Temporal. What the agent did until then is in the "
        "history; look at it before you retry.",
        False,
    ),
    Entry(
        Code.RUNNER_SHUT_DOWN,
        "runner_shut_down",
        "stopped or redeployed while the agent ran",
        "The runner was stopped{where}: {cause}.",
        "Retry on the new runner after a look at what was already done; a longer grace time lets agents finish "
        "before a deployment.",
        False,
    ),
    Entry(
        Code.EXECUTION_TIMED_OUT,
        "execution_timed_out",
        "ran longer than start-to-close allows",
        "The agent ran longer than its limit of {seconds}{where}. {detail}",
        "Raise the limit (`--start-to-close`, EXECUTION_STATUS_START_TO_CLOSE) or give the agent less to do at once.",
        False,
    ),
    Entry(
        Code.DEADLINE_EXCEEDED,
        "deadline_exceeded",
        "schedule-to-close or the workflow's own limit",
        "The execution did not end before its deadline{where}. {detail}",
        "Raise the deadline, or see in the history what took the time.",
        False,
    ),
    Entry(
        Code.AGENT_FAILED,
        "agent_failed",
        "the agent raised; the message is the agent's own",
        "{cause}",
        "The agent's own code raised this; the stack is in the failure. Fix the agent or its input, then retry.",
        False,
    ),
    Entry(
        Code.PROVIDER_UNAVAILABLE,
        "provider_unavailable",
        "a transient upstream failure (rate limit, connection, overload)",
        "A service that the agent needs was unavailable: {cause}.",
        "This is usually temporary: retry after a while{detail}. If it stays, look at the provider's status and quota.",
        True,
    ),
    Entry(
        Code.RESULT_REJECTED,
        "result_rejected",
        "the result is too large or cannot be serialised",
        "The agent finished, but its result could not be accepted: {cause}.",
        "Return plain JSON data below the size limit; put large results into a file or object store and return a "
        "reference.",
        False,
    ),
    Entry(
        Code.SYSTEM_ERROR,
        "system_error",
        "failed before the agent ran (configuration, credentials, thread)",
        "The execution could not be prepared: {cause}.",
        "Correct the configuration or credentials that the message names, then retry.",
        True,
    ),
    Entry(
        Code.ENGINE_UNAVAILABLE,
        "engine_unavailable",
        "Temporal could not be reached or refused the start",
        "Temporal did not accept the execution: {cause}.",
        "Check that Temporal is up and that TEMPORAL_ADDRESS and TEMPORAL_NAMESPACE are right, then retry: nothing "
        "had begun.",
        True,
    ),
    Entry(
        Code.WORKFLOW_TERMINATED,
        "workflow_terminated",
        "an operator ended the workflow",
        "The workflow was ended in Temporal: {cause}.",
        "Ask the operator who ended it; retry when the reason no longer holds.",
        False,
    ),
    Entry(
        Code.WORKFLOW_TIMED_OUT,
        "workflow_timed_out",
        "Temporal ended the workflow at its limit",
        "Temporal ended the workflow at its time limit. {detail}",
        "Raise or remove the workflow's execution timeout; the limits of the activities tell more when they strike "
        "first.",
        False,
    ),
    Entry(
        Code.WORKFLOW_STUCK,
        "workflow_stuck",
        "the workflow task keeps failing (bug, nondeterminism, unreadable input)",
        "The orchestrator cannot advance the workflow: {cause}.",
        "Deploy an orchestrator that can read this history, or terminate the workflow and retry.",
        False,
    ),
    Entry(
        Code.UNCLASSIFIED,
        "unclassified",
        "anything else, shown whole; never an empty reason",
        "The execution failed in a way that the catalogue does not know: {cause}.",
        "Read the evidence, and report this so that the catalogue learns it.",
        False,
    ),
)

CATALOGUE: Final[dict[Code, Entry]] = {entry.code: entry for entry in _ENTRIES}
