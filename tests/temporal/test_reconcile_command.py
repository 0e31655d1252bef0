"""The command `reconcile`: one pass, or one after the other until it is told to stop."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
from pathlib import Path
from typing import Final

from tests.made_up_secrets import TOKENS
from tests.temporal.harness import Harness, failure_of
from tests.temporal.processes import command, program, until
from tests.temporal.reconciling import harbour, launch, store_request

TOKEN: Final = TOKENS[0]


async def test_the_command_writes_what_is_missing_once(bare: Harness) -> None:
    async with harbour(bare) as harness:
        for name in ("wreck-1", "wreck-2"):
            await launch(harness, name, await store_request(harness, name))
            await harness.workflow(name).terminate(reason=f"rocks ahead, said {TOKEN.text}")
        first = await command("reconcile", "--once", "--json", extra=harness.surroundings)
        second = await command("reconcile", "--once", extra=harness.surroundings)
        status = await harness.status("wreck-1")

    lines = [json.loads(line) for line in first.out.splitlines()]
    assert (first.code, second.code, second.out) == (0, 0, "")
    assert {(line["execution_id"], line["type"]) for line in lines} == {
        ("wreck-1", "ExecutionFailed"),
        ("wreck-2", "ExecutionFailed"),
    }
    assert all(line["said"].startswith("E602 ") and "rocks ahead, said" in line["said"] for line in lines)
    assert not any(piece in first.out + first.err for piece in TOKEN.pieces())
    assert "compared 2 open executions with Temporal, wrote 2 events" in first.err
    assert "compared 0 open executions with Temporal, wrote 0 events" in second.err
    assert failure_of(status).code == "E602"


async def test_the_command_goes_on_until_it_is_told_to_stop(bare: Harness) -> None:
    async with harbour(bare) as harness:
        often = harness.surroundings | {"EXECUTION_STATUS_RECONCILE_INTERVAL": "0.2"}
        async with program("reconcile", "--json", folder=harness.folder, name="reconcile", extra=often) as running:
            await running.says("every 0.2 s")
            await launch(harness, "derelict", await store_request(harness, "derelict"))
            await harness.workflow("derelict").terminate(reason="abandoned")
            await harness.end("derelict")
            await until(lambda: "derelict" in running.printed())
            running.process.send_signal(signal.SIGTERM)
            code = await running.exits(within=10)

    assert (code, len(running.printed().splitlines())) == (0, 1)
    assert json.loads(running.printed())["type"] == "ExecutionFailed"


async def test_the_command_says_when_temporal_or_the_store_is_not_there(bare: Harness, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nobody = f"127.0.0.1:{taken.getsockname()[1]}"
    away = bare.surroundings | {"TEMPORAL_ADDRESS": nobody, "EXECUTION_STATUS_CONNECT_TIMEOUT": "1"}
    nowhere = bare.surroundings | {"EXECUTION_STATUS_STORE": str(tmp_path / "none.db")}
    unreachable, missing = await asyncio.gather(
        command("reconcile", "--once", extra=away), command("reconcile", "--once", extra=nowhere)
    )

    assert (unreachable.code, missing.code) == (4, 4)
    assert nobody in unreachable.err
    assert "there is no event store at" in missing.err
