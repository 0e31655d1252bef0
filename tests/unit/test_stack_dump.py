"""What faulthandler wrote about a process that stands still: the thread at fault is found, the others are left out."""

from __future__ import annotations

import ctypes
import faulthandler
import tempfile
import threading
from pathlib import Path

from runner.supervision import stack_dump
from runner.supervision.stack_dump import StackDump, read_dump

IDLE = """\
Thread 0x00007f67854f46c0 (most recent call first):
  File "/lib/python3.11/threading.py", line 331 in wait
  File "/ship/watch.py", line 6 in look_out
  File "/lib/python3.11/threading.py", line 1002 in _bootstrap

Thread 0x00007f6785cf96c0 (most recent call first):
  File "/lib/python3.11/selectors.py", line 468 in select
  File "/lib/python3.11/asyncio/base_events.py", line 1884 in _run_once

Thread 0x00007f6786cff6c0 (most recent call first):
  File "/lib/python3.11/concurrent/futures/thread.py", line 81 in _worker
"""
BUSY = """\
Thread 0x00007f67881e2b80 (most recent call first):
  File "/ship/tides.py", line 12 in reckon
  File "/ship/tides.py", line 40 in run
"""


def _keep_watch(until: threading.Event) -> None:
    until.wait()


def _hold_the_lock(seconds: float) -> None:
    ctypes.PyDLL(None).usleep(int(seconds * 1_000_000))


def test_the_thread_that_holds_pythons_lock_is_found_in_a_real_dump() -> None:
    dawn = threading.Event()
    watchman = threading.Thread(target=_keep_watch, args=(dawn,))
    watchman.start()
    with tempfile.TemporaryFile() as log:
        faulthandler.dump_traceback_later(0.1, file=log)
        _hold_the_lock(0.5)
        faulthandler.cancel_dump_traceback_later()
        log.seek(0)
        dump = read_dump(log.read().decode())
    dawn.set()
    watchman.join()

    assert "in _hold_the_lock" in dump.text
    assert "ctypes.PyDLL(None).usleep" in dump.text
    assert "_keep_watch" not in dump.text


def test_the_only_thread_that_does_something_is_named() -> None:
    dump = read_dump(f"{IDLE}\n{BUSY}")

    assert dump.where == "tides.py:12 in reckon"
    assert dump.text.splitlines() == [
        '  File "/ship/tides.py", line 40, in run',
        '  File "/ship/tides.py", line 12, in reckon',
    ]


def test_a_thread_of_our_own_that_does_something_is_not_blamed_while_an_agents_does() -> None:
    ours = BUSY.replace("/ship/tides.py", stack_dump.__file__)

    assert read_dump(f"{ours}\n{BUSY}") == read_dump(BUSY)
    assert read_dump(ours).where == ""
    assert "in reckon" in read_dump(ours).text


def test_of_two_that_do_something_neither_is_blamed_and_both_are_shown() -> None:
    dump = read_dump(f"{BUSY}\n{BUSY.replace('tides', 'winds')}")

    assert dump.where == ""
    assert "tides.py" in dump.text and "winds.py" in dump.text


def test_where_there_is_no_dump_there_is_no_stack() -> None:
    assert read_dump("") == StackDump("", "")
    assert Path(__file__).name not in read_dump(f"{IDLE}").text
