"""Where a PostgreSQL store is: any address that libpq understands, what is added to it, and how it is shown.

A password never leaves this file in a text: what is shown is put together anew from the other parts.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

import psycopg
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict

from projector.errors import StoreError

_DEFAULTS: Final[Mapping[str, str]] = {
    "connect_timeout": "5",
    # A server or a network that is gone without a word is noticed in half a minute, not in two hours.
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "25000",
}
"""In seconds, but the last in milliseconds; an address, its service file or libpq's own variables may say otherwise."""

_SECRETS: Final = ("password", "sslpassword", "scram_client_key", "scram_server_key", "oauth_client_secret")
_EXAMPLE: Final = "postgresql://user@host:5432/database"
_GUESS: Final = re.compile(r"\n\t[^\n]*")
_AT_IN_PATH: Final = re.compile(r"\s*\w+://[^/?]*/[^?]*@")
_LONGEST_TEXT: Final = 400


@dataclass(frozen=True)
class Address:
    """An address, parsed. `place` is how people see it: a URL without any password."""

    parameters: Mapping[str, Any]
    """What libpq is told."""
    place: str
    secrets: tuple[str, ...] = ()

    @classmethod
    def parse(cls, dsn: str) -> Address:
        """Take a URL, `key=value` words or a service's name. Raises StoreError for what libpq cannot read."""
        try:
            if "\0" in dsn:
                raise ValueError("it has a NUL character in it")
            given = {key: str(value) for key, value in conninfo_to_dict(dsn).items()}
        except (psycopg.Error, ValueError) as error:  # ValueError: a NUL or a lone surrogate
            why = _hidden(str(error), *_secrets_in(dsn))
            raise StoreError(
                f"the address of the event store cannot be read: {why}; "
                f"write it as {_EXAMPLE} in EXECUTION_STATUS_STORE"
            ) from None
        _check(dsn, given)
        parameters: dict[str, Any] = {"fallback_application_name": "execution-status", "client_encoding": "UTF8"}
        if "service" not in given and "PGSERVICE" not in os.environ:
            parameters |= _DEFAULTS
            if "PGCONNECT_TIMEOUT" in os.environ:
                del parameters["connect_timeout"]
        secrets = tuple(given[name] for name in _SECRETS if given.get(name))
        return cls({**parameters, **given}, _place(given), secrets)

    def shown(self, error: BaseException) -> str:
        """What an error says, in one line, without secrets and without libpq's guesses on what may be the reason."""
        text = error.diag.message_primary if isinstance(error, psycopg.Error) else None
        return _hidden(_GUESS.sub("", text or str(error)), *self.secrets).rstrip(".")


def _check(dsn: str, given: Mapping[str, str]) -> None:
    # A password with a `/` or an `@` that is not percent-encoded makes parts of itself a host, a port or a database,
    # which libpq would name in its complaints.
    hosts, ports = given.get("host", "").split(","), given.get("port", "").split(",")
    if (
        any(port and not port.isdecimal() for port in ports)
        or any("@" in host and not host.startswith(("/", "@")) for host in hosts)
        or _AT_IN_PATH.match(dsn)
    ):
        raise StoreError(
            f"the address of the event store has a host or a port that cannot be one; write it as {_EXAMPLE}, "
            "with the characters / @ : ? # % of a password percent-encoded"
        )


def _place(given: Mapping[str, str]) -> str:
    if "service" in given and "host" not in given:
        return f"postgresql:///?service={quote(given['service'], safe='')}"
    known = {**_libpq_defaults(), **given}
    hosts, ports = known.get("host", "").split(","), known.get("port", "").split(",")
    user, database = quote(known.get("user", ""), safe=""), quote(known.get("dbname", ""), safe="")
    query = []
    if hosts[0].startswith(("/", "@")):  # a folder of Unix sockets
        query.append("host=" + quote(known["host"], safe="/@,"))
        places = ":" + known["port"] if known.get("port", "5432") != "5432" else ""
    else:
        each = ports if len(ports) == len(hosts) else ports[:1] * len(hosts)
        places = ",".join(
            (f"[{host}]" if ":" in host else host) + (f":{port}" if port else "")
            for host, port in zip(hosts, each, strict=True)
        )
    if "search_path" in known.get("options", ""):
        query.append("options=" + quote(known["options"], safe="="))
    return f"postgresql://{user + '@' if user else ''}{places}/{database}{'?' + '&'.join(query) if query else ''}"


def _libpq_defaults() -> dict[str, str]:
    names = ("host", "port", "user", "dbname", "options")
    return {
        option.keyword.decode(): option.val.decode()
        for option in pq.Conninfo.get_defaults()
        if option.val is not None and option.keyword.decode() in names
    }


def _secrets_in(dsn: str) -> list[str]:
    # Of an address that cannot be parsed: whatever may be a password, whole and in parts.
    found = re.findall(r"://[^/?#]*?:(.*)@", dsn, re.DOTALL) + re.findall(r"://[^/?#@]*?:(.*)", dsn, re.DOTALL)
    found += (match[1] or match[2] for match in re.finditer(r"(?i)password\s*=\s*(?:'([^']*)|([^&]*))", dsn))
    return [part for secret in found for part in (secret, *re.split(r"\W+", secret)) if part]


def _hidden(text: str, *secrets: str) -> str:
    """One line, of a bearable length, in which no secret stands."""
    line = " ".join(text.split())
    for secret in sorted(secrets, key=len, reverse=True):
        line = line.replace(f'"{secret}"', '"***"').replace(f"'{secret}'", "'***'")
        if len(secret) > 3:
            line = line.replace(secret, "***")
    return line if len(line) <= _LONGEST_TEXT else line[: _LONGEST_TEXT - 1] + "…"
