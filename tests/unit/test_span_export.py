"""What leaves for a collector: the conventions' names, and no secret in any text."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import Status, StatusCode

from projector.door.hygiene import Hygiene
from projector.door.redaction import Redactor
from runner.span_export import CleanExporter
from runner.tracing import AGENT, CALL, EXECUTION, OPERATION, TOOL, is_wanted

SECRET = "the-keepers-own-lamp-oil"


class Kept(SpanExporter):
    """An exporter that keeps what it gets, or refuses it."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []
        self.takes = True

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.spans += spans
        return SpanExportResult.SUCCESS if self.takes else SpanExportResult.FAILURE


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def provider(kept: Kept, said: list[str]) -> TracerProvider:
    hygiene = Hygiene(Redactor.from_environment({"LIGHTHOUSE_TOKEN": SECRET}, ()))
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(CleanExporter(kept, hygiene, said.append)))
    return provider


def test_names_are_the_conventions_where_there_is_one(provider: TracerProvider, kept: Kept) -> None:
    attributes = {EXECUTION: "survey", AGENT: "a:b", OPERATION: "execute_tool", TOOL: "sound", CALL: "1"}
    provider.get_tracer("t").start_span("execute_tool sound", attributes=attributes).end()
    assert dict(kept.spans[0].attributes or {}) == {
        "execution_status.execution_id": "survey",
        "gen_ai.agent.name": "a:b",
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "sound",
        "gen_ai.tool.call.id": "1",
    }


def test_no_text_of_a_span_holds_a_secret(provider: TracerProvider, kept: Kept) -> None:
    with provider.get_tracer("t").start_as_current_span(f"tool {SECRET}", attributes={TOOL: f"x {SECRET}"}) as span:
        span.add_event("seen", {"text": f"it was {SECRET}"})
        span.record_exception(ValueError(SECRET))
        span.set_status(Status(StatusCode.ERROR, f"because of {SECRET}"))
    whole = kept.spans[0].to_json()
    assert SECRET not in whole
    assert "because of" in whole and "it was" in whole


def test_a_collector_that_takes_nothing_is_told_of_once(provider: TracerProvider, kept: Kept, said: list[str]) -> None:
    tracer = provider.get_tracer("t")
    for takes in (True, False, False, True, False):
        kept.takes = takes
        tracer.start_span("sounding").end()
    assert len(said) == 2
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" in said[0]


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4318/v1/traces"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318", "OTEL_SDK_DISABLED": "True"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318", "OTEL_TRACES_EXPORTER": "none"}, False),
    ],
)
def test_the_standard_variables_decide(environment: dict[str, str], wanted: bool) -> None:
    assert is_wanted(environment) is wanted
