"""Any Python object as plain JSON data: bounded in depth and size, without cycles, secrets or surprises.

Objects are read past their own methods where that is possible and under guard where it is not, since an agent may hand
over anything. Reading stops when enough was read to know that the whole is too large.
"""

from __future__ import annotations

import dataclasses
import math
import operator
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date, time
from enum import Enum
from itertools import islice
from numbers import Integral, Real
from typing import Any, Final

from pydantic import BaseModel, SecretBytes, SecretStr
from pydantic_core import to_json

from projector.door.redaction import REDACTED
from projector.door.text import cut, type_name

DEPTH: Final = 20
"""How many levels of nesting an event keeps."""
KEY_LIMIT: Final = 256
"""The longest key that an event keeps, in UTF-8 bytes."""

# In the order in which a subclass is read: by what it is built on, past methods of its own.
_SIZED: Final[tuple[type[Any], ...]] = (dict, list, tuple, set, frozenset, deque)
LARGEST: Final = 2**63
"""Whole numbers below this stay numbers: it is what a database column holds."""
_TELLING: Final = 1_000_000
HEADERS: Final = frozenset(("authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key"))
"""Names in a pair whose other half is a secret."""
_EMPTY: Final = (None, True, False, "", REDACTED, "NaN")
"""What cannot be a secret; the last is what becomes of a number that is none, so that it stays what it became."""


class PlainData:
    """One reading of one object.

    `text` cleans, redacts and bounds a text to a number of bytes, and says how many were left out. `is_secret_name`
    says whether the value under a key is to be replaced. `limit` is how many bytes of JSON are wanted at most.
    """

    def __init__(
        self,
        text: Callable[[object, int], tuple[str, int]],
        is_secret_name: Callable[[str], bool],
        limit: int,
        *,
        depth: int = DEPTH,
        key_limit: int = KEY_LIMIT,
    ) -> None:
        self._text = text
        self._is_secret_name = is_secret_name
        self._limit = limit
        self._depth = depth
        self._key_limit = key_limit
        self._room = limit
        self._open: set[int] = set()
        self.left_out = 0
        """How many bytes were not read, at least."""

    @property
    def is_full(self) -> bool:
        """Whether reading stopped because the JSON is larger than the limit in any case."""
        return self._room < 0

    @property
    def is_small(self) -> bool:
        """Whether its JSON is within the limit in any case: a value that counts as one has at most 25 characters."""
        return not self.left_out and (self._limit - self._room) * 25 <= self._limit

    def read(self, value: object, depth: int = 0) -> Any:
        """Plain data for the value; the same object where nothing had to change."""
        kind = type(value)
        if value is None or kind is bool:
            self._room -= 4
            return value
        if kind is str:
            return self._leaf(value)
        if kind is int or kind is float:
            self._room -= 1
            return _number(value)
        if kind is dict or kind is list or kind is tuple:
            return self._container(value, kind, depth)
        return self._foreign(value, kind, depth)

    def _leaf(self, value: object) -> str:
        shown, left_out = self._text(value, self._limit)
        self.left_out += left_out
        self._room -= len(shown) + 2
        return shown

    def _foreign(self, value: Any, kind: type[Any], depth: int) -> Any:
        """What is not JSON's own. `kind` is the true type: an object's own `__class__` may say anything."""
        try:
            if issubclass(kind, (SecretStr, SecretBytes)):
                return REDACTED
            if issubclass(kind, Enum):
                return self.read(value.value, depth + 1) if depth < self._depth else self._leaf(value)
            if issubclass(kind, (bytes, bytearray)):
                return self._leaf(bytes(value[: self._limit * 2]).decode("utf-8", "backslashreplace"))
            if issubclass(kind, (date, time)):
                return self._leaf(value.isoformat())
            if issubclass(kind, Integral):
                return _number(operator.index(value))
            if issubclass(kind, Real):
                return _number(float(value))
            if _is_container(kind):
                return self._container(value, kind, depth)
        except BaseException as error:
            return self._leaf(f"<unreadable {type_name(value)}: {type_name(error)}>")
        return self._leaf(value)

    def _container(self, value: Any, kind: type[Any], depth: int) -> Any:
        if depth >= self._depth:
            return self._leaf(f"<nested deeper than {self._depth} levels>")
        if id(value) in self._open:
            return self._leaf("<a cycle: this is its own container>")
        self._room -= 2
        self._open.add(id(value))
        try:
            # More items than bytes cannot be kept; of the others it is only said how many there are.
            self.left_out += max(_length_of(value, kind) - self._limit, 0)
            pairs = _pairs(value, kind)
            if pairs is not None:
                return self._mapping(value, kind, islice(pairs, self._limit), depth)
            return self._sequence(value, kind, islice(_items(value, kind), self._limit), depth)
        finally:
            self._open.discard(id(value))

    def _mapping(self, value: Any, kind: type[Any], pairs: Iterable[tuple[object, object]], depth: int) -> Any:
        plain: dict[str, Any] = {}
        changed = kind is not dict
        taken = list(pairs)
        for number, (key, item) in enumerate(taken):
            if self.is_full:
                self.left_out += _size_of([rest for _, rest in taken[number:]])
                return plain
            name = self._key(key, plain)
            secret = self._is_secret_name(name) and _says_something(item)
            new = REDACTED if secret else self.read(item, depth + 1)
            changed = changed or name is not key or new is not item
            plain[name] = new
        # As browsers and proxies list headers: {"name": "Authorization", "value": "…"}.
        label = plain.get("name", plain.get("key"))
        if type(label) is str and _says_something(plain.get("value")) and self._is_secret_name(label):
            plain["value"], changed = REDACTED, True
        return plain if changed else value

    def _key(self, key: object, taken: dict[str, Any]) -> str:
        shown = {None: "null", True: "true", False: "false"}[key] if key is None or type(key) is bool else key
        if issubclass(type(shown), (bytes, bytearray)):
            shown = bytes(shown).decode("utf-8", "backslashreplace")  # type: ignore[call-overload]
        name = self._text(shown, self._key_limit)[0]
        self._room -= len(name) + 3
        number = 2
        unique = name
        while unique in taken:
            unique = f"{cut(name, self._key_limit - 12)} ({number})"
            number += 1
        return unique

    def _sequence(self, value: Any, kind: type[Any], items: Iterable[object], depth: int) -> Any:
        plain: list[Any] = []
        changed = kind is not list
        taken = list(items)
        for number, item in enumerate(taken):
            if self.is_full:
                self.left_out += _size_of(taken[number:])
                return plain
            new = self.read(item, depth + 1)
            changed = changed or new is not item
            plain.append(new)
        if issubclass(kind, (set, frozenset)):
            plain.sort(key=to_json)
        return plain if _redact_across(plain) or changed else value


