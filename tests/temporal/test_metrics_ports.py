"""Roles on a port of their own tell Prometheus what they do; and no role fails because it cannot."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import httpx2

from tests.temporal.harness import Harness, agent
from tests.temporal.processes import environment, program


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as bound:
        port: int = bound.getsockname()[1]
        return port


async def scraped(port: int) -> dict[str, float]:
    async with httpx2.AsyncClient() as client:
        text = (await client.get(f"http://127.0.0.1:{port}/metrics")).text
    lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in lines}


async def test_two_runners_of_one_port_serve_and_one_of_them_says_that_it_has_no_metrics(bare: Harness) -> None:
    port = free_port()
    extra = {"EXECUTION_STATUS_METRICS_PORT": str(port)}
    async with (
        bare.runner(agent("surveyor"), queue="measured", extra=extra),
        bare.runner(agent("surveyor"), queue="unmeasured", extra=extra, supervised=True) as second,
    ):
        before = await scraped(port)
        await bare.run("surveyor", queue="measured")
        after = await scraped(port)
        await bare.run("surveyor", queue="unmeasured")
        elsewhere = await scraped(port)

        assert after["execution_status_append_seconds_count"] > before["execution_status_append_seconds_count"]
        assert after["execution_status_appended_events_total"] == elsewhere["execution_status_appended_events_total"]
        assert after["execution_status_events_waiting"] >= 0
        assert f"port {port} cannot be had" in second.said()
        assert "EXECUTION_STATUS_METRICS_PORT of its own" in second.said()


async def test_an_orchestrator_and_a_projector_show_their_own(bare: Harness) -> None:
    roles = {"orchestrator": "orchestrator serves", "project": "the projector follows"}
    async with bare.beside("measured-ship", lock_timeout=5.0, orchestrated=False) as harness:
        for role, words in roles.items():
            port = free_port()
            extra = harness.surroundings | {"EXECUTION_STATUS_METRICS_PORT": str(port)}
            async with program(role, folder=harness.folder, name=f"measured-{role}", extra=extra) as started:
                await started.says(words)
                assert "execution_status_append_seconds_count" in await scraped(port)


async def test_without_the_extra_a_role_says_so_and_works(bare: Harness, tmp_path: Path) -> None:
    (tmp_path / "prometheus_client.py").write_text("raise ImportError('No module named prometheus_client')\n")
    extra = bare.surroundings | {
        "EXECUTION_STATUS_METRICS_PORT": str(free_port()),
        "PYTHONPATH": f"{tmp_path}{os.pathsep}{environment()['PYTHONPATH']}",
    }
    async with program("project", folder=bare.folder, name="unmeasured-project", extra=extra) as started:
        await started.says("the projector follows")
        assert "pip install 'execution-status[server]'" in started.said()
