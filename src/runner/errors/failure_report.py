"""Any exception becomes a bounded, clean, redacted, serialisable `ErrorReport`.

Temporal loses the reason of an error that is too large, too deep, cyclic or that cannot be printed, and shows a
timeout instead; so the runner builds the report by itself, before Temporal sees the error. `report_failure` never
raises. Reading the error is the work of its neighbours: `cause_chain` (what caused what), `error_words` (names and
messages), `error_kind` (whose fault), `error_stack`. This file decides how much of each is kept.
"""

from __future__ import annotations

import asyncio
from itertools import islice
from typing import Final, NamedTuple

from projector.door.admission import TRUNCATIONS_KEPT
from projector.door.hygiene import CAUSE_DEPTH, EVENT_LIMIT, MESSAGE_LIMIT, STACK_LIMIT, Hygiene
from projector.failures import Cause, ErrorKind, ErrorReport, Truncation
from runner.errors.cause_chain import attribute, chain, is_a, leaves, plain
from runner.errors.error_kind import kind_of, retry_after
from runner.errors.error_stack import stack_text
from runner.errors.error_words import explanation, message, type_name

SUB_ERROR_LIMIT: Final = 10
NOTE_LIMIT: Final = 5
NAME_LIMIT: Final = 200


class _Bounds(NamedTuple):
    """UTF-8 bytes: of the outermost and the root message, of every other message and note, of the stack."""

    told: int
    other: int
    stack: int


_USUAL: Final = _Bounds(MESSAGE_LIMIT, MESSAGE_LIMIT // 4, STACK_LIMIT)
_NARROW: Final = _Bounds(MESSAGE_LIMIT // 4, MESSAGE_LIMIT // 16, STACK_LIMIT // 4)


def report_failure(
    error: BaseException, hygiene: Hygiene, *, kind: ErrorKind | None = None, was_stopped: bool = False
) -> ErrorReport:
    """Describe `error`: its causes down to the root, the members of a group, notes, stack, and whose fault it is.

    `kind` overrides the last. With `was_stopped` the agent was told to stop by a cancellation: what it raised then did
    not come from that. The JSON of the report is at most 64 KiB. Never raises: an error that cannot even be
    read is reported as such. Takes milliseconds, unless a `__str__` of the agent's own takes longer.
    """
    try:
        report = _Report(hygiene, _USUAL).of(error, kind, was_stopped)
        # What doubles in JSON (quotes, backslashes) may still be too much.
        if len(report.model_dump_json()) > EVENT_LIMIT * 3 // 4:
            report = _Report(hygiene, _NARROW).of(error, kind, was_stopped)
        return report
    except BaseException as problem:
        return _unreadable(error, problem, kind)


class _Report:
    """Collects what was cut while it puts a report together."""

    def __init__(self, hygiene: Hygiene, bounds: _Bounds) -> None:
        self._hygiene = hygiene
        self._bounds = bounds
        self._cut: list[Truncation] = []

    def of(self, error: BaseException, kind: ErrorKind | None, was_stopped: bool) -> ErrorReport:
        links = chain(error, CAUSE_DEPTH + 1)
        while was_stopped and len(links) > 1 and is_a(links[-1].error, asyncio.CancelledError):
            links = links[:-1]
        errors = [link.error for link in links]
        root = errors[-1]
        outer = self._cause(error, "", self._bounds.told)
        causes = tuple(
            self._cause(cause, f"causes[{at}].", self._bounds.told if cause is root else self._bounds.other)
            for at, cause in enumerate(errors[1:])
        )
        members = next(filter(None, (leaves(each, SUB_ERROR_LIMIT) for each in errors)), ())
        blame = kind or kind_of(links)
        return ErrorReport(
            kind=blame,
            type=outer.type,
            message=outer.message,
            causes=causes,
            sub_errors=tuple(
                self._cause(member, f"sub_errors[{at}].", self._bounds.other) for at, member in enumerate(members)
            ),
            notes=self._notes(errors),
            stack=self._stack(error, root),
            retry_after=retry_after(links) if blame == "provider" else None,
            truncated=tuple(self._cut[:TRUNCATIONS_KEPT]),
        )

    def _text(self, text: str, limit: int, field: str, *, head_and_tail: bool = False) -> str:
        cleaned = self._hygiene.text(text, limit, field=field, head_and_tail=head_and_tail)
        if cleaned.truncation is not None:
            self._cut.append(cleaned.truncation)
        return cleaned.text

    def _cause(self, error: BaseException, prefix: str, limit: int) -> Cause:
        name = self._text(type_name(error), NAME_LIMIT, f"{prefix}type")
        said = self._text(message(error), limit, f"{prefix}message")
        if not any(letter.isprintable() and not letter.isspace() for letter in said):
            said = self._text(explanation(error), limit, f"{prefix}message")
        return Cause(type=name, message=said)

    def _notes(self, errors: list[BaseException]) -> tuple[str, ...]:
        found = list(islice((note for error in errors for note in _notes_of(error)), NOTE_LIMIT))
        return tuple(self._text(note, self._bounds.other, f"notes[{at}]") for at, note in enumerate(found))

    def _stack(self, error: BaseException, root: BaseException) -> str:
        """Where the outermost error was raised, then where it all began."""
        parts = [f"{frames}\n{type_name(error)}"] if (frames := stack_text(error)) else []
        if root is not error and (frames := stack_text(root)):
            parts.append(f"The root cause:\n{frames}\n{type_name(root)}")
        return self._text("\n\n".join(parts), self._bounds.stack, "stack", head_and_tail=True)


def _notes_of(error: BaseException) -> list[str]:
    """What `add_note` left, or anything that was put in its place."""
    found = attribute(error, "__notes__")
    notes = found if type(found) in (list, tuple) else (found,)
    return [text for text in (plain(note) for note in notes[:NOTE_LIMIT]) if text]


def _unreadable(error: BaseException, problem: BaseException, kind: ErrorKind | None) -> ErrorReport:
    """The last resort when reading fails: names only, in ASCII, and nothing that may have just failed."""
    try:
        name, why = (type_name(each)[:NAME_LIMIT].encode("ascii", "replace").decode() for each in (error, problem))
    except BaseException:
        name, why = "UnreadableError", "an error without a name"
    return ErrorReport(kind=kind or "agent", type=name, message=f"what it says could not be read: {why}")
