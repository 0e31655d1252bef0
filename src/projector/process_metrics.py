"""What one process knows of itself, for Prometheus: how long its appends take, and what waits to be appended.

Whoever imports this needs prometheus-client, so programs import it only when they are asked for metrics.
"""

from __future__ import annotations

from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)

from projector import version
from projector.engines.ports import StoreEngine
from projector.event_writer import EventWriter

PREFIX: Final = "execution_status_"
APPEND_BUCKETS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
"""In seconds: a commit on a good disk takes about one millisecond, and a lock is waited for up to half a minute."""


class ProcessMetrics:
    """The metrics of this process, in a registry of their own."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # when each series began doubles their number, and is asked for by nobody
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        Gauge(
            PREFIX + "build_info",
            "Always 1; the label says which version this is.",
            ["version"],
            registry=self.registry,
        ).labels(version()).set(1)
        self._append_seconds = Histogram(
            PREFIX + "append_seconds",
            "How long transactions of this process took that appended events, with the waiting for locks and the disk.",
            buckets=APPEND_BUCKETS,
            registry=self.registry,
        )
        self._appended = Counter(
            PREFIX + "appended_events_total",
            "Events that this process appended, repeated ones included.",
            registry=self.registry,
        )

    def watch_store(self, store: StoreEngine) -> None:
        """Measure what this store is given from now on, beside whoever does so already."""
        before = store.on_append

        def both(events: int, seconds: float) -> None:
            before(events, seconds)  # type: ignore[misc]
            self._on_append(events, seconds)

        store.on_append = both if before is not None else self._on_append

    def watch_writer(self, writer: EventWriter) -> None:
        """Show what waits to be written by this writer."""
        Gauge(
            PREFIX + "events_waiting",
            "Events that wait to be appended by this process, or are being appended.",
            registry=self.registry,
        ).set_function(lambda: writer.waiting)

    def _on_append(self, events: int, seconds: float) -> None:
        self._append_seconds.observe(seconds)
        self._appended.inc(events)
