"""One event's passage through the door: each field by its rule, and a note of whatever was cut.

`projector.door.event_fields` has the rules, `projector.door.hygiene` does the work on a text or on data.
"""

from __future__ import annotations

import hashlib
import math
import sys
from collections.abc import Iterable
from typing import Any, Final, Protocol, TypeVar

from pydantic import BaseModel

from projector.door.event_fields import EVENT_LIMIT, MARGIN, MESSAGE_LIMIT, FieldRule, Rule, rules_of
from projector.door.text import byte_size, clean_text, cut, digest_of, head_of, join_cut, safe_str
from projector.events import Event
from projector.failures import Cause, Truncation

WHOLE_LIMIT: Final = 2**63
"""Whole numbers stay below this: what a database column holds."""
TRUNCATIONS_KEPT: Final = 32
_FIELD_LIMIT: Final = 128
_DIGEST_LENGTH: Final = 64
_LEAST_DATA: Final = 512

E = TypeVar("E", bound=Event)
M = TypeVar("M", bound=BaseModel)


class Door(Protocol):
    """What cleans, redacts and bounds one text or one object."""

    def text(
        self, text: object, limit: int, *, field: str, head_and_tail: bool = False
    ) -> tuple[str, Truncation | None]:
        """The text fit for the store, and what was cut from it."""

    def data(self, value: object, limit: int, *, field: str) -> tuple[Any, Truncation | None]:
        """The object as plain data fit for the store, and what was cut from it."""


class Admission:
    """One event on its way through the door. No text in it may be longer than `most` bytes."""

    def __init__(self, door: Door, most: int) -> None:
        self._door = door
        self._most = most
        self._cuts: list[Truncation] = []

    def event(self, event: E) -> E:
        admitted = self.model(event, "")
        known = admitted.truncated if type(admitted.truncated) is tuple else ()
        fields = {truncation.field for truncation in known}
        # What was cut first is what was whole: an earlier note on a field is the one that counts.
        new = [truncation for truncation in self._cuts if truncation.field not in fields]
        kept = (*known, *new)[:TRUNCATIONS_KEPT]
        return admitted.model_copy(update={"truncated": kept}) if len(kept) > len(known) else admitted

    def model(self, model: M, path: str) -> M:
        changes = {}
        for rule in rules_of(type(model)):
            value = model.__dict__.get(rule.name)
            if value is not None:
                new = self._field(rule, value, path + rule.name)
                if new is not value:
                    changes[rule.name] = new
        return model.model_copy(update=changes) if changes else model

    def _field(self, rule: FieldRule, value: Any, path: str) -> Any:
        match rule.rule:
            case Rule.TEXT:
                return self._text(value, rule, path)
            case Rule.NAME:
                return self._name(value, path)
            case Rule.TEXTS | Rule.NAMES if type(value) is tuple:
                items = self._shortened(value, rule, path)
                return _same([self._text_or_name(item, rule, f"{path}[{at}]") for at, item in enumerate(items)], value)
            case Rule.CAUSES if type(value) is tuple:
                causes = self._causes(value, rule, path)
                return _same([self._model(cause, rule, f"{path}[{at}]") for at, cause in enumerate(causes)], value)
            case Rule.MODEL:
                return self._model(value, rule, path)
            case Rule.TRUNCATIONS if type(value) is tuple:
                return _same([self._bounded(each) for each in value[:TRUNCATIONS_KEPT]], value)
            case Rule.WHOLE if type(value) is int:
                fits = -WHOLE_LIMIT <= value < WHOLE_LIMIT
                return value if fits else -WHOLE_LIMIT if value < 0 else WHOLE_LIMIT - 1
            case Rule.REAL if type(value) is float:
                if math.isfinite(value):
                    return value
                # JSON has no infinity; the largest number says the same where there must be one.
                return None if rule.optional else math.copysign(sys.float_info.max, value)
            case _:
                return self._data(value, rule, path)

    def _data(self, value: Any, rule: FieldRule, path: str) -> Any:
        data, truncation = self._door.data(value, max(min(rule.limit, self._most), _LEAST_DATA), field=path)
        self._note(truncation)
        return data

    def _model(self, value: Any, rule: FieldRule, path: str) -> Any:
        # Whoever builds a model without validation may have put anything into it.
        return self.model(value, f"{path}.") if issubclass(type(value), BaseModel) else self._data(value, rule, path)

    def _text_or_name(self, value: Any, rule: FieldRule, path: str) -> str:
        return self._text(value, rule, path) if rule.rule is Rule.TEXTS else self._name(value, path)

    def _text(self, value: Any, rule: FieldRule, path: str) -> str:
        limit = min(rule.limit, self._most)
        text, truncation = self._door.text(value, limit, field=path, head_and_tail=rule.head_and_tail)
        self._note(truncation)
        return text

    def _name(self, value: Any, path: str) -> str:
        raw = safe_str(value)
        limit = min(MESSAGE_LIMIT, self._most)
        clean = clean_text(raw[: limit + MARGIN])
        if len(raw) <= limit + MARGIN and cut(clean, limit) is clean:
            return clean
        size = byte_size(raw)
        short = join_cut(clean, "", limit, size)
        self._note(Truncation(field=path, original_bytes=size, sha256=digest_of(raw)))
        return short

    def _shortened(self, items: tuple[Any, ...], rule: FieldRule, path: str) -> tuple[Any, ...]:
        if len(items) <= rule.length:
            return items
        kept = rule.length - 1
        self._cuts.append(_of_list(path, (safe_str(item) for item in items), len(items)))
        return (*items[:kept], f"… and {len(items) - kept} more")

    def _causes(self, causes: tuple[Cause, ...], rule: FieldRule, path: str) -> tuple[Cause, ...]:
        """At most so many; the last one, which is the root, stays."""
        if len(causes) <= rule.length:
            return causes
        self._cuts.append(_of_list(path, (safe_str(cause) for cause in causes), len(causes)))
        return (*causes[: rule.length - 1], causes[-1])

    def _bounded(self, truncation: Truncation) -> Truncation:
        field = self._door.text(truncation.field, _FIELD_LIMIT, field="")[0]
        digest = self._door.text(truncation.sha256, _DIGEST_LENGTH, field="")[0]
        size = max(0, min(truncation.original_bytes, WHOLE_LIMIT - 1))
        if field is truncation.field and digest is truncation.sha256 and size == truncation.original_bytes:
            return truncation
        return Truncation(field=field, original_bytes=size, sha256=digest)

    def _note(self, truncation: Truncation | None) -> None:
        if truncation:
            self._cuts.append(truncation)


def _same(new: list[Any], old: tuple[Any, ...]) -> tuple[Any, ...]:
    """The old tuple when it holds exactly these objects."""
    if len(new) == len(old) and all(a is b for a, b in zip(new, old, strict=True)):
        return old
    return tuple(new)


def _of_list(path: str, lines: Iterable[str], length: int) -> Truncation:
    """What is known of a list that is cut: the size of its lines, and the hash of as many as make 64 KiB."""
    size, seen = max(length - 1, 0), hashlib.sha256()
    for line in lines:
        if size < EVENT_LIMIT:
            seen.update(head_of(line, EVENT_LIMIT).encode("utf-8", "replace") + b"\n")
        size += byte_size(line)
    return Truncation(field=path, original_bytes=size, sha256=seen.hexdigest())
