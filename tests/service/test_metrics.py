"""What Prometheus is told, over a real socket, by a service on a store without a Temporal."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import httpx2
import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families

from projector.catalogue import CATALOGUE
from projector.engines.ports import StoreEngine
from projector.envelope import execution_stream, runner_stream
from projector.events import ConditionKind, ConditionObserved, ExecutionFailed, RunnerExited, RunnerStarting
from projector.failures import Failure
from projector.opening import hygiene_from_environment, open_store
from tests.fleet import set_sail
from tests.histories import ATTEMPT, REQUESTED, SHIPWRECK, VOYAGE, failed, news
from tests.tables import change, project
from workflows.service.app import api
from workflows.service.desk import Desk, desk
from workflows.service.metrics import KEPT_FOR, ServiceMetrics
from workflows.service.safety import Guard, Rules
from workflows.service.tickets import Tickets
from workflows.settings import OrchestratorSettings

Samples = dict[tuple[str, ...], float]
PREFIX = "execution_status_"


class Watched:
    """A service, and the store that it is on."""

    def __init__(self, desk: Desk, store: StoreEngine, rules: Rules | None = None) -> None:
        tickets = Tickets()
        app = api(desk, tickets)
        self.desk, self.store = desk, store
        self.metrics: ServiceMetrics = app.state.metrics
        transport = httpx2.ASGITransport(app=Guard(app, rules or Rules(), tickets))
        self.client = httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1")

    def project(self) -> None:
        project(self.store)

    async def text(self, **headers: str) -> str:
        answer = await self.client.get("/metrics", headers=headers)
        assert answer.status_code == 200, answer.text
        return answer.text

    async def fresh(self) -> dict[str, Metric]:
        """The families by name, after a reading of now."""
        self.metrics.forget()
        return {family.name: family for family in text_string_to_metric_families(await self.text())}

    async def samples(self) -> Samples:
        """Values by name and labels' values, after a reading of now."""
        return {
            (sample.name.removeprefix(PREFIX), *sample.labels.values()): sample.value
            for family in (await self.fresh()).values()
            for sample in family.samples
        }


@pytest.fixture
def settings(tmp_path: Path) -> OrchestratorSettings:
    return OrchestratorSettings(data_dir=tmp_path, store=str(tmp_path / "store.db"))


@pytest.fixture
def store(settings: OrchestratorSettings) -> Iterator[StoreEngine]:
    with closing(open_store(settings)) as store:
        yield store


@asynccontextmanager
async def watching(
    settings: OrchestratorSettings, store: StoreEngine, rules: Rules | None = None
) -> AsyncIterator[Watched]:
    async with desk(settings, store, hygiene_from_environment()) as made:
        watched = Watched(made, store, rules)
        async with watched.client:
            yield watched


@pytest.fixture
async def watched(settings: OrchestratorSettings, store: StoreEngine) -> AsyncIterator[Watched]:
    async with watching(settings, store) as watched:
        yield watched


async def test_it_counts_what_the_store_holds(watched: Watched) -> None:
    set_sail(watched.store, times=3)
    watched.project()
    said = await watched.samples()

    assert said["executions", "", "", "COMPLETED"] == 3
    assert said["executions", "", "", "CANCELLED"] == 3
    assert said["executions", "agent_failed", "E401", "FAILED"] == 12
    assert said["executions", "runner_unavailable", "E102", "FAILED"] == 3
    assert said["executions", "runner_crashed", "E201", "FAILED"] == 0
    assert said["executions_open", "IN_PROGRESS"] == 3
    assert said["executions_open", "PENDING"] == 0
    assert said["runners", "ready"] == said["runners", "stopped"] == said["runners", "startup_failed"] == 1
    assert said["runner_starts_total",] == 3
    assert said["runner_startup_failures_total",] == 1
    assert said["store_up",] == said["build_info", next(key[1] for key in said if key[0] == "build_info")] == 1
    assert said["store_position",] == watched.store.head()
    assert said["projection_lag_events",] == said["projection_lag_seconds",] == said["parked_streams",] == 0
    assert said["heartbeat_age_seconds",] > 0


async def test_what_ends_while_it_is_watched_is_counted_once(watched: Watched) -> None:
    set_sail(watched.store)
    watched.project()
    before = await watched.samples()
    assert before["executions_ended_total", "agent_failed", "E401", "FAILED"] == 0

    watched.store.append(execution_stream("voyage"), news(*VOYAGE))
    watched.store.append(execution_stream("wreck"), news(*SHIPWRECK))
    watched.project()
    for _ in range(3):
        after = await watched.samples()
        assert after["executions_ended_total", "", "", "COMPLETED"] == 1
        assert after["executions_ended_total", "agent_failed", "E401", "FAILED"] == 1
        assert after["verdict_seconds_count", "agent_failed"] == 1
        assert after["verdict_seconds_sum", "agent_failed"] == pytest.approx(
            1
        )  # a second between the events of a history
        assert after["execution_seconds_sum", "FAILED"] == pytest.approx(len(SHIPWRECK) - 1)

    late = news(*SHIPWRECK, *VOYAGE[5:8])[len(SHIPWRECK) :]
    watched.store.append(execution_stream("wreck"), late)  # its row moves once more; it has not ended once more
    watched.project()
    assert (await watched.samples())["executions_ended_total", "agent_failed", "E401", "FAILED"] == 1


async def test_a_projector_that_is_behind_shows(watched: Watched) -> None:
    await watched.samples()
    watched.store.append(execution_stream("voyage"), news(*VOYAGE))
    said = await watched.samples()
    assert said["projection_lag_events",] == len(VOYAGE)
    assert said["projection_lag_seconds",] > 0
    watched.project()
    said = await watched.samples()
    assert said["projection_lag_events",] == said["projection_lag_seconds",] == 0


