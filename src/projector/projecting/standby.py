"""What a projector does that does not lead: it watches that the one that leads does its work.

A leader may be frozen and still hold the lead. Rows and position change together and each batch checks where the tables
are, so a second projector that steps in does no harm: the lead only saves work.
"""

from __future__ import annotations

from typing import Final

LOOK_EVERY: Final = 1.0
"""How often one that stands by looks, in seconds."""
_PATIENCE: Final = 3
"""How many looks in a row the tables may stand still behind the store."""


class Standby:
    """One projector's view of another's work."""

    def __init__(self) -> None:
        self._last = -1
        self._looks = 0

    def must_step_in(self, position: int, head: int) -> bool:
        """Whether the tables, at `position`, have stood still for too long although the store is at `head`."""
        stands_still = position == self._last and head > position
        self._looks = self._looks + 1 if stands_still else 0
        self._last = position
        return self._looks >= _PATIENCE
