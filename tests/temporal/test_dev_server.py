"""The embedded Temporal, for real: every test starts the server's own binary."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import venv
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import psutil
import pytest
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes

from projector.errors import InputRejected
from workflows.dev_server import dev_server, find_binary
from workflows.embedded.errors import EmbeddedTemporalFailed

NOBODY_POLLS = "a-queue-that-nobody-polls"
SHOPPING_LIST = "rope, tar, ship's biscuit\n" * 400

HOLDER = """
import asyncio, sys
from pathlib import Path
from temporalio.client import Client
from workflows.dev_server import dev_server

async def hold():
    async with dev_server(database=Path(sys.argv[1])) as server:
        print(server.pid, flush=True)
        try:
            await asyncio.Event().wait()
        finally:
            await Client.connect(server.address)
            print("still answers", flush=True)

asyncio.run(hold())
"""

ASKER = """
import asyncio
from workflows.dev_server import dev_server
from workflows.embedded.errors import EmbeddedTemporalMissing

async def ask():
    try:
        async with dev_server(database=None):
            print("it started")
    except EmbeddedTemporalMissing as error:
        print(error.exit_code, error)

asyncio.run(ask())
"""


def is_dead(pid: int) -> bool:
    """Whether the process is gone; one that only waits for its parent to look is gone too."""
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


async def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


def servers_of_this_process() -> list[int]:
    return [child.pid for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE]


def python_path() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


@asynccontextmanager
async def held_elsewhere(database: Path) -> AsyncIterator[tuple[subprocess.Popen[str], int]]:
    """A process group of its own that holds a server on this database: the process and the server's pid."""
    command = [sys.executable, "-c", HOLDER, str(database)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=python_path(), process_group=0
    ) as holder:
        try:
            assert holder.stdout is not None
            yield holder, int(await asyncio.to_thread(holder.stdout.readline))
        finally:
            holder.kill()


@pytest.fixture
def logbook(tmp_path: Path) -> Path:
    return tmp_path / "ship's logs? 100 % #1" / "temporal state.db"


@pytest.fixture(autouse=True)
def nothing_stays_behind() -> Iterator[None]:
    before = set(servers_of_this_process())
    yield
    assert set(servers_of_this_process()) <= before


async def test_every_listener_of_the_server_is_on_loopback() -> None:
    async with dev_server(database=None) as server:
        connections = psutil.Process(server.pid).net_connections(kind="inet")
        listeners = {(found.laddr.ip, found.laddr.port) for found in connections if found.status == psutil.CONN_LISTEN}

    host, _, port = server.address.partition(":")
    assert (host, int(port)) in listeners
    assert {ip for ip, _ in listeners} == {"127.0.0.1"}


async def test_the_namespace_and_its_search_attributes_are_there_when_the_block_begins() -> None:
    status = SearchAttributeKey.for_keyword("AgentStatus")
    async with dev_server(
        database=None, namespace="harbour", search_attributes={"AgentStatus": "Keyword", "AgentFailureCode": "Keyword"}
    ) as server:
        client = await Client.connect(server.address, namespace=server.namespace)
        handle = await client.start_workflow(
            "Voyage",
            id="voyage-of-the-beagle",
            task_queue=NOBODY_POLLS,
            search_attributes=TypedSearchAttributes([SearchAttributePair(status, "at sea")]),
        )
        found = await handle.describe()

    assert found.typed_search_attributes[status] == "at sea"


async def test_two_servers_at_once_have_different_ports() -> None:
    async with AsyncExitStack() as stack:
        first, second = await asyncio.gather(
            stack.enter_async_context(dev_server(database=None)),
            stack.enter_async_context(dev_server(database=None)),
        )
        assert first.address != second.address
        for server in (first, second):
            await Client.connect(server.address)


async def test_another_temporal_on_the_port_is_not_taken_for_ours() -> None:
    async with dev_server(database=None) as harbour_masters:
        taken = int(harbour_masters.address.rpartition(":")[2])
        with pytest.raises(EmbeddedTemporalFailed, match=f"127.0.0.1:{taken}: bind: address already in use") as caught:
            async with dev_server(database=None, port=taken):
                pass

    assert "Next: stop what listens there, choose another port, or set TEMPORAL_ADDRESS" in str(caught.value)


async def test_state_survives_a_sigkill_of_the_server(logbook: Path) -> None:
    async with dev_server(database=logbook) as server:
        client = await Client.connect(server.address)
        await client.start_workflow("Voyage", id="voyage-of-the-beagle", task_queue=NOBODY_POLLS)
        os.kill(server.pid, signal.SIGKILL)
        await until(lambda: is_dead(server.pid))

    async with dev_server(database=logbook) as server:
        client = await Client.connect(server.address)
        found = await client.get_workflow_handle("voyage-of-the-beagle").describe()

    assert found.status is WorkflowExecutionStatus.RUNNING
    assert found.task_queue == NOBODY_POLLS


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent died")
async def test_a_sigkill_of_the_parent_takes_the_server_along_and_frees_the_database(logbook: Path) -> None:
    async with held_elsewhere(logbook) as (holder, pid):
        assert not is_dead(pid)
        os.kill(holder.pid, signal.SIGKILL)
        await until(lambda: is_dead(pid))

    async with dev_server(database=logbook) as server:
        await Client.connect(server.address)


