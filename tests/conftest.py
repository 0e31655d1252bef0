"""What all tests share."""

from __future__ import annotations

import signal

import pytest
from hypothesis import settings

pytest.register_assert_rewrite(
    "tests.contract.event_store_contract", "tests.dirt", "tests.temporal.reconciling", "tests.temporal.retrying"
)

# A property is true or false, not slow: on a busy machine one example may take any time.
settings.register_profile("house", deadline=None, print_blob=True)
settings.load_profile("house")


def pytest_configure(config: pytest.Config) -> None:
    # Whoever runs the tests in the background of a shell may have SIGINT ignored, and every program of theirs with it.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    config.addinivalue_line(
        "markers",
        "sqlite_only(reason): what it tells, in words, there is on SQLite only; left out where --store says so",
    )


def pytest_runtest_setup(item: pytest.Item) -> None:
    marker = item.get_closest_marker("sqlite_only")
    if marker is not None and item.config.getoption("--store") == "postgres":
        pytest.skip(f"on SQLite only: {marker.args[0]}")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of the whole suite: pytest reads them before it knows its folders."""
    parser.addoption("--matrix", choices=("cut", "whole"), default="cut", help="which of its cells to play")
    parser.addoption(
        "--store",
        choices=("sqlite", "postgres"),
        help="the only engine of the event store to test, also where SQLite alone would do; "
        "by default the contract is tested on both, and the rest on SQLite with a cut of it on PostgreSQL",
    )
