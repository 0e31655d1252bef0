"""Settings of a runner and of those who ask it for work."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field

from projector.bounds import LONGEST
from projector.events import Timeouts
from projector.settings import Seconds, StoreSettings

_AT_MOST: Final = f"at most {LONGEST:,} (10 years)"


class RunnerSettings(StoreSettings):
    """The queue, the limits of an execution, and how a runner lives."""

    agent_queue: Annotated[str, Field(min_length=1, max_length=200)] = Field(
        default="agent-runner", description="the Temporal task queue on which runners wait for work"
    )
    schedule_to_start: Seconds = Field(
        default=60.0, description=f"how long an execution waits for a runner, in seconds, {_AT_MOST}"
    )
    heartbeat_timeout: Seconds = Field(
        default=30.0, description=f"how long a runner may be silent before it counts as lost, in seconds, {_AT_MOST}"
    )
    start_to_close: Seconds = Field(default=600.0, description=f"how long an agent may run, in seconds, {_AT_MOST}")
    slots: Annotated[int, Field(ge=1, le=10_000)] = Field(
        default=100, description="how many agents a runner runs at once"
    )
    grace: Seconds = Field(
        default=25.0,
        description="how long a stopping runner takes at most, in seconds; its agents have 0.7 of that to finish, and "
        "the rest to be stopped in",
    )
    stall_after: Seconds = Field(
        default=3.0,
        description="how long an event loop, an agent's thread or a runner's process may stand still before the "
        "execution is shown as stalled, in seconds",
    )
    connect_timeout: Seconds = Field(default=10.0, description="how long to try to reach Temporal, in seconds")

    @property
    def timeouts(self) -> Timeouts:
        """The limits of an execution that is started with these settings."""
        return Timeouts(
            schedule_to_start=self.schedule_to_start,
            heartbeat=self.heartbeat_timeout,
            start_to_close=self.start_to_close,
        )
