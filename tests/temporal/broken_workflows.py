"""Workflows that go under our workflow's name and are not it: what a bad deployment, or a stranger, may bring.

What one of them does stands in the input of the execution.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from temporalio import workflow
from temporalio.client import Client
from temporalio.exceptions import ApplicationError
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from runner.contracts import RECONSIDER, WORKFLOW

TALE: Final = {"output": {"depth": 42}, "output_bytes": 12}


@workflow.defn(name=WORKFLOW)
class Impostor:
    """Does what its input says, and records nothing."""

    @workflow.signal(name=RECONSIDER)
    def reconsider(self) -> None:
        """Does nothing."""

    @workflow.run
    async def run(self, request: dict[str, Any]) -> Any:
        match request["input"]:
            case "returns a result":
                return TALE
            case "returns a tale":
                return "I was a pirate"
            case "fails with a verdict":
                about = {"category": "runner_lost", "remedy": "Look at the lighthouse."}
                raise ApplicationError("Lost contact with the runner.", about, type="E203", non_retryable=True)
            case "sails on":
                workflow.continue_as_new({**request, "input": "waits"})
            case _:
                await asyncio.sleep(3600)


@workflow.defn(name=WORKFLOW)
class Mutineer:
    """Cannot be advanced: each of its tasks fails."""

    @workflow.signal(name=RECONSIDER)
    def reconsider(self) -> None:
        """Does nothing."""

    @workflow.run
    async def run(self, request: dict[str, Any]) -> Any:
        raise KeyError("no such chart")


@asynccontextmanager
async def served_by(workflow_class: type, client: Client, task_queue: str) -> AsyncIterator[None]:
    """A worker with such a workflow, for the length of the block."""
    worker = Worker(
        client, task_queue=task_queue, workflows=[workflow_class], workflow_runner=UnsandboxedWorkflowRunner()
    )
    async with worker:
        yield
