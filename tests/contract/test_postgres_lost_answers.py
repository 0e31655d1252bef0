"""An append whose answer was lost is retried, and what it stored is there once."""

from __future__ import annotations

import random
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from selectors import EVENT_READ, DefaultSelector

import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from projector.engines.postgres.connection import is_alive
from projector.errors import StoreUnavailable
from projector.event_writer import EventWriter
from tests.contract.event_store_contract import REEF
from tests.histories import REMARK, new, news
from tests.postgres import run, wait_for
from tests.postgres_processes import open_postgres

COMMITTED = b"C\x00\x00\x00\x0bCOMMIT\x00"
"""What a server says, in PostgreSQL's protocol, when a transaction has taken effect."""

Slam = Callable[[bytes, bool], bool]
"""Whether to cut both ends now, given what has just arrived and whether the server sent it."""


class Door:
    """A TCP door to a server, which can be slammed in the middle of a sentence: what arrived then is not passed on."""

    def __init__(self, dsn: str) -> None:
        where = conninfo_to_dict(dsn)
        self._host, self._port = str(where["host"]), int(str(where.get("port", 5432)))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.dsn = make_conninfo(dsn, host="127.0.0.1", port=self._listener.getsockname()[1])
        self.slam: Slam | None = None
        self.slammed = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._carry, args=(client,), daemon=True).start()

    def _carry(self, client: socket.socket) -> None:
        with client, self._connect() as server, DefaultSelector() as selector, suppress(OSError):
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            selector.register(client, EVENT_READ, (server, False))
            selector.register(server, EVENT_READ, (client, True))
            while True:
                for key, _ in selector.select():
                    assert isinstance(key.fileobj, socket.socket)
                    data = key.fileobj.recv(65_536)
                    other, from_server = key.data
                    if not data:
                        return
                    if self.slam is not None and self.slam(data, from_server):
                        self.slammed += 1
                        return
                    other.sendall(data)

    def _connect(self) -> socket.socket:
        if not self._host.startswith("/"):
            return socket.create_connection((self._host, self._port))
        server = socket.socket(socket.AF_UNIX)
        server.connect(f"{self._host}/.s.PGSQL.{self._port}")
        return server

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def door(dsn: str) -> Iterator[Door]:
    with closing(Door(dsn)) as door:
        yield door


@contextmanager
def writing(door: Door, monkeypatch: pytest.MonkeyPatch) -> Iterator[EventWriter]:
    monkeypatch.setattr("projector.event_writer._FIRST_PAUSE", 0.001)
    with closing(open_postgres(door.dsn)) as store, closing(EventWriter(store)) as writer:
        yield writer


def once(times: int = 1) -> Slam:
    """Slam when the server says that it has committed, so many times."""
    left = threading.Semaphore(times)
    return lambda data, from_server: from_server and COMMITTED in data and left.acquire(blocking=False)


def test_the_caller_of_an_append_whose_answer_was_lost_can_ask_again(dsn: str, door: Door) -> None:
    with closing(open_postgres(door.dsn)) as store:
        written = news(REMARK, REMARK)
        door.slam = once()
        with pytest.raises(StoreUnavailable, match=r"cannot be used at this moment: .*; check that the server runs"):
            store.append(REEF, written)
        assert door.slammed == 1
        assert run(dsn, "SELECT count(*) FROM stored_events") == [(2,)], "it had been stored"
        again = store.append(REEF, written)
        assert not again.is_new
        assert [record.id for record in again.records] == [event.id for event in written]
        assert store.version(REEF) == 2


@pytest.mark.slow
def test_two_hundred_appends_whose_answers_were_lost_are_two_hundred_events(
    dsn: str, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    with writing(door, monkeypatch) as writer:
        for number in range(200):
            door.slam = once(1 + number % 2)
            appended = writer.submit(REEF, [new(REMARK, f"sounding-{number}")]).result(30)
            assert not appended.is_new, "the answer that came was the second or the third one"
            assert appended.records[0].version == number + 1
    assert door.slammed == 300, "every second time the answer to the second try was lost too"
    with closing(open_postgres(dsn)) as store:
        assert [record.id for record in store.read(REEF)] == [f"sounding-{number}" for number in range(200)]


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_cuts_at_any_moment_lose_and_double_nothing(
    dsn: str, door: Door, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    chance = random.Random(seed)
    with writing(door, monkeypatch) as writer:
        door.slam = lambda data, from_server: chance.random() < 0.1
        told: list[str] = []
        for start in range(0, 150, 3):
            done = [
                writer.submit(f"execution/boat-{number % 7}", [new(REMARK, f"{number}-{part}") for part in range(2)])
                for number in range(start, start + 3)
            ]
            told += [record.id for one in done for record in one.result(60).records]
        door.slam = None
    assert door.slammed > 10
    with closing(open_postgres(dsn)) as store:
        assert sorted(record.id for record in store.tail(after=0, limit=10**6)) == sorted(told)
        assert len(set(told)) == len(told) == 300


def test_an_idle_connection_that_was_cut_fails_nobody(dsn: str, door: Door) -> None:
    with closing(open_postgres(door.dsn)) as store:
        store.append(REEF, news(REMARK))
        for _ in range(3):
            with ThreadPoolExecutor(4) as threads:  # several connections lie idle
                list(threads.map(store.read, [REEF] * 8))
            idle = [one.connection for one in store.datastore._connections._idle]
            run(
                dsn,
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()",
            )
            wait_for(lambda idle=idle: not any(is_alive(connection) for connection in idle))  # type: ignore[misc]
            assert store.append(REEF, news(REMARK)).is_new
            assert store.head() > 0


def at_first_word() -> Slam:
    """Slam when the client says something, once."""
    left = threading.Semaphore(1)
    return lambda data, from_server: not from_server and left.acquire(blocking=False)


def test_a_read_on_a_connection_that_is_dead_without_a_sign_is_repeated(door: Door) -> None:
    with closing(open_postgres(door.dsn)) as store:
        store.append(REEF, news(REMARK))
        uses: list[Callable[[], int]] = [lambda: len(store.read(REEF)), lambda: store.version(REEF), store.head]
        for use in uses:
            door.slam = at_first_word()
            assert use() == 1
        assert door.slammed == 3


def test_an_append_on_a_connection_that_is_dead_without_a_sign_may_have_been_stored_and_is_the_caller_s_to_repeat(
    door: Door,
) -> None:
    with closing(open_postgres(door.dsn)) as store:
        written = news(REMARK)
        door.slam = at_first_word()
        with pytest.raises(StoreUnavailable, match="cannot be used at this moment"):
            store.append(REEF, written)
        assert store.append(REEF, written).is_new


def test_a_connection_that_lay_idle_for_long_is_asked_before_an_append(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(open_postgres(door.dsn)) as store:
        monkeypatch.setattr("projector.engines.postgres.connection._TRUSTED_FOR", -1.0)
        door.slam = at_first_word()
        assert store.append(REEF, news(REMARK)).is_new
        assert door.slammed == 1
