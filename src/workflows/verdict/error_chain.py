"""What Temporal says went wrong, as plain data: one link an error, from the outermost to the root.

Pure and total, so the workflow can make it and hand it to the activity that judges it.
"""

from __future__ import annotations

import asyncio
from typing import Final

from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    CancelledError,
    ChildWorkflowError,
    FailureError,
    ServerError,
    TerminatedError,
    TimeoutError,
)

from projector.door.text import clean_text, safe_str, type_name
from workflows.verdict.error_link import ErrorChain, ErrorLink

MOST_LINKS: Final = 30
_MOST_TEXT: Final = 8_000


def error_chain(error: BaseException) -> ErrorChain:
    """The links of an error, at most 30, the root kept."""
    links: list[ErrorLink] = []
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        links.append(_link(current))
        current = _cause(current)
    return tuple(links if len(links) <= MOST_LINKS else [*links[: MOST_LINKS - 1], links[-1]])


def _link(error: BaseException) -> ErrorLink:
    try:
        return _read(error)
    except BaseException as problem:  # code of an error's own may raise anything when it is looked at
        return ErrorLink(
            kind="other", type=type_name(error), message=f"what it says cannot be read ({type_name(problem)})"
        )


def _read(error: BaseException) -> ErrorLink:
    message = _text(error)
    match error:
        case ActivityError():
            return ErrorLink(
                kind="activity",
                message=message,
                retry_state=error.retry_state.name if error.retry_state else "",
                activity_type=error.activity_type,
                was_started=bool(error.started_event_id),
                identity=error.identity,
            )
        case ChildWorkflowError():
            return ErrorLink(kind="activity", message=message)
        case ApplicationError():
            detail = error.details[0] if error.details else None
            return ErrorLink(kind="application", type=error.type or "", message=message, detail=detail)
        case TimeoutError():
            return ErrorLink(kind="timeout", message=message, timeout_type=error.type.name if error.type else "")
        case CancelledError() | asyncio.CancelledError():
            return ErrorLink(kind="cancelled", message=message)
        case ServerError():
            return ErrorLink(kind="server", message=message)
        case TerminatedError():
            return ErrorLink(kind="terminated", message=message)
        case _:
            return ErrorLink(kind="other", type=type_name(error), message=message)


def _cause(error: BaseException) -> BaseException | None:
    try:
        return error.__cause__
    except BaseException:
        return None


def _text(error: BaseException) -> str:
    # FailureError adds its type to str(); what people wrote is in `message`.
    said = error.message if isinstance(error, FailureError) else error
    return clean_text(safe_str(said)[:_MOST_TEXT])
