"""The matrix: every fault in every stage in which it can strike, and what the catalogue says must come of it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Final

from projector.events import Timeouts
from tests.hostile import HOSTILE
from tests.matrix.cell import LIMITS, RUNNING, Cell, Stage
from tests.matrix.plays import outages, runners, starts, workflows
from tests.matrix.scene import Play
from tests.temporal.faults import MEMORY_GROUPS

COMPLETED: Final = ("COMPLETED",)
CANCELLED: Final = ("CANCELLED",)
PATIENT: Final = Timeouts(schedule_to_start=30, heartbeat=20, start_to_close=60)
"""To make a text of 100 MB holds up every thread of a runner; a timeout here would mean that the reason was lost."""
BRIEF: Final = LIMITS.model_copy(update={"start_to_close": 3.0})
UNHURRIED: Final = LIMITS.model_copy(update={"schedule_to_start": 60.0})
"""On a busy machine a runner takes its time until it cannot start."""
START: Final = 12.0
"""Seconds within which a runner that cannot start is told of: it takes some to come so far, and then its grace."""
CRASH: Final = 3.0
"""Seconds within which a crash must be told that somebody saw, on a busy machine."""
TOOL: Final = "while it used the tool 'sonar'"

WHOLE: Final[dict[str, tuple[Cell, Play]]] = {}
"""Every cell by its name, with its play."""


def _add(play: Play, *cells: Cell) -> None:
    WHOLE.update({cell.name: (cell, play) for cell in cells})


def _each(fault: str, stages: tuple[Stage, ...], ends: tuple[str, ...], *says: str, **more: object) -> Iterator[Cell]:
    for stage in stages:
        words = (*says, TOOL) if stage is Stage.IN_TOOL and more.get("names_tool") else says
        given = {name: value for name, value in more.items() if name != "names_tool"}
        cut = stage in given.pop("cut", ())  # type: ignore[operator]
        yield Cell(fault, stage, ends, words, in_the_cut=cut, **given)  # type: ignore[arg-type]


_W, _S, _B, _M, _T, _F, _C = Stage
_GOING: Final = (*RUNNING, _F)

# --- nobody takes it -------------------------------------------------------------------------------------------------
_add(starts.nothing_polls, *_each("no runner", (_W,), ("E102",), "no runner has ever announced itself", cut=(_W,)))
for _fault, _says in {
    "import error": "ImportError: cannot import name 'tides'",
    "missing dependency": "ModuleNotFoundError: No module named 'almanac_that_is_not_installed'",
    "bad configuration": "CHART_FOLDER_THAT_IS_NOT_SET",
}.items():
    _add(starts.start_fails, *_each(_fault, (_W, _S), ("E101",), _says, within=START, limits=UNHURRIED, cut=(_W,)))
_add(starts.start_fails, *_each("os._exit", (_W, _S), ("E101",), "exit code 3", within=START, limits=UNHURRIED))
_add(starts.dies_while_starting, *_each("SIGKILL", (_S,), ("E101",), "SIGKILL", within=START, limits=UNHURRIED))
_add(
    starts.runner_finds_no_temporal,
    *_each("Temporal unreachable by the runner", (_W,), ("E101",), "127.0.0.1:1", limits=UNHURRIED),
)
_add(starts.client_finds_no_temporal, *_each("Temporal unreachable at start", (_W,), ("E601",), "127.0.0.1:1"))
_add(starts.all_slots_taken, *_each("all slots busy", (_W,), ("E103",), "The only slot of 1 runner", cut=(_W,)))
_add(starts.unregistered, *_each("unregistered activity", (_W,), ("E104",), "is not registered"))
_add(starts.undecodable, *_each("undecodable input", (_W,), ("E104",), "cannot serve this execution"))

# --- the runner goes away --------------------------------------------------------------------------------------------
_crash: Final = {"within": CRASH, "names_tool": True}
_add(runners.signalled(signal.SIGKILL), *_each("SIGKILL", RUNNING, ("E201",), "SIGKILL", cut=(_T,), **_crash))
_add(runners.signalled(signal.SIGKILL), *_each("SIGKILL", (_F,), COMPLETED, cut=(_F,)))
_add(runners.signalled(signal.SIGKILL), *_each("SIGKILL", (_C,), ("E201",), "SIGKILL", within=CRASH))
_add(runners.meets_it_by_itself, *_each("os._exit", (*RUNNING, _C), ("E201",), "exit code 3", cut=(_M,), **_crash))
_add(runners.meets_it_by_itself, *_each("segmentation fault", RUNNING, ("E201",), "SIGSEGV", **_crash))
_add(runners.stopped, *_each("SIGTERM", RUNNING, ("E204",), "shut down", cut=(_T,), names_tool=True))
_add(runners.stopped, *_each("SIGTERM", (_S,), ("E102",)), *_each("SIGTERM", (_F,), COMPLETED))
_add(runners.stopped, *_each("SIGTERM", (_C,), CANCELLED))
_add(runners.both_killed, *_each("supervisor killed with its runner", RUNNING, ("E203",), "Lost contact", cut=(_T,)))
_add(runners.both_killed, *_each("supervisor killed with its runner", (_F,), COMPLETED))
_add(runners.both_killed, *_each("supervisor killed with its runner", (_C,), ("E203",), "Lost contact"))
_add(runners.meets_it_by_itself, *_each("out of memory", RUNNING, ("E401",), "MemoryError", cut=(_M,)))
if os.access(MEMORY_GROUPS, os.W_OK) and (MEMORY_GROUPS / "cgroup.procs").exists():
    _add(
        runners.out_of_memory_by_the_kernel,
        *_each("killed by the kernel for its memory", (_T,), ("E201",), "out of memory", TOOL),
    )

# --- it stands still, or seems to ------------------------------------------------------------------------------------
_add(
    runners.frozen, *_each("SIGSTOP, SIGCONT after the end", RUNNING, ("E202",), "SIGSTOP", cut=(_M,), names_tool=True)
)
_add(runners.frozen, *_each("SIGSTOP, SIGCONT after the end", (_C,), ("E202",), "SIGSTOP"))
_add(runners.frozen, *_each("SIGSTOP, SIGCONT after the end", (_W,), ("E102", "E203"), within=40))
_add(runners.frozen_for_a_moment, *_each("SIGSTOP, SIGCONT in time", RUNNING, COMPLETED))
_add(runners.meets_it_by_itself, *_each("blocked loop", RUNNING, COMPLETED, cut=(_T,)))
_add(runners.meets_it_by_itself, *_each("silence", RUNNING, COMPLETED, cut=(_M,)))
_add(
    runners.meets_it_by_itself,
    *_each("too slow", RUNNING, ("E301",), "longer than its limit of 3 s", limits=BRIEF, cut=(_T,), names_tool=True),
)

# --- the agent -------------------------------------------------------------------------------------------------------
_add(runners.meets_it_by_itself, *_each("exception", RUNNING, ("E401",), "the reef is not on the chart", cut=(_T,)))
_add(runners.meets_it_by_itself, *_each("exception", (_C,), ("E401",), "the reef is not on the chart"))
_add(runners.meets_it_by_itself, *_each("exception", (_F,), COMPLETED))
_add(runners.meets_it_by_itself, *_each("result that is no JSON", (_F,), ("E403",), "lock", cut=(_F,)))
_add(runners.meets_it_by_itself, *_each("result that is too large", (_F,), ("E403",), "3,000,002 bytes"))
for _name, _hostile in HOSTILE.items():
    _ends = ("E401", "E402")
    _add(runners.meets_it_by_itself, *_each(_name, (_M,), _ends, _hostile.says, limits=PATIENT))

# --- people, the workflow, the store ---------------------------------------------------------------------------------
_add(workflows.cancelled, *_each("user cancel", (_W, _S, *RUNNING), CANCELLED, "the ferry has left", cut=(_W, _T)))
_add(workflows.cancelled, *_each("user cancel", (_F,), COMPLETED))
_add(workflows.terminated, *_each("terminate", (_W, *RUNNING), ("E602",), "the harbour is closed", cut=(_T,)))
# The agent has been told to stop already: if it is quicker than the look at the workflow, it was cancelled.
_add(workflows.terminated, *_each("terminate", (_C,), ("CANCELLED", "E602")))
_add(workflows.terminated, *_each("terminate", (_F,), COMPLETED))
_add(
    workflows.timed_out_outside,
    *_each("workflow execution timeout", (_W, *RUNNING), ("E603",), "time limit", cut=(_W,)),
)
_add(workflows.workflow_cannot_read, *_each("workflow bug: unreadable", (_W,), ("E604",), cut=(_W,)))
_add(workflows.workflow_is_stuck, *_each("workflow bug: stuck", (_W,), ("E604",), "SomebodyElsesWorkflow", within=40))
_add(workflows.paused, *_each("activity paused and unpaused", RUNNING, COMPLETED, cut=(_M,)))
_add(outages.orchestrator_killed, *_each("orchestrator killed", (_W, *_GOING), COMPLETED, cut=(_T,)))
_add(outages.store_locked, *_each("store unwritable", _GOING, COMPLETED), *_each("store unwritable", (_W,), ("E102",)))
_add(outages.temporal_away, *_each("Temporal unreachable mid-run", RUNNING, COMPLETED, within=60, cut=(_M,)))
_add(outages.temporal_away, *_each("Temporal unreachable at the end", (_F,), COMPLETED, within=60))

CUT: Final = {name: found for name, found in WHOLE.items() if found[0].in_the_cut}
"""The shorter matrix."""
