"""The last bytes of a pipe are kept, and all of them are passed on unchanged."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.supervision.last_words import LastWords

PATIENCE = 10.0


@pytest.fixture
def log(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    path = tmp_path / "deck.log"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT)
    yield fd, path
    os.close(fd)


def _written(words: LastWords, *data: bytes) -> None:
    with os.fdopen(words.writer, "wb", buffering=0) as pipe:
        for each in data:
            pipe.write(each)
    words.settle(PATIENCE)


def test_everything_is_passed_on_and_the_end_is_kept(log: tuple[int, Path]) -> None:
    said = b"".join(b"%d fathoms\n" % number for number in range(100_000))
    words = LastWords(1000, pass_on_to=log[0])
    _written(words, said)

    assert log[1].read_bytes() == said
    assert said.decode().endswith(words.text())
    assert 980 < len(words.text()) <= 1000
    assert words.text().split(" ")[0].isdigit()


def test_little_is_kept_whole() -> None:
    words = LastWords(1000)
    _written(words, "Land in Sicht, Käpt'n".encode(), b"\xff\n")

    assert words.text() == "Land in Sicht, Käpt'n\ufffd\n"


def test_a_log_that_cannot_be_written_does_not_stop_the_writer(tmp_path: Path) -> None:
    with (tmp_path / "read-only").open("wb"):
        target = os.open(tmp_path / "read-only", os.O_RDONLY)
    words = LastWords(1000, pass_on_to=target)
    _written(words, b"aye\n" * 100_000)
    os.close(target)

    assert words.text().endswith("aye\naye\n")


def test_a_slow_reader_gets_everything_also_through_a_pipe_that_does_not_wait() -> None:
    reader, target = os.pipe()
    os.set_blocking(target, False)
    words = LastWords(1000, pass_on_to=target)
    os.close(target)
    os.write(words.writer, b"a" * 60_000)
    os.write(words.writer, b"b" * 60_000)
    words.let_go()
    with os.fdopen(reader, "rb") as pipe:
        heard = pipe.read()

    assert heard == b"a" * 60_000 + b"b" * 60_000


def test_what_is_forgotten_is_gone_and_what_comes_later_is_kept() -> None:
    words = LastWords(1000)
    os.write(words.writer, b"an old stack\n")
    while not words.text():
        pass
    words.forget()
    assert words.text() == ""

    _written(words, b"a new one\n")

    assert words.text() == "a new one\n"


def test_whoever_wants_them_does_not_wait_for_a_writer_that_lives_on() -> None:
    words = LastWords(1000)
    words.settle(0.01)

    assert words.text() == ""
    words.let_go()
