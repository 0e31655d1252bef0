"""A runner that cannot start tells its log, the store and whoever waits for it why."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest

from projector.envelope import runner_stream
from projector.events import RunnerAwaited, RunnerStarting, RunnerStartupFailed, Timeouts
from projector.execution_status import ExecutionStatus
from projector.failures import Failure
from projector.opening import open_queries
from projector.projections.runners import Runner
from tests.temporal.harness import Harness, failure_of
from tests.temporal.secret_samples import SAMPLES

PATIENT: Final = Timeouts(schedule_to_start=5, heartbeat=2, start_to_close=10)
IMPATIENT: Final = Timeouts(schedule_to_start=1, heartbeat=2, start_to_close=10)
AGENT: Final = "async def agent(task):\n    yield 'aye'\n"


@dataclass(frozen=True)
class Broken:
    """How a runner is made to fail, and what it says about it."""

    says: str
    stage: str = "importing the agent cargo:agent"
    hint: str = ""
    module: str = AGENT
    agent: str = "cargo:agent"
    extra: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """How the runner ended, what it left, and how the execution ended that waited for it."""

    code: int
    err: str
    runner: Runner | None
    status: ExecutionStatus

    @property
    def failure(self) -> Failure:
        return failure_of(self.status)


def _closed_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return f"127.0.0.1:{taken.getsockname()[1]}"


BROKEN: Final[dict[str, Broken]] = {
    "raises-import-error": Broken(
        "ImportError: test",
        hint="an installed package has another version",
        module='raise ImportError("test")\n' + AGENT,
    ),
    "missing-package": Broken(
        "ModuleNotFoundError: No module named 'astrolabe_of_the_ancients'",
        hint="not installed in the environment that runs the runner",
        module="import astrolabe_of_the_ancients\n" + AGENT,
    ),
    "missing-module": Broken(
        "ModuleNotFoundError: No module named 'ballast'",
        stage="importing the agent ballast:agent",
        hint="a misspelt module name",
        agent="ballast:agent",
    ),
    "missing-attribute": Broken(
        "AgentRejected: module 'cargo' has no attribute 'agnet'; its agents are: agent",
        stage="importing the agent cargo:agnet",
        hint="the attribute is misspelt or was renamed",
        agent="cargo:agnet",
    ),
    "no-generator": Broken(
        "AgentRejected: 'cargo:agent' is a function, not an async generator function",
        hint="it must be `async def` and contain `yield`",
        module="async def agent(task):\n    return 'aye'\n",
    ),
    "syntax-error": Broken(
        "SyntaxError: invalid syntax (", hint="saved half edited", module="async def agent(task):\n    steer = = 4\n"
    ),
    "exits": Broken(
        "SystemExit: 3",
        hint="raises this while it is imported",
        module="import sys\nsys.exit(3)\n" + AGENT,
    ),
    "missing-variable": Broken(
        "KeyError: 'CHART_TABLE'",
        hint="an environment variable or setting is missing",
        module="import os\nTABLE = os.environ['CHART_TABLE']\n" + AGENT,
    ),
    "leaks": Broken(
        "RuntimeError: I log in with [redacted:github-token] and go on",
        hint="raises this while it is imported",
        module="from tests.temporal.secret_samples import SAMPLES\nraise RuntimeError(SAMPLES['github token'].words)\n",
    ),
    "no-temporal": Broken(
        "TemporalUnreachable: there is no connection to 127.0.0.1:",
        stage="connecting to Temporal",
        hint="compare TEMPORAL_ADDRESS",
        extra={"TEMPORAL_ADDRESS": _closed_port(), "EXECUTION_STATUS_CONNECT_TIMEOUT": "1"},
    ),
    "wrong-namespace": Broken(
        "Namespace atlantis is not found",
        stage="connecting to Temporal",
        hint="compare TEMPORAL_NAMESPACE",
        extra={"TEMPORAL_NAMESPACE": "atlantis", "EXECUTION_STATUS_CONNECT_TIMEOUT": "1"},
    ),
}


async def _fails_to_start(bare: Harness, folder: Path, queue: str, broken: Broken) -> tuple[int, str]:
    """The runner's exit code, and what its log says."""
    folder.mkdir()
    (folder / "cargo.py").write_text(broken.module)
    async with bare.starting_runner(broken.agent, queue=queue, extra=broken.extra, cwd=folder) as runner:
        return await runner.exits(), runner.said()


async def _outcome(bare: Harness, queue: str, ended: tuple[int, str], execution_id: str | None = None) -> Outcome:
    execution_id = execution_id or await bare.start("surveyor", queue=queue, timeouts=IMPATIENT)
    status = await bare.end(execution_id)
    async with open_queries(bare.settings) as queries:
        known = await queries.runners(queue)
    return Outcome(*ended, known[0] if known else None, status)


