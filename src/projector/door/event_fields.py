"""How each field of an event passes the door: read once from the models' own annotations.

Texts are cleaned, redacted and bounded. Names and ids keep their value apart from cleaning, because other things refer
to them by it. A field of a type that has no rule is an error here, so a new event cannot slip past the door.
"""

from __future__ import annotations

import types
from enum import Enum, auto
from functools import cache
from typing import Any, Final, Literal, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel

from projector.failures import Truncation

MESSAGE_LIMIT: Final = 4 * 1024
"""Any text without a limit of its own, in UTF-8 bytes."""
STACK_LIMIT: Final = 16 * 1024
"""A stack or a process's last words: beginning and end are kept."""
DETAILS_LIMIT: Final = 8 * 1024
"""A tool's arguments or output, as JSON."""
CONVERSATION_LIMIT: Final = 48 * 1024
"""What people came for: a message of the conversation, the input and the result."""

EVENT_LIMIT: Final = 64 * 1024
"""The JSON of a whole event, in bytes."""

MARGIN: Final = 8 * 1024
"""How many characters beyond what is kept are looked at, so that a secret at the cut is seen whole."""

CAUSE_DEPTH: Final = 10
"""How many causes, members of a group and notes an error keeps."""
LIST_LENGTH: Final = 50
"""How many texts any other list keeps."""


class Rule(Enum):
    """What happens to a field."""

    TEXT = auto()
    NAME = auto()
    TEXTS = auto()
    NAMES = auto()
    DATA = auto()
    WHOLE = auto()
    REAL = auto()
    MODEL = auto()
    CAUSES = auto()
    TRUNCATIONS = auto()


class FieldRule(NamedTuple):
    """One field's rule. `limit` is in UTF-8 bytes; `length` is how many items a list keeps."""

    name: str
    rule: Rule
    limit: int = MESSAGE_LIMIT
    head_and_tail: bool = False
    length: int = LIST_LENGTH
    optional: bool = False


_NAMES: Final = frozenset(
    (
        "agent",
        "agents",
        "session_id",
        "thread_id",
        "run_id",
        "engine",
        "runner_id",
        "lease",
        "call_id",
        "task_queue",
        "retry_of",
        "retried_as",
        "trace_id",
        "host",
        "version",
        "code",
        "category",
        "name",
    )
)
_ENDS: Final = frozenset(("stack", "last_stderr"))
_CONVERSATION: Final = frozenset(
    (
        ("MessageAppended", "text"),
        ("ExecutionRequested", "input"),
        ("AttemptFinished", "output"),
        ("ExecutionCompleted", "output"),
    )
)
_CAUSE_LISTS: Final = frozenset(("causes", "sub_errors", "notes"))


@cache
def rules_of(model: type[BaseModel]) -> tuple[FieldRule, ...]:
    """The rules of a model's fields, but for those that are always fine. Raises TypeError for an unknown type."""
    rules = (_rule_of(model, name, field.annotation) for name, field in model.model_fields.items())
    return tuple(rule for rule in rules if rule is not None)


def _rule_of(model: type[BaseModel], name: str, annotation: Any) -> FieldRule | None:
    optional = False
    if get_origin(annotation) in (Union, types.UnionType):
        members = [member for member in get_args(annotation) if member is not type(None)]
        optional = len(members) < len(get_args(annotation))
        annotation = members[0] if len(members) == 1 else annotation
    of_list = get_origin(annotation) is tuple
    item = get_args(annotation)[0] if of_list else annotation
    if item is Any:
        limit = CONVERSATION_LIMIT if (model.__name__, name) in _CONVERSATION else DETAILS_LIMIT
        return FieldRule(name, Rule.DATA, limit)
    if item is str:
        length = CAUSE_DEPTH if name in _CAUSE_LISTS else LIST_LENGTH
        if name in _NAMES:
            return FieldRule(name, Rule.NAMES if of_list else Rule.NAME, length=length, optional=optional)
        limit = CONVERSATION_LIMIT if (model.__name__, name) in _CONVERSATION else MESSAGE_LIMIT
        limit = STACK_LIMIT if name in _ENDS else limit
        rule = Rule.TEXTS if of_list else Rule.TEXT
        return FieldRule(name, rule, limit, head_and_tail=name in _ENDS, length=length, optional=optional)
    if isinstance(item, type):
        if issubclass(item, bool) or issubclass(item, Enum):
            return None
        if issubclass(item, int):
            return FieldRule(name, Rule.WHOLE, optional=optional)
        if issubclass(item, float):
            return FieldRule(name, Rule.REAL, optional=optional)
        if issubclass(item, Truncation) and of_list:
            return FieldRule(name, Rule.TRUNCATIONS)
        if issubclass(item, BaseModel):
            return FieldRule(name, Rule.CAUSES if of_list else Rule.MODEL, length=CAUSE_DEPTH, optional=optional)
    if get_origin(annotation) is Literal:
        return None
    raise TypeError(f"{model.__name__}.{name} is of a type that has no rule at the door: {annotation!r}")
