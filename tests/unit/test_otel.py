"""What is told of a trace whose spans this process does not know."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from projector.door.hygiene import Hygiene
from projector.door.redaction import Redactor
from runner.otel import OtelTracing
from runner.tracing import AGENT, Tracing, traced, tracing
from tests.histories import COMPLETED, SOUNDED, SOUNDING, failed
from tests.temporal.collector import Collector, collecting

ELSEWHERE = "5994471abb01112afcc18159f6cc74b4"


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with collecting() as collector:
        for name, value in collector.surroundings.items():
            monkeypatch.setenv(name, value)
        yield collector


def begun() -> OtelTracing:
    return OtelTracing("test", Hygiene(Redactor()), print)


def test_a_verdict_outside_of_its_trace_is_put_into_it(collector: Collector) -> None:
    tracing = begun()
    with tracing.within(ELSEWHERE):
        tracing.verdict("survey", failed())
    with tracing.asking("start_execution", {}, apart=False), tracing.within(ELSEWHERE):
        tracing.verdict("reef", COMPLETED)
    tracing.close()
    assert [span.name for span in collector.of(ELSEWHERE)] == ["verdict", "verdict"]
    assert [span.is_error for span in collector.of(ELSEWHERE)] == [True, False]


def test_within_its_own_trace_nothing_changes(collector: Collector) -> None:
    tracing = begun()
    with tracing.asking("start_execution", {}, apart=False):
        own = tracing.trace_id
        for trace_id in (own, None):
            with tracing.within(trace_id):
                assert tracing.trace_id == own
                tracing.verdict("survey", COMPLETED)
    assert tracing.trace_id is None
    tracing.close()
    (asked,) = (span for span in collector.of(own) if span.name == "start_execution")
    assert [span.parent for span in collector.of(own) if span.name == "verdict"] == [asked.span_id] * 2


def test_what_is_apart_is_linked_to_what_went_on(collector: Collector) -> None:
    tracing = begun()
    with tracing.asking("start_execution", {}, apart=False):
        first = tracing.trace_id
        with tracing.asking("retry_execution", {}, apart=True):
            second = tracing.trace_id
    tracing.close()
    assert first != second
    assert collector.of(second)[0].links == (first,)


def test_tools_without_an_answer_and_answers_without_a_tool(collector: Collector) -> None:
    tracing = begun()
    with tracing.attempt({AGENT: "a:b"}) as watch:
        watch(SOUNDED)
        for _ in range(100):
            watch(SOUNDING)
        watch(SOUNDED)
    tracing.close()
    tools = [span for span in collector.spans if span.name == "execute_tool sound_depth"]
    assert len(tools) == 100
    assert sum(span.is_error for span in tools) == 63  # of those that were open when the attempt ended


def test_a_span_that_is_not_sampled_gives_no_trace_to_look_for(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    tracing = begun()
    with tracing.asking("start_execution", {}, apart=False):
        assert tracing.trace_id is None
    tracing.close()
    assert collector.spans == []


def test_it_is_there_for_the_length_of_a_block(collector: Collector) -> None:
    with traced("test", Hygiene(Redactor()), print):
        assert isinstance(tracing(), OtelTracing)
    assert type(tracing()) is Tracing


def test_variables_that_cannot_be_read_are_said_and_cost_nothing(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "-7")
    said: list[str] = []
    with traced("test", Hygiene(Redactor()), said.append):
        assert type(tracing()) is Tracing
    (line,) = said
    assert line.startswith("no traces: ") and "OTEL_" in line
