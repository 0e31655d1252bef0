"""Settings of the programs that decide: the orchestrator, the client, and everything on one machine."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from runner.settings import RunnerSettings


class OrchestratorSettings(RunnerSettings):
    """What the orchestrator and its clients add to the runner's settings."""

    orchestrator_queue: Annotated[str, Field(min_length=1, max_length=200)] = Field(
        default="agent-orchestrator", description="the Temporal task queue on which orchestrators wait for workflows"
    )
