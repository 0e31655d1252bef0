"""What one pass of the reconciler did, in words."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Written:
    """One event that a pass has written, and what it says. An end may be another's that was quicker by a moment."""

    execution_id: str
    type: str
    said: str


@dataclass(frozen=True, slots=True)
class Trouble:
    """An execution that could not be compared, and why; `is_silence` when Temporal gave no answer."""

    execution_id: str
    reason: str
    is_silence: bool = False


@dataclass(frozen=True, slots=True)
class ReconcileReport:
    """What one pass did. `compared` is the number of open executions that it looked at, those in trouble included."""

    compared: int
    written: tuple[Written, ...] = ()
    troubles: tuple[Trouble, ...] = ()

    def __str__(self) -> str:
        things = "1 open execution" if self.compared == 1 else f"{self.compared} open executions"
        events = "1 event" if len(self.written) == 1 else f"{len(self.written)} events"
        said = f"compared {things} with Temporal, wrote {events}"
        if self.troubles:
            said += f"; {len(self.troubles)} could not be compared, for instance {self.troubles[0].execution_id}: "
            said += self.troubles[0].reason
        return said
