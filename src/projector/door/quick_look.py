"""A quick look at an event: most are small and clean, and pass the door as they are.

It is right when it says yes. Each text is looked at once, those of data together; what is large, foreign to JSON, or
holds anything that could be more than plain words is left to `projector.door.admission`.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any, Final, NamedTuple

from pydantic import BaseModel

from projector.door.event_fields import CONVERSATION_LIMIT, Rule, rules_of
from projector.door.plain_data import DEPTH, HEADERS, KEY_LIMIT, LARGEST
from projector.door.redaction import Redactor
from projector.door.text import is_clean
from projector.events import Event

_LONGEST_NAME: Final = 256
_BYTES_A_CHARACTER: Final = 4
"""In UTF-8 at most; of ASCII it is two that JSON needs for a character that is clean."""
_CHARACTERS_A_VALUE: Final = 7
"""As which a value counts: as many times four bytes, a number or the signs around a text take no more in JSON."""
_LONGEST_KEY: Final = KEY_LIMIT // _BYTES_A_CHARACTER
_MOST_CHARACTERS: Final = CONVERSATION_LIMIT // _BYTES_A_CHARACTER
"""Of all texts of an event together: with its names and its data it is then smaller than an event may be."""


class _Fields(NamedTuple):
    """The fields of an event by what is asked of them. `others` must be empty for a quick yes."""

    names: tuple[str, ...]
    texts: tuple[tuple[str, int], ...]
    data: tuple[tuple[str, int], ...]
    wholes: tuple[str, ...]
    reals: tuple[str, ...]
    others: tuple[str, ...]


@cache
def _fields_of(model: type[BaseModel]) -> _Fields:
    rules = rules_of(model)
    plain = (Rule.NAME, Rule.TEXT, Rule.DATA, Rule.WHOLE, Rule.REAL)

    def named(kind: Rule) -> tuple[str, ...]:
        return tuple(rule.name for rule in rules if rule.rule is kind)

    def bounded(kind: Rule) -> tuple[tuple[str, int], ...]:
        return tuple((rule.name, rule.limit // _BYTES_A_CHARACTER) for rule in rules if rule.rule is kind)

    return _Fields(
        names=named(Rule.NAME),
        texts=bounded(Rule.TEXT),
        data=bounded(Rule.DATA),
        wholes=named(Rule.WHOLE),
        reals=named(Rule.REAL),
        others=tuple(rule.name for rule in rules if rule.rule not in plain),
    )


def is_fine(event: Event, redactor: Redactor) -> bool:
    """Whether the event may be stored as it is. False says nothing."""
    values = event.__dict__
    names, texts, data, wholes, reals, others = _fields_of(type(event))
    for name in others:
        value = values.get(name)
        if value is not None and not (type(value) is tuple and not value):
            return False
    for name in names:
        value = values.get(name)
        if value is not None and not (type(value) is str and len(value) <= _LONGEST_NAME and is_clean(value)):
            return False
    for name in wholes:
        value = values.get(name)
        if value is not None and not (type(value) is int and -LARGEST <= value < LARGEST):
            return False
    for name in reals:
        value = values.get(name)
        if value is not None and not (type(value) is float and math.isfinite(value)):
            return False
    characters = 0
    for name, most in texts:
        value = values.get(name)
        if value is None:
            continue
        if type(value) is not str or len(value) > most:
            return False
        characters += len(value)
        if not redactor.is_plain(value):
            return False
    for name, most in data:
        value = values.get(name)
        if value is not None and not is_plain(value, most, redactor):
            return False
    return characters <= _MOST_CHARACTERS


def is_plain(value: object, most: int, redactor: Redactor) -> bool:
    """Whether this is JSON data that may be stored as it is, of `most` characters at most. False says nothing."""
    if type(value) is str:  # by far the most frequent
        return len(value) <= most and redactor.is_plain(value)
    texts = texts_in(value, most, redactor)
    if not texts:
        return texts is not None
    together = " ".join(texts)
    return redactor.is_plain(together)


def texts_in(value: object, most: int, redactor: Redactor) -> list[str] | None:
    """All texts and keys of plain JSON data of `most` characters at most; None when it needs more than a quick look.

    That is so for anything that is not JSON's own, large or nested deeply, and where a name says that something
    is secret.
    """
    texts: list[str] = []
    room = most
    level = [value]
    for _ in range(DEPTH + 1):
        below: list[Any] = []
        for one in level:
            kind = type(one)
            room -= _CHARACTERS_A_VALUE
            if kind is str:
                texts.append(one)  # type: ignore[arg-type]
                room -= len(one)  # type: ignore[arg-type]
            elif kind is dict:
                if len(one) > room or not _has_plain_keys(one, redactor):  # type: ignore[arg-type]
                    return None
                room -= sum(map(len, one))  # type: ignore[call-overload]
                texts.extend(one)  # type: ignore[arg-type]
                below.extend(one.values())  # type: ignore[attr-defined]
            elif kind is list:
                if len(one) > room or _is_a_header(one):  # type: ignore[arg-type]
                    return None
                below.extend(one)  # type: ignore[arg-type]
            elif one is not None and kind is not bool and not _is_plain_number(one, kind):
                return None
            if room < len(below):
                return None
        if not below:
            return texts
        level = below
    return None


def _has_plain_keys(value: dict[Any, Any], redactor: Redactor) -> bool:
    for key in value:
        if type(key) is not str or len(key) > _LONGEST_KEY or redactor.is_secret_name(key):
            return False
    # {"name": "Authorization", "value": "…"} is judged by whom it names.
    return "value" not in value


def _is_a_header(value: list[Any]) -> bool:
    return len(value) == 2 and type(value[0]) is str and value[0].lower() in HEADERS


def _is_plain_number(value: Any, kind: type[Any]) -> bool:
    if kind is int:
        return bool(-LARGEST <= value < LARGEST)
    return kind is float and math.isfinite(value)
