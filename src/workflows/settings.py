"""Settings of the programs that decide: the orchestrator, the client, and everything on one machine."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, SecretStr

from projector.settings import Seconds
from runner.settings import RunnerSettings


class OrchestratorSettings(RunnerSettings):
    """What the orchestrator and its clients add to the runner's settings."""

    orchestrator_queue: Annotated[str, Field(min_length=1, max_length=200)] = Field(
        default="agent-orchestrator", description="the Temporal task queue on which orchestrators wait for workflows"
    )
    startup_grace: Seconds = Field(
        default=5.0,
        description="how long an execution still waits for another runner when one could not start, in seconds",
    )
    reconcile_interval: Seconds = Field(
        default=5.0, description="how often open executions are compared with Temporal, in seconds"
    )
    lost_start_after: Seconds = Field(
        default=30.0,
        description="how long a stored request may be unknown to Temporal before it counts as lost (E601), in seconds",
    )
    stuck_after: Seconds = Field(
        default=600.0,
        description="how long a workflow task may keep failing before the execution is FAILED E604, in seconds",
    )
    auto_retries: Annotated[int, Field(ge=0, le=100)] = Field(
        default=0,
        description="how often an execution is run again by itself when it failed before its agent began "
        "(E101 to E104, and E203 if it never began)",
    )
    auto_retry_pause: Seconds = Field(
        default=30.0, description="how long to wait before the first of these; each later one waits twice as long"
    )
    serve_host: Annotated[str, Field(min_length=1, max_length=255)] = Field(
        default="127.0.0.1",
        description="the address at which the service listens; one that other machines reach needs a token",
    )
    serve_port: Annotated[int, Field(ge=0, le=65_535)] = Field(
        default=8237, description="its port, 0 for any that is free"
    )
    serve_names: str = Field(
        default="",
        description="other names by which the service is reached, as through a proxy, with commas between them",
    )
    serve_streams: Annotated[int, Field(ge=1, le=100_000)] = Field(
        default=2000, description="how many live streams may be open at once; more are told to come back later"
    )
    serve_request_timeout: Seconds = Field(
        default=30.0, description="how long a request may take to arrive before its connection is closed, in seconds"
    )
    serve_token: SecretStr | None = Field(
        default=None, description="who sends it as `Authorization: Bearer …` may ask the service and act through it"
    )
    serve_read_token: SecretStr | None = Field(
        default=None, description="who sends it may only ask; with either token, nobody else may"
    )
