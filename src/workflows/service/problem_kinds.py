"""Every kind of problem that the service answers with: its name, its status, what it means and what to do.

The names are part of the API and stay. `docs/problems.md` is made of this, and so is what `/problems/<name>` says.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Final, NamedTuple

from projector.catalogue import CATALOGUE, Code
from projector.errors import (
    Conflict,
    EngineUnreachable,
    ExecutionNotFound,
    InputRejected,
    StatusError,
    StoreError,
    StoreUnavailable,
    TooManyStreams,
)


class Kind(NamedTuple):
    """One kind of problem. `code` is the failure code of an execution that it may have left behind."""

    name: str
    title: str
    status: int
    means: str
    remedy: str
    code: Code | None = None

    @property
    def phrase(self) -> bytes:
        """The words of its status line."""
        return HTTPStatus(self.status).phrase.encode()

    @property
    def address(self) -> str:
        """Where it is explained, relative to the service."""
        return f"/problems/{self.name}"


INPUT_REJECTED: Final = Kind(
    "input-rejected",
    "What was asked makes no sense",
    400,
    "The request could be read, but a value in it cannot be: an unknown phase or code, a malformed id, a limit or a "
    "time that contradicts another, an input that is too large.",
    "Read `detail`, which names the value and what is allowed, and ask again. Asking the same again gives the same.",
)
REFUSED: Final = Kind(
    "refused",
    "The request was refused",
    400,
    "Something speaks against it that no other kind of problem names.",
    "Read `detail`: it says what, and what to do.",
)
UNREADABLE: Final = Kind(
    "unreadable-request",
    "This is no HTTP request",
    400,
    "What was sent cannot be read as HTTP/1.1.",
    "Use a client that speaks HTTP/1.1, without TLS unless a proxy before the service has it.",
)
UNAUTHORIZED: Final = Kind(
    "unauthorized",
    "A token is needed",
    401,
    "The service was started with tokens, and the request has none that it knows, or a ticket that has ended. A token "
    "in the address is never read.",
    "Send the operator's or the reader's token as `Authorization: Bearer …`. Where no header can be sent, make a "
    "ticket with `POST /api/tickets` and open the stream with `?ticket=…` within a minute.",
)
READ_ONLY: Final = Kind(
    "read-only",
    "The token may only read",
    403,
    "The request would start, cancel or retry something, and its token is the reader's.",
    "Use the operator's token (EXECUTION_STATUS_SERVE_TOKEN).",
)
FOREIGN_ORIGIN: Final = Kind(
    "foreign-origin",
    "Another site may not do this",
    403,
    "A browser says that a page of another site sent the request. Nothing was done.",
    "Open the service's own page. A program that is not a browser sends neither `Origin` nor `Sec-Fetch-Site`.",
)
EXECUTION_NOT_FOUND: Final = Kind(
    "execution-not-found",
    "There is no such execution",
    404,
    "No execution of this store has the id: it was misspelled, archived, or belongs to another store.",
    "Look it up with `GET /api/executions`, or with `execution-status list`.",
)
NO_SUCH_ADDRESS: Final = Kind(
    "no-such-address",
    "There is nothing at this address",
    404,
    "The path is none of the service's.",
    "Look at `/openapi.json` for those it has.",
)
METHOD_NOT_ALLOWED: Final = Kind(
    "method-not-allowed",
    "The address does not take this method",
    405,
    "There is something at the address, but not for this method.",
    "Use one of those in the answer's `Allow`.",
)
TOO_SLOW: Final = Kind(
    "too-slow",
    "The request did not arrive in time",
    408,
    "Some of the request came, and the rest did not. The connection was closed, and nothing was done.",
    "Send it again. For slow lines there is EXECUTION_STATUS_SERVE_REQUEST_TIMEOUT.",
)
CONFLICT: Final = Kind(
    "conflict",
    "The execution has moved on",
    409,
    "The id is taken, the execution has ended already, or it was already retried.",
    "Look at the execution and decide anew. To retry once more what was already retried, say `again`.",
)
TOO_LARGE: Final = Kind(
    "too-large",
    "The request is too large",
    413,
    "The body has more bytes than the service reads.",
    "Put a large input into a file that the runner can read, and give the agent its path.",
)
MISDIRECTED: Final = Kind(
    "misdirected",
    "The request is meant for another host",
    421,
    "`Host` is no name of this service. So a page elsewhere, whose name was made to lead here, cannot read it.",
    "Use the address that the service printed, or name the one that you use in EXECUTION_STATUS_SERVE_NAMES.",
)
MALFORMED: Final = Kind(
    "malformed-request",
    "The request makes no sense",
    422,
    "A parameter or the body has not the shape that `/openapi.json` describes, or the body is no JSON.",
    "Read `errors`, which names each place and what is wrong there.",
)
HEAD_TOO_LARGE: Final = Kind(
    "head-too-large",
    "The head of the request is too large",
    431,
    "The address and the headers have more bytes than the service reads.",
    "Leave out cookies and headers that are meant for others, and ask with fewer parameters.",
)
INTERNAL: Final = Kind(
    "internal-error",
    "The service itself failed",
    500,
    "A defect of this program. What was asked may have been done or not.",
    "Look into the service's log, where the reason stands, and report it.",
)
STORE_UNAVAILABLE: Final = Kind(
    "store-unavailable",
    "The event store cannot serve at this moment",
    503,
    "The store is locked, full, read-only or out of reach.",
    "Ask again after the seconds in `Retry-After`. If it stays so, `execution-status doctor` says what is wrong.",
)
STORE_ERROR: Final = Kind(
    "store-error",
    "The event store cannot serve",
    503,
    "The store is missing, damaged, or of another version; asking again does not help.",
    "Read `detail`, and see what `execution-status doctor` says.",
)
ENGINE_UNREACHABLE: Final = Kind(
    "engine-unreachable",
    "Temporal cannot be reached",
    503,
    "Temporal did not answer, or refused. An execution that was to be started exists if `detail` says so.",
    "See that Temporal runs and that TEMPORAL_ADDRESS is its address, and ask again.",
    Code.ENGINE_UNAVAILABLE,
)
TOO_MANY_STREAMS: Final = Kind(
    "too-many-streams",
    "Too many streams are open",
    503,
    "As many live streams are open as the service allows. All else is answered as ever.",
    "Open the stream again after the seconds in `Retry-After`, or allow more with EXECUTION_STATUS_SERVE_STREAMS.",
)

KINDS: Final[Mapping[str, Kind]] = {
    kind.name: kind
    for kind in (
        INPUT_REJECTED,
        REFUSED,
        UNREADABLE,
        UNAUTHORIZED,
        READ_ONLY,
        FOREIGN_ORIGIN,
        EXECUTION_NOT_FOUND,
        NO_SUCH_ADDRESS,
        METHOD_NOT_ALLOWED,
        TOO_SLOW,
        CONFLICT,
        TOO_LARGE,
        MISDIRECTED,
        MALFORMED,
        HEAD_TOO_LARGE,
        INTERNAL,
        STORE_UNAVAILABLE,
        STORE_ERROR,
        ENGINE_UNREACHABLE,
        TOO_MANY_STREAMS,
    )
}
"""All of them by name, by rising status."""

_OF_ERRORS: Final[Sequence[tuple[type[StatusError], Kind]]] = (
    (InputRejected, INPUT_REJECTED),
    (ExecutionNotFound, EXECUTION_NOT_FOUND),
    (Conflict, CONFLICT),
    (StoreUnavailable, STORE_UNAVAILABLE),
    (StoreError, STORE_ERROR),
    (EngineUnreachable, ENGINE_UNREACHABLE),
    (TooManyStreams, TOO_MANY_STREAMS),
    (StatusError, REFUSED),
)
"""The first whose class it is says what an error is."""

_OF_STATUS: Final = {404: NO_SUCH_ADDRESS, 405: METHOD_NOT_ALLOWED, 413: TOO_LARGE}


def kind_of(error: StatusError) -> Kind:
    """What kind of problem a refusal is."""
    return next(kind for refusal, kind in _OF_ERRORS if isinstance(error, refusal))


def kind_of_status(status: int) -> Kind:
    """What kind of problem it is when the framework refuses with a status."""
    return _OF_STATUS.get(status, INTERNAL if status >= 500 else MALFORMED)


def explained(kind: Kind) -> str:
    """A kind in words for people, as Markdown."""
    parts = [f"{kind.title} (`{kind.name}`, HTTP {kind.status}).", kind.means, f"What to do: {kind.remedy}"]
    if kind.code is not None:
        entry = CATALOGUE[kind.code]
        parts.append(
            f"An execution that could not be started has ended with {kind.code}, `{entry.category}`: {entry.when}. "
            f"{entry.remedy}"
        )
    return "\n\n".join(textwrap.fill(part, 120, break_on_hyphens=False) for part in parts) + "\n"
