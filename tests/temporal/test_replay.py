"""Recorded workflows replay on today's code: one that runs while a new version is deployed goes on."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from pathlib import Path
from typing import Final

import pytest
from temporalio.client import WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer
from temporalio.workflow import NondeterminismError

from workflows.execution_workflow import InvokeAgentExecution

HISTORIES: Final = sorted((Path(__file__).parent / "histories").glob("*.json"))
NAMES: Final = [path.stem for path in HISTORIES]


async def _replay(recorded: str) -> None:
    # Without workflow_failure_exception_types: with it the SDK's replayer hangs on a history that does not fit.
    replayer = Replayer(workflows=[InvokeAgentExecution], data_converter=pydantic_data_converter)
    started = json.loads(recorded)["events"][0]["workflowExecutionStartedEventAttributes"]
    async with asyncio.timeout(20):
        await replayer.replay_workflow(WorkflowHistory.from_json(started["workflowId"], recorded))


def test_each_way_for_an_execution_to_end_is_recorded() -> None:
    assert NAMES == [
        "agent-failed",
        "cancelled-while-running",
        "cancelled-while-waiting",
        "completed",
        "handed-out-again",
        "no-runner",
        "timed-out",
        "told-early",
    ]


@pytest.mark.parametrize("path", HISTORIES, ids=NAMES)
async def test_a_recorded_workflow_replays(path: Path) -> None:
    await _replay(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", HISTORIES, ids=NAMES)
async def test_a_history_of_another_workflow_does_not(path: Path) -> None:
    with pytest.raises(NondeterminismError):
        await _replay(path.read_text(encoding="utf-8").replace('"record_outcome"', '"write_obituary"'))


@pytest.mark.parametrize("path", HISTORIES, ids=NAMES)
def test_a_recorded_history_tells_nothing_of_the_machine(path: Path) -> None:
    written = path.read_text(encoding="utf-8")
    payloads: list[bytes] = []

    def look_into(value: dict[str, object]) -> dict[str, object]:
        if isinstance(data := value.get("data"), str):
            payloads.append(base64.b64decode(data))
        return value

    json.loads(written, object_hook=look_into)
    everything = written + b"\n".join(payloads).decode()
    identities = set(re.findall(r'"identity": ?"([^"]*)"', everything))
    folders = set(re.findall(r"(?<![\w.:<])/[\w.-]+/", everything))
    assert identities <= {"", "client", "history-service", "orchestrator:1", "runner:ship-1-000000"}
    assert folders <= {"/ship/", "/survey/"}
    assert "stackTrace" not in everything
