"""Event files: what backups and archives are made of, the same for every engine.

Gzipped JSON Lines. The first line says what the file is, then comes one line an event, and the last line holds their
number and a checksum of all lines before it: who reads it to its end knows that it is whole. Reading and writing take
the same little memory for a thousand events and for a million.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO, Final

import msgspec

from projector.errors import EventFileError, InputRejected
from projector.keeping.event_line import FiledEvent, from_line, to_line

FORMAT: Final = "execution-status events"
VERSION: Final = 1
SUFFIX: Final = ".jsonl.gz"

_LONGEST_LINE: Final = 64 * 2**20
"""A line is hardly ever longer than 100 KB; what is longer than this is no file of ours."""
_LEVEL: Final = 6


class Header(msgspec.Struct, frozen=True):
    """The first line. `made_at` is UTC; `encrypted` says that the bodies are as a store with a key holds them."""

    format: str
    version: int
    made_at: datetime
    encrypted: bool = False

    @classmethod
    def of(cls, made_at: datetime, *, encrypted: bool) -> Header:
        """The header of a file that this version writes."""
        return cls(FORMAT, VERSION, made_at, encrypted)


class _Kind(msgspec.Struct):
    """What every version's first line says."""

    format: str
    version: int


class Trailer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The last line: how many events and streams there are, and the SHA-256 of all lines before it, in hex."""

    events: int
    streams: int
    sha256: str


def write_lines(file: IO[bytes], header: Header, events: Iterable[FiledEvent]) -> Trailer:
    """Write a whole event file; returns what its last line says. Raises OSError."""
    digest = hashlib.sha256()
    count = streams = 0
    # No name and no time in gzip's own header: equal lines are equal files.
    with gzip.GzipFile(filename="", mode="wb", compresslevel=_LEVEL, fileobj=file, mtime=0) as zipped:
        line = msgspec.json.encode(header) + b"\n"
        digest.update(line)
        zipped.write(line)
        for event in events:
            line = to_line(event)
            digest.update(line)
            zipped.write(line)
            count += 1
            streams += event.version == 1  # every stream begins with this one, and has it once
        trailer = Trailer(count, streams, digest.hexdigest())
        zipped.write(msgspec.json.encode(trailer) + b"\n")
    return trailer


class EventFile:
    """An event file that is there. `trailer` is None until its events were read to the end."""

    def __init__(self, path: Path, *, name: Path | None = None) -> None:
        """Read the header. `name` is what to call it, when it has not got its name yet.

        Raises InputRejected when there is no file to read, EventFileError when it is none of ours.
        """
        self.path = path
        self._name = name or path
        self.trailer: Trailer | None = None
        with self._opened() as lines:
            self.header = self._header(lines.readline(_LONGEST_LINE))

    def __str__(self) -> str:
        return str(self._name)

    def events(self) -> Iterator[FiledEvent]:
        """All events in the order of the file; the file is known to be whole when there are no more.

        Raises EventFileError for whatever is wrong with the file, InputRejected when it is gone.
        """
        self.trailer = None
        digest = hashlib.sha256()
        count = streams = 0
        with self._opened() as lines:
            line = lines.readline(_LONGEST_LINE)
            digest.update(line)
            while (line := self._next_line(lines, count)).startswith(b'{"position"'):
                try:
                    event = from_line(line)
                except (ValueError, RecursionError) as error:
                    raise self._damaged(f"line {count + 2} is no event ({error})") from None
                digest.update(line)
                count += 1
                streams += event.version == 1
                yield event
            try:
                trailer = msgspec.json.decode(line, type=Trailer)
            except (ValueError, RecursionError):
                raise self._damaged(f"line {count + 2} is neither an event nor the end") from None
            if lines.read(1):
                raise self._damaged("something comes after its end")
        if (trailer.events, trailer.streams) != (count, streams):
            raise self._damaged(
                f"it holds {count} events of {streams} streams, and its end tells of {trailer.events} of "
                f"{trailer.streams}"
            )
        if trailer.sha256 != digest.hexdigest():
            raise self._damaged("its checksum is not that of its lines")
        self.trailer = trailer

    def verify(self) -> Trailer:
        """Read it to its end. Raises what `events` raises."""
        for _ in self.events():
            pass
        assert self.trailer is not None, "it was read to its end"
        return self.trailer

    def _next_line(self, lines: IO[bytes], count: int) -> bytes:
        line = lines.readline(_LONGEST_LINE)
        if not line.endswith(b"\n"):
            raise self._damaged(f"it ends after {count} events, before its last line")
        return line

    def _header(self, line: bytes) -> Header:
        try:
            kind = msgspec.json.decode(line, type=_Kind)
        except (ValueError, RecursionError):
            raise self._foreign() from None
        if kind.format != FORMAT:
            raise self._foreign()
        if kind.version > VERSION:
            raise EventFileError(
                f"{self} has format {kind.version}, and this version reads up to {VERSION}: install the newer version"
            )
        try:
            return msgspec.json.decode(line, type=Header)
        except ValueError as error:
            raise self._damaged(f"its first line cannot be read ({error})") from None

    @contextmanager
    def _opened(self) -> Iterator[IO[bytes]]:
        """The lines of the file; errors of reading it become ours."""
        try:
            file = self.path.open("rb")
        except IsADirectoryError:
            raise InputRejected(f"{self} is a folder: name a file in it") from None
        except OSError as error:
            raise InputRejected(f"the file {self} cannot be read: {error.strerror}; name another one") from None
        with file, gzip.GzipFile(fileobj=file, mode="rb") as lines:
            try:
                yield lines  # type: ignore[misc]  # it reads as a file does
            except (gzip.BadGzipFile, EOFError, zlib.error) as error:
                raise (self._damaged(str(error)) if lines.tell() else self._foreign()) from None
            except OSError as error:
                raise self._damaged(error.strerror or str(error)) from None

    def _damaged(self, how: str) -> EventFileError:
        return EventFileError(f"{self} is damaged: {how}; take another copy of it")

    def _foreign(self) -> EventFileError:
        return EventFileError(
            f"{self} is no backup and no archive of this program: name a file that `execution-status backup` or "
            "`execution-status archive` has written"
        )
