"""Two dozen kinds of secret that an agent lets slip everywhere: afterwards none of them is anywhere."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from projector.engines.ports import StoreEngine
from projector.execution_status import ExecutionStatus, Phase
from tests.processes import bytes_of
from tests.tables import rows
from tests.temporal.harness import HEALTHY_QUEUE, Harness, failure_of
from tests.temporal.processes import command
from tests.temporal.secret_samples import EVERY_ONE, KEYED, Sample

ALL: Final[dict[str, Sample]] = {**EVERY_ONE, "named by its key": KEYED}
INPUT: Final = EVERY_ONE["github token"]
"""What a client puts into the input can be known by its shape only."""


@dataclass(frozen=True)
class Leaks:
    """Everything that was written while an agent leaked, by where it was written."""

    raised: ExecutionStatus
    returned: ExecutionStatus
    places: dict[str, bytes]

    def where(self, sample: Sample) -> list[str]:
        """The places that hold a part of this secret, in the clear or in base64."""
        traces = [trace.encode() for trace in sample.traces]
        encoded = base64.b64encode(sample.secret.encode())
        traces += [encoded[4:20], encoded[-20:-4]]
        return [place for place, held in self.places.items() if any(trace in held for trace in traces)]


def _decoded(value: Any) -> Iterator[bytes]:
    """Every payload of a history, decoded."""
    if isinstance(value, dict):
        for name, held in value.items():
            if name == "data" and isinstance(held, str):
                yield base64.b64decode(held)
            yield from _decoded(held)
    elif isinstance(value, list):
        for held in value:
            yield from _decoded(held)


@pytest.fixture(scope="module")
async def leaks(ship: Harness) -> Leaks:
    raised, returned = await asyncio.gather(
        *(ship.run("leaky", f"{how} {INPUT.words}") for how in ("raises", "returns"))
    )
    places: dict[str, bytes] = {}
    for status in (raised, returned):
        history = (await ship.workflow(status.execution_id).fetch_history()).to_json()
        places[f"history of {status.execution_id}"] = history.encode() + b"\n".join(_decoded(json.loads(history)))
    for asked in (["events"], ["show"], ["show", "--at", "40"], ["replay"], ["watch"]):
        for flags in ([], ["--json"]):
            name, *options = asked
            ended = await command(name, raised.execution_id, *options, *flags, extra=ship.surroundings)
            places[" ".join([*asked, *flags])] = (ended.out + ended.err).encode()
    for name in ("list", "failures"):
        ended = await command(name, "--json", extra=ship.surroundings)
        places[name] = (ended.out + ended.err).encode()
    await ship.projected()
    files = [path for path in ship.folder.rglob("*") if path.is_file()]
    places |= {str(path.relative_to(ship.folder)): await asyncio.to_thread(bytes_of, path) for path in files}
    places["store's rows"] = await asyncio.to_thread(_rows, ship.store)
    return Leaks(raised, returned, places)


def _rows(store: StoreEngine) -> bytes:
    """What the store holds, in whatever place."""
    stored = b"\n".join(row.state for row in store.tail_stored(after=0, limit=1_000_000))
    return stored + repr(rows(store)).encode()


@pytest.mark.sqlite_only("PostgreSQL's own files are its own business")
def test_the_search_looks_also_into_the_log_of_the_store_s_file(leaks: Leaks) -> None:
    assert "store.db-wal" in leaks.places
    assert any(b"I log in with" in held for name, held in leaks.places.items() if name.startswith("store.db"))


def test_the_search_looks_where_the_agent_left_its_words(leaks: Leaks) -> None:
    """What stands beside the secrets is in every one of these places, or else they could not be found there."""
    harmless = b"I log in with"
    log = f"runner-{HEALTHY_QUEUE}.err"
    history = f"history of {leaks.raised.execution_id}"
    for place in ("store", "temporal.db", log, history, "events --json", "events"):
        assert any(harmless in held for name, held in leaks.places.items() if name.startswith(place)), place
    assert "temporal.log" in leaks.places


@pytest.mark.parametrize("kind", ALL)
def test_no_secret_is_left_in_any_byte(leaks: Leaks, kind: str) -> None:
    assert leaks.where(ALL[kind]) == []


def test_the_agent_failed_and_finished_as_it_would_have_without_secrets(leaks: Leaks) -> None:
    failure = failure_of(leaks.raised)

    assert (failure.code, leaks.returned.phase) == ("E401", Phase.COMPLETED)
    assert failure.cause is not None and failure.cause.type == "ArithmeticError"
    assert failure.message.startswith("RuntimeError: I log in with [redacted")


async def test_the_result_that_temporal_holds_is_redacted_too(ship: Harness, leaks: Leaks) -> None:
    output = (await ship.workflow(leaks.returned.execution_id).result())["output"]

    assert len(output["said"]) == len(EVERY_ONE)
    assert all("[redacted" in said for said in output["said"])
    assert output["deep"] == [{"token": "[redacted]"}]


async def test_a_secret_in_the_input_is_named_to_the_client_and_taken_out(ship: Harness, tmp_path: Path) -> None:
    written = tmp_path / "orders.txt"
    written.write_text(f"{INPUT.words}, please")
    started = await command(
        "start",
        "--agent",
        "tests.temporal.agents:says_nothing",
        "--input",
        f"@{written}",
        "--id",
        "told-too-much",
        extra=ship.surroundings,
    )
    status = await ship.end("told-too-much")

    assert (started.code, started.out) == (0, "told-too-much\n")
    assert "the input held what looks like a secret (github-token)" in started.err
    assert status.input == "I log in with [redacted:github-token] and go on, please"
