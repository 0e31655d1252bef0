"""What the API's document shows as examples: requests, and answers as they came, of one execution and its failure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

FAILED: Final[Mapping[str, Any]] = {
    "execution_id": "survey-7-failed",
    "phase": "FAILED",
    "agent": "harbour.survey:blunderer",
    "input": "",
    "session_id": "survey-7",
    "thread_id": "thread-survey-7",
    "task_queue": "survey",
    "attempt": 1,
    "runner": "harbour-13240-b7926e",
    "code": "E401",
    "category": "agent_failed",
    "message": "ValueError: the lead line parted",
    "remedy": "The agent's own code raised this; the stack is in the failure. Fix the agent or its input, then retry.",
    "retryable": False,
    "cause": {"type": "ValueError", "message": "the lead line parted"},
    "evidence": [
        "Temporal: activity execute_agent failed (NON_RETRYABLE_FAILURE) ← AttemptFailed: ValueError: "
        "the lead line parted",
        "the runner stored the attempt's failure: ValueError: the lead line parted",
        "store: attempt 1 began on runner harbour-13240-b7926e",
        "store: the last event was MessageAppended at 19:54:05 UTC",
        "runner harbour-13240-b7926e: ready at 19:54:05 UTC",
    ],
    "stack": '  File "/srv/harbour/survey.py", line 51, in blunderer\n'
    '    raise ValueError("the lead line parted")\n'
    "ValueError",
    "condition": None,
    "in_flight": None,
    "progress": None,
    "output": None,
    "recovered": "",
    "events_processed": 1,
    "messages": 1,
    "tool_calls": 0,
    "trace_id": None,
    "last_messages": [{"role": "assistant", "text": "I divide the crew into watches."}],
    "late_events": 0,
    "unreadable_events": 0,
    "cancellation_requested": False,
    "cancellation_reason": "",
    "retry_of": None,
    "auto_retry": 0,
    "retried_as": None,
    "requested_at": "2026-11-25T19:54:05.558816Z",
    "started_at": "2026-11-25T19:54:05.763510Z",
    "finished_at": "2026-11-25T19:54:05.807504Z",
    "last_event": "ExecutionFailed",
    "last_event_at": "2026-11-25T19:54:05.807504Z",
    "version": 9,
    "position": 11,
    "cursor": "3",
}

COMPLETED: Final[Mapping[str, Any]] = {
    "execution_id": "survey-7",
    "phase": "COMPLETED",
    "agent": "harbour.survey:surveyor",
    "input": "How deep is it?",
    "session_id": "survey-7",
    "thread_id": "thread-survey-7",
    "task_queue": "survey",
    "attempt": 1,
    "runner": "harbour-13240-b7926e",
    "code": None,
    "category": None,
    "message": None,
    "remedy": None,
    "retryable": None,
    "cause": None,
    "evidence": [],
    "stack": None,
    "condition": None,
    "in_flight": None,
    "progress": {"done": 2.0, "total": 2.0, "note": "surfacing"},
    "output": {"depth": 42, "soundings": [41, 42, 43], "charted": True, "by": None},
    "recovered": "",
    "events_processed": 8,
    "messages": 2,
    "tool_calls": 2,
    "trace_id": None,
    "last_messages": [
        {"role": "user", "text": "How deep is it?"},
        {"role": "assistant", "text": "The bank is 42 fathoms down."},
    ],
    "late_events": 0,
    "unreadable_events": 0,
    "cancellation_requested": False,
    "cancellation_reason": "",
    "retry_of": None,
    "auto_retry": 0,
    "retried_as": None,
    "requested_at": "2026-11-25T19:54:05.961539Z",
    "started_at": "2026-11-25T19:54:06.092006Z",
    "finished_at": "2026-11-25T19:54:07.625207Z",
    "last_event": "ExecutionCompleted",
    "last_event_at": "2026-11-25T19:54:07.625207Z",
    "version": 17,
    "position": 28,
    "cursor": "12",
}

REQUESTS: Final[Mapping[str, Mapping[str, Any]]] = {
    "startExecution": {
        "agent": "harbour.survey:surveyor",
        "input": "How deep is it?",
        "execution_id": "survey-7",
        "session_id": "survey-7",
    },
    "cancelExecution": {"reason": "the tide has turned"},
    "retryExecution": {"again": True},
    "retryGroup": {"dry_run": True, "limit": 20},
}
"""Of each operation that takes a body."""

ANSWERS: Final[Mapping[str, Any]] = {
    "startExecution": {"execution_id": "survey-7", "redacted": []},
    "retryExecution": {"execution_id": "exec-bb79253cf89c", "redacted": []},
    "retryGroup": {
        "found": [
            {
                "execution_id": "survey-7-failed",
                "code": "E401",
                "message": "ValueError: the lead line parted",
                "finished_at": "2026-11-25T19:54:05.807504Z",
                "retryable": False,
            }
        ],
        "retried": [{"execution_id": "survey-7-failed", "retried_as": "survey-7-failed-r1"}],
        "failed": [],
        "more": False,
    },
    "listEvents": {
        "items": [
            {
                "position": 12,
                "version": 1,
                "type": "ExecutionRequested",
                "time": "2026-11-25T19:54:05.961539Z",
                "writer": "client",
                "attempt": 0,
                "data": {
                    "truncated": [],
                    "agent": "harbour.survey:surveyor",
                    "input": "How deep is it?",
                    "session_id": "survey-7",
                    "task_queue": "survey",
                    "timeouts": {"schedule_to_start": 30.0, "heartbeat": 2.0, "start_to_close": 30.0},
                    "retry_of": None,
                    "auto_retry": 0,
                },
            },
            {
                "position": 13,
                "version": 2,
                "type": "ExecutionStarted",
                "time": "2026-11-25T19:54:06.015577Z",
                "writer": "orchestrator",
                "attempt": 0,
                "data": {
                    "truncated": [],
                    "run_id": "01a21445-c30e-7238-a5a1-9ecff1f9891d",
                    "engine": "01a21445-b92a-7130-957e-46547b108baf",
                },
            },
        ],
        "next": 2,
    },
    "listFailures": [
        {
            "code": "E401",
            "fingerprint": "139615c1b9c5",
            "category": "agent_failed",
            "cause": "ValueError",
            "message": "ValueError: the lead line parted",
            "executions": 1,
            "first_at": "2026-11-25T19:54:05.807504+00:00",
            "last_at": "2026-11-25T19:54:05.807504+00:00",
            "last_execution_id": "survey-7-failed",
            "first_position": 11,
            "last_position": 11,
        }
    ],
    "listRunners": [
        {
            "runner_id": "harbour-13240-b7926e",
            "state": "ready",
            "task_queue": "survey",
            "agents": ["harbour.survey:surveyor", "harbour.survey:blunderer"],
            "host": "harbour",
            "pid": 13240,
            "slots": 100,
            "started_at": "2026-11-25T19:54:05.054196+00:00",
            "changed_at": "2026-11-25T19:54:05.537892+00:00",
            "stage": "",
            "error": "",
            "error_type": "",
            "error_message": "",
            "crashes": 0,
            "last_words": "",
            "position": 2,
        }
    ],
    "listCodes": [
        {
            "code": "E101",
            "category": "runner_startup_failed",
            "when": "a runner for this queue reported why it could not start",
            "message": "The runner for queue '{queue}' could not start: {cause}.",
            "remedy": "Fix the error and start the runner again (its log has the whole STARTUP FAILURE "
            "block; `execution-status runners` shows it too). The agent never began, so a "
            "retry is safe.",
            "retryable": True,
        }
    ],
    "readyz": {"status": "ok", "events": 28, "events_behind": 0},
    "makeTicket": {
        "ticket": "cmVhZGVyAAAAAGsHPRti8dqTWocJsqN40Lr6Qw7tHWKseutGyhdR_Xe-AJDqRQ",
        "expires_at": "2026-11-25T19:55:07Z",
    },
    "getAccess": {"needs_token": False, "role": "operator"},
    "getExecution": FAILED,
    "listExecutions": {"items": [COMPLETED], "next": "12", "events_behind": 0},
    "healthz": {"status": "ok"},
}
"""Of each operation that answers in JSON."""

PROBLEM: Final[Mapping[str, Any]] = {
    "type": "/problems/execution-not-found",
    "title": "There is no such execution",
    "status": 404,
    "detail": "there is no execution 'absent-1' in this store; `execution-status list` shows those there are",
}

STREAM_OF_ONE: Final = """id: 28
event: status
data: {"position": 28, "version": 17, "type": "ExecutionCompleted", "execution_id": "survey-7", "status": {…}}

id: 28
event: end
data: {"execution_id": "survey-7", "phase": "COMPLETED"}
"""

STREAM_OF_ALL: Final = """id: 28
event: snapshot
data: {"position": 28}

id: 29
event: status
data: {"position": 29, "version": 1, "type": "ExecutionRequested", "execution_id": "survey-8", "status": {…}}
"""
