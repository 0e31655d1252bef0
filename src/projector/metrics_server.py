"""A process's own metrics on a port of loopback, where it is asked for; whatever goes wrong with it is only said."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import structlog

from projector.engines.ports import StoreEngine

if TYPE_CHECKING:
    from projector.process_metrics import ProcessMetrics

HOST: Final = "127.0.0.1"

log = structlog.get_logger("metrics")


@contextmanager
def serving_metrics(port: int, store: StoreEngine) -> Iterator[ProcessMetrics | None]:
    """Serve what this process knows of itself and of its appends to a store, for the length of the block.

    None, and nothing is served, for port 0; also where it cannot be, which is said in one line.
    """
    if not port:
        yield None
        return
    try:
        from prometheus_client import start_http_server

        from projector.process_metrics import ProcessMetrics

        metrics = ProcessMetrics()
        server, thread = start_http_server(port, HOST, metrics.registry)
    except ImportError as error:
        log.warning(f"no metrics: {error}; install them with `pip install 'execution-status[server]'`")
        yield None
        return
    except OSError as error:
        log.warning(
            f"no metrics of this process: port {port} cannot be had ({os.strerror(error.errno or 0)}); "
            "give each process of a machine an EXECUTION_STATUS_METRICS_PORT of its own"
        )
        yield None
        return
    metrics.watch_store(store)
    try:
        yield metrics
    finally:
        store.on_append = None
        server.shutdown()
        server.server_close()
        thread.join(5)
