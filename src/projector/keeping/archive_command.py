"""What the command `archive` does around an archive: show what it would take, ask, and tell what it took.

Results go to stdout. The question, and what it is about, go to stderr, so that it may be asked also of those who pipe
the results into a file.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from contextlib import redirect_stdout
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Final

from projector.console import agrees, print_json, say
from projector.engines.ports import StoreEngine
from projector.errors import InputRejected
from projector.keeping.archive import Archive, ArchivedFile
from projector.keeping.ended import Ended, Sum, all_ended, sum_of_ended
from projector.rendering.printer import Cell
from projector.rendering.stdout import printer
from projector.rendering.words import counted, moment

COLUMNS: Final = ("id", "phase", "ended", "events")
SHOWN: Final = 10
"""How many executions are shown with the question."""


def check_confirmation(*, dry_run: bool, yes: bool) -> None:
    """Refuse when somebody must be asked, and nobody can be. Raises InputRejected."""
    if not (dry_run or yes or sys.stdin.isatty()):
        raise InputRejected(
            "executions are taken out of the store only on a confirmation, and there is no terminal to ask on: look at "
            "them with --dry-run, then say --yes"
        )


def archive_ended(
    store: StoreEngine, folder: Path, *, before: datetime, now: datetime, dry_run: bool, yes: bool, as_json: bool
) -> None:
    """Archive what ended before then, or show it, or ask about it first. Raises what `Archive.run` raises."""
    found = sum_of_ended(store, before)
    if not found.executions:
        say(f"no execution ended before {before:%Y-%m-%d %H:%M} UTC")
    if dry_run:
        _show(all_ended(store, before), as_json=as_json)
        if found.executions:
            say(f"{_described(found)} would go into {folder}")
        return
    if found.executions and not yes:
        with redirect_stdout(sys.stderr):
            _show(islice(all_ended(store, before), SHOWN), as_json=False)
        if found.executions > SHOWN:
            say(f"… and {found.executions - SHOWN:,} more; --dry-run shows all")
        if not agrees(f"Move {_described(found)} out of the store, into {folder}?"):
            say("nothing was archived")
            return
    # Also with nothing to take: what an interrupted archive has left is brought in order.
    archive = Archive(store, folder, before=before, now=now, writer=f"archiver:{os.getpid()}", say=say)
    for made in archive.run():
        _tell(made, as_json=as_json)


def _tell(made: ArchivedFile, *, as_json: bool) -> None:
    executions, events = made.executions, made.events
    if as_json:
        print_json({"file": str(made.file), "executions": executions, "events": events, "sha256": made.sha256})
    else:
        print(f"{made.file} has {counted(executions, 'execution')} with {counted(events, 'event')}", flush=True)


def _show(ended: Iterable[Ended], *, as_json: bool) -> None:
    if as_json:
        for one in ended:
            print_json(one._asdict())
        return
    rows = [
        (
            Cell(one.execution_id),
            Cell(one.phase),
            Cell(moment(datetime.fromisoformat(one.finished_at))),
            Cell(str(one.events), is_number=True),
        )
        for one in ended
    ]
    if rows:
        printer().table(COLUMNS, rows)


def _described(found: Sum) -> str:
    executions, events = counted(found.executions, "execution"), counted(found.events, "event")
    return f"{executions} with {events}, which ended {str(found.first_end)[:10]} to {str(found.last_end)[:10]},"
