"""Every way in which this project refuses, drawn as a tree.

    StatusError
    ├── InputRejected            what was asked makes no sense                       exit code 2
    ├── ExecutionNotFound        no execution has this id                            exit code 3
    ├── StoreError               the event store cannot serve                        exit code 4
    │   ├── StoreUnavailable     for now: locked, full, read-only; try again
    │   ├── StoreMissing         nothing is there yet
    │   ├── StoreForeign         the file belongs to something else
    │   ├── StoreTooNew          a newer version wrote it
    │   ├── StoreDamaged         the file is broken
    │   └── StoreClosed          this program has closed it
    ├── EventFileError           a backup or an archive cannot be read or written    exit code 4
    ├── EngineUnreachable        Temporal cannot be reached or refuses               exit code 4
    ├── TooManyStreams           as many clients listen as may                       exit code 4
    └── Conflict                 the history has moved on                            exit code 2
        ├── VersionConflict      the stream is not at the expected version
        ├── ExecutionExists      the id is taken
        ├── StoreHasEvents       what was to be restored would be mixed with them
        ├── ExecutionEnded       the execution has its verdict already
        └── AlreadyRetried       another execution repeats it already

A message names what happened, why, and what to do next; it is the only text that a person sees.
"""

from __future__ import annotations

from typing import ClassVar


class StatusError(Exception):
    """Base of all refusals. `exit_code` is what a command ends with when nobody catches it."""

    exit_code: ClassVar[int] = 1


class InputRejected(StatusError):
    """What was asked makes no sense, and why."""

    exit_code = 2


class ExecutionNotFound(StatusError):
    """No execution has this id."""

    exit_code = 3

    def __init__(
        self, execution_id: str, where: str = "in this store; `execution-status list` shows those there are"
    ) -> None:
        super().__init__(f"there is no execution '{execution_id}' {where}")
        self.execution_id = execution_id


class StoreError(StatusError):
    """The event store cannot serve."""

    exit_code = 4


class StoreUnavailable(StoreError):
    """The event store cannot serve at this moment (locked, full, read-only, I/O error).

    The same call may succeed later.
    """


class StoreMissing(StoreError):
    """There is no event store at this place yet."""


class StoreForeign(StoreError):
    """The file at this place is not an event store of this project."""


class StoreTooNew(StoreError):
    """The event store was written by a newer version of this project."""


class StoreDamaged(StoreError):
    """The event store's file is broken."""


class StoreClosed(StoreError):
    """This program has closed the event store."""


class EventFileError(StatusError):
    """A backup or an archive cannot be read or written."""

    exit_code = 4


class EngineUnreachable(StatusError):
    """Temporal cannot be reached, or refuses."""

    exit_code = 4


class TooManyStreams(StatusError):
    """As many clients listen as may."""

    exit_code = 4

    def __init__(self, most: int) -> None:
        super().__init__(
            f"{most} live streams are open, and no more are allowed: come back in some seconds, or allow more with "
            "EXECUTION_STATUS_SERVE_STREAMS"
        )
        self.most = most


class Conflict(StatusError):
    """The history has moved on since it was read."""

    exit_code = 2


class VersionConflict(Conflict):
    """The stream is not at the version that the append expected."""

    def __init__(self, stream: str, expected: int, actual: int) -> None:
        super().__init__(f"'{stream}' is at version {actual}, not {expected}: read it again and decide anew")
        self.stream = stream
        self.expected = expected
        self.actual = actual


class ExecutionExists(Conflict):
    """The id is taken."""

    def __init__(self, execution_id: str) -> None:
        super().__init__(f"an execution '{execution_id}' exists already: choose another --id, or leave it out")
        self.execution_id = execution_id


class StoreHasEvents(Conflict):
    """The store holds events already, and what was to be restored would be mixed with them."""

    def __init__(self, place: str) -> None:
        super().__init__(
            f"the event store {place} holds events already, and a backup is restored only into one that has none: "
            "name a new one with --store"
        )
        self.place = place


class ExecutionEnded(Conflict):
    """The execution has its verdict already."""

    def __init__(self, execution_id: str, phase: str) -> None:
        super().__init__(f"execution '{execution_id}' has already ended: it is {phase}")
        self.execution_id = execution_id
        self.phase = phase


class AlreadyRetried(Conflict):
    """The execution was already retried, and `--again` was not given."""

    def __init__(self, execution_id: str, retried_as: str) -> None:
        super().__init__(
            f"execution '{execution_id}' was already retried as '{retried_as}': look at it with `execution-status show "
            f"{retried_as}`, or say --again to run '{execution_id}' once more"
        )
        self.execution_id = execution_id
        self.retried_as = retried_as
