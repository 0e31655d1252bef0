"""How full SQLite's write-ahead log is, told from the file itself.

The file's size does not say it: a log that was taken over into the database is written again from its beginning. SQLite
says it only to who takes it over. But each frame of the log bears the salts of the log's header if it is of this time
round (https://sqlite.org/fileformat2.html#the_write_ahead_log), and those frames come first, so that a dozen looks find
the last of them. SQLite holds no locks on this file, which makes it safe to open and close.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

_HEADER: Final = struct.Struct(">8xI4x8s8x")
_FRAME_HEADER: Final = struct.Struct(">8x8s8x")
_NOTE: Final = struct.Struct(">8sI")


@dataclass(frozen=True, slots=True)
class WriteAheadLog:
    """A log at one moment: which time round it is, and how many frames it has. A frame holds one page."""

    salts: bytes
    frames: int
    page: int = 0
    """The size of a page, in bytes."""

    @classmethod
    def at(cls, path: Path) -> Self:
        """The log of the store at `path`. Raises OSError when there is none."""
        file = os.open(f"{path}-wal", os.O_RDONLY | os.O_CLOEXEC)
        try:
            header = os.pread(file, _HEADER.size, 0)
            if len(header) < _HEADER.size:
                return cls(b"", 0)
            page, salts = _HEADER.unpack(header)
            size = _FRAME_HEADER.size + page
            low, high = 0, (os.fstat(file).st_size - _HEADER.size) // size
            while low < high:
                middle = (low + high) // 2
                frame = os.pread(file, _FRAME_HEADER.size, _HEADER.size + middle * size)
                if len(frame) == _FRAME_HEADER.size and _FRAME_HEADER.unpack(frame)[0] == salts:
                    low = middle + 1
                else:
                    high = middle
            return cls(salts, low, page)
        finally:
            os.close(file)

    @property
    def size(self) -> int:
        """How much it holds, in bytes of pages."""
        return self.frames * self.page

    def beyond(self, other: WriteAheadLog | None) -> int:
        """How much it holds that the other, an earlier state, did not, in bytes of pages."""
        held = other.frames if other is not None and other.salts == self.salts else 0
        return (self.frames - held) * self.page

    def to_note(self) -> bytes:
        """For `from_note`, in another process."""
        return _NOTE.pack(self.salts, self.frames)

    @classmethod
    def from_note(cls, note: bytes) -> Self | None:
        """A state that was noted, without the size of its pages; None if nothing was."""
        return cls(*_NOTE.unpack(note)) if len(note) == _NOTE.size else None


NOTE_SIZE: Final = _NOTE.size
