"""Writing an event file so that its name never stands for less than the whole of it.

It is written under another name in the same folder, put on the disk, read again, and only then gets its own name. A
process that is killed meanwhile leaves at most that other file, which the next one that writes there takes over.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from projector.errors import EventFileError, InputRejected
from projector.keeping.event_file import EventFile, Header, Trailer, write_lines
from projector.keeping.event_line import FiledEvent

Check = Callable[[EventFile], None]


def write_event_file(
    path: Path, header: Header, events: Iterable[FiledEvent], *, replace: bool = False, check: Check | None = None
) -> Trailer:
    """Write events into a new file, verified; `replace` allows to take the place of one that is there.

    `check` is given the file before it has its name, reads it to its end, and refuses it by raising; by default it is
    only read. The file is its owner's alone: what agents have said is nobody else's business.
    Raises InputRejected when the name cannot be used, EventFileError when the file cannot be written, and whatever
    `events` and `check` raise. Unless it returns there is no new file.
    """
    refuse_place(path, replace=replace)
    with _part_of(path) as (part, file):
        with _told(path):
            written = write_lines(file, header, events)
            file.flush()
            os.fsync(file.fileno())
        again = EventFile(part, name=path)
        if check is None:
            again.verify()
        else:
            check(again)
        if again.trailer != written:
            raise EventFileError(f"{path} was not written: its disk does not hold what was written; try another disk")
        with _told(path):
            _give_name(part, path, replace=replace)
    return written


def refuse_place(path: Path, *, replace: bool) -> None:
    """Refuse a path at which no file can be made, or where something stands that is no event file.

    Raises InputRejected.
    """
    try:
        if path.is_dir():
            raise InputRejected(f"{path} is a folder: name a file in it")
        if not path.parent.is_dir():
            raise InputRejected(f"the folder of {path} is not there: make it, or name another file")
        if not path.exists():
            return
        if not path.is_file():
            raise InputRejected(f"{path} is no file: name one")
        if not replace:
            raise _exists(path)
    except OSError as error:
        raise InputRejected(f"{path} cannot be made: {error.strerror}; name another file") from None
    try:
        EventFile(path)
    except EventFileError:
        raise InputRejected(
            f"{path} is something else than a backup, and is not replaced: name another file, or remove it first"
        ) from None


@contextmanager
def _part_of(path: Path) -> Iterator[tuple[Path, IO[bytes]]]:
    """The file beside `path` into which this process alone writes. At the end it is gone, or has got its name."""
    part = path.with_name(f".{path.name}.part")
    with _told(path):
        file = _locked(part, path)
    try:
        with _told(path):
            file.truncate(0)
        yield part, file
    finally:
        with suppress(OSError):
            if _is_at(file, part):
                part.unlink()  # while it is locked: who takes it over finds that it is gone
        with suppress(OSError):
            file.close()  # what could not be written before cannot be written now; and what matters is on the disk


def _locked(part: Path, path: Path) -> IO[bytes]:
    while True:
        file = os.fdopen(os.open(part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600), "r+b")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(file, part):
                return file
        except BlockingIOError:
            file.close()
            raise InputRejected(f"another process is writing {path} at this moment: wait for it, or use it") from None
        except BaseException:
            file.close()
            raise
        file.close()


def _is_at(file: IO[bytes], path: Path) -> bool:
    try:
        found, mine = path.lstat(), os.fstat(file.fileno())
    except FileNotFoundError:
        return False
    return (found.st_dev, found.st_ino) == (mine.st_dev, mine.st_ino)


def _give_name(part: Path, path: Path, *, replace: bool) -> None:
    """Let the file have its name, on the disk; without `replace` another file of that name is never touched."""
    if replace:
        part.replace(path)
    else:
        try:
            path.hardlink_to(part)
        except FileExistsError:
            raise _exists(path) from None
        except OSError:  # a filesystem that knows no links
            if path.exists():
                raise _exists(path) from None
            part.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Put the names in a folder on the disk. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _exists(path: Path) -> InputRejected:
    return InputRejected(f"{path} exists already: name another file, or say --force to replace it")


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise EventFileError(
            f"{path} could not be written: {error.strerror or error}; "
            "check that its folder is writable and its disk has room"
        ) from error
