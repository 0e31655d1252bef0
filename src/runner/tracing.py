"""Traces of executions for OpenTelemetry, where the standard OTEL_ variables name a collector; else nothing happens.

One process traces or does not, from its beginning to its end, so what traces is found here by whoever has something to
tell. This file knows nothing of OpenTelemetry's packages: they are imported only when they are wanted.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Final

from projector.door.hygiene import Hygiene
from projector.events import TerminalEvent, WritableEvent

EXECUTION: Final = "execution_status.execution_id"
AGENT: Final = "execution_status.agent"
SESSION: Final = "execution_status.session_id"
OPERATION: Final = "execution_status.operation"
TOOL: Final = "execution_status.tool"
CALL: Final = "execution_status.call_id"
PHASE: Final = "execution_status.phase"
CATEGORY: Final = "execution_status.category"
ERROR: Final = "execution_status.error"
"""What spans say, by the names that it has here; `runner.span_export` has those that collectors see."""

Watch = Callable[[WritableEvent], None]
"""Told of each event of an attempt, on whatever thread it comes."""

ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


class Tracing:
    """Traces nothing; what does is made of it."""

    @property
    def interceptors(self) -> Sequence[Any]:
        """What carries a trace through Temporal: interceptors of its client, which are those of its workers too."""
        return ()

    @property
    def trace_id(self) -> str | None:
        """The id of the trace that goes on at this moment, in hex, if it is one that will be exported."""
        return None

    def asking(self, name: str, about: Mapping[str, str | None], *, apart: bool) -> AbstractContextManager[None]:
        """The span of a client who asks for an execution; `apart` from whatever goes on, it begins a trace."""
        return nullcontext()

    def attempt(self, about: Mapping[str, str | None]) -> AbstractContextManager[Watch | None]:
        """The span of an agent that runs, in which each use of a tool that its events tell of is one as well."""
        return nullcontext()

    def within(self, trace_id: str | None) -> AbstractContextManager[None]:
        """What is told within the block belongs to the trace of this id; None leaves it to what goes on."""
        return nullcontext()

    def verdict(self, execution_id: str, end: TerminalEvent) -> None:
        """An execution has ended."""

    def close(self) -> None:
        """Hand over what is left, for as long as that is worth waiting for."""


_OFF: Final = Tracing()
_current: list[Tracing] = []


def tracing() -> Tracing:
    """What traces in this process."""
    return _current[-1] if _current else _OFF


def is_wanted(environment: Mapping[str, str]) -> bool:
    """Whether the standard variables ask for traces."""
    return (
        any(environment.get(name) for name in ENDPOINTS)
        and environment.get("OTEL_SDK_DISABLED", "").strip().lower() != "true"
        and environment.get("OTEL_TRACES_EXPORTER", "otlp").strip().lower() != "none"
    )


@contextmanager
def traced(role: str, hygiene: Hygiene, say: Callable[[str], None]) -> Iterator[None]:
    """Trace for the length of the block if that is asked for and possible; that it is not is said in one line."""
    made = _made(role, hygiene, say)
    if made is None:
        yield
        return
    _current.append(made)
    try:
        yield
    finally:
        _current.remove(made)
        made.close()


def _made(role: str, hygiene: Hygiene, say: Callable[[str], None]) -> Tracing | None:
    if not is_wanted(os.environ):
        return None
    try:
        from runner.otel import OtelTracing
    except ImportError as error:
        say(f"no traces: {error}; install what they need with `pip install 'execution-status[otel]'`")
        return None
    try:
        return OtelTracing(role, hygiene, say)
    except Exception as error:  # a variable that OpenTelemetry cannot read must not keep anything from working
        say(f"no traces: {type(error).__name__}: {error}; look at the OTEL_ variables")
        return None
