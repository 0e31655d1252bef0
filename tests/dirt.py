"""What an agent may hand over that is unclean, unbounded or no data at all, and how to tell that none of it is left."""

from __future__ import annotations

import hashlib
from typing import Any, Final, NoReturn

from hypothesis import strategies as st
from pydantic import SecretStr

from projector.door.hygiene import Hygiene
from projector.door.redaction import Redactor
from tests.made_up_secrets import MIXED, pem

KNOWN: Final = "st0rm lantern"
"""A secret that looks like none: the redactor was told of it."""
BODY: Final = hashlib.sha256(b"no literal of it, lest a search for examples picks it up").hexdigest()[:40]
SECRET: Final = "gh" + "p_" + BODY

hygiene = Hygiene(Redactor([KNOWN]))

dirt = st.sampled_from(
    [
        *'\x00\x07\x1b\r\n\t\x7f\x85\x9b\ud800\udc00é🔥"\\\u202e',
        *("\x1b[31m", "\x1b]0;t\x07", "password=", "token: ", "lamp ", "[redacted", SECRET, KNOWN, pem()),
        *("x" * 500, '"' * 3000, "é" * 3000, "\n" * 3000, f"k: {SECRET} " * 100),
    ]
)
dirty_text = st.lists(dirt, max_size=12).map("".join) | st.text(st.characters(codec=None, exclude_categories=()))
leaves = st.none() | st.booleans() | st.integers() | st.floats() | dirty_text | st.binary(max_size=20)
json_like = st.recursive(
    leaves | st.just(SecretStr("x")),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(dirty_text | st.integers(), inner, max_size=4)
        | st.tuples(inner, inner)
    ),
    max_leaves=12,
)


class Raises:
    """Every question that it is asked, it answers with an error."""

    def __getattribute__(self, name: str) -> NoReturn:
        raise KeyboardInterrupt(name)

    def __repr__(self) -> NoReturn:
        raise SystemExit("no repr")

    __str__ = __iter__ = __len__ = __hash__ = __eq__ = __bool__ = __repr__  # type: ignore[assignment]


def cycle() -> Any:
    """A dictionary that holds itself."""
    ring: dict[str, Any] = {"name": "ring"}
    ring["itself"] = ring
    return ring


def assert_clean(text: str) -> None:
    """Nothing of `dirt` is in it."""
    text.encode("utf-8")
    assert not [c for c in text if (c < " " and c not in "\n\t") or "\x7f" <= c <= "\x9f"]
    assert BODY[:12] not in text and BODY[-12:] not in text
    assert KNOWN not in text and MIXED * 3 not in text


def assert_all_clean(data: object) -> None:
    """It is plain JSON data, and every text in it is clean."""
    if type(data) is dict:
        for name, item in data.items():
            assert_clean(name)
            assert_all_clean(item)
    elif type(data) is list:
        for item in data:
            assert_all_clean(item)
    elif type(data) is str:
        assert_clean(data)
    else:
        assert data is None or type(data) in (bool, int, float)