async def test_conditions_and_crashes_show(watched: Watched) -> None:
    stalled = ConditionObserved(kind=ConditionKind.STALLED, reason="no wind")
    watched.store.append(execution_stream("becalmed"), news(REQUESTED, ATTEMPT, stalled))
    watched.store.append(
        runner_stream("vega"), news(RunnerStarting(task_queue="q"), RunnerExited(signal="SIGKILL", crashes=1))
    )
    watched.project()
    said = await watched.samples()
    assert said["conditions_open", "stalled"] == 1
    assert said["conditions_open", "paused"] == said["condition_age_seconds", "paused"] == 0
    assert said["condition_age_seconds", "stalled"] > 0
    assert said["runner_crashes_total",] == said["runners", "exited"] == 1


async def test_appends_of_the_service_are_timed(watched: Watched) -> None:
    before = (await watched.samples())["append_seconds_count",]
    watched.store.append(execution_stream("voyage"), news(*VOYAGE))
    said = await watched.samples()
    assert said["append_seconds_count",] == before + 1
    assert said["appended_events_total",] >= len(VOYAGE)


async def test_streams_show_what_they_say_of_themselves(watched: Watched) -> None:
    streams = watched.desk.streams
    for kind in ("all", "all", "execution", "execution"):
        streams.opened(kind)
    streams.closed("execution")
    streams.dropped("stalled")
    streams.dropped("somebody's own word")
    streams.sent(7)
    said = await watched.samples()
    assert (said["stream_clients", "all"], said["stream_clients", "execution"]) == (2, 1)
    assert (said["stream_dropped_total", "stalled"], said["stream_dropped_total", "other"]) == (1, 1)
    assert said["stream_events_total",] == 7


async def test_a_thousand_scrapes_ask_the_store_no_more_often_than_the_clock_allows(watched: Watched) -> None:
    set_sail(watched.store)
    watched.project()
    loop = asyncio.get_running_loop()
    began = loop.time()
    texts = [text for _ in range(20) for text in await asyncio.gather(*(watched.text() for _ in range(50)))]
    assert len(texts) == 1000
    assert watched.metrics.readings <= 1 + (loop.time() - began) / KEPT_FOR


async def test_names_of_executions_and_words_of_agents_make_no_series(watched: Watched) -> None:
    watched.store.append(execution_stream("first"), news(*SHIPWRECK))
    watched.project()
    before = (await watched.samples()).keys()
    for number in range(200):
        hostile = f'{{code="E{number:03}"}} 1\n# EOF {number}'
        verdict = Failure(code=f"X{number}", category=f"category-{number}", message=hostile, remedy="", retryable=False)
        requested = REQUESTED.model_copy(
            update={"agent": f"a{number}:b", "session_id": f"s{number}", "task_queue": f"q{number}"}
        )
        end = ExecutionFailed(failure=verdict) if number % 2 else failed(type=f"Error{number}", message=hostile)
        watched.store.append(execution_stream(f"id-{number}"), news(requested, ATTEMPT, end))
        watched.store.append(runner_stream(f"runner-{number}"), news(RunnerStarting(task_queue=hostile, host=hostile)))
    watched.project()
    after = await watched.samples()
    assert after.keys() == before
    assert after["executions", "other", "other", "FAILED"] == 100
    assert after["executions_ended_total", "other", "other", "FAILED"] == 100
    assert len(after) < 1_000
    text = await watched.text()
    for secret in ("id-7", "Error8", "q9", "s11", "# EOF 7"):
        assert f'"{secret}' not in text


async def test_a_store_that_cannot_be_read_is_said_and_the_rest_still_told(watched: Watched) -> None:
    assert (await watched.samples())["store_up",] == 1
    change(watched.store, "ALTER TABLE parked RENAME TO unparked")
    said = await watched.samples()
    assert said["store_up",] == 0
    assert ("executions_open", "PENDING") not in said
    assert said["append_seconds_count",] >= 0
    assert any(name.startswith("process_") for name, *_ in said)

    change(watched.store, "ALTER TABLE unparked RENAME TO parked")
    assert (await watched.samples())["store_up",] == 1


async def test_every_code_of_the_catalogue_is_there_before_it_happens(watched: Watched) -> None:
    said = await watched.samples()
    for code, entry in CATALOGUE.items():
        assert said["executions_ended_total", entry.category, code, "FAILED"] == 0
        assert said["verdict_seconds_count", entry.category] == 0


async def test_both_formats_can_be_read(watched: Watched) -> None:
    plain = await watched.text()
    newer = await watched.text(Accept="application/openmetrics-text; version=1.0.0")
    assert newer.endswith("# EOF\n")
    assert {family.name for family in text_string_to_metric_families(plain)} == {
        family.name
        for family in parse_openmetrics(newer)  # type: ignore[no-untyped-call]
    }


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not here: apt install prometheus")
async def test_promtool_has_nothing_to_say(watched: Watched) -> None:
    set_sail(watched.store)
    watched.project()
    checked = await asyncio.to_thread(
        subprocess.run, ["promtool", "check", "metrics"], input=await watched.text(), capture_output=True, text=True
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


async def test_with_tokens_a_reader_s_suffices(settings: OrchestratorSettings, store: StoreEngine) -> None:
    rules = Rules(operator="o" * 20, reader="r" * 20)
    async with watching(settings, store, rules) as watched:
        assert (await watched.client.get("/metrics")).status_code == 401
        assert PREFIX + "store_up 1" in await watched.text(Authorization="Bearer " + "r" * 20)
