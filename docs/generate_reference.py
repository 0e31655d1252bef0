"""Writes docs/reference.md from the code: commands, settings, JSON fields, failure codes, exit codes, events, limits.

Run it after a change of any of them: `python docs/generate_reference.py`. A test compares the file with what the code
says now. What the code cannot say (who writes an event, what a command prints as JSON) stands in the tables at the top;
an event or command that they forget, or that no longer exists, is an error here.
"""

from __future__ import annotations

import enum
import inspect
import re
import types
import typing
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import typer
import typer.main
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from projector import errors, hygiene
from projector.console import INTERRUPTED
from projector.events import EVENT_TYPES, Timeouts
from projector.execution_status import (
    LAST_MESSAGES,
    MESSAGE_PREVIEW,
    TOOLS_IN_FLIGHT,
    Condition,
    MessagePreview,
    Progress,
    ToolInFlight,
)
from projector.failures import CATALOGUE, Cause, ErrorReport, Failure, Truncation
from projector.projections.failure_groups import FailureGroup
from projector.projections.runners import Runner
from projector.queries import MOST_ROWS
from projector.settings import PREFIX, SettingsRejected, StoreSettings
from projector.views import ChangeView, EventView, StatusView, StepView
from runner.contracts import INPUT_LIMIT, RESULT_LIMIT
from runner.settings import RunnerSettings
from workflows.cli import app
from workflows.settings import OrchestratorSettings

TARGET: Final = Path(__file__).with_name("reference.md")

PANELS: Final = ("Start and stop", "See what happens", "Look after it", "Roles")

MODELS: Final[tuple[tuple[str, type[BaseModel]], ...]] = (
    ("An execution", StatusView),
    ("An event", EventView),
    ("A change", ChangeView),
    ("A step", StepView),
    ("A failure group", FailureGroup),
    ("A runner", Runner),
    ("A cause", Cause),
    ("A condition", Condition),
    ("A tool in flight", ToolInFlight),
    ("A progress", Progress),
    ("A message", MessagePreview),
    ("A failure", Failure),
    ("An error report", ErrorReport),
    ("A cut", Truncation),
    ("Timeouts", Timeouts),
)

SETTINGS_OF: Final = (
    ("Every command", StoreSettings),
    ("Runners, and whoever starts executions, also", RunnerSettings),
    ("The orchestrator, `up` and clients also", OrchestratorSettings),
)

HEAD: Final = """\
# Reference

Made from the code by `docs/generate_reference.py`; do not edit it by hand. What the words mean is in the
[glossary](glossary.md), how failures travel in [error propagation](error-propagation.md).
"""


def reference() -> str:
    """The whole page."""
    parts = (HEAD, _commands(), _settings(), _json(), _codes(), _exit_codes(), _events(), _limits())
    return "\n".join(part.rstrip() + "\n" for part in parts)


# --- commands ------------------------------------------------------------------------------------------------------


def _commands() -> str:
    group = typer.main.get_command(app)
    commands: dict[str, Any] = getattr(group, "commands")  # noqa: B009 - typer's types do not tell
    with_json = {name for name, command in commands.items() if any(p.name == "as_json" for p in command.params)}
    assert with_json == JSON_OF.keys(), f"JSON_OF does not fit the commands: {with_json ^ JSON_OF.keys()}"
    ordered = sorted(commands, key=lambda name: PANELS.index(commands[name].rich_help_panel))
    lines = [
        "## Commands",
        "",
        "Data goes to stdout, messages to stderr. `NO_COLOR`, and anything that is not a terminal, gets plain text.",
        "",
        *_table(
            ("command", "", "does"),
            (
                (f"[{name}](#execution-status-{name})", commands[name].rich_help_panel, commands[name].help)
                for name in ordered
            ),
        ),
    ]
    parent = typer.Context(group, info_name="execution-status")
    for name in ordered:
        command = commands[name]
        context = typer.Context(command, info_name=name, parent=parent)
        usage = re.sub(r"\{(\w+)\}|\[(\[\w+\])\]", r"\1\2", command.get_usage(context).removeprefix("Usage: "))
        lines += [
            "",
            f"### execution-status {name}",
            "",
            inspect.cleandoc(command.help or ""),
            "",
            "```text",
            usage,
            "```",
            "",
        ]
        options = [parameter for parameter in command.params if not getattr(parameter, "hidden", False)]
        lines += _table(("option", "meaning"), (_option(parameter, context) for parameter in options))
        if name in JSON_OF:
            lines += ["", f"With `--json`: {JSON_OF[name]}."]
    return "\n".join(lines)


