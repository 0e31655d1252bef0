"""Records the histories that `test_replay.py` replays: `python -m tests.temporal.record_histories`, in the root folder.

Record anew only when the workflow has changed on purpose and no execution of the older version can be running any
more. Names of machines, processes and folders are taken out.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import socket
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from projector.events import AttemptRefused, MessageAppended, RunnerAwaited, Timeouts, ToolCallStarted
from tests.temporal.agents import SERVED
from tests.temporal.harness import HEALTHY_QUEUE, Harness, installed
from tests.temporal.operators import reset
from tests.temporal.processes import ROOT

HISTORIES: Final = Path(__file__).parent / "histories"
_BRIEF: Final = Timeouts(schedule_to_start=1, heartbeat=1, start_to_close=1)


def harmless(value: Any, places: dict[str, str]) -> Any:
    """A history without what tells of the machine; payloads are looked into, stacks are left out."""
    if isinstance(value, dict):
        return {
            name: _payload(held, places) if name == "data" and isinstance(held, str) else harmless(held, places)
            for name, held in value.items()
            if name != "stackTrace"
        }
    if isinstance(value, list):
        return [harmless(held, places) for held in value]
    return _without(value, places) if isinstance(value, str) else value


def _payload(data: str, places: dict[str, str]) -> str:
    return base64.b64encode(_without(base64.b64decode(data).decode(), places).encode()).decode()


def _without(text: str, places: dict[str, str]) -> str:
    for place, stands_for in places.items():
        text = text.replace(place, stands_for)
    text = re.sub(r"\b(runner:)?ship-\d+-[0-9a-f]{6}\b", r"\1ship-1-000000", text)
    return re.sub(r"\b(\d+@ship|orchestrator:\d+)\b", "orchestrator:1", text)


async def _cancelled(harness: Harness, name: str, kind: type, queue: str | None = None) -> str:
    execution_id = await harness.start(name, queue=queue)
    await harness.until_event(execution_id, kind)
    await harness.executions.cancel(execution_id)
    await harness.end(execution_id)
    return execution_id


async def _told_early(harness: Harness) -> str:
    """Its runner cannot start, and somebody asks the workflow to look into the store."""
    execution_id = await harness.start("surveyor", queue="reefs")
    await harness.until_event(execution_id, RunnerAwaited)
    async with harness.starting_runner("examples.broken_import:agent", queue="reefs"):
        await harness.end(execution_id)
    return execution_id


async def _handed_out_again(harness: Harness) -> str:
    """Its workflow is reset while its agent works: the new run waits for the store."""
    sail = harness.folder / "sail"
    execution_id = await harness.start("waits_for_a_file", str(sail))
    await harness.until_event(execution_id, ToolCallStarted)
    await reset(harness.temporal, execution_id)
    await harness.until_event(execution_id, AttemptRefused)
    sail.touch()
    await harness.end(execution_id)
    return execution_id


async def _executions(harness: Harness) -> dict[str, str]:
    """One execution of each kind, at its end, by name."""
    async with harness.runner(*SERVED, queue=HEALTHY_QUEUE):
        return {
            "completed": (await harness.run("says_nothing")).execution_id,
            "agent-failed": (await harness.run("blunderer")).execution_id,
            "timed-out": (await harness.run("drifts", timeouts=_BRIEF)).execution_id,
            "no-runner": (await harness.run("surveyor", queue="doldrums", timeouts=_BRIEF)).execution_id,
            "cancelled-while-waiting": await _cancelled(harness, "surveyor", RunnerAwaited, "doldrums"),
            "cancelled-while-running": await _cancelled(harness, "tidy", MessageAppended),
            "told-early": await _told_early(harness),
            "handed-out-again": await _handed_out_again(harness),
        }


async def _record(folder: Path) -> None:
    places = {
        str(folder): "/survey",
        str(ROOT): "/ship",
        sys.prefix: "/ship/.venv",
        sys.base_prefix: "/python",
        f"{socket.gethostname()}-": "ship-",
        f"@{socket.gethostname()}": "@ship",
    }
    HISTORIES.mkdir(exist_ok=True)
    async with installed(folder, startup_grace=0.5) as harness:
        for name, execution_id in (await _executions(harness)).items():
            await harness.workflow(execution_id).describe()
            history = json.loads((await harness.workflow(execution_id).fetch_history()).to_json())
            written = json.dumps(harmless(history, places), indent=1, sort_keys=True, ensure_ascii=False)
            (HISTORIES / f"{name}.json").write_text(written + "\n", encoding="utf-8")
            print(name)


if __name__ == "__main__":
    for variable in [name for name in os.environ if name.startswith(("EXECUTION_STATUS_", "TEMPORAL_"))]:
        del os.environ[variable]
    with tempfile.TemporaryDirectory(prefix="histories-") as temporary:
        asyncio.run(_record(Path(temporary)))
