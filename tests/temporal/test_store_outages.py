"""The store, or who writes verdicts into it, is gone when a verdict is due: it comes late, once, and in order."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from temporalio.client import WorkflowExecutionStatus

from projector.envelope import RecordedEvent
from projector.events import AttemptFinished, MessageAppended, TerminalEvent, ToolCallStarted
from projector.execution_status import ExecutionStatus, Phase
from tests.engines import SQLITE
from tests.temporal.faults import disk_full_for, stand_still
from tests.temporal.harness import Harness, agent
from tests.temporal.processes import until
from workflows.contracts import RECORD_OUTCOME

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="takes the right to write from a running process"),
]

LOCK_TIMEOUT: Final = 0.5
PATIENCE: Final = 40.0


@dataclass(frozen=True)
class Survived:
    """An execution after an outage: whether it had an end while it lasted, and how all stands afterwards."""

    ended_meanwhile: bool
    status: ExecutionStatus
    history: Sequence[RecordedEvent]
    temporal: WorkflowExecutionStatus | None

    @classmethod
    async def of(cls, harness: Harness, execution_id: str, ended_meanwhile: bool) -> Survived:
        status = await harness.end(execution_id, within=PATIENCE)
        await harness.workflow(execution_id).result()
        await harness.until_stored(execution_id, AttemptFinished)
        description = await harness.workflow(execution_id).describe()
        return cls(ended_meanwhile, status, await harness.history(execution_id), description.status)


async def _verdict_is_due(harness: Harness, execution_id: str) -> None:
    """Wait until an orchestrator has begun to record the outcome."""
    async with asyncio.timeout(PATIENCE):
        while True:
            described = (await harness.workflow(execution_id).describe()).raw_description
            if any(pending.activity_type.name == RECORD_OUTCOME for pending in described.pending_activities):
                return
            await asyncio.sleep(0.05)


async def _has_ended(harness: Harness, execution_id: str) -> bool:
    return any(isinstance(record.event, TerminalEvent) for record in await harness.history(execution_id))


async def _locked_by_another_program(bare: Harness) -> tuple[Survived, Survived]:
    """A talkative agent and one that ends without a word, while somebody holds the lock until the verdict is due."""
    async with (
        bare.beside("locked", lock_timeout=LOCK_TIMEOUT, orchestrated=True) as harness,
        harness.runner(agent("waits_for_a_file"), agent("keeps_watch"), queue=harness.settings.agent_queue) as runner,
    ):
        sail = harness.folder / "a sail of the locked"
        ids = [await harness.start(name, str(sail)) for name in ("waits_for_a_file", "keeps_watch")]
        await asyncio.gather(*(harness.until_event(execution_id, ToolCallStarted) for execution_id in ids))
        with harness.locked():
            sail.touch()
            await runner.says("appends wait for the store")
            await _verdict_is_due(harness, ids[1])
            await asyncio.sleep(2 * LOCK_TIMEOUT)
            meanwhile = [await _has_ended(harness, execution_id) for execution_id in ids]
        talkative, quiet = await asyncio.gather(*map(Survived.of, (harness, harness), ids, meanwhile))
        return talkative, quiet


@contextmanager
def _read_only(store: Path) -> Iterator[None]:
    """Make the store's files and their folder unwritable."""
    places = [store.parent, *store.parent.glob(f"{store.name}*")]
    modes = [place.stat().st_mode for place in places]
    for place, mode in zip(places, modes, strict=True):
        place.chmod(mode & ~0o222)
    try:
        yield
    finally:
        for place, mode in zip(places, modes, strict=True):
            place.chmod(mode)


def _opened_read_only(pid: int, store: Path) -> bool:
    """Whether the process has opened the store anew, and could do so for reading only."""
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed while we look
            if descriptor.readlink() == store:
                flags = Path(f"/proc/{pid}/fdinfo/{descriptor.name}").read_text().split("flags:")[1].split()[0]
                if int(flags, 8) & os.O_ACCMODE == os.O_RDONLY:
                    return True
    return False


