"""Where a PostgreSQL store may be, what is refused there, and what a person is told."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest
from eventsourcing.persistence import StoredEvent
from hypothesis import example, given
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.sql import SQL, Identifier, Literal

from projector.engines.postgres.address import Address
from projector.errors import StoreError, StoreUnavailable
from tests.contract.event_store_contract import REEF, WRECK
from tests.histories import REQUESTED, VOYAGE, news
from tests.postgres import GIVEN, GUARDED, run
from tests.postgres_processes import open_postgres

PASSWORD = "the-lead-line/is@7:fathoms?#%"


def url_of(dsn: str) -> str:
    parts = {name: quote(str(value), safe="") for name, value in conninfo_to_dict(dsn).items()}
    login = parts.get("user", "") + (":" + parts["password"] if "password" in parts else "")
    return f"postgresql://{login}@/{parts['dbname']}?host={parts['host']}&port={parts['port']}"


# --- addresses that lead somewhere ---------------------------------------------------------------------------------


def test_every_way_to_write_an_address_leads_to_the_same_store(
    dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    services = tmp_path / "services.conf"
    words = "\n".join(f"{name}={value}" for name, value in conninfo_to_dict(dsn).items())
    services.write_text(f"[harbour]\n{words}\n")
    monkeypatch.setenv("PGSERVICEFILE", str(services))
    with closing(open_postgres(dsn)) as store:
        store.append(REEF, news(*VOYAGE))
    for address in (url_of(dsn), url_of(dsn).replace("postgresql:", "postgres:"), "service=harbour"):
        with closing(open_postgres(address, create=False)) as store:
            assert store.version(REEF) == len(VOYAGE)
            assert "postgresql://" in store.place


def test_what_the_environment_says_to_libpq_is_heard(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in conninfo_to_dict(dsn).items():
        monkeypatch.setenv({"dbname": "PGDATABASE"}.get(name, "PG" + name.upper()), str(value))
    monkeypatch.setenv("PGCONNECT_TIMEOUT", "7")
    with closing(open_postgres("postgresql://")) as store:
        store.append(REEF, news(REQUESTED))
        assert store.place.endswith(f"/{conninfo_to_dict(dsn)['dbname']}?host={conninfo_to_dict(dsn)['host']}")
        assert "connect_timeout" not in store.address.parameters
    with closing(open_postgres(dsn, create=False)) as store:
        assert store.head() == 1


def test_every_parameter_of_an_address_is_honoured(dsn: str) -> None:
    address = make_conninfo(dsn, options="-c work_mem=5MB -c statement_timeout=77s", application_name="surveyor")
    with closing(open_postgres(address)) as store:
        for setting, value in (("work_mem", "5MB"), ("statement_timeout", "77s"), ("application_name", "surveyor")):
            assert store.datastore.ask("SELECT current_setting(%s)", (setting,)) == [(value,)]
    with closing(open_postgres(dsn)) as store:
        assert store.datastore.ask("SHOW application_name") == [("execution-status",)]


@pytest.mark.parametrize("schema", ["tenant", "Tenant 7", 'the "réef"'])
def test_two_schemas_of_a_database_are_two_stores(dsn: str, schema: str) -> None:
    named = SQL("CREATE SCHEMA {}").format(Identifier(schema)).as_string()
    run(dsn, named)
    path = Identifier(schema).as_string().replace("\\", "\\\\").replace(" ", "\\ ")
    tenant = make_conninfo(dsn, options=f"-csearch_path={path}")
    with closing(open_postgres(dsn)) as one, closing(open_postgres(tenant)) as other:
        one.append(REEF, news(*VOYAGE))
        other.append(REEF, news(REQUESTED))
        assert (one.version(REEF), other.version(REEF)) == (len(VOYAGE), 1)
        assert other.recorder.select_events(REEF)[0].topic == "ExecutionRequested"
        foreign = other.recorder.select_events(REEF)[0]
        other.recorder.insert_events([StoredEvent(WRECK, 1, foreign.topic, foreign.state)])
        assert len(other.recorder.select_notifications(1, 10)) == 2, "the library's own statements find it too"
        assert (one.version(WRECK), other.version(WRECK)) == (0, 1)
        with one.database.transaction(commit=True) as cursor:
            cursor.execute("INSERT INTO tracking VALUES ('projector', 12)")
        with other.database.transaction(commit=False) as cursor:
            assert cursor.execute("SELECT * FROM tracking").fetchall() == []
        assert one.place != other.place


PLACES = [
    ("postgresql://ann:secret@db.example:5433/status", "postgresql://ann@db.example:5433/status"),
    ("host=db.example user=ann password=secret dbname=status port=1", "postgresql://ann@db.example:1/status"),
    ("postgresql://ann:secret@[::1]:5433/status", "postgresql://ann@[::1]:5433/status"),
    ("postgresql://ann@a:1,b:2/status?password=secret", "postgresql://ann@a:1,b:2/status"),
    (
        "host=/run/pg dbname='the status' user='ann b' password=secret",
        "postgresql://ann%20b@/the%20status?host=/run/pg",
    ),
    ("host=/run/pg port=7 dbname=status user=ann", "postgresql://ann@:7/status?host=/run/pg"),
    ("service=harbour password=secret", "postgresql:///?service=harbour"),
    (
        "postgresql://ann@a:1/status?options=-csearch_path%3Dtenant",
        "postgresql://ann@a:1/status?options=-csearch_path=tenant",
    ),
]


@pytest.mark.parametrize(("dsn", "place"), PLACES)
def test_a_place_is_an_address_without_its_password(dsn: str, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PGHOST", "PGPORT", "PGUSER", "PGDATABASE", "PGOPTIONS", "PGSERVICE"):
        monkeypatch.delenv(name, raising=False)
    assert Address.parse(dsn).place == place


WORDS = "postgresql://ann@127.0.0.1:1/status?host= postgresql://user@host:5432/database EXECUTION_STATUS_STORE"


@example(password="00000/", form="postgresql://ann:{}@127.0.0.1:1/status")  # it reads as a port and a database
@given(
    password=st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=6, max_size=20).filter(
        lambda text: text.strip() == text and text not in WORDS and not text.isdecimal()
    ),
    form=st.sampled_from(
        [
            "postgresql://ann:{}@127.0.0.1:1/status",
            "postgresql://ann:{}@/status",
            "postgresql://127.0.0.1:1/status?password={}",
            "host=127.0.0.1 port=1 password={}",
            "host=127.0.0.1 port=1 password='{}",
        ]
    ),
)
def test_however_badly_an_address_is_written_its_password_is_not_told(password: str, form: str) -> None:
    try:
        address = Address.parse(form.format(password))
        heard = address.parameters.get("password", "nothing")
        said = address.place + address.shown(RuntimeError(f'cannot connect with "{heard}"'))
        assert not form.endswith("/status") or heard == "nothing" or f'"{heard}"' not in said
    except StoreError as error:
        said = str(error)
    assert password not in said


# --- what cannot be used -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dsn", "refusal", "words"),
    [
        ("postgresql://ann:pa/ss@db/status", StoreError, "a host or a port that cannot be one; .* percent-encoded"),
        ("postgresql://ann:p@ss@db/status", StoreError, "a host or a port that cannot be one"),
        (
            "postgresql://ann@db/status?sslmod=1",
            StoreError,
            r'cannot be read: invalid URI query parameter: "sslmod"',
        ),
        ("just words", StoreError, "cannot be read: missing .* write it as postgresql://user@host:5432/database"),
        ("postgresql://ann@db/status?connect_timeout=soon", StoreError, "refuses this program: .*connect_timeout"),
        ("postgresql://ann@db/status\0", StoreError, "cannot be read"),
        ("service=nowhere", StoreError, "refuses this program: definition of service .*not found; check the user"),
        (
            "host=127.0.0.1 port=1 user=ann password=sounding",
            StoreUnavailable,
            r"the event store postgresql://ann@127.0.0.1:1/\S* cannot be used at this moment: connection to server .*"
            r"Connection refused; check that the server runs, can be reached",
        ),
        ("host=/no/such/folder", StoreUnavailable, "cannot be used at this moment: .*No such file"),
        ("host=no-such-host.invalid", StoreUnavailable, "cannot be used at this moment: failed to resolve host"),
    ],
)
def test_an_address_that_leads_nowhere_is_told_in_one_line(
    dsn: str, refusal: type[StoreError], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PGSERVICEFILE", raising=False)
    with pytest.raises(StoreError, match=words) as refused:
        open_postgres(dsn)
    assert type(refused.value) is refusal
    assert "\n" not in str(refused.value)
    assert "sounding" not in str(refused.value)
    assert refused.value.exit_code == 4


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"dbname": "atlantis"},
            'refuses this program: .*database "atlantis" does not exist; check the user',
        ),
        ({"user": "ahab"}, 'refuses this program: .*role "ahab" does not exist'),
        ({"sslmode": "require", "host": "localhost", "port": 1}, "cannot be used at this moment"),
        ({"options": "-c sails=7"}, "refuses this program: .*unrecognized configuration parameter"),
    ],
)
def test_what_the_server_refuses_is_not_tried_again(dsn: str, change: dict[str, object], words: str) -> None:
    with pytest.raises(StoreError, match=words) as refused:
        open_postgres(make_conninfo(dsn, **change))  # type: ignore[arg-type]
    assert isinstance(refused.value, StoreUnavailable) == ("at this moment" in words)


@contextmanager
def role(dsn: str, attributes: str, *grants: str) -> Iterator[str]:
    """The name of a role that is dropped at the end."""
    name = f"{GUARDED}_{secrets.token_hex(4)}"
    run(
        dsn,
        SQL("CREATE ROLE {} LOGIN PASSWORD {} " + attributes).format(Identifier(name), Literal(PASSWORD)).as_string(),
    )
    try:
        run(dsn, *(grant.format(role=name) for grant in grants))
        yield name
    finally:
        run(dsn, f"DROP OWNED BY {name}", f"DROP ROLE {name}")


@pytest.mark.skipif(bool(GIVEN), reason="the server's rules for passwords are not ours")
def test_a_password_opens_the_store_and_a_wrong_one_is_refused_and_not_told(dsn: str) -> None:
    with role(dsn, "", "GRANT CREATE ON SCHEMA public TO {role}") as ann:
        with closing(open_postgres(url_of(make_conninfo(dsn, user=ann, password=PASSWORD)))) as store:
            store.append(REEF, news(REQUESTED))
            assert PASSWORD not in store.place and quote(PASSWORD) not in store.place
        for wrong in ("the-wrong-one", ""):
            with pytest.raises(StoreError, match=r"refuses this program: .*password") as refused:
                open_postgres(make_conninfo(dsn, user=ann, password=wrong))
            assert not isinstance(refused.value, StoreUnavailable)
            assert not wrong or wrong not in str(refused.value)


@pytest.mark.skipif(bool(GIVEN), reason="the server's rules for passwords are not ours")
def test_a_role_without_rights_is_told_what_it_lacks(dsn: str) -> None:
    with role(dsn, "") as bob:
        address = make_conninfo(dsn, user=bob, password=PASSWORD)
        with pytest.raises(StoreError, match="refuses this program: permission denied for schema public") as refused:
            open_postgres(address)
        assert not isinstance(refused.value, StoreUnavailable)
        open_postgres(dsn).close()
        with pytest.raises(StoreError, match="refuses this program: permission denied for table"):
            open_postgres(address)


@pytest.mark.skipif(bool(GIVEN), reason="the server's rules for passwords are not ours")
def test_a_server_without_room_for_one_more_is_waited_for(dsn: str) -> None:
    with role(dsn, "CONNECTION LIMIT 0", "GRANT CREATE ON SCHEMA public TO {role}") as cat:
        address = make_conninfo(dsn, user=cat, password=PASSWORD)
        with pytest.raises(StoreUnavailable, match=r"cannot be used at this moment: .*too many connections"):
            open_postgres(address)
        run(dsn, f"ALTER ROLE {cat} CONNECTION LIMIT -1")
        open_postgres(address).close()
