"""How a runner's process ended, and what its last words prove."""

from __future__ import annotations

import pytest

from projector.door.hygiene import STACK_LIMIT, Hygiene
from projector.door.redaction import Redactor
from projector.events import RunnerExited
from runner.startup import startup_failure_block
from runner.supervision.obituary import Circumstances, Obituary, obituary, shutdown_report
from runner.supervision.process_end import ProcessEnd, last_error, prove_out_of_memory
from tests.made_up_secrets import MIXED

TRACEBACK = """\
runner polaris-7-a1b2c3 is told to start
Traceback (most recent call last):
  File "/ship/hold.py", line 3, in <module>
    import astrolabe
ModuleNotFoundError: No module named 'astrolabe'
"""
RAISED_TWICE = """\
Traceback (most recent call last):
  File "/ship/hold.py", line 3, in <module>
    CHARTS["north"]
KeyError: 'north'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "/ship/hold.py", line 5, in <module>
    raise ChartMissing("no chart of the north\\nand none of the south")
ship.charts.ChartMissing: no chart of the north
and none of the south
"""
NUMPY = """\
Traceback (most recent call last):
  File "/ship/hold.py", line 3, in <module>
numpy._core._exceptions._ArrayMemoryError: Unable to allocate 7.28 TiB for an array
"""
RUST = "memory allocation of 1099511627776 bytes failed\nFatal Python error: Aborted\n\nThread 0x7f (most recent …)\n"
CPP = "terminate called after throwing an instance of 'std::bad_alloc'\n  what():  std::bad_alloc\n"

FAILED = ProcessEnd.of(1)
ABORTED = ProcessEnd.of(-6)


@pytest.mark.parametrize(
    ("returncode", "end"),
    [
        (0, ProcessEnd(0, None)),
        (3, ProcessEnd(3, None)),
        (-9, ProcessEnd(None, "SIGKILL")),
        (-11, ProcessEnd(None, "SIGSEGV")),
        (-40, ProcessEnd(None, "40")),
    ],
)
def test_a_return_code_is_an_exit_code_or_the_name_of_a_signal(returncode: int, end: ProcessEnd) -> None:
    assert ProcessEnd.of(returncode) == end


@pytest.mark.parametrize(
    ("end", "words", "proven"),
    [
        (ABORTED, RUST, True),
        (ABORTED, CPP, True),
        (FAILED, TRACEBACK.replace("ModuleNotFoundError", "MemoryError"), True),
        (FAILED, NUMPY, True),
        (ABORTED, "Fatal Python error: Aborted", False),
        (FAILED, TRACEBACK, False),
        (ProcessEnd.of(-9), RUST, False),  # somebody killed it; the line is of an earlier time
        (ProcessEnd.of(-9), "", False),
        (ProcessEnd.of(-11), CPP, False),
        (ProcessEnd.of(0), NUMPY, False),
    ],
)
def test_out_of_memory_is_claimed_only_where_the_last_words_prove_it(end: ProcessEnd, words: str, proven: bool) -> None:
    assert prove_out_of_memory(end, words) is proven


def test_a_final_traceback_tells_the_error_and_its_stack() -> None:
    report = last_error(FAILED, TRACEBACK)

    assert report is not None
    assert (report.type, report.message) == ("ModuleNotFoundError", "No module named 'astrolabe'")
    assert report.stack.splitlines()[0] == "Traceback (most recent call last):"
    assert 'File "/ship/hold.py", line 3' in report.stack


def test_of_several_tracebacks_the_last_one_counts_and_its_message_is_whole() -> None:
    report = last_error(FAILED, RAISED_TWICE)

    assert report is not None
    assert report.type == "ship.charts.ChartMissing"
    assert report.message == "no chart of the north\nand none of the south"


def test_a_broken_installations_block_tells_its_error() -> None:
    report = last_error(FAILED, f"====\nSTARTUP FAILURE\n====\nstack:\n{TRACEBACK}========================\n")

    assert report is not None
    assert (report.type, report.message) == ("ModuleNotFoundError", "No module named 'astrolabe'")


