"""A cell of the matrix: a fault, the phase in which it strikes, and what must come of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from projector.events import Timeouts

LIMITS: Final = Timeouts(schedule_to_start=5, heartbeat=2, start_to_close=40)
"""The timeouts of the matrix, in seconds; those of the product are 60, 30 and 600."""


class Stage(StrEnum):
    """How far an execution has come when the fault strikes."""

    WAITING = "waiting"
    STARTING = "starting"
    BEFORE = "before the first event"
    MIDSTREAM = "mid-stream"
    IN_TOOL = "inside a tool call"
    FINISHING = "finishing"
    CANCELLING = "cancelling"


RUNNING: Final = (Stage.BEFORE, Stage.MIDSTREAM, Stage.IN_TOOL)


@dataclass(frozen=True)
class Cell:
    """`ends` is the code or phase that must come out, one of them where the fault leaves it to chance; `says` must
    stand in its reason, and `within` bounds the seconds from fault to end."""

    fault: str
    stage: Stage
    ends: tuple[str, ...]
    says: tuple[str, ...] = ()
    within: float = 20.0
    limits: Timeouts = LIMITS
    in_the_cut: bool = False

    @property
    def name(self) -> str:
        return f"{self.fault}, {self.stage}"


@dataclass(frozen=True)
class Outcome:
    """How a cell came out. `seconds` is from the fault to the end; `runs` how often the agent was run."""

    cell: Cell
    ended: str
    reason: str
    seconds: float
    runs: int
    history: tuple[str, ...]
    trouble: str = ""

    @property
    def wrong(self) -> str:
        """What is not as it must be; empty when all is."""
        if self.trouble:
            return self.trouble
        if self.ended not in self.cell.ends:
            return f"it ended {self.ended}, not {' or '.join(self.cell.ends)}"
        missing = [words for words in self.cell.says if words not in self.reason]
        if missing:
            return f"its reason does not say {missing}"
        if self.runs > 1 or self.history.count("AttemptStarted") > 1:
            return f"the agent was run {self.runs} times"
        if self.seconds > self.cell.within:
            return f"it took {self.seconds:.1f} s, and {self.cell.within:g} s are allowed"
        return ""

    @property
    def line(self) -> str:
        """The cell in one line."""
        verdict = f"  WRONG: {self.wrong}" if self.wrong else ""
        return (
            f"{self.cell.fault:36} {self.cell.stage:23} {self.ended:10} {self.seconds:6.2f} s  "
            f"{' '.join(self.reason.split())[:150]}{verdict}"
        )
