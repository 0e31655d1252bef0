"""A supervised runner that stands still, or whose store or machine gives way."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from projector.envelope import runner_stream
from projector.events import AttemptFailed, ConditionCleared, ConditionObserved, RunnerExited, ToolCallStarted
from projector.execution_status import Phase
from projector.projections.runners import RunnerState
from tests.temporal.faults import MEMORY_GROUPS, disk_full_for, standing_still
from tests.temporal.harness import Harness, agent, failure_of
from tests.temporal.supervising import TIMEOUTS, doomed, said, served


async def test_a_stopped_process_is_stalled_within_5_s_and_goes_on_when_it_is_continued(
    bare: Harness, tmp_path: Path
) -> None:
    async with served(bare, "ice", doomed("hums")) as (_, runner):
        execution_id = await bare.start(doomed("hums"), str(tmp_path / "thaw"), queue="ice", timeouts=TIMEOUTS)
        await bare.until(execution_id, lambda change: change.status.events_processed >= 3)
        stopped_at = time.time()
        async with standing_still(runner.pid, bare.settings):
            stalled = await bare.until_event(execution_id, ConditionObserved)
        cleared = await bare.until_event(execution_id, ConditionCleared)
        (tmp_path / "thaw").touch()
        status = await bare.end(execution_id)

    condition = stalled.status.condition
    assert condition is not None
    assert (condition.kind, condition.observer) == ("stalled", "supervisor")
    assert condition.reason == "the runner's process is stopped (SIGSTOP)"
    assert stalled.record.time.timestamp() - stopped_at < 5
    assert cleared.record.writer == stalled.record.writer == f"supervisor:{runner.runner_id}"
    assert cleared.status.condition is None
    assert status.phase is Phase.COMPLETED


@pytest.mark.sqlite_only("a database ends a transaction that stands still by itself")
async def test_a_runner_that_is_stopped_in_the_middle_of_a_write_is_continued(bare: Harness, tmp_path: Path) -> None:
    async with served(bare, "doldrums", doomed("is_becalmed")) as (supervisor, runner):
        where = bare.surroundings["EXECUTION_STATUS_STORE"]
        execution_id = await bare.start(doomed("is_becalmed"), where, queue="doldrums", timeouts=TIMEOUTS)
        await supervisor.says("the runner was stopped while it had the store's write lock; it is continued")
        status = await bare.end(execution_id)

    assert (status.phase, status.output) == (Phase.COMPLETED, "under way")
    assert f"pid={runner.pid}" in supervisor.said()


async def test_a_process_that_runs_no_python_code_is_stalled_with_its_stack(bare: Harness) -> None:
    async with served(bare, "fog", doomed("freezes_the_bridge")) as (_, runner):
        execution_id = await bare.start(doomed("freezes_the_bridge"), "7", queue="fog", timeouts=TIMEOUTS)
        began = (await bare.until_event(execution_id, ToolCallStarted)).record.time
        stalled = await bare.until_event(execution_id, ConditionObserved)
        status = await bare.end(execution_id)
        history = await bare.history(execution_id)

    condition = stalled.status.condition
    assert condition is not None
    assert (condition.kind, condition.observer) == ("stalled", "supervisor")
    assert condition.reason.startswith("the runner's process is alive but runs no Python code: crashing_agents.py:")
    assert condition.reason.endswith(" in freezes_the_bridge does not return")
    assert "ctypes.PyDLL(None).usleep(" in condition.stack.splitlines()[-1]
    assert (stalled.record.time - began).total_seconds() < 5
    assert (status.phase, status.output, status.conditions) == (Phase.COMPLETED, "anchored", ())
    assert not any(isinstance(record.event, AttemptFailed) for record in history)
    assert runner.state is RunnerState.READY


@pytest.mark.sqlite_only("the full disk is that of the store's file")
async def test_a_store_that_cannot_be_written_delays_the_verdict_by_seconds_and_has_the_exit_later(
    bare: Harness,
) -> None:
    async with served(bare, "drydock", agent("dives")) as (supervisor, runner):
        execution_id = await bare.start("dives", queue="drydock", timeouts=TIMEOUTS)
        await bare.until_event(execution_id, ToolCallStarted)
        killed_at = time.time()
        with disk_full_for(supervisor.pid):
            os.kill(runner.pid, signal.SIGKILL)
            status = await bare.end(execution_id)
            stored = await asyncio.to_thread(bare.store.read, runner_stream(runner.runner_id))
        exited, _ = await said(bare, runner, RunnerExited)

    assert failure_of(status).code == "E201"
    assert status.finished_at is not None
    assert 1.5 < status.finished_at.timestamp() - killed_at < 6
    assert [record.type for record in stored] == ["RunnerStarting", "RunnerReady"]
    assert exited.signal == "SIGKILL"


@contextmanager
def _memory_group(name: str) -> Iterator[Path]:
    """A memory cgroup of our own, empty again at the end."""
    folder = MEMORY_GROUPS / name
    folder.mkdir()
    try:
        yield folder
    finally:
        folder.rmdir()


@pytest.mark.skipif(
    not ((MEMORY_GROUPS / "memory.oom_control").exists() and os.access(MEMORY_GROUPS, os.W_OK) and os.geteuid() == 0),
    reason="NOT TESTED: a kernel's out-of-memory kill needs root and a writable cgroup-v1 memory group",
)
async def test_a_runner_that_the_kernel_kills_for_memory_is_e201_and_the_proof_is_told(
    bare: Harness, tmp_path: Path
) -> None:
    with _memory_group(f"execution-status-test-{os.getpid()}") as folder:
        async with served(bare, "flood", doomed("takes_on_water")) as (supervisor, runner):
            sluice = tmp_path / "sluice"
            execution_id = await bare.start(doomed("takes_on_water"), str(sluice), queue="flood", timeouts=TIMEOUTS)
            await bare.until_event(execution_id, ToolCallStarted)
            (folder / "memory.limit_in_bytes").write_text(str(64 * 1024 * 1024))
            (folder / "cgroup.procs").write_text(str(runner.pid))
            await asyncio.sleep(1)  # the supervisor looks four times a second where its runner is
            sluice.touch()
            failure = failure_of(await bare.end(execution_id, within=60))
            exited, _ = await said(bare, runner, RunnerExited)
            assert supervisor.is_running

    assert (exited.signal, exited.out_of_memory) == ("SIGKILL", True)
    assert failure.code == "E201"
    assert "out of memory" in failure.message
