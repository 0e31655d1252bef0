"""Errors that break failure reporting elsewhere, each with what a report must still say about it.

`HOSTILE[name]()` makes the error. `root` is the type of its root cause as a report names it, `says` stands in the
message of the root cause. A real agent may raise any of them.
"""

from __future__ import annotations

import asyncio
import errno
import json
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydantic

MANY = 10_000
HUGE = 100_000_000


@dataclass(frozen=True)
class Hostile:
    """How to make the error, and what its report says about the root cause."""

    make: Callable[[], BaseException]
    root: str
    says: str

    def __call__(self) -> BaseException:
        return self.make()


# --- errors whose own code turns on the reader ---------------------------------------------------------------------


class TornLedgerError(Exception):
    """The ledger is torn."""

    def __str__(self) -> str:
        raise ZeroDivisionError("no page to divide")


class StarvedError(Exception):
    def __str__(self) -> str:
        raise MemoryError


class SleepwalkerError(Exception):
    def __str__(self) -> str:
        raise KeyboardInterrupt


class EndlessError(Exception):
    def __str__(self) -> str:
        return str(self)


class NumberError(Exception):
    def __str__(self) -> str:
        return 42  # type: ignore[return-value]


class SpitefulText(str):
    """A string that refuses to be worked with."""

    def _refuse(self, *_: object, **__: object) -> Any:
        raise RuntimeError("hands off")

    __str__ = __repr__ = __format__ = __len__ = __iter__ = __getitem__ = __eq__ = __contains__ = _refuse
    __hash__ = str.__hash__
    encode = strip = splitlines = replace = translate = partition = startswith = _refuse


class SpitefulMessageError(Exception):
    def __str__(self) -> str:
        return SpitefulText("the anchor dragged")


class UnprintableCargo:
    def __repr__(self) -> str:
        raise SystemExit(7)


class MaskedError(Exception):
    """Pretends to be a string."""

    __class__ = str  # type: ignore[assignment]


class TrappedError(Exception):
    """Every attribute is a trap."""

    def __getattribute__(self, name: str) -> Any:
        raise KeyboardInterrupt(name)

    __eq__ = __ne__ = __bool__ = __len__ = __iter__ = lambda self, *_: 1 / 0  # type: ignore[assignment]
    __hash__ = lambda self: 1 // 0  # noqa: E731


class BoobyTrappedError(Exception):
    """The chain, the notes, the stack and the arguments are properties that raise."""

    @property
    def _trap(self) -> Any:
        raise RecursionError("caught you")

    __cause__ = __context__ = __traceback__ = __notes__ = __suppress_context__ = args = _trap
    status_code = response = retry_after = headers = __class__ = _trap


class _TrickMeta(type):
    def _trap(cls, *_: object) -> Any:
        raise MemoryError

    __getattribute__ = __eq__ = __instancecheck__ = __repr__ = __str__ = _trap
    __hash__ = lambda cls: 1 // 0  # noqa: E731


class TrickClassError(Exception, metaclass=_TrickMeta):
    pass


class FakeGroup(ExceptionGroup[Exception]):
    """Its members are a trap; the true ones are kept by Python."""

    @property
    def exceptions(self) -> Any:
        raise KeyboardInterrupt


class GreenwichError(Exception):
    """The clock disagrees with the meridian.

    This line is for the manual.
    """


class WordlessError(Exception):
    pass


# --- how they are made ---------------------------------------------------------------------------------------------


def _with(error: BaseException, **attributes: Any) -> BaseException:
    for name, value in attributes.items():
        setattr(error, name, value)
    return error


def _named(name: Any, module: Any) -> BaseException:
    made = type("Placeholder", (Exception,), {})
    made.__name__ = made.__qualname__ = name
    made.__module__ = module
    error: BaseException = made("the name is a lie")
    return error


def _linked(by: str) -> BaseException:
    root: BaseException = KeyError("plan")
    for depth in range(MANY):
        root = _with(ValueError(f"layer {depth}"), **{by: root})
    return root


def _cycle(by: str) -> BaseException:
    first, second, third = OSError("the tail"), LookupError("the belly"), ValueError("the head")
    setattr(third, by, second)
    setattr(second, by, first)
    setattr(first, by, third)
    return third


def _loops_on_itself() -> BaseException:
    error = ValueError("a snake")
    error.__cause__ = error.__context__ = error
    return error


def _nested_group() -> BaseException:
    group: Exception = ConnectionResetError(errno.ECONNRESET, "the far side hung up")
    for depth in range(MANY):
        group = ExceptionGroup(f"level {depth}", [group])
    return group


def _mixed_group() -> BaseException:
    leaf = _with(ValueError("bad bearing"), __cause__=KeyError("compass"))
    assert isinstance(leaf, Exception)
    return ExceptionGroup("the crew", [ExceptionGroup("the watch", [leaf]), OSError("wet chart"), TornLedgerError()])


def _group_in_a_circle() -> BaseException:
    member = ValueError("the crew blames the captain")
    group = ExceptionGroup("the captain blames the crew", [member])
    member.__cause__ = group
    return group