@pytest.fixture(scope="module")
async def outcomes(bare: Harness, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    """All of them; the execution waits before its runner is started in the first, and after in the others."""
    folder = tmp_path_factory.mktemp("broken")
    (first, broken), *others = BROKEN.items()
    waiting = await bare.start("surveyor", queue=first, timeouts=PATIENT)
    await bare.until_event(waiting, RunnerAwaited)
    ended = await _fails_to_start(bare, folder / first, first, broken)

    async def one(queue: str, broken: Broken) -> Outcome:
        return await _outcome(bare, queue, await _fails_to_start(bare, folder / queue, queue, broken))

    told = await asyncio.gather(_outcome(bare, first, ended, waiting), *(one(*item) for item in others))
    return dict(zip(BROKEN, told, strict=True))


@pytest.mark.parametrize("name", BROKEN)
def test_the_runner_exits_with_1_and_its_log_has_the_startup_failure_block(
    outcomes: dict[str, Outcome], name: str
) -> None:
    broken, outcome = BROKEN[name], outcomes[name]
    rule, title, *lines = outcome.err[outcome.err.index("=" * 72) :].splitlines()

    assert outcome.code == 1
    assert title == "STARTUP FAILURE"
    assert any(line.startswith("error:") and broken.says in line for line in lines)
    assert f"stage:         {broken.stage}" in lines
    assert any(line.startswith("    - ") and broken.hint in line for line in lines)
    assert any(line.startswith("prevents:") and f"nothing from queue '{name}'" in line for line in lines)
    assert lines[lines.index("stack:") + 1].strip()
    assert rule == lines[-1]


@pytest.mark.parametrize("name", BROKEN)
async def test_the_store_has_the_runners_own_account(bare: Harness, outcomes: dict[str, Outcome], name: str) -> None:
    broken, runner = BROKEN[name], outcomes[name].runner
    assert runner is not None
    history = await asyncio.to_thread(bare.store.read, runner_stream(runner.runner_id))
    starting, failed = (record.event for record in history)

    assert isinstance(starting, RunnerStarting) and isinstance(failed, RunnerStartupFailed)
    assert (failed.task_queue, failed.agents, failed.stage) == (name, (broken.agent,), broken.stage)
    assert broken.says in failed.report.headline
    assert any(broken.hint in cause for cause in failed.likely_causes)
    assert (runner.state, runner.error) == ("startup_failed", failed.report.headline)


@pytest.mark.parametrize("name", BROKEN)
def test_the_execution_that_waited_ends_e101_with_the_runners_own_error(
    outcomes: dict[str, Outcome], name: str
) -> None:
    failure = outcomes[name].failure

    assert (failure.code, failure.category, failure.retryable) == ("E101", "runner_startup_failed", True)
    assert f"queue '{name}'" in failure.message
    assert BROKEN[name].says in failure.message
    assert "startup_failed" in "\n".join(failure.evidence)
    assert outcomes[name].status.started_at is None


def test_the_stack_of_a_broken_module_shows_its_own_line(outcomes: dict[str, Outcome]) -> None:
    assert 'raise ImportError("test")' in outcomes["raises-import-error"].err
    assert "cargo.py" in outcomes["raises-import-error"].err
    assert "cargo.py:2" in outcomes["syntax-error"].failure.message


def test_a_secret_in_the_error_is_not_in_the_log(outcomes: dict[str, Outcome]) -> None:
    assert not [trace for trace in SAMPLES["github token"].traces if trace in outcomes["leaks"].err]


async def test_a_runner_without_a_store_still_tells_its_log_and_its_executions_end_e102(
    bare: Harness, tmp_path: Path
) -> None:
    (tmp_path / "hold").write_text("full of barrels")
    nowhere = {"EXECUTION_STATUS_STORE": str(tmp_path / "hold" / "store.db")}

    ended = await _fails_to_start(bare, tmp_path / "cargo", "no-store", Broken("", extra=nowhere))
    outcome = await _outcome(bare, "no-store", ended)

    assert (outcome.code, outcome.runner) == (1, None)
    assert "STARTUP FAILURE" in outcome.err
    assert "StoreError: cannot make the folder of the event store" in outcome.err
    assert "stage:         opening the event store" in outcome.err
    assert "compare EXECUTION_STATUS_STORE" in outcome.err
    assert "this failure could not be stored either: there is no store to tell" in outcome.err
    assert outcome.failure.code == "E102"


async def test_no_runner_at_all_is_e102_and_names_the_queue(bare: Harness) -> None:
    status = await bare.run("surveyor", queue="doldrums", timeouts=IMPATIENT)
    failure = failure_of(status)

    assert (failure.code, failure.category, failure.retryable) == ("E102", "runner_unavailable", True)
    assert "No runner took the execution from queue 'doldrums' within 1 s" in failure.message
    assert "no runner has ever announced itself there" in failure.message
    assert "execution-status runner --agent" in failure.remedy
    assert status.runner is None


async def test_while_it_waits_the_condition_says_for_what(bare: Harness) -> None:
    execution_id = await bare.start("surveyor", queue="becalmed", timeouts=IMPATIENT)
    waiting = (await bare.until_event(execution_id, RunnerAwaited)).status

    assert waiting.condition is not None
    assert waiting.condition.kind == "waiting_for_runner"
    assert waiting.condition.reason == "waiting for a runner on queue 'becalmed'"
    assert (await bare.end(execution_id)).condition is None
