"""The command line: every command of the house, mounted as `execution-status`.

Nothing heavy is imported before a command runs, so that `--help` answers at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

import projector.cli
import runner.cli
from projector.bounds import LONGEST, SHORTEST
from projector.console import guarded, leave, print_json, run, say
from projector.errors import InputRejected

if TYPE_CHECKING:
    from workflows.client import ExecutionClient, StartedExecution
    from workflows.settings import OrchestratorSettings

app = typer.Typer(
    name="execution-status",
    help="What your agents on Temporal are doing, and why they failed.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Store = Annotated[str | None, typer.Option(help="The event store, as a URL or path.")]
DataDir = Annotated[str | None, typer.Option(help="The data folder.")]
Json = Annotated[bool, typer.Option("--json", help="JSON on stdout.")]
ExecutionId = Annotated[str, typer.Argument(help="The execution's id.")]
Positive = Annotated[float | None, typer.Option(min=SHORTEST, max=LONGEST, help="In seconds.")]


@app.command(rich_help_panel="Start and stop")
def up(
    agent: Annotated[
        list[str] | None, typer.Option(help="An agent to serve, as package.module:attribute; repeatable.")
    ] = None,
    store: Store = None,
    data_dir: DataDir = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log more.")] = False,
) -> int:
    """Run everything on this machine: Temporal, orchestrator, projector and a runner."""
    from runner.startup import split_agent
    from workflows.up import EXAMPLES
    from workflows.up import up as run_up

    settings = _settings(store=store, data_dir=data_dir)
    names = agent or list(EXAMPLES)
    for name in names:
        split_agent(name)
    _log(verbose)
    with _traced("orchestrator"):
        run(run_up(settings, names, say))
    return 0


@app.command(rich_help_panel="Start and stop")
def start(
    agent: Annotated[str, typer.Option(help="The agent, as package.module:attribute.")],
    input: Annotated[
        str, typer.Option("--input", help="What it is asked: a text, @file, or - for standard input.")
    ] = "",
    id: Annotated[str | None, typer.Option("--id", help="The execution's id; made when absent.")] = None,
    session: Annotated[str | None, typer.Option(help="The conversation it belongs to.")] = None,
    queue: Annotated[str | None, typer.Option(help="The runners' task queue.")] = None,
    schedule_to_start: Positive = None,
    heartbeat_timeout: Positive = None,
    start_to_close: Positive = None,
    follow: Annotated[bool, typer.Option("--follow", help="Watch it to its end.")] = False,
    store: Store = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> int:
    """Start an execution. Prints its id."""
    from projector.opening import hygiene_from_environment, open_store
    from workflows.client import ExecutionClient, ExecutionRequest
    from workflows.input_text import read_input

    settings = _settings(
        store=store,
        data_dir=data_dir,
        agent_queue=queue,
        schedule_to_start=schedule_to_start,
        heartbeat_timeout=heartbeat_timeout,
        start_to_close=start_to_close,
    )
    request = ExecutionRequest(agent=agent, input=read_input(input), execution_id=id, session_id=session)
    hygiene = hygiene_from_environment()
    event_store = open_store(settings, hygiene)
    with _traced("client"):
        started = run(ExecutionClient(settings, event_store, hygiene).start(request))
    _warn_of_secrets(started)
    event_store.close()
    if not follow:
        _print_id(started, as_json=as_json)
        return 0
    if not as_json:  # as JSON, every line that follows says it
        _print_id(started, as_json=False)
    return projector.cli.watch_one(started.execution_id, settings, as_json=as_json)


@app.command(rich_help_panel="Start and stop")
def cancel(
    execution_id: ExecutionId,
    reason: Annotated[str, typer.Option(help="Why, for the history.")] = "",
    store: Store = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Ask for an execution to stop."""
    with _client(_settings(store=store, data_dir=data_dir)) as client:
        run(client.cancel(execution_id, reason))
    if as_json:
        print_json({"execution_id": execution_id, "cancellation_requested": True})
    else:
        say(f"asked: `execution-status watch {execution_id}` shows when it has stopped")


@app.command(rich_help_panel="Start and stop")
def retry(
    execution_id: Annotated[
        str | None, typer.Argument(help="The execution's id; a group is named by --code instead.", metavar="ID")
    ] = None,
    code: Annotated[str | None, typer.Option(help="All that failed with this code, for instance E101.")] = None,
    category: Annotated[
        str | None, typer.Option(help="All that failed in this category, for instance runner_startup_failed.")
    ] = None,
    cause: Annotated[
        str | None,
        typer.Option(help="All of this failure group, by its fingerprint.", metavar="FINGERPRINT"),
    ] = None,
    session: Annotated[str | None, typer.Option(help="Of these, only this conversation.")] = None,
    since: Annotated[
        str | None,
        typer.Option(
            help="Of these, only what ended since then: 90s, 30m, 1h or 2d ago, or an ISO date or time.", metavar="WHEN"
        ),
    ] = None,
    until: Annotated[str | None, typer.Option(help="Of these, only what ended before then.", metavar="WHEN")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="How many at most, the newest; all when absent.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show which those are.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Retry them without asking.")] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Also if this one was already retried; a group leaves those out.")
    ] = False,
    store: Store = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> int:
    """Start one that has ended, or each of a group that failed, anew with the same agent, input and session."""
    from workflows.retry_command import Group, check_retry, retry_group, retry_one

    group = Group(
        code=code,
        category=category,
        cause=cause,
        session=session,
        since=since,
        until=until,
        limit=limit,
        dry_run=dry_run,
        yes=yes,
    )
    check_retry(execution_id, group, again=again)
    settings = _settings(store=store, data_dir=data_dir)
    with _client(settings) as client:
        if execution_id is None:
            return retry_group(settings, client, group, as_json=as_json)
        started = run(retry_one(client, execution_id, again=again))
    _warn_of_secrets(started)
    _print_id(started, as_json=as_json)
    return 0


