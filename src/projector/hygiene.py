"""The door that every event passes on its way into the store: redacting, bounding, cleaning.

What is behind it never holds a secret that we recognise, never more than 64 KiB, and nothing that a database or a
terminal would choke on. Order matters: a text is cleaned, so that a secret that escapes were woven into is whole; redacted,
with a margin around what will be kept in view, so that a secret at the cut leaves no part; and then cut.
"""

from __future__ import annotations

import hashlib
import math
import re
import sys
from collections.abc import Iterable
from typing import Any, Final, NamedTuple, TypeVar

from pydantic import BaseModel
from pydantic_core import from_json, to_json

from projector.event_fields import (
    CAUSE_DEPTH,
    CONVERSATION_LIMIT,
    DETAILS_LIMIT,
    MESSAGE_LIMIT,
    STACK_LIMIT,
    FieldRule,
    Rule,
    rules_of,
)
from projector.events import Event
from projector.failures import Cause, Truncation
from projector.plain_data import PlainData
from projector.redaction import REDACTED, Redactor
from projector.text import SAMPLE, byte_size, clean_text, cut, head_of, join_cut, safe_str

__all__ = [
    "CAUSE_DEPTH",
    "CONVERSATION_LIMIT",
    "DETAILS_LIMIT",
    "EVENT_LIMIT",
    "MESSAGE_LIMIT",
    "STACK_LIMIT",
    "Cleaned",
    "CleanedData",
    "Hygiene",
]

EVENT_LIMIT: Final = 64 * 1024
"""The JSON of a whole event, in bytes."""
MARGIN: Final = 8 * 1024
"""How many characters beyond what is kept are looked at, so that a secret at the cut is seen whole."""
TRUNCATIONS_KEPT: Final = 32

_PASSES: Final = 4
_QUICK: Final = 1024
_WHOLE_LIMIT: Final = 2**63
# Tried in turn on every text of an event that is too large although each of its fields is not.
_HARDER: Final = (32768, 24576, 16384, 12288, 8192, 6144, 4096, 3072, 2048, 1536, 1024, 768, 512, 256, 128, 64)
_LEAST_DATA: Final = 512
_TROUBLE: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")

E = TypeVar("E", bound=Event)
M = TypeVar("M", bound=BaseModel)


class Cleaned(NamedTuple):
    """A text fit for the store; `truncation` is set when something was cut from it."""

    text: str
    truncation: Truncation | None


class CleanedData(NamedTuple):
    """Plain JSON data fit for the store; `truncation` is set when it is only a preview."""

    data: Any
    truncation: Truncation | None


