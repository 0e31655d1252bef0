"""The door for data: whatever object comes, plain JSON data goes out, clean, bounded and without secrets."""

from __future__ import annotations

import json
import math
import time
from collections import OrderedDict, UserDict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePosixPath
from typing import Any, Final, NamedTuple, NoReturn
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, SecretStr
from pydantic_core import to_json

from projector.door.hygiene import DETAILS_LIMIT
from projector.door.redaction import REDACTED
from tests.dirt import SECRET, Raises, assert_all_clean, assert_clean, cycle, hygiene, json_like
from tests.made_up_secrets import pem


class _Level(Enum):
    HIGH = 3


class _Position(NamedTuple):
    light: str
    password: str


@dataclass
class _Keeper:
    name: str
    api_key: str


class _Lamp(BaseModel):
    oil: float
    token: SecretStr
    keeper: Any = None


class _FalseDict(dict[Any, Any]):
    def items(self) -> NoReturn:
        raise RuntimeError("no items")

    def __iter__(self) -> NoReturn:
        raise RuntimeError("no keys")


class _FalseMapping(UserDict[Any, Any]):
    def __iter__(self) -> Iterator[Any]:
        raise SystemExit("no keys")


def _deep(levels: int) -> Any:
    nested: Any = "the bottom"
    for _ in range(levels):
        nested = [nested]
    return nested


UNLIKE_JSON: Final[list[tuple[Callable[[], object], object]]] = [
    (lambda: {"path": "lamp.txt", "n": [1, 2.5, True, None]}, {"path": "lamp.txt", "n": [1, 2.5, True, None]}),
    (lambda: [math.nan, math.inf, -math.inf], ["NaN", "Infinity", "-Infinity"]),
    (lambda: [2**63 - 1, 2**70, 10**9000], [2**63 - 1, str(2**70), "<an integer of 29898 bits>"]),
    (lambda: (b"oil", b"\xff\x00oil", bytearray(b"oil")), ["oil", "\\xffoil", "oil"]),
    (lambda: {1: "a", None: "b", False: "c"}, {"1": "a", "null": "b", "false": "c"}),
    (lambda: {_Level.HIGH: "d", b"e": "e", (1, 2): "f"}, {"_Level.HIGH": "d", "e": "e", "(1, 2)": "f"}),
    (lambda: {"1": "a", 1: "b"}, {"1": "a", "1 (2)": "b"}),
    (lambda: {3, 1, 2}, [1, 2, 3]),
    (lambda: frozenset("cab"), ["a", "b", "c"]),
    (lambda: deque(["oil"]), ["oil"]),
    (lambda: OrderedDict(a=1), {"a": 1}),
    (lambda: UserDict(a=1), {"a": 1}),
    (lambda: _Keeper("Grace", "f0ghorn"), {"name": "Grace", "api_key": REDACTED}),
    (lambda: _Position("on", "f0ghorn"), {"light": "on", "password": REDACTED}),
    (
        lambda: _Lamp(oil=math.nan, token=SecretStr("f0ghorn"), keeper=_Level.HIGH),
        {"oil": "NaN", "token": REDACTED, "keeper": 3},
    ),
    (lambda: [SecretStr("f0ghorn")], [REDACTED]),
    (lambda: [datetime(2026, 11, 23, tzinfo=UTC), date(2026, 11, 23)], ["2026-11-23T00:00:00+00:00", "2026-11-23"]),
    (lambda: [timedelta(seconds=5), Decimal("1.50"), PurePosixPath("a/b")], ["0:00:05", "1.50", "a/b"]),
    (lambda: UUID(int=7), "00000000-0000-0000-0000-000000000007"),
    (lambda: _FalseDict(a=1), {"a": 1}),
    (lambda: _FalseMapping(a=1), "<unreadable _FalseMapping: SystemExit>"),
    (lambda: {"lamp": Raises()}, {"lamp": "<unprintable Raises: __str__ raised SystemExit>"}),
    (lambda: _Level, "<enum '_Level'>"),
    (cycle, {"name": "ring", "itself": "<a cycle: this is its own container>"}),
    (lambda: "l\x00amp \x1b[1mlit\x1b[0m \ud800", "lamp lit \ufffd"),
    (lambda: {f"key {SECRET}": SECRET}, {"key [redacted:github-token]": "[redacted:github-token]"}),
    (
        lambda: [("Authorization", "f0ghorn"), [b"Cookie", b"f0ghorn"]],
        [["Authorization", REDACTED], ["Cookie", REDACTED]],
    ),
    (lambda: [{"name": "X-Api-Key", "value": "f0ghorn"}], [{"name": "X-Api-Key", "value": REDACTED}]),
    (
        lambda: {"token": None, "password": "", "secret": False, "auth": 3},
        {"token": None, "password": "", "secret": False, "auth": 3},
    ),
    (
        lambda: {"password": 12345678, "credentials": {"user": "Grace"}},
        {"password": REDACTED, "credentials": REDACTED},
    ),
    (lambda: {"max_tokens": 4096, "total_tokens": 5000000}, {"max_tokens": 4096, "total_tokens": 5000000}),
]