def _option(parameter: Any, context: typer.Context) -> tuple[str, str]:
    """As `--help` has it, with its brackets put into words."""
    written, meaning = parameter.get_help_record(context)
    if parameter.param_type_name == "argument":
        written = written.partition(" ")[0]
    for pattern, word in _IN_WORDS:
        written, meaning = re.sub(pattern, word, written), re.sub(pattern, word, meaning)
    return f"`{written}`", meaning


_IN_WORDS: Final = (
    (r"<(?:list\[)?str\]?>", "TEXT"),
    (r"<(?:int|float)(?: range)?>", "NUMBER"),
    (r"\[required\]", "Required."),
    (r"\[default: ([^\]]+)\]", r"\1 by default."),
    (r"\[x>=([0-9.]+)\]", r"At least \1."),
    (r"\[([0-9.]+)<=x<=([0-9.]+)\]", r"From \1 to \2."),
)


# --- settings ------------------------------------------------------------------------------------------------------


def _settings() -> str:
    lines = [
        "## Settings",
        "",
        "Flags outrank the environment, the environment outranks the settings file. The file is TOML: the name of each",
        f"setting is the variable's without `{PREFIX}`, in lower case. It is `config.toml` in",
        "`$XDG_CONFIG_HOME/execution-status` (`~/.config/execution-status`), or the file that",
        f"`{PREFIX}CONFIG` names.",
        "",
    ]
    seen: set[str] = set()
    for whose, kind in SETTINGS_OF:
        own = {name: field for name, field in kind.model_fields.items() if name not in seen}
        seen |= own.keys()
        rows = (
            (
                f"`{PREFIX}{name.upper()}`",
                DEFAULTS_IN_WORDS.get(name) or f"`{_shown(field.default)}`",
                field.description,
            )
            for name, field in own.items()
        )
        lines += [f"{whose}:", "", *_table(("variable", "default", "meaning"), rows), ""]
    lines += [
        "Where Temporal is, its namespace, TLS and API key are Temporal's own settings: the `TEMPORAL_*` variables and",
        "profiles that all its tools read. Where they name no address, the Temporal that `execution-status up` runs on",
        "the same data folder is used, and `localhost:7233` when there is none.",
    ]
    return "\n".join(lines)


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


# --- JSON ----------------------------------------------------------------------------------------------------------


def _json() -> str:
    lines = [
        "## JSON",
        "",
        "One object for one thing, JSON Lines for many. Times are ISO 8601 in UTC. Fields may be added in later versions;",
        "read by name and ignore what you do not know.",
    ]
    for title, model in MODELS:
        said = inspect.cleandoc(model.__doc__ or "").partition("\n\n")[0].replace("\n", " ")
        rows = (
            (f"`{name}`", _type(field), field.description or MEANINGS[name])
            for name, field in model.model_fields.items()
        )
        lines += ["", f"### {title}", "", said, "", *_table(("field", "type", "meaning"), rows)]
    return "\n".join(lines)


def _type(field: FieldInfo) -> str:
    return _type_of(field.annotation)


def _type_of(kind: Any) -> str:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        return " or ".join(_type_of(argument) for argument in arguments)
    if origin is tuple:
        return f"list of {_type_of(arguments[0])}"
    if origin is typing.Literal:
        return "one of " + ", ".join(f"`{value}`" for value in arguments)
    if origin is typing.Annotated:
        return _type_of(arguments[0])
    if origin is dict:
        return "object"
    if inspect.isclass(kind) and issubclass(kind, BaseModel):
        title = next(title for title, model in MODELS if model is kind)
        return f"[{title.lower()}](#{title.lower().replace(' ', '-')})"
    if inspect.isclass(kind) and issubclass(kind, enum.Enum):
        return "one of " + ", ".join(f"`{each.value}`" for each in kind)
    return {str: "text", int: "integer", float: "number", bool: "boolean", datetime: "time", type(None): "null"}.get(
        kind, "any"
    )


# --- codes ---------------------------------------------------------------------------------------------------------


def _codes() -> str:
    lines = [
        "## Failure codes",
        "",
        "Codes are stable for ever; the first digit is the family. Which of them this version can already tell apart is in",
        "[error propagation](error-propagation.md#the-categories). In a message `{cause}` stands for the root cause,",
        "`{where}` for the tool in flight and the last event, `{detail}` for what else is known.",
        "",
        *_table(
            ("code", "category", "when", "running again is safe"),
            (
                (f"[{entry.code}](#{entry.code.lower()})", f"`{entry.category}`", entry.when, _yes(entry.retryable))
                for entry in CATALOGUE.values()
            ),
        ),
    ]
    for entry in CATALOGUE.values():
        lines += ["", f"### {entry.code}", "", f"`{entry.message}`", "", entry.remedy]
    return "\n".join(lines)