async def _disk_full_and_then_read_only(bare: Harness) -> Survived:
    """The orchestrator's disk is full when the verdict is due; then it is not, but the file is read-only."""
    async with (
        bare.beside("unwritable", lock_timeout=LOCK_TIMEOUT, orchestrated=False) as harness,
        harness.orchestrator("orchestrator") as orchestrator,
        harness.runner(agent("keeps_watch"), queue=harness.settings.agent_queue),
    ):
        store, sail = Path(harness.settings.store), harness.folder / "a sail of the unwritable"
        execution_id = await harness.start("keeps_watch", str(sail))
        await harness.until_event(execution_id, ToolCallStarted)
        with ExitStack() as full, ExitStack() as read_only:
            full.enter_context(disk_full_for(orchestrator.pid))
            sail.touch()
            await harness.until_event(execution_id, AttemptFinished)
            await _verdict_is_due(harness, execution_id)
            read_only.enter_context(_read_only(store))
            await until(lambda: _opened_read_only(orchestrator.pid, store), within=PATIENCE)
            full.close()
            await asyncio.sleep(4 * LOCK_TIMEOUT)
            meanwhile = await _has_ended(harness, execution_id)
        return await Survived.of(harness, execution_id, meanwhile)


async def _killed_while_it_writes(bare: Harness) -> Survived:
    """The orchestrator is killed while its verdict waits for the store; another one takes over."""
    async with (
        bare.beside("killed", lock_timeout=LOCK_TIMEOUT, orchestrated=False) as harness,
        harness.runner(agent("keeps_watch"), queue=harness.settings.agent_queue),
    ):
        sail = harness.folder / "a sail of the killed"
        async with harness.orchestrator("first") as first:
            execution_id = await harness.start("keeps_watch", str(sail))
            await harness.until_event(execution_id, ToolCallStarted)
            await stand_still(first.process.pid, harness.settings)
            sail.touch()
            await harness.until_event(execution_id, AttemptFinished)
            with harness.locked():
                first.process.send_signal(signal.SIGCONT)
                await _verdict_is_due(harness, execution_id)
                first.process.kill()
                await first.exits()
                meanwhile = await _has_ended(harness, execution_id)
        async with harness.orchestrator("second"):
            return await Survived.of(harness, execution_id, meanwhile)


@pytest.fixture(scope="module")
async def survived(bare: Harness) -> dict[str, Survived]:
    async with asyncio.TaskGroup() as together:
        locked = together.create_task(_locked_by_another_program(bare))
        killed = together.create_task(_killed_while_it_writes(bare))
        if bare.engine is SQLITE:
            unwritable = together.create_task(_disk_full_and_then_read_only(bare))
    talkative, quiet = locked.result()
    survived = {"talkative": talkative, "quiet": quiet, "killed": killed.result()}
    return survived | ({"unwritable": unwritable.result()} if bare.engine is SQLITE else {})


SCENARIOS: Final = [
    "talkative",
    "quiet",
    "killed",
    pytest.param("unwritable", marks=pytest.mark.sqlite_only("the disk and the rights are those of the store's file")),
]


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_verdict_arrives_when_the_store_is_back_and_not_before(survived: dict[str, Survived], name: str) -> None:
    assert not survived[name].ended_meanwhile
    assert survived[name].status.phase is Phase.COMPLETED


@pytest.mark.parametrize("name", SCENARIOS)
def test_it_is_there_exactly_once(survived: dict[str, Survived], name: str) -> None:
    history = survived[name].history

    assert len([record for record in history if isinstance(record.event, TerminalEvent)]) == 1
    assert len({record.id for record in history}) == len(history)
    assert [record.version for record in history] == list(range(1, len(history) + 1))


@pytest.mark.parametrize("name", SCENARIOS)
def test_temporal_agrees(survived: dict[str, Survived], name: str) -> None:
    assert survived[name].temporal is WorkflowExecutionStatus.COMPLETED


def test_what_the_agent_said_during_the_outage_arrives_in_its_order(survived: dict[str, Survived]) -> None:
    history = survived["talkative"].history
    said = [record.event.text for record in history if isinstance(record.event, MessageAppended)]

    assert said == [f"sail {number}" for number in range(1, 6)]
    assert survived["talkative"].status.output == "five sails"


def test_a_result_that_the_runner_could_not_store_in_time_comes_with_the_verdict(
    survived: dict[str, Survived],
) -> None:
    assert survived["quiet"].status.output == "a sail"
    assert len([record for record in survived["quiet"].history if isinstance(record.event, AttemptFinished)]) == 1
