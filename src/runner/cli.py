"""The runner's command."""

from __future__ import annotations

import sys
import traceback
from typing import Annotated, Final

import typer

_BROKEN_INSTALLATION: Final = """\
========================================================================
STARTUP FAILURE
========================================================================
stage:         importing the runner itself
likely causes:
    - a package that execution-status needs is missing or has another version: install it again
    - a file in the current folder or on PYTHONPATH has the name of a package
prevents:      this runner serves nothing; executions that wait for it end FAILED E102
stack:
{stack}
========================================================================"""


def register(app: typer.Typer) -> None:
    """Add the runner's command to an application."""

    @app.command(rich_help_panel="Roles")
    def runner(
        agent: Annotated[list[str], typer.Option(help="An agent to serve, as package.module:attribute; repeatable.")],
        queue: Annotated[str | None, typer.Option(help="The task queue to serve.")] = None,
        store: Annotated[str | None, typer.Option(help="The event store, as a URL or path.")] = None,
        data_dir: Annotated[str | None, typer.Option(help="The data folder.")] = None,
        verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log more.")] = False,
        supervisor: Annotated[
            bool,
            typer.Option(
                help="Watch the runner's process from a parent, which reports how it ended and starts the next."
            ),
        ] = True,
        parent: Annotated[int | None, typer.Option(hidden=True)] = None,
        mark: Annotated[str | None, typer.Option(hidden=True)] = None,
        link: Annotated[int | None, typer.Option(hidden=True)] = None,
        stacks: Annotated[int | None, typer.Option(hidden=True)] = None,
        stderr: Annotated[int | None, typer.Option(hidden=True)] = None,
    ) -> int:
        """Run agents: serve a queue until SIGTERM or Ctrl-C."""
        try:
            from projector.settings import SettingsRejected, load
            from runner.main import run_runner
            from runner.misconfigured import tell_misconfigured
            from runner.settings import RunnerSettings
            from runner.startup import split_agent
            from runner.supervision.supervising import run_supervised
            from runner.ties import Ties, new_mark
        except Exception:
            # A broken installation: nothing of ours can be relied on, so the block is made by hand.
            print(_BROKEN_INSTALLATION.format(stack=traceback.format_exc().rstrip()), file=sys.stderr)
            return 1
        for name in agent:
            split_agent(name)
        try:
            settings = load(RunnerSettings, agent_queue=queue, store=store, data_dir=data_dir)
        except SettingsRejected as error:
            tell_misconfigured(error, agent, queue=queue, store=store, data_dir=data_dir)
            raise
        if supervisor:
            given = {"--queue": queue, "--store": store, "--data-dir": data_dir}
            options = [part for name, value in given.items() if value is not None for part in (name, value)]
            options += ["--verbose"] if verbose else []
            return run_supervised(settings, agent, options=options, verbose=verbose, parent=parent)
        ties = Ties(mark or new_mark(), link, stacks, stderr)
        return run_runner(settings, agent, verbose=verbose, parent=parent, ties=ties)
