"""How a store keeps the bodies of its events: plain, compressed, encrypted, or both.

Compression may be turned on and off at any time, since a body shows whether it is compressed. A key is another matter:
it is chosen when the store is made, and a store that holds events of the other kind is refused when it is opened,
before anybody takes its events for damaged or adds some that others cannot read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from eventsourcing.compressor import ZlibCompressor
from eventsourcing.persistence import Cipher
from eventsourcing.utils import Environment

from projector.codec import EventMapper, JsonTranscoder
from projector.errors import StoreError
from projector.settings import StoreSettings

LOOKED_AT: Final = 10
"""How many of the oldest events are looked at: one of them may be damaged, but hardly all."""

_SHORTEST_ENCRYPTED: Final = 28 + 64
"""What the cipher adds, and a body; in bytes."""
_PLAIN: Final = EventMapper()
_VARIABLE: Final = "EXECUTION_STATUS_CIPHER_KEY"
_COMPRESS: Final = "EXECUTION_STATUS_COMPRESS"


def mapper_for(settings: StoreSettings) -> EventMapper:
    """The mapper that these settings ask for. Raises StoreError when what encrypts is not installed."""
    key = settings.cipher_key
    return EventMapper(
        JsonTranscoder(),
        compressor=ZlibCompressor() if settings.compress else None,
        cipher=_cipher(key.get_secret_value()) if key else None,
    )


def environment_for(settings: StoreSettings) -> dict[str, str]:
    """What a child process must be told so that it keeps events in the same way; the key never is an argument."""
    key = settings.cipher_key
    return {_COMPRESS: str(settings.compress).lower()} | ({_VARIABLE: key.get_secret_value()} if key else {})


def _cipher(key: str) -> Cipher:
    try:
        from eventsourcing.cryptography import AESCipher
    except ImportError as error:
        raise StoreError(
            f"{_VARIABLE} is set, and what encrypts cannot be used ({error}): "
            "install it with `pip install 'execution-status[encrypted]'`"
        ) from error
    return AESCipher(Environment(env={AESCipher.CIPHER_KEY: key}))


def check_key(place: str, oldest: Sequence[bytes], mapper: EventMapper) -> None:
    """Refuse a mapper that cannot read a store with these oldest bodies. Raises StoreError."""
    if not oldest or any(opens(mapper, state) for state in oldest):
        return
    if mapper.cipher is not None and any(opens(_PLAIN, state) for state in oldest):
        raise StoreError(
            f"{_VARIABLE} is set, and the events of the store {place} are not encrypted: unset it; or, to encrypt "
            "them, unset it for `execution-status backup FILE`, set it again, and `execution-status restore FILE` "
            "into a new store with --store"
        )
    if not any(map(_looks_encrypted, oldest)):
        return  # damaged, and that is told event by event
    if mapper.cipher is None:
        raise StoreError(
            f"the event store {place} is encrypted, and there is no key: "
            f"set {_VARIABLE} to the key that it was made with"
        )
    raise StoreError(
        f"the event store {place} is encrypted with another key than the one in {_VARIABLE}: "
        "set that to the key that the store was made with"
    )


def opens(mapper: EventMapper, state: bytes) -> bool:
    """Whether a body can be read with this mapper's key."""
    try:
        body = mapper.opened(state)
        return body[:1] == b"{" and _is_text(body)  # of ciphertexts one in 256 begins so, too
    except Exception:  # whatever a cipher or a compressor raises
        return False


def _looks_encrypted(state: bytes) -> bool:
    """Random bytes, and more of them than the cipher adds: among these some are never UTF-8."""
    return len(state) >= _SHORTEST_ENCRYPTED and not _is_text(state)


def _is_text(body: bytes) -> bool:
    try:
        body.decode()
    except ValueError:
        return False
    return True
