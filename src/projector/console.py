"""What a command prints and how it ends: data on stdout, messages on stderr, one clear line for every refusal.

Rich and the rest are imported where they are used, so that `--help` stays quick.
"""

from __future__ import annotations

import asyncio
import errno
import json
import os
import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Final, NoReturn, TypeVar

import typer
from pydantic import BaseModel

from projector.errors import StatusError

Answer = TypeVar("Answer")

INTERRUPTED: Final = 130
NO_OUTPUT: Final = 4
_CANNOT_WRITE: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO)
_CORE: Final = "temporalio.bridge.temporal_sdk_bridge"


def run(coroutine: Coroutine[Any, Any, Answer]) -> Answer:
    """Run an asynchronous command to its end."""
    return asyncio.run(coroutine)


def say(message: str) -> None:
    """A message for the person at the terminal."""
    print(message, file=sys.stderr, flush=True)


def agrees(question: str) -> bool:
    """Whether the person at the terminal says yes."""
    # Not Typer's own: it asks with `input`, which writes to stdout what a terminal on stderr should show.
    print(f"{question} [y/N]", end=" ", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def print_json(value: BaseModel | dict[str, Any] | list[Any]) -> None:
    """One JSON value on a line of its own, flushed so that a reader of a pipe sees it at once."""
    text = (
        value.model_dump_json() if isinstance(value, BaseModel) else json.dumps(value, ensure_ascii=False, default=str)
    )
    if not (sys.stdout.encoding or "").lower().startswith("utf"):
        # What the encoding lacks must be escaped the way JSON does it, or the line would no longer be JSON.
        text = json.dumps(json.loads(text))
    print(text, flush=True)


def is_plain() -> bool:
    """Whether the output must be plain text: not a terminal, or NO_COLOR is set."""
    return not sys.stdout.isatty() or bool(os.environ.get("NO_COLOR"))


def guarded(app: Callable[..., Any]) -> int:
    """Run a Typer application; returns the exit code. Every refusal becomes one line on stderr, never a traceback."""
    _open_what_is_closed()
    if sys.stdout is None:
        say("error: standard output is closed, so there is no place for an answer: leave it open, or use > /dev/null")
        return NO_OUTPUT
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a terminal that lacks a character still gets its line
    try:
        code = app(standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except typer.TyperException as error:
        say(f"error: {_one_line(error.format_message())}")
        return int(getattr(error, "exit_code", 2))
    except StatusError as error:
        say(f"error: {_one_line(str(error))}")
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except BrokenPipeError:
        return _reader_has_gone()
    except OSError as error:
        hint = ": is the disk full, or may this user not write there?" if error.errno in _CANNOT_WRITE else ""
        say(f"error: {_one_line(str(error))}{hint}")
        _let_go_of_stdout()
        return NO_OUTPUT
    except SystemExit as error:
        if isinstance(error.__context__, BrokenPipeError):  # Typer was quicker, and made this of it
            return _reader_has_gone()
        raise


def leave(code: int) -> NoReturn:
    """End the process with this exit code.

    Once Temporal's core is loaded, Python is not taken down in order: threads of the core may be in it just then, and
    the process would abort in place of its exit code, or hang. By now a command has closed what it had open.
    """
    if _CORE in sys.modules:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):  # nobody reads it any more, or it is closed
                stream.flush()
        os._exit(code)
    sys.exit(code)


def _reader_has_gone() -> int:
    """End quietly, as when the reader is `head`."""
    _let_go_of_stdout()
    return 0


def _let_go_of_stdout() -> None:
    """What could not be written goes nowhere: Python would complain once more when it flushes at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno() if sys.__stdout__ else 1)


def _open_what_is_closed() -> None:
    """Give a process that was started without stdin or stderr one that leads nowhere; stdin cannot be read.

    A closed descriptor goes to the next file that is opened: messages could end up in the store. And where Python has
    no stderr, what is printed for it goes to stdout.
    """
    for number, name, mode in ((0, "stdin", "r"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            opened = os.open(os.devnull, os.O_WRONLY)
            os.dup2(opened, number)
            os.set_inheritable(number, True)
            if opened != number:
                os.close(opened)
            setattr(sys, name, os.fdopen(number, mode))


def _one_line(text: str) -> str:
    return " ".join(text.split())
