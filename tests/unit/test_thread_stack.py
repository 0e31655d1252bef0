"""Where a thread is: the agent's own line in a few words, the frames that lead to it, and nothing of what they hold."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from runner.errors.thread_stack import ThreadStack, thread_stack

PASSPHRASE = "correct-horse-battery-staple"


class Lock:
    """A ship's lock in which a thread waits until it is opened."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.is_in = threading.Event()

    def wait_for_the_water(self, passphrase: str) -> None:
        cargo = passphrase.upper()
        self.is_in.set()
        self.gate.wait()
        del cargo


@pytest.fixture
def lock() -> Iterator[Lock]:
    lock = Lock()
    yield lock
    lock.gate.set()


@contextmanager
def thread_in(lock: Lock, work: Callable[[], Any]) -> Iterator[int]:
    """A thread that works until it is in the lock; gives its identifier."""
    thread = threading.Thread(target=work)
    thread.start()
    try:
        assert lock.is_in.wait(10) and thread.ident is not None
        yield thread.ident
    finally:
        lock.gate.set()
        thread.join(10)


def seen(thread_id: int) -> ThreadStack:
    stack = thread_stack(thread_id)
    assert stack is not None
    return stack


def line_of(function: Callable[..., Any], offset: int) -> int:
    return function.__code__.co_firstlineno + offset


def test_the_place_is_the_line_outside_of_pythons_library(lock: Lock) -> None:
    with thread_in(lock, lambda: lock.wait_for_the_water(PASSPHRASE)) as thread_id:
        stack = seen(thread_id)

    line = line_of(Lock.wait_for_the_water, 3)
    assert stack.where == f"test_thread_stack.py:{line} in Lock.wait_for_the_water"
    assert f'  File "{__file__}", line {line}, in Lock.wait_for_the_water\n    self.gate.wait()\n' in stack.text
    assert stack.text.splitlines()[-2].endswith("in Condition.wait"), "the call that does not return comes last"


def test_local_variables_are_not_shown(lock: Lock) -> None:
    with thread_in(lock, lambda: lock.wait_for_the_water(PASSPHRASE)) as thread_id:
        text = seen(thread_id).text.lower()

    assert "passphrase" in text, "the source lines are shown"
    assert PASSPHRASE not in text


def test_what_leads_to_the_code_that_an_event_loop_runs_is_left_out(lock: Lock) -> None:
    async def lockkeeper() -> None:
        await asyncio.sleep(0)
        lock.wait_for_the_water(PASSPHRASE)

    async def voyage() -> None:
        await asyncio.create_task(lockkeeper())

    with thread_in(lock, lambda: asyncio.run(voyage())) as thread_id:
        frames = [line for line in seen(thread_id).text.splitlines() if line.startswith("  File")]

    assert frames[0].endswith("lockkeeper") and frames[1].endswith("in Lock.wait_for_the_water")
    assert not any("asyncio" in frame for frame in frames)


def test_a_loop_that_waits_shows_that_it_does() -> None:
    loop, is_running = asyncio.new_event_loop(), threading.Event()
    loop.call_soon(is_running.set)
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        assert is_running.wait(10) and thread.ident is not None
        while "select" not in seen(thread.ident).where:
            pass
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def test_a_thread_that_never_leaves_pythons_library_is_shown_where_it_is() -> None:
    gate = threading.Event()
    thread = threading.Thread(target=gate.wait)
    thread.start()
    try:
        assert thread.ident is not None
        while not seen(thread.ident).where.endswith("in Condition.wait"):
            pass
        assert seen(thread.ident).where.startswith(f"{Path(threading.__file__).name}:")
    finally:
        gate.set()
        thread.join(10)


def test_a_deep_recursion_is_folded(lock: Lock) -> None:
    def dive(fathoms: int) -> None:
        if fathoms:
            dive(fathoms - 1)
        else:
            lock.wait_for_the_water(PASSPHRASE)

    with thread_in(lock, lambda: dive(300)) as thread_id:
        text = seen(thread_id).text

    assert "… the same frame 299 more times" in text
    assert len(text) < 2_000


def test_a_thread_that_is_over_has_no_stack() -> None:
    thread = threading.Thread(target=int)
    thread.start()
    thread.join()

    assert thread.ident is not None and thread_stack(thread.ident) is None
