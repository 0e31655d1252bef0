"""The door that every event passes on its way into the store: redacting, bounding, cleaning.

What is behind it never holds a secret that we recognise, never more than 64 KiB, and nothing that a database or a
terminal would choke on. Order matters: a text is cleaned, so that a secret that escapes were woven into is whole;
redacted, with a margin around what will be kept in view, so that a secret at the cut leaves no part; and then cut.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from typing import Any, Final, NamedTuple, TypeVar

import msgspec
from pydantic_core import from_json, to_json

from projector.door.admission import Admission
from projector.door.event_fields import (
    CAUSE_DEPTH,
    CONVERSATION_LIMIT,
    DETAILS_LIMIT,
    EVENT_LIMIT,
    MARGIN,
    MESSAGE_LIMIT,
    STACK_LIMIT,
)
from projector.door.plain_data import PlainData
from projector.door.quick_look import is_fine, texts_in
from projector.door.redaction import Redactor
from projector.door.text import byte_size, clean_text, cut, digest_of, head_of, is_clean, join_cut, safe_str
from projector.events import Event
from projector.failures import Truncation

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


_PASSES: Final = 4
_DEEPEST_JSON: Final = 200
# Tried in turn on every text of an event that is too large although each of its fields is not.
_HARDER: Final = (32768, 24576, 16384, 12288, 8192, 6144, 4096, 3072, 2048, 1536, 1024, 768, 512, 256, 128, 64)

E = TypeVar("E", bound=Event)


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

    The sizes in a `Truncation` are in UTF-8 bytes; of a text of more than 1 Mi characters that is not ASCII the size
    is estimated from its ends. Its SHA-256 is over the UTF-8 of the text as it came (lone surrogates replaced by `?`)
    up to 1 MiB, and beyond that over the first and the last 512 KiB. For data both are about as much of its JSON as
    was read.
    """

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor

    @property
    def redactor(self) -> Redactor:
        """What finds the secrets."""
        return self._redactor

    def text(
        self, text: object, limit: int = MESSAGE_LIMIT, *, field: str = "text", head_and_tail: bool = False
    ) -> Cleaned:
        """Any object as clean, redacted text of at most `limit` UTF-8 bytes. Never raises.

        Costs the same for a huge text as for one of the limit and a margin: no more of it is looked at.
        """
        raw = safe_str(text)
        margins = 2 * MARGIN if head_and_tail else MARGIN
        if len(raw) <= limit + margins:
            head = tail = self._part(raw, 0, len(raw))
            if cut(head, limit) is head:
                return Cleaned(head, None)
        else:
            kept = limit // 2 + 1 if head_and_tail else limit
            head = self._part(raw[: kept + MARGIN], 0, kept)
            tail = self._part(raw[-(kept + MARGIN) :], MARGIN, kept + MARGIN) if head_and_tail else ""
        size = byte_size(raw)
        short = join_cut(head, tail, limit, size, head_and_tail=head_and_tail)
        settled = self._settled(short, limit, size, head_and_tail)
        return Cleaned(settled, Truncation(field=field, original_bytes=size, sha256=digest_of(raw)))

    def data(self, value: object, limit: int = DETAILS_LIMIT, *, field: str = "data") -> CleanedData:
        """Any object as plain JSON data of at most `limit` bytes of JSON. Never raises.

        What is larger becomes `{"truncated": true, "preview": …, "original_bytes": …, "sha256": …}`. Returns the same
        object when nothing had to change.
        """
        reading = PlainData(self._leaf, self._redactor.is_secret_name, limit)
        plain = reading.read(value)
        if reading.is_small:
            return CleanedData(plain, None)
        encoded = to_json(plain)
        if not reading.left_out and not reading.is_full and len(encoded) <= limit:
            return CleanedData(plain, None)
        size = len(encoded) + reading.left_out
        digest = hashlib.sha256(encoded).hexdigest()
        preview = {"truncated": True, "preview": "", "original_bytes": size, "sha256": digest}
        shown = self._redactor.redact(encoded.decode())
        room = space = limit - len(to_json(preview))
        while room > 0:
            preview["preview"] = self._settled(head_of(shown, room), room, room, False)
            used = len(to_json(preview["preview"])) - len('""')
            if used <= space:
                break
            # Quotes and backslashes take more room in JSON, by how much depends on where the text ends.
            preview["preview"], room = "", min(room - 1, room * space // used)
        return CleanedData(preview, Truncation(field=field, original_bytes=size, sha256=digest))

    def snapshot(self, value: object, limit: int = DETAILS_LIMIT, *, field: str = "data") -> Any:
        """Plain JSON data that says what the value says now, and that nobody else holds. Never raises.

        Small and plain data is only copied; anything else is what `data` makes of it.
        """
        kind = type(value)
        if value is None or kind is bool or kind is int or kind is float or (kind is str and len(value) <= limit):  # type: ignore[arg-type]
            return value
        if texts_in(value, limit // 4, self._redactor) is not None:
            with suppress(UnicodeError):  # half a character: to be cleaned
                return msgspec.json.decode(msgspec.json.encode(value))
        return from_json(to_json(self.data(value, limit, field=field).data))

    def redacted_json(self, encoded: bytes) -> Any:
        """Plain JSON data without its secrets, and otherwise whole: for what travels beside the store.

        Raises ValueError when `encoded` is not JSON.
        """
        reading = PlainData(
            lambda text, _: (self._redactor.redact(safe_str(text)), 0),
            self._redactor.is_secret_name,
            len(encoded) * 2 + MARGIN,
            depth=_DEEPEST_JSON,
            key_limit=len(encoded) * 2 + MARGIN,
        )
        try:
            plain = from_json(encoded)
        except ValueError:  # pydantic reads less deeply than it writes
            plain = json.loads(encoded)
        return reading.read(plain)

    def admit(self, event: E) -> E:
        """The event as it may be stored; the same object when nothing had to change.

        Admitting twice changes nothing more. Never raises for an event that pydantic could build.
        """
        if is_fine(event, self._redactor):
            return event
        admitted = Admission(self, EVENT_LIMIT).event(event)
        for most in _HARDER:
            if _json_size(admitted) <= EVENT_LIMIT:
                break
            admitted = Admission(self, most).event(event)
        return admitted

    def _leaf(self, value: object, limit: int) -> tuple[str, int]:
        cleaned = self.text(value, limit)
        return cleaned.text, cleaned.truncation.original_bytes - limit if cleaned.truncation else 0

    def _part(self, window: str, start: int, stop: int) -> str:
        """What is clean and redacted of window[start:stop], with all of the window in view."""
        redact = self._redactor.redact_part
        if is_clean(window):
            return redact(window, start, stop)
        # Redacted before it is cleaned too: an escape sequence can eat the first letter of a token.
        parts = [redact(window, *part) for part in ((0, start), (start, stop), (stop, len(window)))]
        start = len(clean_text(parts[0]))
        stop = start + len(clean_text(parts[1]))
        clean = clean_text("".join(parts))
        return redact(clean, min(start, len(clean)), min(stop, len(clean)))

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


def _json_size(event: Event) -> int:
    return len(to_json(event.model_dump(mode="json", warnings=False, fallback=safe_str)))
