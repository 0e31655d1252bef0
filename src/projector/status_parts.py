"""What a status is made of: the phase, and the small records that it holds besides.

They are reached through the aggregate: whoever reads a status takes them from `execution_status`.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Final

from pydantic import BaseModel, ConfigDict

from projector.events import ConditionKind


class Phase(StrEnum):
    """Where an execution stands; the last three are the end."""

    PENDING = "PENDING"
    IN_PROGRESS = "IN_PROGRESS"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    @property
    def is_terminal(self) -> bool:
        """Whether nothing can change it any more."""
        return self in _TERMINAL


_TERMINAL: Final = frozenset({Phase.COMPLETED, Phase.FAILED, Phase.CANCELLED})


class Part(BaseModel):
    """Data of a status, frozen; what a later version adds is passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Condition(Part):
    """Why the execution is not moving although it has not ended.

    `observer` is the kind of process that saw it, empty for what the fold itself found.
    """

    kind: ConditionKind
    reason: str
    since: datetime
    observer: str = ""
    stack: str = ""


class ToolInFlight(Part):
    """A tool call that has not been answered."""

    tool: str
    call_id: str
    since: datetime


class MessagePreview(Part):
    """The beginning of one of the last messages."""

    role: str
    text: str


class Progress(Part):
    """How far the agent said it was, in units of its own."""

    done: float | None
    total: float | None
    note: str