def test_a_runners_own_block_tells_its_error() -> None:
    known = last_error(FAILED, TRACEBACK)
    assert known is not None
    block = startup_failure_block(
        known.model_copy(update={"stack": "at /ship/hold.py"}), "importing", task_queue="q", agents=(), runner_id="r"
    )
    report = last_error(FAILED, block)

    assert report is not None
    assert (report.type, report.message) == (known.type, known.message)


@pytest.mark.parametrize("words", ["", "all is well", "Traceback (most recent call last):\n  File", TRACEBACK[:60]])
def test_where_nothing_is_said_nothing_is_known(words: str) -> None:
    assert last_error(FAILED, words) is None


@pytest.mark.parametrize("returncode", [0, 3, -9])
def test_a_traceback_does_not_explain_an_end_that_no_exception_makes(returncode: int) -> None:
    assert last_error(ProcessEnd.of(returncode), TRACEBACK) is None


# --- what is said about it ------------------------------------------------------------------------------------------


def _said(
    returncode: int, last_words: str = "", *, was_ready: bool = True, was_told: bool = False, killed: bool = False
) -> Obituary:
    seen = Circumstances(
        runner_id="polaris-7-a1b2c3",
        task_queue="night-watch",
        agents=("lighthouse:keeper",),
        returncode=returncode,
        last_words=last_words,
        stage="importing the agent lighthouse:keeper",
        was_ready=was_ready,
        was_told=was_told,
        memory_ran_out=killed,
    )
    return obituary(seen, Hygiene(Redactor([])), crashes=2, restart_in=4.0)


def test_a_crash_of_a_runner_that_was_ready_is_no_startup_failure() -> None:
    said = _said(-9, "the lamp is lit\n")

    assert said.exited == RunnerExited(
        task_queue="night-watch",
        agents=("lighthouse:keeper",),
        signal="SIGKILL",
        crashes=2,
        restart_in=4.0,
        last_stderr="the lamp is lit\n",
    )
    assert (said.startup_failure, said.how, said.death.out_of_memory) == (None, "signal SIGKILL", False)


@pytest.mark.parametrize(("returncode", "out_of_memory"), [(-9, True), (-15, False), (1, False)])
def test_the_kernels_counter_proves_something_only_of_a_sigkill(returncode: int, out_of_memory: bool) -> None:
    said = _said(returncode, killed=True)

    assert said.exited.out_of_memory is said.death.out_of_memory is out_of_memory
    assert ("out of memory" in said.how) is out_of_memory


def test_a_runner_that_ends_before_it_was_ready_could_not_start() -> None:
    failure = _said(-11, was_ready=False).startup_failure

    assert failure is not None
    assert (failure.task_queue, failure.agents) == ("night-watch", ("lighthouse:keeper",))
    assert failure.stage == "importing the agent lighthouse:keeper"
    assert failure.report.headline == "ProcessEnded: signal SIGSEGV, before the runner was ready"
    assert any("native library" in cause for cause in failure.likely_causes)


def test_the_real_error_is_the_reason_where_the_last_words_tell_it() -> None:
    said = _said(1, TRACEBACK, was_ready=False)

    assert said.startup_failure is not None
    assert said.startup_failure.report.headline == "ModuleNotFoundError: No module named 'astrolabe'"
    assert any("not installed" in cause for cause in said.startup_failure.likely_causes)
    assert said.exited.stage == "importing the agent lighthouse:keeper"


def test_a_runner_that_was_told_to_stop_before_it_was_ready_has_not_failed() -> None:
    assert _said(-15, was_ready=False, was_told=True).startup_failure is None


def test_one_that_did_not_stop_in_time_says_so_to_its_agents() -> None:
    report = shutdown_report(_said(-9, was_told=True))

    assert (report.kind, report.type) == ("shutdown", "RunnerShutDown")
    assert "did not end within its grace: signal SIGKILL" in report.message


def test_of_many_words_the_last_lines_are_kept_and_the_secrets_in_them_are_not() -> None:
    lines = [f"{number} fathoms, by the mark\n" for number in range(5000)]
    said = _said(1, "".join(lines) + f"logging in with ghp_{MIXED}{MIXED[:16]}\n")

    for kept, room in ((said.exited.last_stderr, STACK_LIMIT), (said.death.last_words, 2000)):
        assert room - 100 < len(kept) <= room
        assert kept.splitlines(keepends=True)[0] in lines
        assert kept.endswith("logging in with [redacted:github-token]\n")
