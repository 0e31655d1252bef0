"""What an error is called and what it says, as people would write it.

`type_name`: builtins and the agent author's own classes bare (`ValueError`, `PlanError`), classes of the standard
library and of installed packages with the module that people import them from (`asyncio.CancelledError`,
`httpx.ConnectError`). `message` may be blank; `explanation` is then what a reader gets instead. All are raw text of
any size: cleaning, redacting and cutting are the caller's.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import subprocess
import sys
from collections.abc import Iterator
from types import ModuleType, TracebackType
from typing import Any, Final

from runner.errors.cause_chain import arguments, attribute, is_a, plain

READ_LIMIT: Final = 65_536
"""Characters of an argument that are shown when its `repr` has to be made: that of 100 MB alone takes 300 ms."""

_STDERR_TAIL: Final = 1_024
_WRITTEN_AS: Final = {"pydantic_core": "pydantic"}
_OURS: Final = ("examples", "projector", "runner", "workflows")
_TYPE: Final = type.__dict__
_MODULE_DICT: Final[Any] = type.__dict__["__dict__"].__get__(ModuleType)["__dict__"]
_VAGUE: Final = (object, BaseException, Exception, RuntimeError, BaseExceptionGroup, ExceptionGroup)
_BLANK: Final[tuple[tuple[type | tuple[type, ...], str], ...]] = (
    (
        (asyncio.CancelledError, concurrent.futures.CancelledError),
        "cancelled from inside the agent, nobody asked for it",
    ),
    (SystemExit, "the agent called exit() without a code"),
    (KeyboardInterrupt, "interrupted from inside the agent"),
    (MemoryError, "out of memory inside the agent"),
    (StopIteration, "next() on an iterator that had nothing left"),
    (StopAsyncIteration, "anext() on an iterator that had nothing left"),
    (GeneratorExit, "the generator was closed while it ran"),
    (TimeoutError, "an operation of the agent timed out"),
    (AssertionError, "an assertion failed"),
)


def type_name(error: BaseException) -> str:
    """The name of the error's true class; `exception` when it has none that can be read."""
    kind = type(error)
    name = (plain(_TYPE["__qualname__"].__get__(kind)) or "exception").rpartition("<locals>.")[2]
    module = plain(_TYPE["__module__"].__get__(kind))
    if not module or module in ("builtins", "__main__") or _is_users(module):
        return name
    return f"{_public(module, name, kind)}.{name}"


def message(error: BaseException) -> str:
    """What the error says; blank when it says nothing. Never raises, whatever the error's own code does."""
    try:
        return plain(_say(error)) or ""
    except BaseException as problem:
        why = f"its own __str__ failed: {type_name(problem)}"
        said = next((text for text in map(plain, arguments(error)) if text), "")[:READ_LIMIT]
        return f"{said} ({why})" if said else why


def explanation(error: BaseException) -> str:
    """What to tell a reader about an error that says nothing: why it happens, and where it was raised."""
    said = next((text for kind, text in _BLANK if is_a(error, kind)), "") or _docstring(type(error))
    place = _place(error)
    if not said:
        return f"raised without a message{place}"
    return said if is_a(error, _BLANK[0][0]) else said + place


def public_classes(error: BaseException) -> Iterator[tuple[str, str]]:
    """The top-level package and bare name of the error's class and of each of its bases, most derived first."""
    for kind in _TYPE["__mro__"].__get__(type(error)):
        module = plain(_TYPE["__module__"].__get__(kind)) or ""
        yield module.partition(".")[0], plain(_TYPE["__name__"].__get__(kind)) or ""


def _say(error: BaseException) -> str:
    if is_a(error, SystemExit):
        code = SystemExit.__dict__["code"].__get__(error)
        return "" if code is None else str(code)
    if is_a(error, SyntaxError):
        return _syntax_error(error)
    if is_a(error, subprocess.CalledProcessError):
        return str(error) + _last_words(attribute(error, "stderr"))
    large = _repr_of_large_arguments(error)
    return str(error) if large is None else large


def _syntax_error(error: BaseException) -> str:
    """Python's own words name the file without its folder."""
    problem, file, line = (attribute(error, name) for name in ("msg", "filename", "lineno"))
    if not is_a(file, str) or not is_a(line, int):
        return str(error)
    return f"{problem} ({file}:{line})"


def _last_words(stderr: object) -> str:
    """The end of what a subprocess wrote to stderr, which says why it failed."""
    if type(stderr) is bytes:
        said = stderr[-_STDERR_TAIL:].decode("utf-8", "replace")
    else:
        said = (plain(stderr) or "")[-_STDERR_TAIL:]
    return f"\n{said.strip()}" if said.strip() else ""


def _repr_of_large_arguments(error: BaseException) -> str | None:
    """The `str` of an error that shows the `repr` of its arguments (`KeyError`, or several) and one is huge."""
    given = arguments(error)
    if not any(type(item) in (str, bytes) and len(item) > READ_LIMIT for item in given):
        return None
    says = next(vars(kind)["__str__"] for kind in _TYPE["__mro__"].__get__(type(error)) if "__str__" in vars(kind))
    shown = tuple(item[:READ_LIMIT] if type(item) in (str, bytes) else item for item in given)
    if len(given) == 1:
        return repr(shown[0]) if says is KeyError.__str__ or type(given[0]) is bytes else None
    return repr(shown) if says is BaseException.__str__ else None


def _docstring(kind: type) -> str:
    """The first line of what the class says about itself, or of the nearest base that says anything telling."""
    for base in _TYPE["__mro__"].__get__(kind):
        if any(base is vague for vague in _VAGUE):  # by identity: a metaclass may define `==`
            continue
        text = plain(_TYPE["__dict__"].__get__(base).get("__doc__")) or ""
        lines = text[:READ_LIMIT].strip().splitlines()
        if lines and lines[0].strip():
            return lines[0].strip().rstrip(".")
    return ""


def _place(error: BaseException) -> str:
    at: TracebackType | None = BaseException.__dict__["__traceback__"].__get__(error)
    if at is None:
        return ""
    while at.tb_next is not None:
        at = at.tb_next
    file = (plain(at.tb_frame.f_code.co_filename) or "").replace("\\", "/").rpartition("/")[2]
    return f" (raised at {file}:{at.tb_lineno})"


def _is_users(module: str) -> bool:
    """Whether the module is neither the standard library's nor installed: its classes need no module to be known by."""
    package = module.partition(".")[0]
    if package in _OURS:
        return True
    if package in sys.stdlib_module_names:
        return False
    file = plain(_names(module).get("__file__"))
    return file is not None and "site-packages" not in file and "dist-packages" not in file


def _public(module: str, name: str, kind: type) -> str:
    """The shortest package on the way to `module` that exports the class: where people import it from."""
    for end in (at for at, letter in enumerate(module) if letter == "."):
        if _names(module[:end]).get(name) is kind:
            return _WRITTEN_AS.get(module[:end], module[:end])
    return module


def _names(module: str) -> dict[str, Any]:
    found = sys.modules.get(module)
    return _MODULE_DICT.__get__(found) if is_a(found, ModuleType) else {}