@app.command(rich_help_panel="Roles")
def orchestrator(
    store: Store = None,
    data_dir: DataDir = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log more.")] = False,
) -> int:
    """Run workflows and append verdicts until SIGTERM or Ctrl-C."""
    from workflows.orchestrator import run_orchestrator

    settings = _settings(store=store, data_dir=data_dir)
    _log(verbose)
    with _traced("orchestrator"):
        run(run_orchestrator(settings, say))
    return 0


@app.command(rich_help_panel="Roles")
def serve(
    host: Annotated[
        str | None, typer.Option(help="The address to listen at; loopback, unless there is a token.")
    ] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65_535, help="The port; 0 for any that is free.")] = None,
    store: Store = None,
    data_dir: DataDir = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log more.")] = False,
) -> int:
    """Answer over HTTP: executions, their events, failures, live streams; until SIGTERM or Ctrl-C."""
    settings = _settings(store=store, data_dir=data_dir, serve_host=host, serve_port=port)
    try:
        from workflows.service.program import serve_until_told
    except ImportError as error:
        raise InputRejected(
            f"the service needs packages that are not installed ({error}): `pip install 'execution-status[server]'`"
        ) from error
    _log(verbose)
    with _traced("service"):
        run(serve_until_told(settings, say))
    return 0


@app.command(rich_help_panel="Look after it")
def reconcile(
    once: Annotated[bool, typer.Option("--once", help="Compare once, and end.")] = False,
    store: Store = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> int:
    """Compare open executions with Temporal, and write the ends that no workflow could."""
    from workflows.reconciliation.reconcile_command import reconcile as run_reconciler

    settings = _settings(store=store, data_dir=data_dir)
    _log(verbose=False)
    return run(run_reconciler(settings, once=once, as_json=as_json))


@app.command(rich_help_panel="Look after it")
def doctor(store: Store = None, data_dir: DataDir = None, as_json: Json = False) -> int:
    """Check this installation, and say what to do about what is wrong."""
    from workflows.doctor import examine

    checks = run(examine(_settings(store=store, data_dir=data_dir)))
    for check in checks:
        if as_json:
            print_json({"check": check.name, "ok": check.ok, "said": check.said})
        else:
            print(f"{'ok  ' if check.ok else 'BAD '} {check.name}: {check.said}")
    return 0 if all(check.ok for check in checks) else 4


@app.command(rich_help_panel="Start and stop")
def demo(
    data_dir: Annotated[
        str | None, typer.Option(help="Keep the demonstration's data here; a temporary folder when absent.")
    ] = None,
    stay: Annotated[bool, typer.Option("--stay", help="Keep the page open when all is shown, until Ctrl-C.")] = False,
) -> int:
    """Show each kind of failure, live, on a Temporal of its own."""
    from workflows.demonstration.demo import demonstrate

    _log(verbose=False)
    return run(demonstrate(data_dir, stay=stay))


projector.cli.register(app)
runner.cli.register(app)


def main() -> None:
    """The console script."""
    leave(guarded(app))


def _settings(**flags: Any) -> OrchestratorSettings:
    from projector.settings import load
    from workflows.settings import OrchestratorSettings

    return load(OrchestratorSettings, **flags)


@contextmanager
def _client(settings: OrchestratorSettings) -> Iterator[ExecutionClient]:
    from projector.opening import hygiene_from_environment, open_existing_store
    from workflows.client import ExecutionClient

    hygiene = hygiene_from_environment()
    event_store = open_existing_store(settings, hygiene)
    try:
        with _traced("client"):
            yield ExecutionClient(settings, event_store, hygiene)
    finally:
        event_store.close()


def _traced(role: str) -> AbstractContextManager[None]:
    from projector.opening import hygiene_from_environment
    from runner.tracing import traced

    return traced(role, hygiene_from_environment(), say)


def _warn_of_secrets(started: StartedExecution) -> None:
    if started.redacted:
        say(
            f"the input held what looks like a secret ({', '.join(started.redacted)}): it was replaced before anything "
            "was stored or sent; give secrets to agents through the runner's environment"
        )


def _print_id(started: StartedExecution, *, as_json: bool) -> None:
    if as_json:
        print_json({"execution_id": started.execution_id})
    else:
        print(started.execution_id, flush=True)


def _log(verbose: bool) -> None:
    from projector.logs import configure_logging
    from projector.opening import hygiene_from_environment

    configure_logging(hygiene_from_environment().redactor, verbose=verbose)
