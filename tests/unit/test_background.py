"""Jobs beside the orchestrator's worker: they end with it, and never in silence."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from workflows import background
from workflows.background import Job, running_jobs


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "FIRST_PAUSE", 0.01)


class Watchman:
    """Begins his rounds; the first ones end as he is told, the next lasts until he is called off."""

    def __init__(self, *ends: Exception | None) -> None:
        self.ends = list(ends)
        self.rounds = 0
        self.at_work = asyncio.Event()
        self.called_off = False

    async def run(self) -> None:
        self.rounds += 1
        if self.ends:
            if (end := self.ends.pop(0)) is not None:
                raise end
            return
        self.at_work.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.called_off = True
            raise


async def test_jobs_run_as_long_as_the_block_and_no_longer() -> None:
    bow, stern = Watchman(), Watchman()
    async with running_jobs([Job("bow", bow.run), Job("stern", stern.run)]):
        await bow.at_work.wait()
        await stern.at_work.wait()
    assert (bow.called_off, stern.called_off) == (True, True)
    assert (bow.rounds, stern.rounds) == (1, 1)


async def test_a_job_that_crashes_or_ends_is_said_and_begun_again_while_the_others_go_on() -> None:
    bow, stern = Watchman(ValueError("ice ahead"), None), Watchman()
    with capture_logs() as said:
        async with running_jobs([Job("bow", bow.run), Job("stern", stern.run)]), asyncio.timeout(10):
            await bow.at_work.wait()
    assert (bow.rounds, stern.rounds) == (3, 1)
    assert [(entry["log_level"], entry["job"], entry["reason"]) for entry in said] == [
        ("error", "bow", "ValueError: ice ahead"),
        ("error", "bow", "it ended by itself"),
    ]
    assert [entry["in_seconds"] for entry in said] == [0.01, 0.02]


async def test_an_error_in_the_block_ends_the_jobs_and_comes_out() -> None:
    bow = Watchman()
    with pytest.raises(RuntimeError, match="abandon ship"):
        async with running_jobs([Job("bow", bow.run)]):
            await bow.at_work.wait()
            raise RuntimeError("abandon ship")
    assert bow.called_off
