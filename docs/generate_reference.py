"""Writes docs/reference.md from the code: commands, settings, JSON fields, failure codes, exit codes, events, limits.

Run it after a change of any of them: `python docs/generate_reference.py`. With `--check` it writes nothing, and fails
when the file is not what the code says now. What the code cannot say stands in reference_words.toml: an event, a
command or a field that it forgets, or that no longer exists, is an error here.
"""

from __future__ import annotations

import difflib
import enum
import inspect
import re
import sys
import tomllib
import types
import typing
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import typer
import typer.main
from pydantic import BaseModel

from projector import errors
from projector.catalogue import CATALOGUE
from projector.door import hygiene
from projector.events import EVENT_TYPES, Timeouts
from projector.execution_filter import MOST_ROWS
from projector.execution_status import (
    LAST_MESSAGES,
    MESSAGE_PREVIEW,
    TOOLS_IN_FLIGHT,
    Condition,
    MessagePreview,
    Progress,
    ToolInFlight,
)
from projector.failures import Cause, ErrorReport, Failure, Truncation
from projector.projections.failure_groups import FailureGroup
from projector.projections.runners import Runner
from projector.settings import PREFIX, SettingsRejected, StoreSettings
from projector.views import ChangeView, EventView, StatusView, StepView
from runner.contracts import INPUT_LIMIT, RESULT_LIMIT
from runner.settings import RunnerSettings
from workflows.cli import app
from workflows.settings import OrchestratorSettings

TARGET: Final = Path(__file__).with_name("reference.md")
WORDS: Final = tomllib.loads(Path(__file__).with_name("reference_words.toml").read_text(encoding="utf-8"))

PANELS: Final = ("Start and stop", "See what happens", "Look after it", "Roles")

MODELS: Final[dict[str, type[BaseModel]]] = {
    "An execution": StatusView,
    "An event": EventView,
    "A change": ChangeView,
    "A step": StepView,
    "A failure group": FailureGroup,
    "A runner": Runner,
    "A cause": Cause,
    "A condition": Condition,
    "A tool in flight": ToolInFlight,
    "A progress": Progress,
    "A message": MessagePreview,
    "A failure": Failure,
    "An error report": ErrorReport,
    "A cut": Truncation,
    "Timeouts": Timeouts,
}

SETTINGS: Final = {
    "Every command": StoreSettings,
    "Runners, and whoever starts executions, also": RunnerSettings,
    "The orchestrator, `up` and clients also": OrchestratorSettings,
}

_TYPES: Final = {str: "text", int: "integer", float: "number", bool: "boolean", datetime: "time", type(None): "null"}

_HELP_IN_WORDS: Final = (
    (r"<(?:list\[)?str\]?>", "TEXT"),
    (r"<(?:int|float)(?: range)?>", "NUMBER"),
    (r"\[required\]", "Required."),
    (r"\[default: ([^\]]+)\]", r"\1 by default."),
    (r"\[x>=([0-9.]+)\]", r"At least \1."),
    (r"\[([0-9.]+)<=x<=([0-9.]+)\]", r"From \1 to \2."),
)


def reference() -> str:
    """The whole page."""
    sections = {
        "Commands": _commands(),
        "Settings": _settings(),
        "JSON": _json(),
        "Failure codes": _codes(),
        "Exit codes": _exit_codes(),
        "Events": _events(),
        "Limits": _limits(),
    }
    lines = ["# Reference", "", WORDS["intro"]["Reference"].strip()]
    for title, section in sections.items():
        lines += ["", f"## {title}", "", WORDS["intro"][title].strip(), "", *section]
    return "\n".join(lines).rstrip() + "\n"


def _commands() -> Iterator[str]:
    group: Any = typer.main.get_command(app)
    commands: dict[str, Any] = group.commands
    with_json = {name for name, command in commands.items() if any(each.name == "as_json" for each in command.params)}
    _agree("json", with_json, WORDS["json"])
    names = sorted(commands, key=lambda name: PANELS.index(commands[name].rich_help_panel))
    yield from _table(
        ("command", "for", "does"),
        ((f"[{n}](#execution-status-{n})", commands[n].rich_help_panel.lower(), commands[n].help) for n in names),
    )
    parent = typer.Context(group, info_name="execution-status")
    for name in names:
        command = commands[name]
        context = typer.Context(command, info_name=name, parent=parent)
        usage = re.sub(r"\{(\w+)\}|\[(\[\w+\])\]", r"\1\2", command.get_usage(context).removeprefix("Usage: "))
        options = (_option(each, context) for each in command.params if not getattr(each, "hidden", False))
        yield from ("", f"### execution-status {name}", "", inspect.cleandoc(command.help or ""), "")
        yield from ("```text", usage, "```", "", *_table(("option", "meaning"), options))
        if name in WORDS["json"]:
            yield from ("", f"With `--json`: {WORDS['json'][name]}.")


def _option(parameter: Any, context: typer.Context) -> tuple[str, str]:
    """As `--help` has it, with its brackets put into words."""
    written, meaning = parameter.get_help_record(context)
    if parameter.param_type_name == "argument":
        written = written.partition(" ")[0]
    for pattern, word in _HELP_IN_WORDS:
        written, meaning = re.sub(pattern, word, written), re.sub(pattern, word, meaning)
    return f"`{written}`", meaning