def _redact_across(items: list[Any]) -> bool:
    """Redact what is only a secret together: a header and its value, the lines of a private key."""
    if len(items) == 2 and type(items[0]) is str and items[0].lower() in HEADERS and _says_something(items[1]):
        items[1] = REDACTED
        return True
    inside = changed = False
    for number, item in enumerate(items):
        if type(item) is not str:
            continue
        begins = "-----BEGIN " in item and "PRIVATE KEY" in item
        if (inside or begins) and item != REDACTED:
            items[number], changed = REDACTED, True
        inside = (inside or begins) and "-----END " not in item
    return changed


def _says_something(value: object) -> bool:
    """Whether a value under a secret's name could be the secret, rather than a switch, a count or nothing."""
    kind = type(value)
    if kind is int or kind is float:
        return abs(value) >= _TELLING  # type: ignore[arg-type]
    if value is None or kind is bool or kind is str:
        return value not in _EMPTY
    return not (kind in (dict, list, tuple, set) and not value)


def _number(value: Any) -> Any:
    if type(value) is float:
        return (
            value if math.isfinite(value) else "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
        )
    if -LARGEST <= value < LARGEST:
        return value
    return str(value) if value.bit_length() <= 4096 else f"<an integer of {value.bit_length()} bits>"


def _is_container(kind: type[Any]) -> bool:
    builtin = (dict, list, tuple, set, frozenset, deque, BaseModel)
    return issubclass(kind, builtin) or dataclasses.is_dataclass(kind) or issubclass(kind, Mapping)


def _pairs(value: Any, kind: type[Any]) -> Iterator[tuple[object, object]] | None:
    """The keys and values of what has some."""
    if issubclass(kind, dict):
        return iter(dict.items(value))
    if issubclass(kind, BaseModel):
        return iter({**value.__dict__, **(value.__pydantic_extra__ or {})}.items())
    if issubclass(kind, tuple):
        names = getattr(kind, "_fields", None)
        return zip(names, tuple.__iter__(value), strict=False) if type(names) is tuple else None
    if dataclasses.is_dataclass(kind):
        return ((field.name, getattr(value, field.name, None)) for field in dataclasses.fields(kind))
    if issubclass(kind, Mapping):
        return ((key, value[key]) for key in value)
    return None


def _items(value: Any, kind: type[Any]) -> Iterator[object]:
    builtin = next((builtin for builtin in _SIZED if issubclass(kind, builtin)), None)
    return builtin.__iter__(value) if builtin else iter(())


def _length_of(value: Any, kind: type[Any]) -> int:
    builtin = next((builtin for builtin in _SIZED if issubclass(kind, builtin)), None)
    return builtin.__len__(value) if builtin else 0


def _size_of(items: list[object]) -> int:
    """What was not read, in bytes, at least: texts by their length, anything else as one."""
    return sum(len(item) if type(item) is str else 1 for item in items)
