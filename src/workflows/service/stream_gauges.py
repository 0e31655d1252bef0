"""How many clients follow the live streams, and how many of them were cut off: counted where it happens.

Plain numbers of one event loop, so that whoever streams needs to know nothing of how they are shown.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

KINDS: Final = ("execution", "all")
"""What a client follows."""
REASONS: Final = ("stalled", "full", "other")
"""Why a client was cut off or not taken: it took nothing any more, there were too many."""


@dataclass(slots=True)
class StreamGauges:
    """Counts of one service. An unknown kind or reason is counted under the last of the known ones."""

    clients: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    drops: dict[str, int] = field(default_factory=lambda: dict.fromkeys(REASONS, 0))
    sent_events: int = 0

    def opened(self, kind: str) -> None:
        """A client begins to follow."""
        self.clients[_known(kind, KINDS)] += 1

    def closed(self, kind: str) -> None:
        """A client that was opened has gone, for whatever reason."""
        self.clients[_known(kind, KINDS)] -= 1

    def dropped(self, reason: str) -> None:
        """A client was cut off or turned away by the service; `closed` is told of it as well if it was opened."""
        self.drops[_known(reason, REASONS)] += 1

    def sent(self, events: int) -> None:
        """So many events were handed to a client."""
        self.sent_events += events


def _known(name: str, names: tuple[str, ...]) -> str:
    return name if name in names else names[-1]
