"""Traces: one for each execution, through every process that had to do with it, and its id on the failure."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from projector.execution_status import ExecutionStatus
from tests.temporal.collector import CollectedSpan, Collector, collecting
from tests.temporal.harness import Harness
from tests.temporal.processes import command, environment, program, until

CARTOGRAPHER = "tests.temporal.traced_agents:cartographer"
QUEUE = "traced"


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


@pytest.fixture(scope="module")
async def traced(bare: Harness, collector: Collector) -> AsyncIterator[Harness]:
    """An orchestrator and a runner, each a process that traces, on a store of their own."""
    async with bare.beside("traced-ship", lock_timeout=10.0, orchestrated=False) as harness:
        extra = harness.surroundings | collector.surroundings
        async with program("orchestrator", folder=harness.folder, name="traced-orchestrator", extra=extra) as first:
            await first.says("orchestrator serves")
            async with harness.runner(CARTOGRAPHER, queue=QUEUE, extra=collector.surroundings):
                yield harness


async def start(harness: Harness, collector: Collector, execution_id: str, **extra: str) -> ExecutionStatus:
    started = await command(
        *("start", "--agent", CARTOGRAPHER, "--queue", QUEUE, "--id", execution_id, "--input", "of a secret island"),
        extra=harness.surroundings | collector.surroundings | extra,
    )
    assert started.code == 0, started.err
    return await harness.end(execution_id)


async def spans_of(collector: Collector, trace_id: str | None, *names: str) -> dict[str, CollectedSpan]:
    """The spans of a trace by name, once these have come."""
    assert trace_id is not None
    await until(lambda: set(names) <= {span.name for span in collector.of(trace_id)}, within=30)
    return {span.name: span for span in collector.of(trace_id)}


async def test_a_failure_is_one_trace_through_client_orchestrator_and_runner(
    traced: Harness, collector: Collector
) -> None:
    status = await start(traced, collector, "misread-1")
    agent = f"invoke_agent {CARTOGRAPHER}"
    tools = ("execute_tool read_chart", "execute_tool sound_depth", "execute_tool hoist_flag")
    spans = await spans_of(
        collector, status.trace_id, "start_execution", agent, *tools, "verdict", "RunActivity:execute_agent"
    )
    assert {span.service for span in spans.values()} == {
        "execution-status-client",
        "execution-status-orchestrator",
        "execution-status-runner",
    }
    assert spans["start_execution"].parent == ""
    assert spans["StartWorkflow:InvokeAgentExecution"].parent == spans["start_execution"].span_id
    assert spans[agent].parent == spans["RunActivity:execute_agent"].span_id
    assert {spans[tool].parent for tool in tools} == {spans[agent].span_id}
    assert spans["verdict"].service == "execution-status-orchestrator"

    assert spans[agent].attributes | {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": CARTOGRAPHER} == (
        spans[agent].attributes
    )
    assert spans[agent].is_error and "the chart is upside down" in spans[agent].said
    assert spans["verdict"].is_error
    assert spans["verdict"].attributes["error.type"] == "E401"
    assert [spans[tool].is_error for tool in tools] == [False, True, True]
    assert spans[tools[0]].attributes == {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "read_chart",
        "gen_ai.tool.call.id": "1",
    }
    assert not [span.name for span in spans.values() if "secret island" in span.whole]


async def test_show_tells_the_trace_of_a_failure(traced: Harness, collector: Collector) -> None:
    status = await start(traced, collector, "misread-2")
    shown = await command("show", "misread-2", "--json", extra=traced.surroundings)
    assert json.loads(shown.out)["trace_id"] == status.trace_id
    assert f"trace       {status.trace_id}" in (await command("show", "misread-2", extra=traced.surroundings)).out


async def test_a_retry_is_a_trace_of_its_own(traced: Harness, collector: Collector) -> None:
    first = await start(traced, collector, "misread-3")
    extra = traced.surroundings | collector.surroundings
    retried = await command("retry", "misread-3", "--json", extra=extra)
    second = await traced.end(json.loads(retried.out)["execution_id"])
    assert second.trace_id not in (None, first.trace_id)
    spans = await spans_of(collector, second.trace_id, "retry_execution", "verdict")
    assert spans["retry_execution"].parent == ""


async def test_a_start_that_temporal_refuses_has_its_verdict_in_the_trace(
    traced: Harness, collector: Collector
) -> None:
    nowhere = {"TEMPORAL_ADDRESS": "127.0.0.1:1", "EXECUTION_STATUS_CONNECT_TIMEOUT": "0.5"}
    extra = traced.surroundings | collector.surroundings | nowhere
    refused = await command("start", "--agent", CARTOGRAPHER, "--id", "unheard-1", extra=extra)
    assert refused.code == 4
    status = await traced.status("unheard-1")
    spans = await spans_of(collector, status.trace_id, "start_execution", "verdict")
    assert spans["verdict"].attributes["error.type"] == "E601"
    assert spans["start_execution"].is_error


async def test_an_end_that_only_the_reconciler_could_write_is_in_the_trace_too(
    traced: Harness, collector: Collector
) -> None:
    started = await command(
        *("start", "--agent", CARTOGRAPHER, "--queue", "nobody-here", "--id", "adrift-1", "--json"),
        extra=traced.surroundings | collector.surroundings,
    )
    assert started.code == 0
    await traced.workflow("adrift-1").terminate("for the test")
    status = await traced.end("adrift-1")
    assert status.failure is not None and status.failure.code == "E602"
    spans = await spans_of(collector, status.trace_id, "verdict")
    assert spans["verdict"].attributes["error.type"] == "E602"


@pytest.mark.parametrize("off", [{"OTEL_SDK_DISABLED": "true"}, {"OTEL_EXPORTER_OTLP_ENDPOINT": ""}])
async def test_where_it_is_not_wanted_nothing_is_traced(
    traced: Harness, collector: Collector, off: dict[str, str]
) -> None:
    execution_id = "untraced-" + next(iter(off)).replace("_", "-").lower()
    status = await start(traced, collector, execution_id, **off)
    assert status.trace_id is None
    assert not [span for span in collector.spans if execution_id in span.whole and span.name == "start_execution"]


async def test_a_collector_that_is_away_costs_an_execution_nothing(traced: Harness, collector: Collector) -> None:
    status = await start(traced, collector, "unheard-2", OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1")
    assert status.trace_id is not None


async def test_a_missing_extra_is_said_in_one_line_and_nothing_is_traced(
    traced: Harness, collector: Collector, tmp_path: Path
) -> None:
    (tmp_path / "opentelemetry.py").write_text("raise ImportError('No module named opentelemetry.sdk')\n")
    started = await command(
        *("start", "--agent", CARTOGRAPHER, "--queue", QUEUE, "--id", "without-1"),
        extra=traced.surroundings
        | collector.surroundings
        | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{environment()['PYTHONPATH']}"},
    )
    assert started.code == 0, started.err
    said = [line for line in started.err.splitlines() if "no traces" in line]
    assert len(said) == 1 and "pip install 'execution-status[otel]'" in said[0]
    assert (await traced.end("without-1")).trace_id is None
