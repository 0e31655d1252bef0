"""Tickets for streams: good for a minute at one process, and for nothing once a letter is changed."""

from __future__ import annotations

import string

import pytest

from workflows.service.tickets import VALID_FOR, Tickets, opens_with_ticket

DAWN = 1_796_000_000.0


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = DAWN

    def __call__(self) -> float:
        return self.now


def test_a_ticket_is_a_reader_s_until_it_ends() -> None:
    clock = Clock()
    tickets = Tickets(clock)
    made = tickets.make()
    assert made.expires_at.timestamp() == DAWN + VALID_FOR
    assert tickets.role_of(made.text) == "reader"
    clock.now = DAWN + VALID_FOR - 0.001
    assert tickets.role_of(made.text) == "reader"
    clock.now = DAWN + VALID_FOR
    assert tickets.role_of(made.text) is None


def test_another_process_does_not_know_it() -> None:
    clock = Clock()
    assert Tickets(clock).role_of(Tickets(clock).make().text) is None


def test_a_ticket_with_any_letter_changed_is_none() -> None:
    tickets = Tickets(Clock())
    ticket = tickets.make().text
    letters = string.ascii_letters + string.digits + "-_"
    for place in range(len(ticket)):
        for letter in letters:
            changed = ticket[:place] + letter + ticket[place + 1 :]
            assert (tickets.role_of(changed) == "reader") is (changed == ticket), changed


@pytest.mark.parametrize(
    "text", ["", "=", "x" * 61, "x" * 62, "x" * 63, "\N{WHALE}" * 62, "\x00" * 62, "=" * 62, " " * 62, "+/" * 31]
)
def test_what_is_no_ticket_is_none(text: str) -> None:
    assert Tickets(Clock()).role_of(text) is None


@pytest.mark.parametrize(
    ("method", "path", "does"),
    [
        ("GET", "/api/stream", True),
        ("GET", "/api/executions/reef-1/stream", True),
        ("POST", "/api/stream", False),
        ("HEAD", "/api/stream", False),
        ("GET", "/api/executions", False),
        ("GET", "/api/executions/stream", False),
        ("GET", "/api/executions/reef-1/events", False),
        ("GET", "/api/executions/a/b/stream", False),
        ("GET", "/api/stream/", False),
        ("GET", "/api/stream\n", False),
    ],
)
def test_only_streams_open_with_one(method: str, path: str, does: bool) -> None:
    assert opens_with_ticket(method, path) is does
