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

from eventsourcing.persistence import Mapper, Notification, StoredEvent, Transcoder
from pydantic_core import from_json, to_json

from projector.envelope import RecordedEvent
from projector.events import EVENT_TYPES, Unreadable

Upcaster = Callable[[dict[str, Any]], dict[str, Any]]

UPCASTERS: Final[dict[tuple[str, int], Upcaster]] = {}
"""(event name, version) → the data one version later. Empty until an event's meaning first changes."""

_EPOCH: Final = datetime.fromtimestamp(0, UTC)


class JsonTranscoder(Transcoder):
    """JSON by pydantic's own encoder, which is strict about Unicode and turns NaN into null."""

    def encode(self, obj: Any) -> bytes:
        return to_json(obj)

    def decode(self, data: bytes) -> Any:
        return from_json(data)


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
        event = recorded.event
        body: dict[str, Any] = {
            "id": recorded.id,
            "time": recorded.time,
            "writer": recorded.writer,
            "attempt": recorded.attempt,
            # Defaults are written out: should one change, what old events mean does not.
            "data": event.model_dump(mode="json", exclude=None if event.truncated else {"truncated"}),
        }
        if event.class_version > 1:
            body["class_version"] = event.class_version
        state = self.transcoder.encode(body)
        if self.compressor:
            state = self.compressor.compress(state)
        if self.cipher:
            state = self.cipher.encrypt(state)
        return StoredEvent(recorded.stream, recorded.version, type(event).__name__, state)

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

    def _body(self, state: bytes) -> dict[str, Any]:
        if self.cipher:
            state = self.cipher.decrypt(state)
        if self.compressor:
            state = self.compressor.decompress(state)
        body = self.transcoder.decode(state)
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
