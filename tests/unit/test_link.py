"""The pipe from a runner to its supervisor: what is said arrives, and nothing can hold the runner up."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.link import LINE_LIMIT, AttemptClosed, AttemptOpened, Beat, Link, LinkReader, Said, StageReached

LOGBOOK: tuple[Said, ...] = (
    StageReached("importing the agent lighthouse:keeper"),
    StageReached("serving", is_ready=True),
    AttemptOpened("voyage-7", 1, b"\x00\xfftoken\n{}"),
    Beat(),
    AttemptClosed("voyage-7", 1),
)


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    yield reader, writer
    for fd in (reader, writer):
        with suppress(OSError):
            os.close(fd)


def test_what_is_said_is_heard_in_order(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    link = Link(writer)
    for said in LOGBOOK:
        link.say(said)

    assert list(LinkReader().feed(os.read(reader, 65536))) == list(LOGBOOK)


@given(st.data())
def test_it_does_not_matter_in_which_pieces_it_arrives(data: st.DataObject) -> None:
    reader, writer = os.pipe()
    try:
        for said in LOGBOOK:
            Link(writer).say(said)
        whole = os.read(reader, 65536)
    finally:
        os.close(reader)
        os.close(writer)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)))))
    pieces = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    hears = LinkReader()

    assert [said for piece in pieces for said in hears.feed(piece)] == list(LOGBOOK)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b"ahoy",
        b"[]",
        b'{"opened": 7}',
        b'{"opened": "a", "attempt": 1, "token": "?"}',
        b"\xff\xfe",
        b"[" * 4000,
    ],
)
def test_what_cannot_be_read_is_skipped(line: bytes) -> None:
    assert list(LinkReader().feed(line + b'\n{"beat": true}\n')) == [Beat()]


def test_a_line_that_never_ends_is_not_kept_for_ever() -> None:
    hears = LinkReader()
    for _ in range(100):
        assert list(hears.feed(b"fog" * LINE_LIMIT)) == []

    assert list(hears.feed(b'\n{"beat": true}\n')) == [Beat()]


def test_a_full_pipe_holds_nobody_up_and_keeps_whole_lines(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    link = Link(writer)
    opened = AttemptOpened("voyage-7", 1, b"t" * 1000)
    for _ in range(1000):
        link.say(opened)
    heard = list(LinkReader().feed(os.read(reader, 1_000_000)))

    assert 10 < len(heard) < 1000
    assert set(heard) == {opened}


def test_a_supervisor_that_has_gone_holds_nobody_up(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    os.close(reader)

    Link(writer).say(Beat())


def test_what_is_too_long_for_one_write_is_not_said(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    Link(writer).say(AttemptOpened("voyage-7", 1, b"t" * LINE_LIMIT))
    Link(writer).say(Beat())

    assert list(LinkReader().feed(os.read(reader, 65536))) == [Beat()]


def test_without_a_supervisor_nothing_is_said() -> None:
    Link().say(Beat())


def test_what_an_agent_starts_does_not_inherit_it(pipe: tuple[int, int]) -> None:
    os.set_inheritable(pipe[1], True)
    Link(pipe[1])

    assert not os.get_inheritable(pipe[1])
