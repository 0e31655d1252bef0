"""The commands that keep events: backup, restore and archive.

Thin, as all commands are. A file is looked at before a store is opened: a process that has an SQLite store open must
not open its file by any other way, and nobody knows what people type as a name.
"""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from projector.console import print_json

if TYPE_CHECKING:
    from projector.settings import StoreSettings

Store = Annotated[str | None, typer.Option(help="The event store, as a URL or path; overrides EXECUTION_STATUS_STORE.")]
NewStore = Annotated[
    str | None, typer.Option(help="The event store to fill, as a URL or path; it is made, or holds no events yet.")
]
DataDir = Annotated[str | None, typer.Option(help="The data folder.")]
Json = Annotated[bool, typer.Option("--json", help="JSON on stdout.")]

PANEL: Final = "Look after it"


def register(app: typer.Typer) -> None:
    """Add these commands to an application."""
    for command in (backup, restore, archive):
        app.command(rich_help_panel=PANEL)(command)


def backup(
    file: Annotated[str, typer.Argument(help="The file to write, as a rule NAME.jsonl.gz.", metavar="FILE")],
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it is an older backup.")] = False,
    decrypt: Annotated[
        bool, typer.Option("--decrypt", help="Write the events of an encrypted store in plain: to change its key.")
    ] = False,
    store: Store = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Write all events into one file, verified, while everybody works."""
    from projector.keeping.backup import backup as back_up
    from projector.keeping.new_file import refuse_place
    from projector.opening import open_existing_store

    path = Path(file)
    settings = _settings(store, data_dir)
    refuse_place(path, replace=force)
    with closing(open_existing_store(settings)) as event_store:
        made = back_up(event_store, path, made_at=datetime.now(UTC), replace=force, decrypt=decrypt)
    if as_json:
        print_json(
            {
                "file": str(made.file),
                "position": made.position,
                "events": made.events,
                "streams": made.streams,
                "encrypted": made.encrypted,
                "sha256": made.sha256,
            }
        )
    else:
        secret = ", encrypted as in the store" if made.encrypted else ""
        print(_held(made.file, made.events, made.streams, made.position) + secret)


def restore(
    file: Annotated[str, typer.Argument(help="What `backup` has written.", metavar="FILE")],
    store: NewStore = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Make a store from a backup, on either engine, event by event as it was."""
    from projector.keeping.backup import check_backup
    from projector.keeping.backup import restore as put_back
    from projector.opening import open_store

    settings = _settings(store, data_dir)
    _log()
    checked = check_backup(Path(file))
    assert checked.trailer is not None, "it was checked to its end"
    with closing(open_store(settings)) as event_store:
        put_back(checked, event_store)
        place, position = event_store.place, event_store.head()
    events, streams = checked.trailer.events, checked.trailer.streams
    if as_json:
        print_json({"store": place, "position": position, "events": events, "streams": streams})
    else:
        print(_held(place, events, streams, position))


def archive(
    older_than: Annotated[
        str, typer.Option(help="Only what ended before then: 30d or 12h ago, or an ISO date or time.", metavar="WHEN")
    ],
    to: Annotated[
        str | None, typer.Option(help="The folder for the files; `archive` in the data folder when absent.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show which those are.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Archive them without asking.")] = False,
    store: Store = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Move executions that ended long ago out of the store, into files."""
    from projector.keeping.archive_command import archive_ended, check_confirmation
    from projector.moments import moment_of
    from projector.opening import open_existing_store

    now = datetime.now(UTC)
    before = moment_of(older_than, now)
    settings = _settings(store, data_dir)
    folder = Path(to) if to is not None else settings.data_dir / "archive"
    check_confirmation(dry_run=dry_run, yes=yes)
    _log()
    with closing(open_existing_store(settings)) as event_store:
        archive_ended(event_store, folder, before=before, now=now, dry_run=dry_run, yes=yes, as_json=as_json)


def _held(place: object, events: int, streams: int, position: int) -> str:
    from projector.rendering.words import counted

    return f"{place} holds {counted(events, 'event')} of {counted(streams, 'stream')}, up to position {position:,}"


def _settings(store: str | None, data_dir: str | None) -> StoreSettings:
    from projector.settings import StoreSettings, load

    return load(StoreSettings, store=store, data_dir=data_dir)


def _log() -> None:
    """Logs go to stderr: left to themselves they go to stdout, and that is for data."""
    from projector.logs import configure_logging
    from projector.opening import hygiene_from_environment

    configure_logging(hygiene_from_environment().redactor)