class Hygiene:
    """The door. Immutable, and safe to share between threads.

    The sizes in a `Truncation` are in UTF-8 bytes; of a text of more than 1 Mi characters that is not ASCII the size is
    estimated from its ends. Its SHA-256 is over the UTF-8 of the text as it came (lone surrogates replaced by `?`) up to
    1 MiB, and beyond that over the first and the last 512 KiB. For data both are about as much of its JSON as was read.
    """

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor

    @property
    def redactor(self) -> Redactor:
        """What finds the secrets."""
        return self._redactor

    def redacted_json(self, encoded: bytes) -> Any:
        """Plain JSON data without its secrets, and otherwise whole: for what travels beside the store.

        Raises ValueError when `encoded` is not JSON.
        """
        plain = from_json(encoded)
        text = encoded.decode()
        return plain if self._redactor.redact(text) is text else self._redacted(plain)

    def _redacted(self, plain: Any) -> Any:
        match plain:
            case str():
                return self._redactor.redact(plain)
            case list():
                return [self._redacted(item) for item in plain]
            case dict():
                is_secret = self._redactor.is_secret_name
                return {
                    self._redactor.redact(name): REDACTED if is_secret(name) and item else self._redacted(item)
                    for name, item in plain.items()
                }
            case _:
                return plain

    def text(
        self, text: object, limit: int = MESSAGE_LIMIT, *, field: str = "text", head_and_tail: bool = False
    ) -> Cleaned:
        """Any object as clean, redacted text of at most `limit` UTF-8 bytes. Never raises.

        Costs the same for a huge text as for one of the limit and a margin: no more of it is looked at.
        """
        raw = safe_str(text)
        margins = 2 * MARGIN if head_and_tail else MARGIN
        if len(raw) <= limit + margins:
            head = tail = self._redactor.redact(clean_text(raw))
            if cut(head, limit) is head:
                return Cleaned(head, None)
        else:
            kept = limit // 2 + 1 if head_and_tail else limit
            head, tail = self._head(raw, kept), self._tail(raw, kept) if head_and_tail else ""
        size = byte_size(raw)
        short = join_cut(head, tail, limit, size, head_and_tail=head_and_tail)
        return Cleaned(self._settled(short, limit, size, head_and_tail), Truncation(field=field, original_bytes=size, sha256=_sha256(raw)))

    def data(self, value: object, limit: int = DETAILS_LIMIT, *, field: str = "data") -> CleanedData:
        """Any object as plain JSON data of at most `limit` bytes of JSON. Never raises.

        What is larger becomes `{"truncated": true, "preview": …, "original_bytes": …, "sha256": …}`. Returns the same
        object when nothing had to change.
        """
        reading = PlainData(self._leaf, self._redactor.is_secret_name, limit)
        plain = reading.read(value)
        if reading.is_small:
            return CleanedData(plain, None)
        json = to_json(plain)
        if not reading.left_out and not reading.is_full and len(json) <= limit:
            return CleanedData(plain, None)
        size = len(json) + reading.left_out
        digest = hashlib.sha256(json).hexdigest()
        preview = {"truncated": True, "preview": "", "original_bytes": size, "sha256": digest}
        shown = self._redactor.redact(json.decode())
        room = limit - len(to_json(preview))
        while room > 0:
            preview["preview"] = self._settled(head_of(shown, room), room, room, False)
            excess = len(to_json(preview)) - limit
            if excess <= 0:
                break
            room -= excess
            preview["preview"] = ""
        return CleanedData(preview, Truncation(field=field, original_bytes=size, sha256=digest))

    def admit(self, event: E) -> E:
        """The event as it may be stored; the same object when nothing had to change.

        Admitting twice changes nothing more. Never raises for an event that pydantic could build.
        """
        if self._is_fine(event):
            return event
        admitted = _Admission(self, EVENT_LIMIT).event(event)
        for most in _HARDER:
            if _json_size(admitted) <= EVENT_LIMIT:
                break
            admitted = _Admission(self, most).event(event)
        return admitted

    def _is_fine(self, event: Event) -> bool:
        """A quick look that is right when it says yes; small and clean events are most of all."""
        values = event.__dict__
        suspects = self._redactor.suspects
        for rule in rules_of(type(event)):
            value = values.get(rule.name)
            if value is None or value == ():
                continue
            kind = rule.rule
            if kind is Rule.TEXT or kind is Rule.NAME:
                if type(value) is not str or len(value) > _QUICK:
                    return False
                if not (value.isascii() and value.isprintable()) and _TROUBLE.search(value):
                    return False
                if kind is Rule.TEXT and suspects(value):
                    return False
            elif kind is Rule.WHOLE:
                if not -_WHOLE_LIMIT <= value < _WHOLE_LIMIT:
                    return False
            elif kind is Rule.DATA:
                reading = PlainData(self._leaf, self._redactor.is_secret_name, DETAILS_LIMIT)
                if reading.read(value) is not value or not reading.is_small:
                    return False
            elif kind is not Rule.REAL or not math.isfinite(value):
                return False
        return True

    def _leaf(self, value: object, limit: int) -> tuple[str, int]:
        cleaned = self.text(value, limit)
        return cleaned.text, cleaned.truncation.original_bytes - limit if cleaned.truncation else 0

    def _head(self, raw: str, kept: int) -> str:
        window = raw[: kept + MARGIN]
        clean = clean_text(window)
        edge = kept if clean is window else len(clean_text(window[:kept]))
        return self._redactor.redact_part(clean, 0, min(edge, len(clean)))

    def _tail(self, raw: str, kept: int) -> str:
        window = raw[-(kept + MARGIN) :]
        clean = clean_text(window)
        edge = kept if clean is window else len(clean_text(window[-kept:]))
        return self._redactor.redact_part(clean, max(len(clean) - edge, 0), len(clean))

    def _settled(self, text: str, limit: int, size: int, head_and_tail: bool) -> str:
        """A cut text in which nothing looks like a secret: a cut can make the rest of a word look like one."""
        for _ in range(_PASSES):
            again = self._redactor.redact(text)
            if again == text:
                break
            text = again
            if cut(text, limit) is not text:
                text = join_cut(text, text, limit, size, head_and_tail=head_and_tail)
        return text