@pytest.mark.parametrize(("make", "plain"), UNLIKE_JSON)
def test_any_object_becomes_plain_data(make: Callable[[], object], plain: object) -> None:
    data, truncation = hygiene.data(make())
    assert truncation is None
    assert data == plain
    assert hygiene.data(data).data is data


def test_the_lines_of_a_private_key_are_redacted_in_a_list_too() -> None:
    lines = ["first", *pem().splitlines(), "last"]
    data = hygiene.data(lines).data
    assert data[0] == "first" and data[-1] == "last"
    assert set(data[1:-1]) == {REDACTED}


def test_nesting_is_bounded() -> None:
    assert hygiene.data(_deep(20)).data == _deep(20)
    shown = json.dumps(hygiene.data(_deep(100_000)).data)
    assert "<nested deeper than 20 levels>" in shown and shown.count("[") == 20


@pytest.mark.parametrize(
    "make",
    [
        lambda: "x" * 100_000_000,
        lambda: list(range(3_000_000)),
        lambda: {str(n): n for n in range(300_000)},
        lambda: [[["é" * 1000] * 1000] * 1000] * 1000,
        lambda: {"a": ['"' * 5000, SECRET * 500]},
        lambda: [SECRET + "\n"] * 5000,
        lambda: set(range(1_000_000)),
        lambda: b"\xff" * 50_000_000,
        lambda: {"k" * 10_000_000: 1, "text": "lamp " * 10_000},
    ],
)
def test_what_is_too_large_becomes_a_preview(make: Callable[[], object]) -> None:
    value = make()
    begin = time.process_time()
    data, truncation = hygiene.data(value, field="output")
    assert time.process_time() - begin < 1
    assert truncation and truncation.field == "output" and truncation.original_bytes > DETAILS_LIMIT
    assert data["truncated"] is True and data["sha256"] == truncation.sha256
    assert data["original_bytes"] == truncation.original_bytes
    assert DETAILS_LIMIT // 2 < len(to_json(data)) <= DETAILS_LIMIT
    assert_clean(data["preview"])
    assert hygiene.data(data).data is data


def test_the_size_of_what_is_cut_is_told() -> None:
    assert hygiene.data({"log": "x" * 100_000}).data["original_bytes"] == pytest.approx(100_010, abs=100)


@given(json_like, st.sampled_from([512, 8192]))
def test_data_is_plain_clean_bounded_and_stays_as_it_is(value: object, limit: int) -> None:
    data, _ = hygiene.data(value, limit)
    assert_all_clean(data)
    assert len(json.dumps(data, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode()) <= limit
    again, truncation = hygiene.data(data, limit)
    assert again is data and truncation is None


def test_json_that_travels_beside_the_store_loses_its_secrets_and_nothing_else() -> None:
    value = {"log": "x" * 100_000 + SECRET, "auth": "f0ghorn", "n": _deep(150), "colour": "\x1b[31m", "tokens": 7}
    expected = value | {"log": "x" * 100_000 + "[redacted:github-token]", "auth": REDACTED}
    assert hygiene.redacted_json(to_json(value)) == expected
    with pytest.raises(ValueError):
        hygiene.redacted_json(b"{")
