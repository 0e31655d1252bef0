"""The last door before a collector: spans get the field's names for what they say, and every text is cleaned.

Inside they are called as everywhere in this project; the names of OpenTelemetry's conventions for generative AI, which
are still moving, stand here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import Link, Status

from projector.door.hygiene import Hygiene
from runner.tracing import AGENT, CALL, ERROR, OPERATION, SESSION, TOOL

CONVENTIONS: Final[Mapping[str, str]] = {
    AGENT: "gen_ai.agent.name",
    SESSION: "gen_ai.conversation.id",
    OPERATION: "gen_ai.operation.name",
    TOOL: "gen_ai.tool.name",
    CALL: "gen_ai.tool.call.id",
    ERROR: "error.type",
}
"""Ours by the conventions' names; what has none keeps its own."""

NAME_LENGTH: Final = 200
TEXT_LENGTH: Final = 4_096


class CleanExporter(SpanExporter):
    """Hands spans on, renamed and cleaned; that nobody takes them is said once."""

    def __init__(self, inner: SpanExporter, hygiene: Hygiene, say: Callable[[str], None]) -> None:
        self._inner = inner
        self._hygiene = hygiene
        self._say = say
        self._is_heard = True

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """See SpanExporter."""
        outcome = self._inner.export([self._clean(span) for span in spans])
        is_heard = outcome is SpanExportResult.SUCCESS
        if self._is_heard and not is_heard:
            self._say("the collector does not take this process's spans: look at OTEL_EXPORTER_OTLP_ENDPOINT")
        self._is_heard = is_heard
        return outcome

    def shutdown(self) -> None:
        """See SpanExporter."""
        self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """See SpanExporter."""
        return self._inner.force_flush(timeout_millis)

    def _clean(self, span: ReadableSpan) -> ReadableSpan:
        status = span.status
        return ReadableSpan(
            name=self._text(span.name, NAME_LENGTH),
            context=span.get_span_context(),
            parent=span.parent,
            resource=span.resource,
            attributes=self._attributes(span.attributes),
            events=[Event(event.name, self._attributes(event.attributes), event.timestamp) for event in span.events],
            links=[Link(link.context, self._attributes(link.attributes)) for link in span.links],
            kind=span.kind,
            instrumentation_scope=span.instrumentation_scope,
            status=Status(status.status_code, self._text(status.description)) if status.description else status,
            start_time=span.start_time,
            end_time=span.end_time,
        )

    def _attributes(self, attributes: Mapping[str, Any] | None) -> dict[str, Any]:
        return {
            CONVENTIONS.get(name, name): self._text(value) if isinstance(value, str) else value
            for name, value in (attributes or {}).items()
        }

    def _text(self, text: str, limit: int = TEXT_LENGTH) -> str:
        return self._hygiene.text(text, limit).text
