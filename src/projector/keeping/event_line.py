"""One line of an event file: an event as a store holds it, in JSON that any tool reads.

    {"position":7,"stream":"execution/ferry","version":2,"topic":"ExecutionStarted","id":"…","body":{…}}

The body is what the store holds, byte for byte. One that is no JSON object on one line, because it is encrypted or
damaged, stands in `sealed` as base64 instead.
"""

from __future__ import annotations

import base64
from typing import Annotated, Final, NamedTuple

import msgspec

LARGEST: Final = 2**62
"""No position or version is larger; it is what both engines hold."""

_DEEP: Final = 100
_ROOM: Final = b"[" * 400
_END_OF_ROOM: Final = b"]" * 400

_Place = Annotated[int, msgspec.Meta(ge=1, le=LARGEST)]


class FiledEvent(NamedTuple):
    """An event as it stands in a file.

    `id` is None for an event that was written past this project's door and has none. `body` is the JSON of the event,
    or what stands in its place: in a file of encrypted events their ciphertext.
    """

    position: int
    stream: str
    version: int
    topic: str
    id: str | None
    body: bytes


class _Line(msgspec.Struct, forbid_unknown_fields=True):
    position: _Place
    stream: str
    version: _Place
    topic: str
    id: str | None
    body: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    sealed: str | msgspec.UnsetType = msgspec.UNSET


_DECODER: Final = msgspec.json.Decoder(_Line)
_JSON: Final = msgspec.json.Decoder(msgspec.Raw)
_text = msgspec.json.Encoder().encode


def to_line(event: FiledEvent) -> bytes:
    """The line of an event, with its end."""
    position, stream, version, topic, event_id, body = event
    said = b"null" if event_id is None else _text(event_id)
    if is_plain_json(body):
        key, value = b"body", body
    else:
        key, value = b"sealed", b'"' + base64.b64encode(body) + b'"'
    return b'{"position":%d,"stream":%b,"version":%d,"topic":%b,"id":%b,"%b":%b}\n' % (
        position,
        _text(stream),
        version,
        _text(topic),
        said,
        key,
        value,
    )


def from_line(line: bytes) -> FiledEvent:
    """The event of a line. Raises ValueError, of which msgspec's errors are one kind."""
    said = _DECODER.decode(line)
    if (said.body is msgspec.UNSET) is (said.sealed is msgspec.UNSET):
        raise ValueError("an event has either a body or a sealed one")
    body = base64.b64decode(said.sealed, validate=True) if isinstance(said.sealed, str) else bytes(said.body)  # type: ignore[arg-type]
    return FiledEvent(said.position, said.stream, said.version, said.topic, said.id, body)


def is_plain_json(body: bytes) -> bool:
    """Whether these bytes can stand in a line as they are: a JSON object in valid UTF-8 without line breaks."""
    if body[:1] != b"{" or body[-1:] != b"}" or b"\n" in body or b"\r" in body:
        return False
    try:
        body.decode()
        # Whoever reads it may stand deeper in Python's stack, which bounds how deeply JSON may be nested.
        _JSON.decode(body if body.count(b"{") + body.count(b"[") <= _DEEP else _ROOM + body + _END_OF_ROOM)
    except (ValueError, RecursionError):
        return False
    return True
