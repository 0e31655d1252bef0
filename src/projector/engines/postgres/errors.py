"""What PostgreSQL's errors mean for the person who runs the store: which may heal, which cannot, and what to do."""

from __future__ import annotations

import re
from typing import Final

import psycopg

from projector.engines.postgres.address import Address
from projector.errors import StoreDamaged, StoreError, StoreUnavailable

_REMEDIES: Final = {
    "55P03": "check that no other process is stuck while it writes (pg_stat_activity shows who holds the lock)",
    "57014": "check that nobody cancels its statements, and that statement_timeout leaves them time",
    "25P03": "check that this process was not paused in the middle of a write",
    "25006": "check that the address leads to the primary server, not to a standby "
    "(target_session_attrs=read-write finds it), and that the database is not set to read-only",
    "53100": "check that the disk of the server has room",
    "53300": "check that the server's max_connections leaves room for this program",
    "42P01": "check that nobody has dropped its tables; `execution-status rebuild` makes those that can be made",
}
"""SQLSTATE → what to look at."""
_REMEDY: Final = "check that the server runs, can be reached there and has room on its disk"

_MAY_HEAL: Final = ("08", "25P03", "25006", "40", "42P01", "53", "55", "57", "58", "72", "XX000")
"""SQLSTATEs, or their first two letters, of what another try may not meet again."""
_NO_SUCH_COLUMN: Final = "42703"
_DAMAGE: Final = ("XX001", "XX002")
_REFUSALS: Final = ("28", "3D000", "3F000", "42501", "0LP01")
"""SQLSTATEs of what somebody must allow first."""

_REFUSED_CONNECTION: Final = re.compile(
    r"authentication failed|no password supplied|no pg_hba\.conf entry|role \"[^\"]*\" does not exist|"
    r"database \"[^\"]*\" does not exist|not permitted to log in|permission denied for database|"
    r"unrecognized configuration parameter|invalid value for parameter|server does not support SSL|"
    r"certificate|not currently accepting connections|definition of service|"
    r"authentication method .* not supported|invalid connection option|invalid sslmode value|"
    r"invalid .* value:",
    re.IGNORECASE,
)
"""libpq gives no SQLSTATE for a connection that was refused. Where its words are in another language, what cannot heal
is tried again, and the reason is told all the same."""


def translated(address: Address, error: psycopg.Error) -> StoreError | psycopg.Error:
    """What to raise in place of an error; one of a statement of ours that is wrong stays what it is."""
    state = error.sqlstate
    text = address.shown(error)
    for prefix in ("connection failed: ", "connection is bad: "):
        text = text.removeprefix(prefix)
    if state == _NO_SUCH_COLUMN:
        return StoreError(
            f"the query tables of {address.place} were made by another version ({text}): `execution-status rebuild` "
            "makes them anew"
        )
    if state in _DAMAGE:
        return StoreDamaged(f"the event store {address.place} is damaged ({text}): restore it from a backup")
    if state is None:
        if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
            if _REFUSED_CONNECTION.search(text):
                return refused(address, text)
            return unavailable(address, text)
        if isinstance(error, psycopg.ProgrammingError) and "connect" in text:  # such as connect_timeout=soon
            return refused(address, text)
        return error
    if state.startswith(_REFUSALS):
        return refused(address, text)
    if state.startswith(_MAY_HEAL) or "NOTIFY queue" in text:
        return unavailable(address, text, _REMEDIES.get(state, _REMEDY))
    return error


def unavailable(address: Address, what: str, remedy: str = _REMEDY) -> StoreUnavailable:
    """The store cannot serve for now, for this reason."""
    return StoreUnavailable(f"the event store {address.place} cannot be used at this moment: {what}; {remedy}")


def refused(address: Address, what: str) -> StoreError:
    """The server does not let this program in, or not do what it must."""
    return StoreError(
        f"the event store {address.place} refuses this program: {what}; check the user, the password and the database "
        "in EXECUTION_STATUS_STORE, and what the server's administrator allows"
    )