def _settings() -> Iterator[str]:
    seen: set[str] = set()
    for whose, kind in SETTINGS.items():
        own = {name: field for name, field in kind.model_fields.items() if name not in seen}
        seen |= own.keys()
        rows = [
            (
                f"`{PREFIX}{name.upper()}`",
                WORDS["defaults"].get(name) or f"`{_shown(field.default)}`",
                field.description,
            )
            for name, field in own.items()
        ]
        yield from (f"{whose}:", "", *_table(("variable", "default", "meaning"), rows), "")
    yield WORDS["intro"]["Temporal"].strip()


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _json() -> Iterator[str]:
    nowhere_said = {
        name for model in MODELS.values() for name, field in model.model_fields.items() if not field.description
    }
    _agree("fields", nowhere_said, WORDS["fields"])
    for title, model in MODELS.items():
        said = inspect.cleandoc(model.__doc__ or "").partition("\n\n")[0].replace("\n", " ")
        rows = (
            (f"`{name}`", _type(field.annotation), field.description or WORDS["fields"][name])
            for name, field in model.model_fields.items()
        )
        yield from (f"### {title}", "", said, "", *_table(("field", "type", "meaning"), rows), "")


def _type(kind: Any) -> str:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        return " or ".join(map(_type, arguments))
    if origin is tuple:
        return f"list of {_type(arguments[0])}"
    if origin is typing.Annotated:
        return _type(arguments[0])
    if origin is typing.Literal:
        return "one of " + ", ".join(f"`{value}`" for value in arguments)
    if origin is dict:
        return "object"
    if inspect.isclass(kind) and issubclass(kind, BaseModel):
        title = next(title for title, model in MODELS.items() if model is kind).lower()
        return f"[{title}](#{title.replace(' ', '-')})"
    if inspect.isclass(kind) and issubclass(kind, enum.Enum):
        return "one of " + ", ".join(f"`{each.value}`" for each in kind)
    return _TYPES.get(kind, "any")


def _codes() -> Iterator[str]:
    yield from _table(
        ("code", "category", "when", "running again is safe"),
        (
            (f"[{e.code}](#{e.code.lower()})", f"`{e.category}`", e.when, "yes" if e.retryable else "look first")
            for e in CATALOGUE.values()
        ),
    )
    for entry in CATALOGUE.values():
        yield from ("", f"### {entry.code}", "", f"`{entry.message}`", "", entry.remedy)


def _exit_codes() -> Iterator[str]:
    rows = [(int(code), said, "") for code, meanings in WORDS["exit_codes"].items() for said in meanings]
    for kind in (*vars(errors).values(), SettingsRejected):
        refuses = inspect.isclass(kind) and issubclass(kind, errors.StatusError) and not kind.__subclasses__()
        if refuses:
            rows.append((kind.exit_code, (kind.__doc__ or "").strip().partition("\n")[0], f"`{kind.__name__}`"))
    return _table(("code", "when", "error"), sorted(rows, key=lambda row: row[0]))


def _events() -> Iterator[str]:
    _agree("writers", EVENT_TYPES, [name for names in WORDS["writers"].values() for name in names])
    for writer, names in WORDS["writers"].items():
        rows = ((f"`{name}`", EVENT_TYPES[name].__doc__, _fields(EVENT_TYPES[name])) for name in names)
        yield from (f"### Written by {writer}", "", *_table(("event", "meaning", "data"), rows), "")


def _fields(kind: type[BaseModel]) -> str:
    told = (f"`{name}` {_type(field.annotation)}" for name, field in kind.model_fields.items() if name != "truncated")
    return ", ".join(told)


def _limits() -> Iterator[str]:
    rows = (
        ("an agent's input", f"{INPUT_LIMIT:,} bytes", "refused"),
        ("an agent's result", f"{RESULT_LIMIT:,} bytes of JSON", "E403"),
        ("a message, the input or the result in the store", f"{hygiene.CONVERSATION_LIMIT:,} bytes", "cut"),
        ("the arguments and output of a tool", f"{hygiene.DETAILS_LIMIT:,} bytes of JSON", "cut"),
        ("a stack", f"{hygiene.STACK_LIMIT:,} bytes", "cut in the middle"),
        ("any other text in the store", f"{hygiene.MESSAGE_LIMIT:,} bytes", "cut"),
        ("an event", f"{hygiene.EVENT_LIMIT:,} bytes", "cut"),
        ("the causes of an error", str(hygiene.CAUSE_DEPTH), "left out; the root is kept"),
        ("messages in a status", f"{LAST_MESSAGES} of {MESSAGE_PREVIEW} characters", "only in the history"),
        ("tool calls in flight in a status", str(TOOLS_IN_FLIGHT), "the oldest goes"),
        ("rows of a list", str(MOST_ROWS), "on the next page: `--after`"),
    )
    return _table(("what", "most", "beyond it"), rows)


def _agree(table: str, code: Iterable[str], words: Iterable[str]) -> None:
    code, words = set(code), set(words)
    if code != words:
        sys.exit(
            f"reference_words.toml [{table}] lacks {sorted(code - words)} and no longer needs {sorted(words - code)}"
        )


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(map(_cell, row))} |"


def _cell(value: Any) -> str:
    return " ".join(str(value).split()).replace("|", "\\|")


def main() -> None:
    """Write the page, or with --check compare it."""
    made = reference()
    if sys.argv[1:] != ["--check"]:
        TARGET.write_text(made, encoding="utf-8")
        return
    held = TARGET.read_text(encoding="utf-8") if TARGET.exists() else ""
    if held != made:
        print(
            "\n".join(difflib.unified_diff(held.splitlines(), made.splitlines(), TARGET.name, "the code", lineterm=""))
        )
        sys.exit("docs/reference.md is not what the code says: run `python docs/generate_reference.py`")


if __name__ == "__main__":
    main()