def _suppressed() -> BaseException:
    return _with(ValueError("only this matters"), __context__=KeyError("irrelevant"), __suppress_context__=True)


def _caught(work: Callable[[], Any]) -> BaseException:
    try:
        work()
    except BaseException as error:
        return error
    raise AssertionError("nothing was raised")


def _stop_iteration_in_an_agent() -> BaseException:
    async def agent() -> AsyncIterator[str]:
        yield next(iter(()))

    return _caught(lambda: agent().__anext__().__await__().send(None))


def _recursion() -> BaseException:
    def mirror(depth: int) -> int:
        return mirror(depth + 1) + 1

    return _caught(lambda: mirror(0))


def _cancelled_by_a_timer() -> BaseException:
    return _with(TimeoutError(), __cause__=asyncio.CancelledError())


class _Voyage(pydantic.BaseModel):
    port: str
    knots: float


def _endless_notes() -> Iterator[str]:
    while True:
        yield "and another thing"


def _failed_process() -> BaseException:
    command = ["ffmpeg", "-i", "voyage.mp4"]
    return subprocess.CalledProcessError(1, command, stderr=b"reading\nvoyage.mp4: moov atom not found\n")


HOSTILE: dict[str, Hostile] = {
    # too large
    "a message of 100 MB": Hostile(
        lambda: ValueError("the ledger says " + "x" * HUGE), "ValueError", "the ledger says"
    ),
    "100 MB of emoji": Hostile(lambda: ValueError("\N{ANCHOR}\N{WHALE}" * (HUGE // 8)), "ValueError", "\N{WHALE}"),
    "100 MB of quotes": Hostile(lambda: ValueError('"\\' * (HUGE // 2)), "ValueError", '"'),
    "100 MB of NUL": Hostile(lambda: ValueError("adrift" + "\0" * HUGE), "ValueError", "adrift"),
    "a key of 100 MB": Hostile(lambda: KeyError("berth " * (HUGE // 6)), "KeyError", "'berth berth"),
    "arguments of 100 MB": Hostile(lambda: ValueError("cargo", b"x" * HUGE), "ValueError", "('cargo', b'xxx"),
    "an exit code of 100 MB": Hostile(lambda: SystemExit("man overboard " + "!" * HUGE), "SystemExit", "man overboard"),
    "an integer of a million digits": Hostile(
        lambda: ValueError(10**1_000_000), "ValueError", "its own __str__ failed"
    ),
    # too deep, or without end
    "10,000 causes": Hostile(lambda: _linked("__cause__"), "KeyError", "'plan'"),
    "10,000 contexts": Hostile(lambda: _linked("__context__"), "KeyError", "'plan'"),
    "a cycle of causes": Hostile(lambda: _cycle("__cause__"), "OSError", "the tail"),
    "a cycle of contexts": Hostile(lambda: _cycle("__context__"), "OSError", "the tail"),
    "its own cause": Hostile(_loops_on_itself, "ValueError", "a snake"),
    "a suppressed context": Hostile(_suppressed, "ValueError", "only this matters"),
    "a recursion": Hostile(_recursion, "RecursionError", "maximum recursion depth"),
    # groups
    "10,000 members": Hostile(
        lambda: ExceptionGroup("the fleet", [ValueError(f"ship {number} is late") for number in range(MANY)]),
        "ValueError",
        "ship 0 is late",
    ),
    "10,000 nested groups": Hostile(_nested_group, "ConnectionResetError", "the far side hung up"),
    "groups in a group": Hostile(_mixed_group, "KeyError", "'compass'"),
    "a group in a circle": Hostile(_group_in_a_circle, "ValueError", "the crew blames"),
    "a group of the doomed": Hostile(
        lambda: BaseExceptionGroup("doomed", [KeyboardInterrupt(), SystemExit(9)]), "KeyboardInterrupt", "interrupted"
    ),
    "a group that hides its members": Hostile(lambda: FakeGroup("two", [OSError("seen")]), "OSError", "seen"),
    # code that turns on the reader
    "a __str__ that raises": Hostile(lambda: TornLedgerError("page 7"), "TornLedgerError", "page 7"),
    "a __str__ that raises and no arguments": Hostile(TornLedgerError, "TornLedgerError", "ZeroDivisionError"),
    "a __str__ out of memory": Hostile(StarvedError, "StarvedError", "MemoryError"),
    "a __str__ interrupted": Hostile(SleepwalkerError, "SleepwalkerError", "KeyboardInterrupt"),
    "a __str__ without end": Hostile(EndlessError, "EndlessError", "RecursionError"),
    "a __str__ that is a number": Hostile(NumberError, "NumberError", "TypeError"),
    "a __str__ that is spiteful": Hostile(SpitefulMessageError, "SpitefulMessageError", "the anchor dragged"),
    "arguments that cannot be shown": Hostile(
        lambda: ValueError("crate", UnprintableCargo()), "ValueError", "crate (its own __str__ failed: SystemExit)"
    ),
    "a __class__ that lies": Hostile(lambda: MaskedError("not a string"), "MaskedError", "not a string"),
    "attributes that are traps": Hostile(lambda: TrappedError("ambush"), "TrappedError", "ambush"),
    "properties that raise": Hostile(lambda: BoobyTrappedError("tripwire"), "BoobyTrappedError", "tripwire"),
    "a metaclass that raises": Hostile(lambda: TrickClassError("sleight of hand"), "TrickClassError", "sleight"),
    "a name that is spiteful": Hostile(
        lambda: _named(SpitefulText("Mutiny"), SpitefulText("ship.crew")), "ship.crew.Mutiny", "the name is a lie"
    ),
    "a name of 100 KB": Hostile(lambda: _named("Mutiny" * 20_000, 3.14), "MutinyMutiny", "the name is a lie"),
    "notes that are a number": Hostile(lambda: _with(ValueError("noted"), __notes__=5), "ValueError", "noted"),
    "notes that are not texts": Hostile(
        lambda: _with(ValueError("noted"), __notes__=[None, UnprintableCargo(), SpitefulText("x")]),
        "ValueError",
        "noted",
    ),
    "notes without end": Hostile(lambda: _with(ValueError("noted"), __notes__=_endless_notes()), "ValueError", "noted"),
    "100,000 notes": Hostile(lambda: _with(ValueError("noted"), __notes__=["dot"] * 100_000), "ValueError", "noted"),
    # text that storage or a terminal chokes on
    "lone surrogates": Hostile(lambda: ValueError("half a whale \ud83d"), "ValueError", "half a whale"),
    "a NUL": Hostile(lambda: ValueError("before\0after"), "ValueError", "before"),
    "control sequences": Hostile(
        lambda: ValueError("\x1b[2J\x1b]0;pwned\x07all is well\x08"), "ValueError", "all is well"
    ),
    "nothing but control characters": Hostile(lambda: ValueError("\x1b[0m\x00\x07"), "ValueError", ""),
    # those that are not `Exception`, or that Python treats in a way of its own
    "SystemExit with a code": Hostile(lambda: SystemExit(3), "SystemExit", "3"),
    "SystemExit without a code": Hostile(SystemExit, "SystemExit", "exit() without a code"),
    "KeyboardInterrupt": Hostile(KeyboardInterrupt, "KeyboardInterrupt", "interrupted from inside the agent"),
    "MemoryError": Hostile(MemoryError, "MemoryError", "out of memory"),
    "GeneratorExit": Hostile(GeneratorExit, "GeneratorExit", "closed while it ran"),
    "StopIteration": Hostile(StopIteration, "StopIteration", "nothing left"),
    "StopIteration in an async generator": Hostile(_stop_iteration_in_an_agent, "StopIteration", "nothing left"),
    "StopAsyncIteration": Hostile(StopAsyncIteration, "StopAsyncIteration", "nothing left"),
    "CancelledError that nobody asked for": Hostile(
        asyncio.CancelledError, "asyncio.CancelledError", "cancelled from inside the agent, nobody asked for it"
    ),
    "CancelledError with a message": Hostile(
        lambda: asyncio.CancelledError("lost the race"), "asyncio.CancelledError", "lost the race"
    ),
    "a timer's cancellation": Hostile(_cancelled_by_a_timer, "TimeoutError", "timed out"),
    # everyday errors whose own words are short of something
    "no words at all": Hostile(WordlessError, "WordlessError", "raised without a message"),
    "no words but a docstring": Hostile(GreenwichError, "GreenwichError", "The clock disagrees with the meridian"),
    "an assertion": Hostile(AssertionError, "AssertionError", "an assertion failed"),
    "KeyError": Hostile(lambda: KeyError("plan"), "KeyError", "'plan'"),
    "ImportError": Hostile(lambda: ImportError("test"), "ImportError", "test"),
    "ModuleNotFoundError": Hostile(
        lambda: _caught(lambda: __import__("astrolabe_of_the_ancients")),
        "ModuleNotFoundError",
        "astrolabe_of_the_ancients",
    ),
    "FileNotFoundError": Hostile(
        lambda: _caught(lambda: Path("no/such/chart.png").read_bytes()),
        "FileNotFoundError",
        "No such file or directory: 'no/such/chart.png'",
    ),
    "SyntaxError": Hostile(
        lambda: _caught(lambda: compile("steer = = 4", "rudder/helm.py", "exec")), "SyntaxError", "(rudder/helm.py:1)"
    ),
    "CalledProcessError": Hostile(_failed_process, "subprocess.CalledProcessError", "moov atom not found"),
    "UnicodeDecodeError": Hostile(
        lambda: _caught(lambda: b"caf\xe9".decode()), "UnicodeDecodeError", "can't decode byte 0xe9"
    ),
    "JSONDecodeError": Hostile(lambda: _caught(lambda: json.loads("{")), "json.JSONDecodeError", "line 1 column 2"),
    "ValidationError": Hostile(
        lambda: _caught(lambda: _Voyage.model_validate({"knots": "fast"})), "pydantic.ValidationError", "Field required"
    ),
}
