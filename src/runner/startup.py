"""The startup guard: a runner that cannot start says so, with its reason, to its log and to the store."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Final, NamedTuple

from projector.errors import InputRejected, StatusError
from projector.failures import ErrorReport
from runner.agent import Agent, is_agent

BLOCK_TITLE: Final = "STARTUP FAILURE"
"""By which the block is found in a log."""

_RULE: Final = "=" * 72


class AgentRejected(StatusError):
    """What was named as an agent is none."""

    exit_code = 2


class _Hint(NamedTuple):
    types: tuple[str, ...]
    causes: tuple[str, ...]


_HINTS: Final = (
    _Hint(
        ("ModuleNotFoundError",),
        (
            "the package is not installed in the environment that runs the runner",
            "the module lies elsewhere: agents are looked up from the current folder and PYTHONPATH",
            "a misspelt module name, here or in an import of the agent",
        ),
    ),
    _Hint(
        ("ImportError",),
        (
            "an installed package has another version than the agent was written for",
            "two modules import each other",
            "the agent's module raises this itself while it is imported",
        ),
    ),
    _Hint(("SyntaxError", "IndentationError"), ("the agent's file was saved half edited", "it needs a newer Python")),
    _Hint(
        ("KeyError", "ConfigurationError", "ValidationError", "SettingsRejected"),
        ("an environment variable or setting is missing or misspelt", "a settings file of another environment is used"),
    ),
    _Hint(
        ("AgentRejected",),
        (
            "the attribute is misspelt or was renamed",
            "the function is not an async generator: it must be `async def` and contain `yield`",
        ),
    ),
    _Hint(
        ("TemporalUnreachable", "RPCError"),
        (
            "Temporal is not running, or listens elsewhere: compare TEMPORAL_ADDRESS",
            "the namespace does not exist: compare TEMPORAL_NAMESPACE",
            "TLS or the API key is missing or wrong",
        ),
    ),
    _Hint(
        ("StoreUnavailable", "StoreForeign", "StoreTooNew", "StoreDamaged", "StoreError", "OSError", "PermissionError"),
        (
            "the store's path names another file than the other processes use: compare EXECUTION_STATUS_STORE",
            "its folder is not writable for this user, or the disk is full",
        ),
    ),
    _Hint(
        ("ProcessEnded",),
        (
            "code that is imported ends the process (os._exit), or a native library crashes: see what it said last",
            "somebody killed the process, or the machine or the container has too little memory",
        ),
    ),
    _Hint(("MemoryError",), ("the machine or the container has too little memory",)),
)
_ANYTHING: Final = ("the agent's module raises this while it is imported: its stack is below",)


def likely_causes(report: ErrorReport) -> tuple[str, ...]:
    """Likely causes of this very error, the most likely first."""
    names = (report.root.type, report.type)
    for name in names:
        for hint in _HINTS:
            if name.rsplit(".", 1)[-1] in hint.types:
                return hint.causes
    return _ANYTHING


def startup_failure_block(
    report: ErrorReport, stage: str, *, task_queue: str, agents: Sequence[str], runner_id: str
) -> str:
    """The structured block for the runner's log."""
    causes = "\n".join(f"    - {cause}" for cause in likely_causes(report))
    stack = "\n".join(f"    {line}" for line in report.stack.splitlines()) or "    (none)"
    return (
        f"{_RULE}\n{BLOCK_TITLE}\n{_RULE}\n"
        f"error:         {report.headline}\n"
        f"stage:         {stage}\n"
        f"runner:        {runner_id}\n"
        f"likely causes:\n{causes}\n"
        f"prevents:      this runner serves nothing from queue '{task_queue}' "
        f"(agents: {', '.join(agents) or 'none'});\n"
        f"               executions that wait there end FAILED E101 with this error unless another runner takes them\n"
        f"stack:\n{stack}\n{_RULE}"
    )


def split_agent(name: str) -> tuple[str, str]:
    """`package.module:attribute` in its two parts. Raises InputRejected when it is not of that form."""
    module, separator, attribute = name.partition(":")
    parts = [*module.split("."), *attribute.split(".")]
    if not separator or not all(part.isidentifier() for part in parts):
        raise InputRejected(f"'{name}' is not an agent: name it as package.module:attribute")
    return module, attribute


def import_agent(name: str) -> Agent:
    """Import an agent. Raises InputRejected, AgentRejected, or whatever its module raises."""
    module_name, attribute = split_agent(name)
    found: object = importlib.import_module(module_name)
    for part in attribute.split("."):
        if not hasattr(found, part):
            public = sorted(each for each in vars(found) if is_agent(getattr(found, each, None)))
            offers = f"; its agents are: {', '.join(public)}" if public else ""
            raise AgentRejected(f"module '{module_name}' has no attribute '{attribute}'{offers}")
        found = getattr(found, part)
    if not is_agent(found):
        raise AgentRejected(
            f"'{name}' is a {type(found).__name__}, not an async generator function: "
            "write `async def` and `yield` its steps"
        )
    return found
