"""Small texts for people: what came from agents made harmless, values in one line, times and durations.

The store's door has taken control characters out. What it leaves, and a terminal would obey, is shown by its number
here: a message that turns the reading direction around cannot dress up as another.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any, Final

from rich.cells import cell_len, set_cell_size

_OBEYED: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # controls, but for the tab and the line feed
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # the reading direction
    "\u2028\u2029"  # line ends that only some programs know
    "\ud800-\udfff]"  # what no encoding can carry
)
_BRIEF: Final = 4096
"""How many characters of a value are looked at before it is put into one line."""


def harmless(text: str) -> str:
    """The text with whatever a terminal would obey shown as <U+202E>; tabs and line feeds stay."""
    return _OBEYED.sub(lambda found: f"<U+{ord(found[0]):04X}>", text)


def one_line(value: object) -> str:
    """A value on one line: white space folded, JSON for what is not text."""
    text = value if isinstance(value, str) else compact(value)
    return harmless(" ".join(text[:_BRIEF].split()) + (" …" if len(text) > _BRIEF else ""))


def compact(value: object) -> str:
    """JSON on one line, with the characters as they are."""
    return json.dumps(value, ensure_ascii=False, default=str)


def readable(value: Any) -> str:
    """A result in full: text as it is, anything else as indented JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2, default=str)


def shortened(text: str, width: int) -> str:
    """The text in at most `width` columns of a terminal, with … where it was cut."""
    if cell_len(text) <= width:
        return text
    return set_cell_size(text, max(width - 1, 0)).rstrip() + "…"


def counted(number: int, noun: str) -> str:
    """`1 message`, `3 messages`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def moment(time: datetime | None) -> str:
    """A time to the second, in UTC."""
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S}" if time else "-"


def clock(time: datetime) -> str:
    """The time of day to the millisecond, in UTC."""
    return f"{time.astimezone(UTC):%H:%M:%S.%f}"[:-3]


def duration(seconds: float) -> str:
    """A length of time in its two largest units; under ten seconds to a tenth, from ten days on in days."""
    seconds = max(seconds, 0.0)
    if seconds < 10:
        return f"{seconds:.1f}s"
    whole = int(seconds)
    for size, unit, smaller, small_unit in ((86400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s")):
        if whole >= size:
            rest = whole % size // smaller if whole < 10 * size or unit != "d" else 0
            return f"{whole // size}{unit}" + (f" {rest}{small_unit}" if rest else "")
    return f"{whole}s"


def between(begin: datetime | None, end: datetime | None) -> str:
    """The time between two moments, `-` when one is missing."""
    return duration((end - begin).total_seconds()) if begin and end else "-"