def _yes(value: bool) -> str:
    return "yes" if value else "look first"


def _exit_codes() -> str:
    rows = [
        (0, "all is well; the execution COMPLETED", ""),
        (1, "the execution FAILED or was CANCELLED (`watch ID`, `start --follow`)", ""),
        (
            1,
            "`rebuild --verify` found differences; the runner could not start; a scenario of the demonstration is wrong",
            "",
        ),
        (2, "a flag or argument that does not exist, or cannot be read", ""),
        (INTERRUPTED, "interrupted by Ctrl-C", ""),
    ]
    refusals = [value for value in vars(errors).values() if inspect.isclass(value)]
    for kind in (*refusals, SettingsRejected):
        if issubclass(kind, errors.StatusError) and kind.exit_code > 1 and not kind.__subclasses__():
            said = (kind.__doc__ or "").strip().partition("\n")[0].rstrip(".")
            rows.append((kind.exit_code, said, f"`{kind.__name__}`"))
    rows.sort(key=lambda row: row[0])
    return "\n".join(["## Exit codes", "", *_table(("code", "when", "error"), rows)])


# --- events --------------------------------------------------------------------------------------------------------


def _events() -> str:
    told = [name for names in WRITERS.values() for name in names]
    assert sorted(told) == sorted(EVENT_TYPES), f"WRITERS must name each event once: {set(told) ^ set(EVENT_TYPES)}"
    lines = [
        "## Events",
        "",
        "In storage an event has its class name as topic and, as JSON, `id`, `time`, `writer`, `attempt` and the fields",
        "below as `data`; `class_version` where it is above 1. `truncated` is in each of them too: what was cut on the way",
        "in, as a list of [cuts](#a-cut).",
    ]
    for writer, names in WRITERS.items():
        rows = ((f"`{name}`", _what(EVENT_TYPES[name]), _fields(EVENT_TYPES[name])) for name in names)
        lines += ["", f"### Written by {writer}", "", *_table(("event", "meaning", "data"), rows)]
    return "\n".join(lines)


def _what(kind: type[BaseModel]) -> str:
    return " ".join((kind.__doc__ or "").split())


def _fields(kind: type[BaseModel]) -> str:
    own = {name: field for name, field in kind.model_fields.items() if name != "truncated"}
    return ", ".join(f"`{name}` {_type(field)}" for name, field in own.items()) or "—"


def _limits() -> str:
    rows = (
        ("an agent's input", f"{INPUT_LIMIT:,} bytes", "refused"),
        ("an agent's result", f"{RESULT_LIMIT:,} bytes of JSON", "E403"),
        ("a message, the input or the result in the store", f"{hygiene.CONVERSATION_LIMIT:,} bytes", "cut"),
        ("any other text in the store", f"{hygiene.MESSAGE_LIMIT:,} bytes", "cut"),
        ("a stack", f"{hygiene.STACK_LIMIT:,} bytes", "cut in the middle"),
        ("the arguments and output of a tool", f"{hygiene.DETAILS_LIMIT:,} bytes of JSON", "cut"),
        ("the causes of an error", f"{hygiene.CAUSE_DEPTH}", "the root is kept"),
        ("an event", f"{hygiene.EVENT_LIMIT:,} bytes", "cut"),
        ("messages kept in a status", f"{LAST_MESSAGES}, {MESSAGE_PREVIEW} characters each", "all are in the history"),
        ("tool calls in flight in a status", f"{TOOLS_IN_FLIGHT}", "the oldest goes"),
        ("rows of a list", f"{MOST_ROWS}", "the next page follows with `--after`"),
    )
    lines = ["## Limits", "", "What is cut keeps its original size and SHA-256 in `truncated`.", ""]
    return "\n".join([*lines, *_table(("what", "most", "beyond it"), rows)])


# --- tables --------------------------------------------------------------------------------------------------------


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(_cell(cell) for cell in row)} |"


def _cell(value: Any) -> str:
    return " ".join(str("" if value is None else value).split()).replace("|", "\\|")


if __name__ == "__main__":
    TARGET.write_text(reference(), encoding="utf-8")
