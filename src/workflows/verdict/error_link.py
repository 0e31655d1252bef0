"""One error as Temporal tells it, as plain data; pure, so that the classifier needs no Temporal."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

LinkKind = Literal["activity", "application", "timeout", "cancelled", "server", "terminated", "other"]


class ErrorLink(BaseModel):
    """One error of a chain. Fields that do not belong to its kind keep their defaults."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    kind: LinkKind
    type: str = ""
    message: str = ""
    timeout_type: str = ""
    retry_state: str = ""
    activity_type: str = ""
    was_started: bool = True
    identity: str = ""
    detail: Any = None


ErrorChain = tuple[ErrorLink, ...]
"""From the outermost error to the root."""
