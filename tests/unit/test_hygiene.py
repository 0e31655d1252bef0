"""The door for texts: what comes out is clean, bounded, without secrets, and stays so."""

from __future__ import annotations

import hashlib
import time
from typing import NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projector.door.hygiene import MESSAGE_LIMIT
from projector.failures import Truncation
from tests.dirt import BODY, KNOWN, SECRET, assert_clean, dirty_text, hygiene
from tests.made_up_secrets import CREDENTIALS, MIXED, Credential, pem


def test_a_small_clean_text_is_the_same_object() -> None:
    text = "The lamp is lit; the sea is calm."
    assert hygiene.text(text).text is text
    assert hygiene.text(text).truncation is None


def test_what_was_cut_is_told_with_its_size_and_hash() -> None:
    text = "The lamp is lit. " * 1000
    cleaned, truncation = hygiene.text(text, field="log")
    assert len(cleaned.encode()) <= MESSAGE_LIMIT
    assert cleaned.startswith("The lamp is lit. The") and cleaned.endswith("bytes cut]")
    assert truncation == Truncation(field="log", original_bytes=17000, sha256=hashlib.sha256(text.encode()).hexdigest())


@pytest.mark.parametrize("credential", CREDENTIALS, ids=lambda credential: credential.name)
@pytest.mark.parametrize("both", [False, True], ids=["head", "head and tail"])
def test_a_secret_that_straddles_the_cut_leaves_no_part(credential: Credential, both: bool) -> None:
    limit, fog = 2048, "fog and more fog. "
    # Where the text is cut: at the end of what is kept, or in the middle; a secret is put on either side of each.
    for length in (6_000, 40_000):
        for edge in (limit, limit // 2, length - limit // 2, length - limit):
            for inside in (1, len(credential.text) // 2, len(credential.text) - 1):
                before = (fog * (length // len(fog)))[: edge - inside - 1] + "\n"
                after = "\n" + (fog * (length // len(fog)))[: max(length - edge, 100)]
                cleaned = hygiene.text(before + credential.text + after, limit, head_and_tail=both).text
                assert len(cleaned.encode()) <= limit
                assert [piece for piece in credential.pieces() if piece in cleaned] == []


@pytest.mark.parametrize("inside", [100, 1500, 2900])
def test_a_window_that_begins_inside_a_private_key_shows_none_of_it(inside: int) -> None:
    # The tail that is looked at begins 8 KiB before what is kept, here in the middle of a key; and every line of what
    # follows is a secret that shrinks, so that the beginning of the window comes close to what is shown.
    tail = f"password={MIXED}\n" * 2000
    text = "fog\n" * 10_000 + pem() + tail[: 8192 + 1024 - inside]
    cleaned = hygiene.text(text, 2048, head_and_tail=True).text
    assert MIXED[:12] not in cleaned


def test_a_known_value_at_the_cut_leaves_no_part() -> None:
    for shift in range(len(KNOWN) + 2):
        cleaned = hygiene.text("x" * (MESSAGE_LIMIT - 30 - shift) + f" {KNOWN} " + "y" * 50_000).text
        assert "st0rm" not in cleaned and "lantern" not in cleaned


def test_colours_in_a_huge_text_do_not_shift_the_margin_into_view() -> None:
    text = "\x1b[31mlamp\x1b[0m " * 300 + SECRET + " \x1b[32mlamp\x1b[0m" * 100_000
    cleaned = hygiene.text(text).text
    assert cleaned.startswith("lamp lamp lamp") and BODY[:8] not in cleaned and "\x1b" not in cleaned


@pytest.mark.parametrize("character", ["x", "é", "\ud800", "\x00", "\x1b[31m", '"'])
def test_a_huge_text_costs_no_more_than_its_ends(character: str) -> None:
    text = character * (100_000_000 // len(character) // (1 if character.isascii() else 4))
    begin = time.process_time()
    for both in (False, True):
        assert len(hygiene.text(text, head_and_tail=both).text.encode()) <= MESSAGE_LIMIT
    assert time.process_time() - begin < 1


def test_text_is_made_of_any_object() -> None:
    class Broken:
        def __str__(self) -> NoReturn:
            raise SystemExit(3)

    assert hygiene.text(Broken()).text == "<unprintable Broken: __str__ raised SystemExit>"
    assert hygiene.text(ValueError(f"no oil for {SECRET}")).text == "no oil for [redacted:github-token]"


@given(dirty_text, st.sampled_from([64, 300, 1000, 4096]), st.booleans())
def test_text_is_clean_bounded_and_stays_as_it_is(text: str, limit: int, both: bool) -> None:
    once = hygiene.text(text, limit, head_and_tail=both)
    assert_clean(once.text)
    assert len(once.text.encode()) <= limit
    assert hygiene.text(once.text, limit, head_and_tail=both) == (once.text, None)
