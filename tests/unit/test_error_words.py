"""Errors are named as people write them, and none is silent."""

from __future__ import annotations

import asyncio
import re
import socket
from typing import NoReturn

import pytest

from runner.errors.error_words import explanation, type_name


class HelmError(Exception):
    """The helm does not answer."""

    class Jammed(Exception):
        pass


def test_builtins_and_the_authors_own_classes_need_no_module() -> None:
    class LocalError(Exception):
        pass

    made = (ValueError("x"), HelmError("x"), HelmError.Jammed("x"), LocalError("x"))

    assert [type_name(error) for error in made] == ["ValueError", "HelmError", "HelmError.Jammed", "LocalError"]


def test_classes_of_libraries_keep_the_module_that_people_import_them_from() -> None:
    made = (
        asyncio.IncompleteReadError(b"", 1),
        socket.gaierror(-2, "unknown"),
        pytest.UsageError("x"),
        type("ConnectError", (Exception,), {"__module__": "httpx"})("x"),
    )

    assert [type_name(error) for error in made] == [
        "asyncio.IncompleteReadError",
        "socket.gaierror",
        "pytest.UsageError",
        "httpx.ConnectError",
    ]


def test_a_silent_error_tells_where_it_was_raised() -> None:
    def assert_nothing() -> NoReturn:
        raise HelmError

    with pytest.raises(HelmError) as caught:
        assert_nothing()

    assert re.fullmatch(r"The helm does not answer \(raised at test_error_words\.py:\d+\)", explanation(caught.value))
