"""The commands that read: what is going on, what happened, and why; and the projector's own two.

Thin: each opens the store, asks, and hands the answer to JSON or to `projector.rendering`. Whatever is heavy is
imported when a command runs, so that `--help` answers at once. Reading makes no file and no folder.
"""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

import projector.keeping.commands
from projector.bounds import LONGEST_POLL, SHORTEST
from projector.console import print_json, run, say
from projector.errors import InputRejected

if TYPE_CHECKING:
    from projector.settings import StoreSettings

Store = Annotated[str | None, typer.Option(help="The event store, as a URL or path; overrides EXECUTION_STATUS_STORE.")]
DataDir = Annotated[str | None, typer.Option(help="The data folder.")]
Json = Annotated[bool, typer.Option("--json", help="JSON on stdout.")]
ExecutionId = Annotated[str, typer.Argument(help="The execution's id.", metavar="ID")]
Since = Annotated[
    str | None,
    typer.Option(help="Only what ended since then: 90s, 30m, 1h or 2d ago, or an ISO date or time.", metavar="WHEN"),
]
Archive = Annotated[
    str | None,
    typer.Option("--from-archive", help="Where `archive` has put it: a file, or a folder of such.", metavar="PATH"),
]
Limit = Annotated[int, typer.Option(help="How many at most, 1 to 500.")]


def register(app: typer.Typer) -> None:
    """Add these commands to an application."""
    for panel, commands in (
        ("See what happens", (list_executions, show, events, replay, watch, failures, runners, codes)),
        ("Look after it", (rebuild,)),
        ("Roles", (project,)),
    ):
        for command in commands:
            name = "list" if command is list_executions else command.__name__
            app.command(name=name, rich_help_panel=panel)(command)
    projector.keeping.commands.register(app)


