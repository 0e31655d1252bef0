"""The stack shows the agent's frames, few enough to read, and reads nothing that could hold it up."""

from __future__ import annotations

import linecache
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import runner
from runner.errors.error_stack import stack_text
from tests.hostile import HOSTILE


def called_by_the_runner(work: Callable[[], Any]) -> BaseException:
    """Call `work` from a frame that looks like the runner's own."""
    file = str(Path(runner.__file__).parent / "activities.py")
    names: dict[str, Any] = {}
    exec(compile("def execute_agent(work):\n    work()\n", file, "exec"), names)
    try:
        names["execute_agent"](work)
    except BaseException as error:
        return error.with_traceback(error.__traceback__.tb_next if error.__traceback__ else None)
    raise AssertionError("nothing was raised")


def steer() -> NoReturn:
    raise ValueError("hard over")


def test_the_stack_begins_with_the_agents_own_frame() -> None:
    first, second = stack_text(called_by_the_runner(steer)).splitlines()

    assert first.endswith(f"line {steer.__code__.co_firstlineno + 1}, in steer")
    assert second == '    raise ValueError("hard over")'


def test_an_error_of_the_runners_own_keeps_its_frames() -> None:
    assert "execute_agent" in stack_text(called_by_the_runner(None))  # type: ignore[arg-type]


def test_a_deep_stack_keeps_the_frames_nearest_to_the_error() -> None:
    names: dict[str, Any] = {}
    steps = "\n".join(f"def step_{n}():\n    step_{n + 1}()" for n in range(300))
    exec(compile(f"{steps}\ndef step_300():\n    raise ValueError('overboard')", "voyage.py", "exec"), names)

    stack = stack_text(called_by_the_runner(names["step_0"]))

    assert stack.startswith("  … 277 older frames left out\n")
    assert 'File "voyage.py", line 602, in step_300' in stack


def test_a_recursion_is_folded_into_one_frame() -> None:
    stack = stack_text(HOSTILE["a recursion"]())

    assert re.search(r"… the same frame \d{3} more times", stack)
    assert len(stack) < 1_000


def test_a_frame_whose_file_is_no_ordinary_file_is_shown_without_its_source(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.py"
    os.mkfifo(pipe)
    for file in (str(pipe), "/dev/zero", "nul\0byte.py", "half\ud800.py", str(tmp_path)):
        names: dict[str, Any] = {}
        code = compile("def work():\n    raise ValueError('leak')", "placeholder.py", "exec")
        exec(code, names)
        names["work"].__code__ = names["work"].__code__.replace(co_filename=file)

        stack = stack_text(called_by_the_runner(names["work"]))

        assert stack == f'  File "{file}", line 2, in work'


def test_nothing_is_read_of_a_source_file_that_is_too_large(tmp_path: Path) -> None:
    source = tmp_path / "generated.py"
    source.write_text("def work():\n    raise ValueError('leak')\n" + "#" * 2_000_000)
    names: dict[str, Any] = {}
    exec(compile(source.read_text(), str(source), "exec"), names)

    assert "raise ValueError" not in stack_text(called_by_the_runner(names["work"]))
    assert str(source) not in linecache.cache