async def test_ctrl_c_in_the_terminal_leaves_the_server_up_until_those_who_use_it_have_ended(logbook: Path) -> None:
    async with held_elsewhere(logbook) as (holder, pid):
        assert os.getpgid(pid) != holder.pid
        os.killpg(holder.pid, signal.SIGINT)
        said, _ = await asyncio.to_thread(holder.communicate)

    assert said == "still answers\n"
    assert is_dead(pid)


async def test_a_frozen_server_is_killed_when_its_grace_is_over() -> None:
    async with dev_server(database=None) as server:
        os.kill(server.pid, signal.SIGSTOP)

    assert is_dead(server.pid)


async def test_a_start_that_is_cancelled_leaves_no_process() -> None:
    begun = asyncio.create_task(dev_server(database=None).__aenter__())
    await until(lambda: bool(servers_of_this_process()))
    begun.cancel()

    with pytest.raises(asyncio.CancelledError):
        await begun


async def test_a_start_that_takes_too_long_says_so() -> None:
    with pytest.raises(EmbeddedTemporalFailed, match=r"did not answer on 127\.0\.0\.1:\d+ within 0\.001 s"):
        async with dev_server(database=None, start_timeout=0.001):
            pass


async def test_a_database_in_use_by_another_server_is_refused_and_its_holder_named(logbook: Path) -> None:
    async with dev_server(database=logbook) as server:
        with pytest.raises(EmbeddedTemporalFailed, match=rf"\(process {server.pid}\) uses the database .*state\.db"):
            async with dev_server(database=logbook):
                pass
        await Client.connect(server.address)


async def test_the_server_itself_holds_the_lock_in_case_it_outlives_this_process(logbook: Path) -> None:
    async with dev_server(database=logbook) as server:
        held = {Path(file.path) for file in psutil.Process(server.pid).open_files()}

    assert logbook.with_name("temporal state.db.lock") in held


async def test_a_database_that_another_program_has_locked_is_refused(logbook: Path) -> None:
    async with dev_server(database=logbook):
        pass
    backup = sqlite3.connect(logbook, isolation_level=None)
    try:
        backup.execute("BEGIN EXCLUSIVE")
        with pytest.raises(EmbeddedTemporalFailed, match="database is locked") as caught:
            async with dev_server(database=logbook):
                pass
    finally:
        backup.close()

    assert "Next: end the process that has the file open, then start again" in str(caught.value)


async def test_a_file_that_is_no_database_is_refused_untouched_and_the_log_says_why(tmp_path: Path) -> None:
    groceries = tmp_path / "groceries.txt"
    groceries.write_text(SHOPPING_LIST)
    log = tmp_path / "logs" / "temporal.log"

    with pytest.raises(EmbeddedTemporalFailed, match="Next: name another file: this one is something else") as caught:
        async with dev_server(database=groceries, log_path=log):
            pass

    assert str(groceries) in str(caught.value)
    assert "file is not a database" in log.read_text()
    assert groceries.read_text() == SHOPPING_LIST


async def test_a_damaged_database_is_refused_with_what_is_lost_and_what_is_not(logbook: Path) -> None:
    async with dev_server(database=logbook):
        pass
    os.truncate(logbook, logbook.stat().st_size // 2)

    with pytest.raises(EmbeddedTemporalFailed, match="the event store is not"):
        async with dev_server(database=logbook):
            pass


async def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "hold").write_text("full of barrels")

    with pytest.raises(EmbeddedTemporalFailed, match=r"cannot write .*Next: name a place that this user can write to"):
        async with dev_server(database=tmp_path / "hold" / "temporal.db"):
            pass


@pytest.mark.parametrize("ip", ["0.0.0.0", "192.0.2.17", "::1", "localhost", ""])
async def test_an_address_that_is_not_ipv4_loopback_is_refused(ip: str) -> None:
    with pytest.raises(InputRejected, match="run a Temporal of your own and set TEMPORAL_ADDRESS"):
        async with dev_server(database=None, ip=ip):
            pass


@pytest.mark.parametrize("name", ["what?.db", "no #1.db", "100%.db"])
async def test_a_database_name_that_temporal_would_misread_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputRejected, match="choose a name without"):
        async with dev_server(database=tmp_path / name):
            pass


def test_the_binary_beside_the_interpreter_is_taken_before_one_on_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    impostor = tmp_path / "temporal"
    impostor.write_text("#!/bin/sh\nexit 3\n")
    impostor.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)

    assert find_binary().parent == Path(sys.executable).parent


def test_an_environment_without_the_extra_is_told_how_to_get_it(tmp_path: Path) -> None:
    venv.EnvBuilder(symlinks=True).create(tmp_path / "bare")
    asked = subprocess.run(
        [tmp_path / "bare" / "bin" / "python", "-c", ASKER],
        env=python_path() | {"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )

    assert asked.stdout.startswith("4 ")
    assert "pip install 'execution-status[embedded]', or set TEMPORAL_ADDRESS" in asked.stdout
