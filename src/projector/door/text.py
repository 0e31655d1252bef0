"""Cleaning and cutting text: pure functions that never raise, whatever the text or the object holds.

What a database, a JSON encoder or a terminal would choke on is taken out once, at the door, so that nobody behind it
has to think of it. Controls are dropped rather than shown: a token that they were woven into is whole again and can
be recognised, and a program that wrote UTF-16 stays readable.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final

_DIRTY: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
# No alternative can pass an introducer, so every character is looked at a bounded number of times.
_ESCAPE_SEQUENCE: Final = re.compile(
    "(?:\x1b\\[|\x9b)[0-?]*+[ -/]*+[@-~]"  # CSI: colours, cursor
    "|(?:\x1b[]PX^_]|[\x90\x98\x9d-\x9f])[^\x00-\x1f\x7f-\x9f]*+(?:\x07|\x1b\\\\|\x9c)"  # OSC and the other strings
    "|\x1b[ -/]*+[0-~]"  # the rest, such as a change of character set
)
_LINE_BREAK: Final = re.compile("\r\n?|[\x0b\x0c\x85]")
_CONTROL: Final = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f]")
_PAIR: Final = re.compile("[\ud800-\udbff][\udc00-\udfff]")
_SPACED: Final = str.maketrans("\n\t", "  ")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")

SAMPLE: Final = 512 * 1024
"""How much of each end of a huge text is looked at for its size, in characters."""


def is_clean(text: str) -> bool:
    """Whether `clean_text` has nothing to do."""
    # Nothing dirty is printable. Line ends and tabs are not either, but looking past them is faster than searching.
    return text.isprintable() or text.translate(_SPACED).isprintable() or not _DIRTY.search(text)


def clean_text(text: str) -> str:
    """Take out what cannot be stored or shown.

    Escape sequences and controls are removed, line ends become `\\n`, lone surrogates U+FFFD (halves of a pair are
    joined). Tabs, newlines and bidirectional controls stay. Returns the same object when there is nothing to do.
    """
    if is_clean(text):
        return text
    if "\x1b" in text or not text.isascii():
        text = _ESCAPE_SEQUENCE.sub("", text)
    text = _LINE_BREAK.sub("\n", text)
    text = _CONTROL.sub("", text)
    if _SURROGATE.search(text):
        text = _PAIR.sub(_joined, text)
        text = _SURROGATE.sub("\ufffd", text)
    return text


def _joined(pair: re.Match[str]) -> str:
    return pair[0].encode("utf-16-le", "surrogatepass").decode("utf-16-le")


def type_name(value: object) -> str:
    """The name of an object's type, past any `__class__` or metaclass of its own; at most 200 characters."""
    return str.__str__(type.__dict__["__name__"].__get__(type(value)))[:200]


def safe_str(value: object) -> str:
    """`str(value)` that never raises: an object that cannot be shown is described instead.

    SystemExit and KeyboardInterrupt out of a `__str__` are caught too, since they are then the object's doing.
    """
    if type(value) is str:
        return value
    try:
        shown = str(value)
        # str.__str__ of a subclass is an exact copy that none of its methods had a hand in.
        return shown if type(shown) is str else str.__str__(shown)
    except BaseException as error:
        return f"<unprintable {type_name(value)}: __str__ raised {type_name(error)}>"


def byte_size(text: str) -> int:
    """The size in UTF-8 bytes: exact up to 1 Mi characters and for any ASCII, else estimated from both ends."""
    if text.isascii():
        return len(text)
    if len(text) <= 2 * SAMPLE:
        return len(text.encode("utf-8", "surrogatepass"))
    sample = text[:SAMPLE] + text[-SAMPLE:]
    return len(sample.encode("utf-8", "surrogatepass")) * len(text) // len(sample)


def head_of(text: str, room: int) -> str:
    """The longest beginning of the text that fits into `room` bytes of UTF-8."""
    if room <= 0:
        return ""
    data = text[:room].encode("utf-8", "surrogatepass")
    if len(data) <= room:
        return text[:room]
    while data[room] & 0xC0 == 0x80:
        room -= 1
    return data[:room].decode("utf-8", "surrogatepass")


def tail_of(text: str, room: int) -> str:
    """The longest end of the text that fits into `room` bytes of UTF-8."""
    if room <= 0:
        return ""
    data = text[-room:].encode("utf-8", "surrogatepass")
    if len(data) <= room:
        return text[-room:]
    start = len(data) - room
    while data[start : start + 1] and data[start] & 0xC0 == 0x80:
        start += 1
    return data[start:].decode("utf-8", "surrogatepass")


def cut(text: str, limit: int, *, head_and_tail: bool = False) -> str:
    """Cut to at most `limit` UTF-8 bytes, with ` … [N bytes cut] … ` where something is missing.

    Keeps the beginning, or as much of both ends when `head_and_tail`. Never splits a character. Where the limit is
    too small for the marker, the beginning alone is kept.
    """
    if len(text) * 4 <= limit or (len(text) <= limit and len(text.encode("utf-8", "surrogatepass")) <= limit):
        return text
    return join_cut(text, text, limit, byte_size(text), head_and_tail=head_and_tail)


def join_cut(head: str, tail: str, limit: int, original_bytes: int, *, head_and_tail: bool = False) -> str:
    """What `cut` makes of a text of `original_bytes` of which only the beginning and the end are at hand."""
    # The marker is longest when its number is, so the room that is left is known before the number is.
    room = limit - len(_marker(original_bytes, head_and_tail).encode())
    if room <= 0:
        return head_of(head, limit)
    end = tail_of(tail, room // 2) if head_and_tail else ""
    begin = head_of(head, room - room // 2 if head_and_tail else room)
    missing = original_bytes - byte_size(begin) - byte_size(end)
    return begin + _marker(max(missing, 1), head_and_tail) + end


def _marker(missing: int, in_the_middle: bool) -> str:
    return f" … [{missing} bytes cut]" + (" … " if in_the_middle else "")


def digest_of(text: str) -> str:
    """SHA-256 in hex over the UTF-8 of the text up to 1 MiB, else over its first and its last 512 KiB.

    Lone surrogates count as `?`.
    """
    if len(text) <= 2 * SAMPLE:
        data = text.encode("utf-8", "replace")
        if len(data) <= 2 * SAMPLE:
            return hashlib.sha256(data).hexdigest()
    head = text[:SAMPLE].encode("utf-8", "replace")[:SAMPLE]
    tail = text[-SAMPLE:].encode("utf-8", "replace")[-SAMPLE:]
    return hashlib.sha256(head + tail).hexdigest()
