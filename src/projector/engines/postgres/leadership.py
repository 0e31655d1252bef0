"""Who leads in a role: the connection that holds an advisory lock in its name.

The lock goes with the connection. A leader that is killed, or whose machine is gone, is replaced as soon as the server
notices that it ended: at once, or after the keepalives of half a minute.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import Final

import psycopg
import structlog

from projector.engines.forked import let_go_in_children
from projector.engines.postgres.connection import IS_THERE, PgConnection, is_alive, rows_of
from projector.engines.postgres.datastore import Datastore
from projector.engines.postgres.schema import advisory_key

TRY_LOCK: Final = "SELECT pg_try_advisory_lock(%s)"
UNLOCK: Final = "SELECT pg_advisory_unlock(%s)"

log = structlog.get_logger("postgres_leadership")


class PostgresLeadership:
    """The Leadership port, on a connection of its own. One process is safe to share it between threads."""

    def __init__(self, datastore: Datastore, role: str) -> None:
        self._datastore = datastore
        self._role = role
        self._key = advisory_key("leadership", datastore.schema, role)
        self._door = threading.Lock()
        self._connection: PgConnection | None = None
        self._leads = False
        let_go_in_children(self)

    def let_go_in_child(self) -> None:
        """Begin anew in a forked child: its parent leads, not it."""
        self._door = threading.Lock()
        self._connection = None
        self._leads = False

    def hold(self) -> bool:
        """See Leadership.hold. While the server cannot be reached nobody leads, for nobody can know."""
        with self._door:
            try:
                self._leads = self._held()
            except Exception as error:  # whatever it is, nobody knows who leads
                if self._leads:
                    reason = self._datastore.address.shown(error)
                    log.warning("the lead was lost with the connection", role=self._role, reason=reason)
                self._leave()
            return self._leads

    def _held(self) -> bool:
        if self._connection is None or not is_alive(self._connection):
            self._leave()
            self._connection = self._datastore.connect()
        cursor = rows_of(self._connection)
        if self._leads:
            cursor.execute(IS_THERE)
            return True
        (taken,) = cursor.execute(TRY_LOCK, (self._key,)).fetchall()[0]
        return bool(taken)

    def release(self) -> None:
        """See Leadership.release."""
        with self._door:
            if self._connection is not None and self._leads:
                with suppress(psycopg.Error):  # the server would notice that the connection ended, a little later
                    self._connection.execute(UNLOCK, (self._key,))
            self._leave()

    def _leave(self) -> None:
        connection, self._connection, self._leads = self._connection, None, False
        if connection is not None:
            connection.close()
