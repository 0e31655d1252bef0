"""Cleaning and cutting: what comes out can be stored, encoded and shown, whatever went in."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from enum import StrEnum
from typing import Any, NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projector.door.text import byte_size, clean_text, cut, digest_of, is_clean, safe_str, type_name

anything = st.text(st.characters(codec=None, exclude_categories=()), max_size=200) | st.text(
    st.sampled_from("\x00\x07\x08\x1b\x1b[]PX^_0;m(B\\\r\n\t\x7f\x80\x85\x90\x9b\x9c\x9d\ud83d\ude00\ud800é \u202e"),
    max_size=60,
)


@given(anything)
def test_clean_text_can_be_encoded_and_has_no_controls_left(text: str) -> None:
    clean = clean_text(text)
    clean.encode("utf-8")
    assert not [c for c in clean if (c < " " and c not in "\n\t") or "\x7f" <= c <= "\x9f"]


@given(anything)
def test_cleaning_twice_changes_nothing_and_returns_the_same_object(text: str) -> None:
    clean = clean_text(text)
    assert clean_text(clean) is clean
    assert is_clean(text) == (clean_text(text) is text)


@pytest.mark.parametrize(
    ("dirty", "clean"),
    [
        ("the \x1b[1;31mlamp\x1b[0m is lit", "the lamp is lit"),
        ("\x1b]0;lighthouse\x07lamp", "lamp"),
        ("\x1b]8;;https://lamp.example\x1b\\lamp\x1b]8;;\x1b\\", "lamp"),
        ("\x9b31mlamp\x9d0;title\x9c!", "lamp!"),
        ("\x1bP1$r0m\x1b\\lamp\x1b(B\x1b7", "lamp"),
        ("\x1b]0;no end of a title\nlamp", "0;no end of a title\nlamp"),
        ("one\r\ntwo\rthree\x85four\x0cfive", "one\ntwo\nthree\nfour\nfive"),
        ("l\x00a\x00m\x00p\x00", "lamp"),
        ("tab\tstays", "tab\tstays"),
        ("back\x08space\x7f", "backspace"),
        ("lone \ud800 and \udfff", "lone \ufffd and \ufffd"),
        ("halves \ud83d\ude00 of a pair", "halves \U0001f600 of a pair"),
        ("right \u202eto left\u202c", "right \u202eto left\u202c"),
        ("e\u0301 is not composed", "e\u0301 is not composed"),
    ],
)
def test_what_cannot_be_shown_is_taken_out_and_the_rest_stays(dirty: str, clean: str) -> None:
    assert clean_text(dirty) == clean


def test_a_token_that_escapes_were_woven_into_is_whole_again() -> None:
    assert clean_text("gh\x1b[31mp_\x00lamp\x1b[0m") == "ghp_lamp"


class _RefusesToSpeak:
    def __init__(self, error: BaseException) -> None:
        self._error = error

    def __str__(self) -> str:
        raise self._error


class _SpeaksNumbers:
    def __str__(self) -> str:
        return 7  # type: ignore[return-value]


class _Liar(str):
    __slots__ = ()

    def __len__(self) -> NoReturn:
        raise RuntimeError("no length")

    def __str__(self) -> str:
        return self

    def __getitem__(self, index: Any) -> NoReturn:
        raise RuntimeError("no items")


class _Masked:
    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        raise RuntimeError("no class")

    def __str__(self) -> str:
        raise ValueError


class _NamelessMeta(type):
    @property
    def __name__(cls) -> str:  # type: ignore[override]
        raise RuntimeError("no name")


class _Nameless(metaclass=_NamelessMeta):
    def __str__(self) -> str:
        raise ValueError


class _Phase(StrEnum):
    LIT = "lit"


@pytest.mark.parametrize(
    "error", [RuntimeError("no"), SystemExit(3), KeyboardInterrupt(), RecursionError(), MemoryError()]
)
def test_an_object_whose_str_raises_is_described(error: BaseException) -> None:
    shown = safe_str(_RefusesToSpeak(error))
    assert shown == f"<unprintable _RefusesToSpeak: __str__ raised {type(error).__name__}>"


@pytest.mark.parametrize(
    ("make", "shown"),
    [
        (_SpeaksNumbers, "<unprintable _SpeaksNumbers: __str__ raised TypeError>"),
        (_Masked, "<unprintable _Masked: __str__ raised ValueError>"),
        (lambda: _Nameless(), "<unprintable _Nameless: __str__ raised ValueError>"),
        (lambda: 10**5000, "<unprintable int: __str__ raised ValueError>"),
        (lambda: _Phase.LIT, "lit"),
        (lambda: None, "None"),
        (lambda: ValueError("the lamp is out"), "the lamp is out"),
    ],
)
def test_anything_has_a_text(make: Callable[[], object], shown: str) -> None:
    assert safe_str(make()) == shown


def test_a_text_of_a_hostile_subclass_becomes_a_plain_text() -> None:
    shown = safe_str(_Liar("the lamp is out"))
    assert type(shown) is str
    assert shown == "the lamp is out"
    assert type_name(_Liar("")) == "_Liar"


@given(st.text(max_size=300), st.integers(0, 400), st.booleans())
def test_a_cut_text_fits_into_its_limit_and_is_made_of_whole_characters(text: str, limit: int, both: bool) -> None:
    short = cut(text, limit, head_and_tail=both)
    assert len(short.encode()) <= limit
    assert cut(short, limit, head_and_tail=both) == short
    if len(text.encode()) <= limit:
        assert short is text


def test_a_cut_says_how_much_is_missing() -> None:
    short = cut("lamp " * 1000, 200)
    kept = short.split(" … [")[0]
    assert short == f"{kept} … [{5000 - len(kept)} bytes cut]"


def test_beginning_and_end_are_kept_when_both_are_wanted() -> None:
    short = cut("first" + "é" * 5000 + "last!", 300, head_and_tail=True)
    head, tail = short.split(" … ")[0], short.split(" … ")[-1]
    assert head.startswith("firsté") and tail.endswith("élast!")
    assert f"[{10010 - len(head.encode()) - len(tail.encode())} bytes cut]" in short


@pytest.mark.parametrize("limit", range(12))
def test_no_character_is_split_where_the_limit_is_smaller_than_the_marker(limit: int) -> None:
    assert cut("🔥" * 20, limit) == "🔥" * (limit // 4)
    assert cut("🔥" * 20, limit, head_and_tail=True) == "🔥" * (limit // 4)


def test_a_size_is_exact_up_to_a_mebi_of_characters_and_close_beyond() -> None:
    assert byte_size("é" * 1000) == 2000
    assert byte_size("l" * 5_000_000) == 5_000_000
    assert byte_size("é" * 3_000_000) == 6_000_000


def test_a_digest_is_of_the_whole_text_or_of_its_ends() -> None:
    assert digest_of("lampé") == hashlib.sha256("lampé".encode()).hexdigest()
    assert digest_of("\ud800") == hashlib.sha256(b"?").hexdigest()
    long = "a" * 600_000 + "b" * 600_000
    ends = hashlib.sha256(long[: 512 * 1024].encode() + long[-512 * 1024 :].encode()).hexdigest()
    assert digest_of(long) == ends
    assert digest_of("a" + long[1:-1] + "c") != ends
