"""Spans through OpenTelemetry's SDK, to a collector that takes OTLP over HTTP.

Temporal's own interceptor carries the trace from the client through the workflow to the activities. Added here are the
spans that mean something to people: who asked, the agent that ran, each tool that it used, and the verdict. A span says
which agent, tool and code, never what was said: no input, no message, no argument and no output.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, NonRecordingSpan, Span, SpanContext, SpanKind, Status, StatusCode, TraceFlags
from temporalio.contrib.opentelemetry import TracingInterceptor

from projector import version
from projector.door.hygiene import Hygiene
from projector.events import (
    ExecutionCancelled,
    ExecutionFailed,
    TerminalEvent,
    ToolCallFinished,
    ToolCallStarted,
    WritableEvent,
)
from projector.status_parts import Phase
from runner import tracing as names
from runner.span_export import NAME_LENGTH, CleanExporter
from runner.tracing import Tracing, Watch

CLOSING_PATIENCE: Final = 3.0
"""How long a process that ends waits for the collector, in seconds."""
TOOLS_AT_ONCE: Final = 64
"""How many unanswered tool calls of an attempt have spans that are open; the oldest is closed for the next."""


class OtelTracing(Tracing):
    """Traces by the standard variables."""

    def __init__(self, role: str, hygiene: Hygiene, say: Callable[[str], None]) -> None:
        named = os.environ.get("OTEL_SERVICE_NAME") or "service.name" in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
        known = {"service.version": version()} | ({} if named else {"service.name": f"execution-status-{role}"})
        self._provider = TracerProvider(resource=Resource.create(known), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(CleanExporter(OTLPSpanExporter(), hygiene, say)))
        logging.getLogger("opentelemetry.exporter").setLevel(logging.CRITICAL)  # it would tell of each try
        self._tracer = self._provider.get_tracer("execution-status", version())
        self._interceptors = (TracingInterceptor(self._tracer),)

    @property
    def interceptors(self) -> Sequence[Any]:
        """See Tracing.interceptors."""
        return self._interceptors

    @property
    def trace_id(self) -> str | None:
        """See Tracing.trace_id."""
        context = trace.get_current_span().get_span_context()
        return f"{context.trace_id:032x}" if context.is_valid and context.trace_flags.sampled else None

    @contextmanager
    def asking(self, name: str, about: Mapping[str, str | None], *, apart: bool) -> Iterator[None]:
        """See Tracing.asking."""
        before = trace.get_current_span().get_span_context()
        with self._tracer.start_as_current_span(
            name,
            context=Context() if apart else None,
            kind=SpanKind.CLIENT,
            attributes=_told(about),
            links=[Link(before)] if apart and before.is_valid else None,
        ):
            yield

    @contextmanager
    def attempt(self, about: Mapping[str, str | None]) -> Iterator[Watch]:
        """See Tracing.attempt."""
        name = f"invoke_agent {about.get(names.AGENT) or ''}"
        attributes = {names.OPERATION: "invoke_agent"} | _told(about)
        with self._tracer.start_as_current_span(
            name, attributes=attributes, record_exception=False, set_status_on_exception=False
        ) as span:
            tools = _Tools(self._tracer, trace.set_span_in_context(span))
            try:
                yield tools.take
            except Exception as error:
                span.set_attribute(names.ERROR, getattr(error, "type", None) or type(error).__name__)
                span.set_status(Status(StatusCode.ERROR, str(error)))
                raise
            finally:
                tools.close()

    @contextmanager
    def within(self, trace_id: str | None) -> Iterator[None]:
        """See Tracing.within."""
        if trace_id is None or trace_id == self.trace_id:
            yield
            return
        # Only the trace is known, none of its spans: so the parent is one that no collector will ever see.
        whole = int(trace_id, 16)
        parent = SpanContext(
            whole, whole & (2**64 - 1) or 1, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED)
        )
        with trace.use_span(NonRecordingSpan(parent)):
            yield

    def verdict(self, execution_id: str, end: TerminalEvent) -> None:
        """See Tracing.verdict."""
        about = _told({names.EXECUTION: execution_id})
        with self._tracer.start_as_current_span("verdict", attributes=about) as span:
            match end:
                case ExecutionFailed():
                    failure = end.failure
                    span.set_attribute(names.PHASE, Phase.FAILED.value)
                    span.set_attributes({names.ERROR: failure.code, names.CATEGORY: failure.category})
                    span.set_status(Status(StatusCode.ERROR, failure.message))
                case ExecutionCancelled():
                    span.set_attribute(names.PHASE, Phase.CANCELLED.value)
                case _:
                    span.set_attribute(names.PHASE, Phase.COMPLETED.value)

    def close(self) -> None:
        """See Tracing.close."""
        # The exporter tries again while a collector is away; nobody waits for that at the end of a command.
        closing = threading.Thread(target=self._provider.shutdown, name="traces", daemon=True)
        closing.start()
        closing.join(CLOSING_PATIENCE)


class _Tools:
    """The spans of the tools that one attempt uses. Its events come from the agent's thread and from the worker's."""

    def __init__(self, tracer: trace.Tracer, context: Context) -> None:
        self._tracer = tracer
        self._context = context
        self._lock = threading.Lock()
        self._open: list[tuple[str, Span]] = []

    def take(self, event: WritableEvent) -> None:
        """One more event of the attempt."""
        if isinstance(event, ToolCallStarted):
            self._begin(event)
        elif isinstance(event, ToolCallFinished):
            self._end(event)

    def _begin(self, event: ToolCallStarted) -> None:
        about = {names.OPERATION: "execute_tool", names.TOOL: event.tool, names.CALL: event.call_id}
        name = f"execute_tool {event.tool[:NAME_LENGTH]}"
        span = self._tracer.start_span(name, context=self._context, attributes=_told(about))
        with self._lock:
            self._open.append((event.call_id, span))
            oldest = self._open.pop(0)[1] if len(self._open) > TOOLS_AT_ONCE else None
        if oldest is not None:
            oldest.end()

    def _end(self, event: ToolCallFinished) -> None:
        with self._lock:
            place = next((at for at, (call, _) in enumerate(self._open) if call == event.call_id), None)
            span = self._open.pop(place)[1] if place is not None else None
        if span is None:
            return
        if event.error is not None:
            span.set_attribute(names.ERROR, "tool_error")
            span.set_status(Status(StatusCode.ERROR))
        span.end()

    def close(self) -> None:
        """The attempt has ended: what has not answered by now never will."""
        with self._lock:
            left, self._open = self._open, []
        for _, span in left:
            span.set_status(Status(StatusCode.ERROR, "the attempt ended before the tool had answered"))
            span.end()


def _told(about: Mapping[str, str | None]) -> dict[str, str]:
    return {name: value for name, value in about.items() if value}
