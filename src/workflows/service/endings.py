"""Counts executions as they end: from when this service was first asked on, as counters of a process do.

The query tables cannot give counters, since an archive takes rows out of them. So each reading asks for what has ended
since the one before. Rows are found by the time of their end, which an orchestrator's clock said, and come in the order
of their positions; those of the last minute are asked for again, because clocks of several machines may disagree by
that, and are told apart by their ids.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram

from projector.catalogue import CATALOGUE, Code
from projector.execution_status import Phase
from projector.figures import Ending, Figures
from projector.process_metrics import PREFIX
from projector.queries import Queries

OTHER: Final = "other"
"""Stands for a code that this version does not know."""
OVERLAP: Final = timedelta(seconds=60)
MOST_AT_ONCE: Final = 2_000
"""How many endings one reading takes; what is left comes with the next."""
VERDICT_BUCKETS: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
EXECUTION_BUCKETS: Final = (0.1, 0.5, 1, 5, 10, 30, 60, 120, 300, 600, 1_800, 3_600, 14_400)


class Endings:
    """The metrics of what has ended since this was made."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._total = Counter(
            PREFIX + "executions_ended_total",
            "Executions that ended since this service was first asked for metrics; code and category of those that "
            "FAILED. Each service on a store counts all of them.",
            ["phase", "category", "code"],
            registry=registry,
        )
        self._verdict = Histogram(
            PREFIX + "verdict_seconds",
            "Of executions that FAILED since this service was first asked: the time from the last event before the "
            "verdict, which is the last sign of life or the report of the fault, to the verdict.",
            ["category"],
            buckets=VERDICT_BUCKETS,
            registry=registry,
        )
        self._execution = Histogram(
            PREFIX + "execution_seconds",
            "Of executions that ended since this service was first asked: the time from the request to the end.",
            ["phase"],
            buckets=EXECUTION_BUCKETS,
            registry=registry,
        )
        self._begun: datetime | None = None
        self._position = 0
        self._counted: dict[str, datetime] = {}
        # A counter that appears with its first event has never risen, to Prometheus: so all are there from the start.
        for phase in (Phase.COMPLETED, Phase.FAILED, Phase.CANCELLED):
            self._execution.labels(phase.value)
            for code in (*CATALOGUE, OTHER) if phase is Phase.FAILED else ("",):
                self._total.labels(phase.value, category_of(code), known_code(code))
        for code in (*CATALOGUE, OTHER):
            self._verdict.labels(category_of(code))

    async def read(self, queries: Queries, figures: Figures) -> None:
        """Count what has ended since the last reading. Raises StoreUnavailable."""
        if self._begun is None:
            self._begun = figures.newest_end or datetime.now(UTC)
            self._position = figures.position
            return
        since = self._begun - OVERLAP
        found = await queries.endings(since, self._position, MOST_AT_ONCE)
        for ending in found:
            if ending.execution_id not in self._counted:
                self._counted[ending.execution_id] = ending.finished_at
                self._count(ending)
        is_all = len(found) < MOST_AT_ONCE
        # Rows that were projected between the two questions come again, and are known by then.
        self._position = max(self._position, figures.position if is_all else found[-1].position)
        self._begun = max((self._begun, *(ending.finished_at for ending in found)))
        self._counted = {id: at for id, at in self._counted.items() if at >= self._begun - OVERLAP}

    def _count(self, ending: Ending) -> None:
        self._total.labels(ending.phase, category_of(ending.code), known_code(ending.code)).inc()
        if ending.requested_at is not None:
            self._execution.labels(ending.phase).observe(_seconds(ending.requested_at, ending.finished_at))
        if ending.code and ending.before_end_at is not None:
            self._verdict.labels(category_of(ending.code)).observe(_seconds(ending.before_end_at, ending.finished_at))


def known_code(code: str) -> str:
    """A code that may be a label: only those of the catalogue are."""
    return code if not code or code in CATALOGUE else OTHER


def category_of(code: str) -> str:
    """The category of a code, as the catalogue names it."""
    return CATALOGUE[Code(code)].category if code in CATALOGUE else known_code(code)


def _seconds(begin: datetime, end: datetime) -> float:
    return max((end - begin).total_seconds(), 0.0)  # two machines' clocks
