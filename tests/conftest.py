"""What all tests share."""

from __future__ import annotations

import pytest
from hypothesis import settings

pytest.register_assert_rewrite(
    "tests.contract.event_store_contract", "tests.dirt", "tests.temporal.reconciling", "tests.temporal.retrying"
)

# A property is true or false, not slow: on a busy machine one example may take any time.
settings.register_profile("house", deadline=None, print_blob=True)
settings.load_profile("house")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of the whole suite: pytest reads them before it knows its folders."""
    parser.addoption("--matrix", choices=("cut", "whole"), default="cut", help="which of its cells to play")
