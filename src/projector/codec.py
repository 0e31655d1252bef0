"""Events to bytes and back, on the eventsourcing library's mapper.

The stored topic is the event's own name, never a module path, so code may move and a row can never make us import
anything. The body is JSON: id, time, writer, attempt, data, and class_version when it is above 1. What this version
cannot read (an unknown name, a newer class_version, a damaged body) becomes an `Unreadable`, so that its execution
can be set aside and every other goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from operator import index
from typing import Any, Final

import msgspec
from eventsourcing.compressor import ZlibCompressor
from eventsourcing.persistence import Mapper, Notification, StoredEvent, Transcoder
from pydantic import BaseModel
from pydantic_core import from_json

from projector.envelope import RecordedEvent
from projector.events import EVENT_TYPES, Event, Unreadable

Upcaster = Callable[[dict[str, Any]], dict[str, Any]]

UPCASTERS: Final[dict[tuple[str, int], Upcaster]] = {}
"""(event name, version) → the data one version later. Empty until an event's meaning first changes."""

_ZLIB: Final = ZlibCompressor()
_ZLIB_BEGINS: Final = b"x"
"""The first byte of what zlib has compressed; JSON of ours begins with a brace."""
_EPOCH: Final = datetime.fromtimestamp(0, UTC)


class JsonTranscoder(Transcoder):
    """JSON by msgspec's encoder, the fastest there is; it is strict about Unicode and turns NaN into null."""

    def encode(self, obj: Any) -> bytes:
        return _ENCODER.encode(obj)

    def decode(self, data: bytes) -> Any:
        return from_json(data)


def _fields_of(value: Any) -> dict[str, Any]:
    """The fields of a model within an event; its own methods would build them all anew."""
    if isinstance(value, BaseModel):
        return value.__dict__
    raise TypeError(f"a {type(value).__name__} cannot be serialized as JSON")


_ENCODER: Final = msgspec.json.Encoder(enc_hook=_fields_of)


class EventMapper(Mapper[str]):
    """RecordedEvent ⇄ StoredEvent, through the library's compressor and cipher when they are set."""

    def __init__(
        self,
        *args: Any,
        upcasters: Mapping[tuple[str, int], Upcaster] = UPCASTERS,
        **kwargs: Any,
    ) -> None:
        super().__init__(*(args or (JsonTranscoder(),)), **kwargs)
        self._upcasters = upcasters

    def to_stored_event(self, domain_event: Any) -> StoredEvent:
        """Encode a RecordedEvent; its position is the store's to give."""
        recorded: RecordedEvent = domain_event
        state = self.state(recorded.id, recorded.time, recorded.writer, recorded.attempt, recorded.event)
        return StoredEvent(recorded.stream, recorded.version, type(recorded.event).__name__, state)

    def state(self, id: str, time: datetime, writer: str, attempt: int, event: Event) -> bytes:
        """The body of an event. Where it stands is not in it, so it can be made before that is known."""
        data = event.__dict__  # defaults are written out: should one change, what old events mean does not
        if not event.truncated:
            data = data.copy()
            data.pop("truncated", None)
        body: dict[str, Any] = {"id": id, "time": time, "writer": writer, "attempt": attempt, "data": data}
        if event.class_version > 1:
            body["class_version"] = event.class_version
        return self.sealed(self.transcoder.encode(body))

    def to_domain_event(self, stored_event: StoredEvent) -> RecordedEvent:
        """Decode a stored event. Never raises for what the body holds: what cannot be read becomes an Unreadable."""
        name = stored_event.topic
        body: dict[str, Any] = {}
        time, attempt = _EPOCH, 0
        try:
            body = self._body(stored_event.state)
            time = _utc(body["time"])
            attempt = index(body.get("attempt", 0))
            event = self._read(name, body.get("class_version", 1), body["data"])
        except Exception as error:  # a body may be damaged in any way; the reason is kept with the event
            event = Unreadable(name=name, reason=f"its body is damaged ({type(error).__name__}: {error})"[:500])
        return RecordedEvent(
            stream=str(stored_event.originator_id),
            version=stored_event.originator_version,
            position=stored_event.id if isinstance(stored_event, Notification) else 0,
            id=str(body.get("id", "")),
            time=time,
            writer=str(body.get("writer", "")),
            attempt=attempt,
            event=event,
        )

    @property
    def is_plain(self) -> bool:
        """Whether the store holds bodies as they are, neither encrypted nor compressed."""
        return not (self.cipher or self.compressor)

    def sealed(self, body: bytes) -> bytes:
        """A body as the store is to hold it: compressed and encrypted where that is set."""
        if self.compressor:
            body = self.compressor.compress(body)
        return self.cipher.encrypt(body) if self.cipher else body

    def opened(self, state: bytes) -> bytes:
        """A stored body without its cipher and compression. Raises whatever these raise.

        Whether a body is compressed is seen by its beginning, so compression may be turned on and off at any time.
        """
        if self.cipher:
            state = self.cipher.decrypt(state)
        begin = state[:1]
        if begin != b"{" and (self.compressor or begin == _ZLIB_BEGINS):
            state = (self.compressor or _ZLIB).decompress(state)
        return state

    def _body(self, state: bytes) -> dict[str, Any]:
        body = self.transcoder.decode(self.opened(state))
        if not isinstance(body, dict):
            raise TypeError("it is not a JSON object")
        return body

    def _read(self, name: str, version: int, data: dict[str, Any]) -> Any:
        kind = EVENT_TYPES.get(name)
        if kind is None:
            return Unreadable(name=name, stored_version=version, reason="this version does not know the event")
        if version > kind.class_version:
            reason = f"it has version {version}, this version reads up to {kind.class_version}"
            return Unreadable(name=name, stored_version=version, reason=reason)
        for step in range(version, kind.class_version):
            data = self._upcasters[name, step](data)
        return kind.model_validate(data)


def _utc(text: str) -> datetime:
    time = datetime.fromisoformat(text)
    return time if time.tzinfo else time.replace(tzinfo=UTC)