def list_executions(
    phase: Annotated[
        str | None, typer.Option(help="Only this phase: PENDING, IN_PROGRESS, COMPLETED, FAILED, CANCELLED.")
    ] = None,
    code: Annotated[str | None, typer.Option(help="Only failures of this code, for instance E201.")] = None,
    category: Annotated[
        str | None, typer.Option(help="Only failures of this category, for instance runner_crashed.")
    ] = None,
    session: Annotated[str | None, typer.Option(help="Only this conversation.")] = None,
    agent: Annotated[str | None, typer.Option(help="Only this agent, as package.module:attribute.")] = None,
    cause: Annotated[
        str | None,
        typer.Option(help="Only failures of this group, by its fingerprint.", metavar="FINGERPRINT"),
    ] = None,
    since: Since = None,
    limit: Limit = 50,
    after: Annotated[str | None, typer.Option(help="A cursor: go on where the page before ended.")] = None,
    store: Store = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """List executions, the newest first."""
    from projector import query_commands
    from projector.execution_filter import ExecutionFilter
    from projector.moments import moment_of

    chosen = ExecutionFilter.parse(
        phase=phase,
        code=code,
        category=category,
        session=session,
        agent=agent,
        cause=cause,
        finished_since=moment_of(since, datetime.now(UTC)) if since is not None else None,
        limit=limit,
        after=after,
    )
    run(query_commands.list_executions(_settings(store, data_dir), chosen, as_json=as_json))


def show(
    execution_id: ExecutionId,
    at: Annotated[int | None, typer.Option(help="As it was after this event.", metavar="VERSION")] = None,
    from_archive: Archive = None,
    store: Store = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Show one execution: how it stands or ended, why, and what to do."""
    from projector.views import status_view

    settings = _settings(store, data_dir)
    if at is None and from_archive is None:
        from projector.query_commands import current_status

        status = run(current_status(settings, execution_id))
    else:
        from projector.keeping.histories import histories
        from projector.replay import status_at

        with histories(settings, execution_id, from_archive) as source:
            status = status_at(source, execution_id, at)
    if as_json:
        print_json(status_view(status))
        return
    from projector.rendering.statuses import card
    from projector.rendering.stdout import printer

    printer().card(card(status))


def events(
    execution_id: ExecutionId,
    after: Annotated[int, typer.Option(help="Only events above this version.", metavar="VERSION")] = 0,
    from_archive: Archive = None,
    store: Store = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Show the events of one execution."""
    from projector.keeping.histories import histories
    from projector.replay import history
    from projector.views import event_view

    with histories(_settings(store, data_dir), execution_id, from_archive) as source:
        records = history(source, execution_id, after=after)
        if as_json:
            for record in records:
                print_json(event_view(record))
            return
        from projector.rendering.histories import print_events

        print_events(records)


def replay(
    execution_id: ExecutionId,
    from_version: Annotated[int, typer.Option("--from", help="The first version to show.", metavar="VERSION")] = 1,
    to_version: Annotated[int | None, typer.Option("--to", help="The last version to show.", metavar="VERSION")] = None,
    from_archive: Archive = None,
    store: Store = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Show each event of one execution, and what it changed in the status."""
    from projector.keeping.histories import histories
    from projector.replay import replay as steps_of
    from projector.replay import status_at
    from projector.views import step_view

    with histories(_settings(store, data_dir), execution_id, from_archive) as source:
        steps = steps_of(source, execution_id, from_version=from_version, to_version=to_version)
        if as_json:
            for step in steps:
                print_json(step_view(step.record, step.status))
            return
        from projector.rendering.histories import print_steps

        print_steps(steps, lambda version: status_at(source, execution_id, version))


def watch(
    execution_id: Annotated[
        str | None, typer.Argument(help="The execution's id; every execution when absent.", metavar="[ID]")
    ] = None,
    after: Annotated[
        int | None, typer.Option(help="Only events above this position: go on where you stopped.", metavar="POSITION")
    ] = None,
    store: Store = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> int:
    """Watch one execution to its end, or all of them from now on. Exits 0 if it COMPLETED, else 1."""
    settings = _settings(store, data_dir)
    if execution_id is not None:
        return watch_one(execution_id, settings, as_json=as_json, after=after or 0)
    from projector import watch_command

    _log()
    run(watch_command.watch_all(settings, after=after, as_json=as_json))
    return 0


def watch_one(execution_id: str, settings: StoreSettings, *, as_json: bool, after: int = 0) -> int:
    """Show one execution from a position on until it ends; returns the exit code: 0 if it COMPLETED, else 1.

    Raises ExecutionNotFound, InputRejected, StoreError.
    """
    from projector import watch_command

    _log()
    status = run(watch_command.watch_one(settings, execution_id, after=after, as_json=as_json))
    return 0 if status.phase == "COMPLETED" else 1


def failures(limit: Limit = 50, store: Store = None, data_dir: DataDir = None, as_json: Json = False) -> None:
    """Show failures by cause, the latest first: an incident is one line."""
    from projector import query_commands
    from projector.execution_filter import check_limit

    check_limit(limit)
    run(query_commands.list_failures(_settings(store, data_dir), limit, as_json=as_json))


def runners(
    queue: Annotated[str | None, typer.Option(help="Only those that serve this task queue.")] = None,
    store: Store = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Show runners: their state, what they serve, and why one could not start."""
    from projector import query_commands

    run(query_commands.list_runners(_settings(store, data_dir), queue, as_json=as_json))


def codes(
    code: Annotated[str | None, typer.Argument(help="One code, for instance E201.", metavar="[CODE]")] = None,
    as_json: Json = False,
) -> None:
    """Show the failure catalogue: every code, what it means, and what to do."""
    from projector.catalogue import CATALOGUE, Code

    if code is not None and code.upper() not in set(Code):
        raise InputRejected(f"'{code}' is not a failure code: `execution-status codes` lists them")
    chosen = [entry for entry in CATALOGUE.values() if code is None or entry.code == code.upper()]
    if as_json:
        for entry in chosen:
            print_json(entry._asdict())
        return
    from projector.rendering.stdout import printer
    from projector.rendering.summaries import CODE_COLUMNS, code_card, code_row

    if code is None:
        printer().table(CODE_COLUMNS, map(code_row, chosen))
    else:
        printer().card(code_card(chosen[0]))


def rebuild(
    verify: Annotated[
        bool, typer.Option("--verify", help="Only compare; exits 1 when a row is not as the store says.")
    ] = False,
    store: Store = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> int:
    """Make the query tables anew from the store, or prove that they are right."""
    from projector.opening import open_existing_store
    from projector.projecting.rebuild import rebuild as rebuild_tables

    _log()
    with closing(open_existing_store(_settings(store, data_dir))) as event_store:
        report = rebuild_tables(event_store, verify_only=verify)
    if as_json:
        print_json({"position": report.position, "seconds": report.seconds, "differences": list(report.differences)})
    else:
        done = "compared" if verify else "rebuilt"
        found = len(report.differences)
        print(
            f"{done} the query tables up to position {report.position} in {report.seconds:.2f} s: "
            + ("every row is as the store says" if not found else f"{found} not as the store says")
        )
        for difference in report.differences:
            print(f"  {difference}")
    return 1 if verify and report.differences else 0


def project(
    poll_interval: Annotated[
        float | None, typer.Option(min=SHORTEST, max=LONGEST_POLL, help="How often to look for new events, in seconds.")
    ] = None,
    store: Store = None,
    data_dir: DataDir = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log more.")] = False,
) -> int:
    """Keep the query tables up to date until SIGTERM or Ctrl-C."""
    from projector.projecting.program import project_until_told
    from projector.settings import StoreSettings, load

    settings = load(StoreSettings, store=store, data_dir=data_dir, poll_interval=poll_interval)
    _log(verbose)
    run(project_until_told(settings, say))
    return 0


def _settings(store: str | None, data_dir: str | None) -> StoreSettings:
    from projector.settings import StoreSettings, load

    return load(StoreSettings, store=store, data_dir=data_dir)


def _log(verbose: bool = False) -> None:
    """Logs go to stderr: left to themselves they go to stdout, and that is for data."""
    from projector.logs import configure_logging
    from projector.opening import hygiene_from_environment

    configure_logging(hygiene_from_environment().redactor, verbose=verbose)
