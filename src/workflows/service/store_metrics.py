"""What the store says, as Prometheus shows it: gauges of one reading of the query tables.

Labels are names of this program's own (phases, codes, kinds, states) and nothing else: whatever executions are called
and whatever agents say, the number of series stays the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from projector.catalogue import CATALOGUE
from projector.events import ConditionKind
from projector.execution_status import Phase
from projector.figures import Figures
from projector.process_metrics import PREFIX
from projector.projections.runners import RunnerState
from workflows.service.endings import OTHER, category_of
from workflows.service.stream_gauges import StreamGauges


@dataclass(frozen=True, slots=True)
class Reading:
    """What the store said at `at`. `oldest_waiting` is the time of the first event that was not projected then."""

    at: datetime
    figures: Figures
    oldest_waiting: datetime | None


class StoreCollector(Collector):
    """Shows the last reading; without one only that the store cannot be read."""

    def __init__(self) -> None:
        self.reading: Reading | None = None

    def describe(self) -> Iterable[Metric]:
        """Nothing is known before the first reading."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """The families, each with all its labels, also where they count nothing."""
        reading = self.reading
        yield _gauge(
            "store_up",
            "1 if the store could be read for this answer, 0 if not: then what it says is missing.",
            0 if reading is None else 1,
        )
        if reading is not None:
            yield from _of_executions(reading)
            yield from _of_projection(reading)
            yield from _of_runners(reading.figures.runners)


class StreamCollector(Collector):
    """Shows the gauges of the live streams."""

    def __init__(self, gauges: StreamGauges) -> None:
        self._gauges = gauges

    def collect(self) -> Iterator[Metric]:
        """The families."""
        yield _labelled(
            "stream_clients", "Clients that follow a live stream of this service.", "kind", self._gauges.clients
        )
        dropped = CounterMetricFamily(
            PREFIX + "stream_dropped", "Clients that this service cut off or turned away.", labels=["reason"]
        )
        for reason, count in self._gauges.drops.items():
            dropped.add_metric([reason], count)
        yield dropped
        yield _counter(
            "stream_events", "Events that this service sent to clients of live streams.", self._gauges.sent_events
        )


def _of_executions(reading: Reading) -> Iterator[Metric]:
    figures, now = reading.figures, reading.at
    held = GaugeMetricFamily(
        PREFIX + "executions",
        "Executions that have ended and are in the store; an archive takes them out.",
        labels=["phase", "category", "code"],
    )
    for phase in (Phase.COMPLETED, Phase.CANCELLED):
        held.add_metric([phase.value, "", ""], figures.phases.get(phase.value, 0))
    codes = _known(figures.codes, (*map(str, CATALOGUE), OTHER))
    for code, count in codes.items():
        held.add_metric([Phase.FAILED.value, category_of(code), code], count)
    yield held
    open_phases = (Phase.PENDING.value, Phase.IN_PROGRESS.value)
    counts = {phase: figures.phases.get(phase, 0) for phase in open_phases}
    yield _labelled("executions_open", "Executions that have not ended.", "phase", counts)
    kinds = (*(kind.value for kind in ConditionKind), OTHER)
    yield _labelled(
        "conditions_open",
        "Open executions that do not move, by why; one that has several conditions counts for the latest.",
        "kind",
        _known(figures.conditions, kinds),
    )
    since = figures.conditions_since
    ages = dict.fromkeys(kinds, 0.0)
    for kind, begun in since.items():
        known = kind if kind in ages else OTHER
        ages[known] = max(ages[known], _age(begun, now))
    yield _labelled(
        "condition_age_seconds",
        "How long the oldest condition of each kind has lasted, among the hundred oldest executions that have one; "
        "0 when there is none.",
        "kind",
        ages,
    )
    yield _gauge(
        "heartbeat_age_seconds",
        "Time since the last event of the execution in progress that has been silent longest; 0 when none is in "
        "progress. Runners store heartbeats also of agents that say nothing.",
        _age(figures.quiet_since, now),
    )


def _of_projection(reading: Reading) -> Iterator[Metric]:
    figures = reading.figures
    yield _gauge("store_position", "The store's last position; it rises with each event.", figures.head)
    yield _gauge(
        "projection_lag_events",
        "Events in the store that the query tables do not know yet.",
        max(figures.head - figures.position, 0),
    )
    yield _gauge(
        "projection_lag_seconds",
        "Age of the oldest event that the query tables do not know yet; 0 when they know all.",
        _age(reading.oldest_waiting, reading.at),
    )
    yield _gauge(
        "parked_streams",
        "Executions and runners whose rows stand still because an event broke the fold.",
        figures.parked,
    )


def _of_runners(held: Mapping[str, int]) -> Iterator[Metric]:
    states = _known(held, (*(state.value for state in RunnerState), OTHER))
    yield _labelled(
        "runners",
        "Runner processes, dead ones too, by what was last heard of each. One that was killed without a supervisor "
        "stays ready.",
        "state",
        states,
    )
    yield _counter("runner_starts", "Runner processes that were ever started on this store.", sum(states.values()))
    yield _counter(
        "runner_crashes",
        "Runner processes that ended and had not been told to, or did not stop when told.",
        states[RunnerState.EXITED.value],
    )
    yield _counter(
        "runner_startup_failures", "Runner processes that could not start.", states[RunnerState.STARTUP_FAILED.value]
    )


def _known(counts: Mapping[str, int], names: Iterable[str]) -> dict[str, int]:
    """Counts of all these names, the last of which takes what has another."""
    summed = dict.fromkeys(names, 0)
    for name, count in counts.items():
        summed[name if name in summed else OTHER] += count
    return summed


def _age(begin: datetime | None, now: datetime) -> float:
    return max((now - begin).total_seconds(), 0.0) if begin is not None else 0.0


def _gauge(name: str, said: str, value: float) -> Metric:
    return GaugeMetricFamily(PREFIX + name, said, value=value)


def _counter(name: str, said: str, value: float) -> Metric:
    return CounterMetricFamily(PREFIX + name, said, value=value)


def _labelled(name: str, said: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(PREFIX + name, said, labels=[label])
    for each, value in values.items():
        family.add_metric([each], value)
    return family
