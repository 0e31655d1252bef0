"""What bad input gets: one clear line on stderr, nothing on stdout, the right exit code, and nothing is made."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest

from tests.histories import SURVEY, VOYAGE
from tests.processes import bytes_of
from tests.service.conftest import CommandLine, Ended, append, open_store

USAGE, NOT_FOUND, NO_STORE = 2, 3, 4

READING: Final = (
    ("list",),
    ("show", SURVEY),
    ("show", SURVEY, "--at", "1"),
    ("events", SURVEY),
    ("replay", SURVEY),
    ("watch", SURVEY),
    ("watch",),
    ("failures",),
    ("runners",),
    ("rebuild",),
    ("rebuild", "--verify"),
)
ABOUT_ONE: Final = ("show", "events", "replay", "watch")


def is_refused(ended: Ended, code: int, *words: str) -> bool:
    """Whether a command ended as bad input should, naming these words."""
    assert ended.out == ""
    assert ended.err.startswith("error: ") and ended.err.count("\n") == 1, ended.err
    assert all(word in ended.err for word in words), ended.err
    assert ended.code == code
    return True


@pytest.mark.parametrize("command", ABOUT_ONE)
@pytest.mark.parametrize("options", [(), ("--json",)])
def test_an_unknown_id_is_not_found(fleet: CommandLine, command: str, options: tuple[str, ...]) -> None:
    assert is_refused(
        fleet(command, "flying-dutchman", *options), NOT_FOUND, "'flying-dutchman'", "execution-status list"
    )


def test_an_unknown_id_has_no_earlier_versions_either(fleet: CommandLine) -> None:
    assert is_refused(fleet("show", "flying-dutchman", "--at", "1"), NOT_FOUND, "'flying-dutchman'")


@pytest.mark.parametrize(
    ("command", "execution_id"),
    [
        *((command, "../../etc/passwd") for command in ABOUT_ONE),
        *(("show", odd) for odd in ("two words", "", "n" * 201, "naïve", "two\nlines", "not\udce9utf-8")),
    ],
    ids=ascii,
)
def test_a_malformed_id_is_no_id(fleet: CommandLine, command: str, execution_id: str) -> None:
    assert is_refused(fleet(command, "--", execution_id), USAGE, "is not an execution id", "1 to 200 letters")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("list", "--phase", "SUNK"), ("'SUNK' is not a phase", "PENDING", "CANCELLED")),
        (("list", "--code", "E999999"), ("'E999999' is not a failure code", "execution-status codes")),
        (("list", "--category", "sea_monster"), ("'sea_monster' is not a failure category",)),
        (("list", "--session", "re\udce9fs"), ("cannot be a session",)),
        (("list", "--since", "yesterday"), ("'yesterday' is not a time", "90s, 30m, 1h or 2d")),
        (("list", "--since", ""), ("'' is not a time",)),
        (("list", "--since", "-1h"), ("'-1h' is not a time",)),
        (("list", "--limit", "-1"), ("-1 is not a limit", "1 to 500")),
        (("list", "--limit", "0"), ("0 is not a limit",)),
        (("list", "--limit", "501"), ("501 is not a limit",)),
        (("list", "--limit", "many"), ("--limit", "should be a valid")),
        (("list", "--limit", "2.5"), ("--limit", "should be a valid")),
        (("list", "--after", "-4"), ("'-4' is not a cursor",)),
        (("list", "--after", "0"), ("'0' is not a cursor",)),
        (("list", "--after", "yesterday"), ("'yesterday' is not a cursor",)),
        (("list", "--after", "9" * 5000), ("is not a cursor",)),
        (("show", SURVEY, "--at", "0"), ("0 is not a version",)),
        (("show", SURVEY, "--at", "-2"), ("-2 is not a version",)),
        (("show", SURVEY, "--at", "last"), ("--at", "should be a valid")),
        (("show", SURVEY, "--at", "13"), (f"'{SURVEY}' has 12 events", "no version 13")),
        (("show", SURVEY, "--at", str(10**30)), ("no version 1000000",)),
        (("events", SURVEY, "--after", "-1"), ("-1 is not a version",)),
        (("events", SURVEY, "--after", "x"), ("--after", "should be a valid")),
        (("events", SURVEY, "--after", "13"), ("no version 13",)),
        (("events", SURVEY, "--after", str(10**30)), ("no version 1000000",)),
        (("replay", SURVEY, "--from", "0"), ("0 is not a version",)),
        (("replay", SURVEY, "--from", "13"), ("no version 13",)),
        (("replay", SURVEY, "--to", "-1"), ("-1 is not a version",)),
        (("replay", SURVEY, "--to", "40"), ("no version 40",)),
        (("replay", SURVEY, "--from", "9", "--to", "3"), ("between version 9 and version 3",)),
        (("replay", SURVEY, "--from", "one"), ("--from", "should be a valid")),
        (("watch", SURVEY, "--after", "-1"), ("-1 is not a position",)),
        (("watch", SURVEY, "--after", "1000000"), ("position 1000000 is beyond the end of this store",)),
        (("watch", "--after", "1000000"), ("position 1000000 is beyond the end of this store",)),
        (("watch", "--after", str(10**30)), ("beyond the end of this store",)),
        (("watch", "--after", "-1"), ("-1 is not a position",)),
        (("watch", "--after", "now"), ("--after", "should be a valid")),
        (("failures", "--limit", "-1"), ("-1 is not a limit",)),
        (("failures", "--limit", "some"), ("--limit", "should be a valid")),
        (("codes", "E000"), ("'E000' is not a failure code", "execution-status codes")),
        (("project", "--poll-interval", "-1"), ("--poll-interval",)),
        (("project", "--poll-interval", "0"), ("--poll-interval",)),
        (("project", "--poll-interval", "nan"), ("--poll-interval",)),
        (("project", "--poll-interval", "often"), ("--poll-interval", "should be a valid")),
        (("show",), ("ID",)),
        (("list", "--colour", "red"), ("--colour",)),
        (("lsit",), ("lsit",)),
    ],
    ids=lambda value: " ".join(value)[:40].encode("ascii", "replace").decode(),
)
def test_what_makes_no_sense_is_named(fleet: CommandLine, arguments: tuple[str, ...], words: tuple[str, ...]) -> None:
    assert is_refused(fleet(*arguments), USAGE, *words)


@pytest.mark.parametrize("command", READING, ids=" ".join)
def test_reading_where_no_store_is_makes_none(alone: CommandLine, command: tuple[str, ...]) -> None:
    place = alone.store.parent / "not" / "here" / "store.db"
    ended = alone(*command, "--store", str(place))
    assert is_refused(ended, NO_STORE, f"there is no event store at {place} yet", "execution-status up")
    assert list(alone.store.parent.iterdir()) == []


def test_the_default_store_is_not_made_by_reading_either(alone: CommandLine) -> None:
    assert is_refused(alone("list", EXECUTION_STATUS_STORE=""), NO_STORE, "there is no event store at")
    assert is_refused(alone("watch", EXECUTION_STATUS_STORE=""), NO_STORE, "there is no event store at")
    assert list(alone.store.parent.iterdir()) == []


def _of_an_address_book(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE addresses (name TEXT, street TEXT)")


def _marked_by_somebody_else(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA application_id=42")
        connection.execute("CREATE TABLE birds (name TEXT)")


def _from_the_future(path: Path) -> None:
    open_store(path).close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA user_version=7")


def _with_a_torn_page(path: Path) -> None:
    with closing(open_store(path)) as store:
        for number in range(200):
            append(store, f"{SURVEY}-{number}", *VOYAGE)
    content = bytearray(path.read_bytes())
    for page in range(4096, len(content), 4096):
        content[page : page + 64] = b"\xff" * 64
    path.write_bytes(content)


STRANGERS: Final[dict[str, tuple[Callable[[Path], object], str]]] = {
    "a text": (lambda path: path.write_text("Dear diary, " * 1000), "is not an SQLite database"),
    "an empty file": (lambda path: path.touch(), "is an empty file, not an event store"),
    "an address book": (_of_an_address_book, "is a database of something else"),
    "somebody's birds": (_marked_by_somebody_else, "is a database of something else"),
    "a newer store": (_from_the_future, "has schema 7, and this version reads up to 1: install the newer version"),
    "a folder": (lambda path: path.mkdir(), "is a folder: name a file in it"),
    "a damaged store": (_with_a_torn_page, "is damaged"),
}


@pytest.mark.parametrize("command", [("list",), ("watch",), ("rebuild",)], ids=" ".join)
@pytest.mark.parametrize("stranger", STRANGERS)
def test_a_file_that_is_no_store_of_ours_is_named_and_left_as_it_is(
    alone: CommandLine, stranger: str, command: tuple[str, ...]
) -> None:
    make, words = STRANGERS[stranger]
    make(alone.store)
    before = {file: file.read_bytes() for file in alone.store.parent.iterdir() if file.is_file()}
    assert is_refused(alone(*command), NO_STORE, str(alone.store), words)
    assert {file: file.read_bytes() for file in alone.store.parent.iterdir() if file.is_file()} == before


@pytest.mark.parametrize(
    ("store", "words"),
    [
        ("s" * 5000, "cannot be reached"),
        ("/dev/null", "is an empty file, not an event store"),
    ],
    ids=lambda value: value[:30],
)
@pytest.mark.parametrize("command", [("list",), ("watch",)], ids=" ".join)
def test_a_place_that_can_hold_no_store_is_named(
    alone: CommandLine, command: tuple[str, ...], store: str, words: str
) -> None:
    assert is_refused(alone(*command, "--store", store), NO_STORE, words)


@pytest.mark.parametrize("store", ["mysql://me:hunter2secret@harbour/events", "sqlite://"])
@pytest.mark.parametrize("command", [("list",), ("watch",)], ids=" ".join)
def test_a_store_of_no_engine_of_ours_is_refused_without_its_password(
    fleet: CommandLine, command: tuple[str, ...], store: str
) -> None:
    for ended, code, place in (
        (fleet(*command, "--store", store), USAGE, "--store '"),
        (fleet(*command, EXECUTION_STATUS_STORE=store), NO_STORE, "EXECUTION_STATUS_STORE='"),
    ):
        assert is_refused(ended, code, place, "cannot be used: name an SQLite file", "or a PostgreSQL database")
        assert "hunter2secret" not in ended.err


@pytest.mark.parametrize("command", [("list",), ("watch",), ("show", SURVEY), ("rebuild",)], ids=" ".join)
def test_a_database_that_is_not_there_is_told_in_one_line_without_its_password(
    fleet: CommandLine, command: tuple[str, ...]
) -> None:
    ended = fleet(*command, "--store", "postgresql://me:hunter2secret@127.0.0.1:1/events")
    assert is_refused(ended, NO_STORE, "postgresql://me@127.0.0.1:1/events", "Connection refused", "check that")
    assert "hunter2secret" not in ended.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("start", "--agent", "survey:agent", "--queue", ""), "--queue is empty"),
        (("start", "--agent", "survey:agent", "--queue", "q" * 201), "--queue 'qqq"),
        (("start", "--agent", "survey:agent", "--start-to-close", "1e30"), "'--start-to-close'"),
        (("start", "--agent", "survey:agent", "--heartbeat-timeout", "nan"), "--heartbeat-timeout"),
        (("runner", "--agent", "survey:agent", "--queue", ""), "--queue is empty"),
        (("list", "--store", ""), "--store is empty"),
        (("up", "--data-dir", ""), "--data-dir is empty"),
        (("up", "--data-dir", "/dev/null/deep"), "the data folder /dev/null/deep cannot be made: Not a directory"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, tuple) else "",
)
def test_an_option_that_becomes_a_setting_is_blamed_by_its_name(
    alone: CommandLine, arguments: tuple[str, ...], words: str
) -> None:
    ended = alone(*arguments)
    assert is_refused(ended, USAGE, words)
    assert "EXECUTION_STATUS" not in ended.err
    assert list(alone.store.parent.iterdir()) == []


def test_a_time_of_the_environment_that_is_too_long_is_refused_before_anything_starts(alone: CommandLine) -> None:
    ended = alone("start", "--agent", "survey:agent", EXECUTION_STATUS_START_TO_CLOSE="1e30")
    assert is_refused(ended, NO_STORE, "EXECUTION_STATUS_START_TO_CLOSE='1e30'", "less than or equal to 315360000")
    assert not alone.store.exists()


def test_a_setting_that_makes_no_sense_is_named(fleet: CommandLine) -> None:
    ended = fleet("list", EXECUTION_STATUS_LOCK_TIMEOUT="soon")
    assert is_refused(ended, NO_STORE, "EXECUTION_STATUS_LOCK_TIMEOUT='soon'")


def test_a_file_of_settings_that_is_not_one_is_named(fleet: CommandLine, tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text("store = [\n")
    assert is_refused(fleet("list", EXECUTION_STATUS_CONFIG=str(config)), NO_STORE, str(config), "is not TOML")

    config.write_text("lock_timeout = 'soon'\n")
    ended = fleet("list", EXECUTION_STATUS_CONFIG=str(config), EXECUTION_STATUS_LOCK_TIMEOUT="20")
    assert ended.code == 0, "the environment outranks it"
    config.write_text("poll_interval = 'soon'\n")
    ended = fleet("list", EXECUTION_STATUS_CONFIG=str(config))
    assert is_refused(ended, NO_STORE, f"poll_interval = 'soon' in the settings file {config} cannot be used")


def test_a_file_of_settings_that_is_named_and_is_not_there_is_missed(fleet: CommandLine, tmp_path: Path) -> None:
    absent = tmp_path / "absent.toml"
    ended = fleet("list", EXECUTION_STATUS_CONFIG=str(absent))
    assert is_refused(ended, NO_STORE, f"the settings file {absent} that EXECUTION_STATUS_CONFIG names is not there")


def test_the_option_outranks_the_environment(fleet: CommandLine, tmp_path: Path) -> None:
    ended = fleet("list", "--store", str(fleet.store), EXECUTION_STATUS_STORE=str(tmp_path / "elsewhere.db"))
    assert ended.code == 0
    ended = fleet("list", "--store", f"sqlite:///{fleet.store}", EXECUTION_STATUS_STORE=str(tmp_path / "elsewhere.db"))
    assert ended.code == 0


def test_the_data_folder_names_the_store_where_nothing_else_does(fleet: CommandLine) -> None:
    ended = fleet("show", SURVEY, "--json", "--data-dir", str(fleet.store.parent), EXECUTION_STATUS_STORE="")
    assert ended.object["phase"] == "COMPLETED"


def test_a_store_that_an_ended_process_left_unfinished_is_read(alone: CommandLine) -> None:
    """Its log is still beside it: the process was killed before it could fold it into the file."""
    with closing(open_store(alone.store)) as store:
        append(store, SURVEY, *VOYAGE)
        copy = alone.store.parent / "copy.db"
        for end in ("", "-wal"):
            copy.with_name(copy.name + end).write_bytes(bytes_of(alone.store.with_name(alone.store.name + end)))
    assert alone("show", SURVEY, "--json", "--store", str(copy)).object["phase"] == "COMPLETED"