class _Admission:
    """One event on its way through the door. No text in it may be longer than `most` bytes."""

    def __init__(self, hygiene: Hygiene, most: int) -> None:
        self._hygiene = hygiene
        self._most = most
        self._cuts: list[Truncation] = []

    def event(self, event: E) -> E:
        admitted = self.model(event, "")
        known = admitted.truncated
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
            case Rule.DATA:
                cleaned = self._hygiene.data(value, max(min(rule.limit, self._most), _LEAST_DATA), field=path)
                return self._noted(cleaned.data, cleaned.truncation)
            case Rule.TEXTS | Rule.NAMES:
                items = self._shortened(value, rule, path)
                return _same([self._text_or_name(item, rule, f"{path}[{at}]") for at, item in enumerate(items)], value)
            case Rule.CAUSES:
                causes = self._causes(value, rule, path)
                return _same([self.model(cause, f"{path}[{at}].") for at, cause in enumerate(causes)], value)
            case Rule.MODEL:
                return self.model(value, f"{path}.")
            case Rule.TRUNCATIONS:
                return _same([_bounded(truncation) for truncation in value[:TRUNCATIONS_KEPT]], value)
            case Rule.WHOLE:
                return max(-_WHOLE_LIMIT, min(value, _WHOLE_LIMIT - 1))
            case Rule.REAL:
                if math.isfinite(value):
                    return value
                # JSON has no infinity; the largest number says the same where there must be one.
                return None if rule.optional else math.copysign(sys.float_info.max, value)

    def _text_or_name(self, value: Any, rule: FieldRule, path: str) -> str:
        return self._text(value, rule, path) if rule.rule is Rule.TEXTS else self._name(value, path)

    def _text(self, value: Any, rule: FieldRule, path: str) -> str:
        cleaned = self._hygiene.text(value, min(rule.limit, self._most), field=path, head_and_tail=rule.head_and_tail)
        return self._noted(cleaned.text, cleaned.truncation)

    def _name(self, value: Any, path: str) -> str:
        raw = safe_str(value)
        limit = min(MESSAGE_LIMIT, self._most)
        clean = clean_text(raw[: limit + MARGIN])
        if len(raw) <= limit + MARGIN and cut(clean, limit) is clean:
            return clean
        size = byte_size(raw)
        short = join_cut(clean, "", limit, size)
        return self._noted(short, Truncation(field=path, original_bytes=size, sha256=_sha256(raw)))

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

    def _noted(self, value: Any, truncation: Truncation | None) -> Any:
        if truncation:
            self._cuts.append(truncation)
        return value


def _same(new: list[Any], old: tuple[Any, ...]) -> tuple[Any, ...]:
    """The old tuple when it holds exactly these objects."""
    if len(new) == len(old) and all(a is b for a, b in zip(new, old, strict=True)):
        return old
    return tuple(new)


def _bounded(truncation: Truncation) -> Truncation:
    field, digest = clean_text(truncation.field[:128]), clean_text(truncation.sha256[:64])
    size = max(0, min(truncation.original_bytes, _WHOLE_LIMIT - 1))
    field = cut(field, 128)
    if field == truncation.field and digest == truncation.sha256 and size == truncation.original_bytes:
        return truncation
    return Truncation(field=field, original_bytes=size, sha256=digest)


def _of_list(path: str, lines: Iterable[str], length: int) -> Truncation:
    """What is known of a list that is cut: the size of its lines, and the hash of as many as make 64 KiB."""
    size, seen = max(length - 1, 0), hashlib.sha256()
    for line in lines:
        if size < EVENT_LIMIT:
            seen.update(head_of(line, EVENT_LIMIT).encode("utf-8", "replace") + b"\n")
        size += byte_size(line)
    return Truncation(field=path, original_bytes=size, sha256=seen.hexdigest())


def _sha256(raw: str) -> str:
    """Over the whole text up to 1 MiB of UTF-8, else over its first and its last 512 KiB."""
    if len(raw) <= 2 * SAMPLE:
        data = raw.encode("utf-8", "replace")
        if len(data) <= 2 * SAMPLE:
            return hashlib.sha256(data).hexdigest()
    head = raw[:SAMPLE].encode("utf-8", "replace")[:SAMPLE]
    tail = raw[-SAMPLE:].encode("utf-8", "replace")[-SAMPLE:]
    return hashlib.sha256(head + tail).hexdigest()


def _json_size(event: Event) -> int:
    return len(to_json(event.model_dump(mode="json", warnings=False)))
