"""Taking secrets out of text: those we know, those that look like one, and those that are called one.

Known values come from the process's own environment and settings; they are also found in the forms in which they
travel (base64, URL-encoded, JSON-escaped). Well-known shapes are `projector.door.secret_shapes`, values under a
secret's name `projector.door.secret_values`. All places are found first and replaced together, so that a secret
inside a secret, or at the edge of a part, leaves nothing behind.
"""

from __future__ import annotations

import base64
import json
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from typing import Final
from urllib.parse import quote, quote_plus, unquote

from pydantic import SecretStr

from projector.door.secret_shapes import (
    KINDS,
    MARK,
    REPLACEMENT,
    SHAPES,
    TOKENS,
    Span,
    header_spans,
    private_key_spans,
    token_spans,
    url_spans,
)
from projector.door.secret_values import TRIGGERS, assigned_spans, is_secret_name, is_secret_variable, words
from projector.door.text import is_clean
from projector.door.triggers import Triggers

REDACTED: Final = MARK + "]"
"""What stands for a secret of no particular kind."""

KNOWN_AT_LEAST: Final = 6
"""Shorter known values are ignored: they would be found in ordinary words."""
VARIABLE_AT_LEAST: Final = 8
"""The same for the values of environment variables, in characters."""

_KNOWN_BEGINNING: Final = 32
"""How many of a known value's characters are looked for at first; a private key has thousands."""

# Defaults that stand in many environments and in ordinary sentences too.
_TOO_COMMON: Final = words(
    "password changeme postgres postgresql localhost development production required disabled enabled anonymous "
    "username redacted undefined optional"
)
_PLAIN: Final = re.compile(r"[0-9.,:_+-]+|true|false|yes|no|on|off|none|null|\*+", re.IGNORECASE)
_PATH: Final = re.compile(r"(?:~|\.{1,2})?(?:/[\w.@ -]*)+|[A-Za-z]:[\\/].*")
_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://([^\s/?#]*)")
_DENSE: Final = re.compile(r"(?=[^/]*[a-z])(?=[^/]*[A-Z])(?=[^/]*[0-9])[A-Za-z0-9+=]{16}")
_ENCODED_LINE: Final = re.compile(r"[A-Za-z0-9+/=_-]{32,}")

# Shorter words than this hold no token of SHAPES; everything else that is looked for has one of these signs in it.
_LONG_WORD: Final = 16
_SIGNS: Final = Triggers(("=", ":", "--", ">", "earer", "asic "))
_OTHER_SETTINGS: Final = ("auth", "bearer", "basic", "cookie", "curl", "sig", "hmac=", "://", "@tcp(", "@unix(")
_SETTING_WORDS: Final = (*TRIGGERS, *_OTHER_SETTINGS)
_SETTINGS: Final = Triggers(_SETTING_WORDS)
_CONTROLS: Final = tuple(map(chr, (*range(9), *range(11, 32), 127)))
_ANYTHING: Final = Triggers((*(shape.trigger for shape in SHAPES), *_CONTROLS), in_any_case=_SETTING_WORDS)
# In a longer text there is a long word; looking for it would cost more than it spares.
_SHORT: Final = 2048
_PASSES: Final = 4


class Redactor:
    """Finds and replaces secrets. Immutable, and safe to share between threads.

    `known_values` are secrets by their value; those under 6 characters and a few everyday words are ignored.
    """

    def __init__(self, known_values: Iterable[str] = ()) -> None:
        forms: set[str] = set()
        for value in known_values:
            if _is_worth_knowing(value):
                forms.update(form for form in _forms_of(value) if len(form) >= KNOWN_AT_LEAST)
        # A value that occurs in our own replacements would be found in them again.
        ours = (REDACTED, *KINDS)
        self._known = tuple(sorted(form for form in forms if not any(form in text for text in ours)))
        self._known_triggers = Triggers(form[:_KNOWN_BEGINNING] for form in self._known)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str], secrets: Iterable[SecretStr | str] = ()) -> Redactor:
        """A redactor that knows the process's own secrets.

        Taken from `environ`: values of variables whose names look secret, unless they are shorter than 8 characters,
        numbers, switches, paths or URLs without a password; and the password of any URL, whatever its variable is
        called. `secrets` are known by their value in any case.
        """
        known = [secret.get_secret_value() if isinstance(secret, SecretStr) else secret for secret in secrets]
        for name, value in environ.items():
            password = _password_in(value)
            if len(password) >= VARIABLE_AT_LEAST:
                known += [password, unquote(password)]
            if len(value) >= VARIABLE_AT_LEAST and is_secret_variable(name) and not _is_harmless(value, password):
                known.append(value)
        return cls(known)

    def is_secret_name(self, name: str) -> bool:
        """Whether the value under this key of a dictionary, header or parameter is to be replaced whole."""
        return is_secret_name((REPLACEMENT.sub("", name) if MARK in name else name)[-200:])

    def redact(self, text: str) -> str:
        """Replace every secret by `[redacted:kind]`, or `[redacted]` where its kind is not known.

        Linear in the text; never raises. Redacting twice changes nothing. Returns the same object when nothing is
        found.
        """
        return self.redact_part(text, 0, len(text))

    def redact_part(self, text: str, start: int, stop: int) -> str:
        """The redacted form of text[start:stop], judged with everything around it in view.

        A secret that straddles an edge is replaced as a whole, so that no part of it is left.
        """
        for _ in range(_PASSES):
            spans = self._spans(text)
            if not spans:
                return text[start:stop] if stop - start < len(text) else text
            text = _replaced(text, spans, start, stop)
            start, stop = 0, len(text)
        return text

    def found(self, text: str) -> tuple[str, ...]:
        """The kinds of secret that `redact` would replace; `known-value` and `named-value` where it shows none."""
        kinds = (span.kind or "named-value" for span in self._spans(text))
        return tuple(dict.fromkeys(kinds))

    def is_plain(self, text: str) -> bool:
        """A quick look: True when the text is surely clean and holds no secret; so it is with nearly all."""
        if text.isascii():
            return not (_ANYTHING.are_in(text) or self._known_triggers.are_in(text)) or self._is_plain(text)
        return self._is_plain(text)

    def _is_plain(self, text: str) -> bool:
        return is_clean(text) and not self.suspects(text)

    def suspects(self, text: str) -> bool:
        """A quick look: False when there is surely no secret in the text."""
        if len(text) < KNOWN_AT_LEAST:
            return False
        if self._known_triggers.are_in(text):
            return True
        token, setting = TOKENS.are_in(text), _may_hold_setting(_lowered(text))
        if not (token or setting):
            return False
        if len(text) > _SHORT or max(map(len, text.split()), default=0) >= _LONG_WORD:
            return True
        return setting and _SIGNS.are_in(text)

    def _spans(self, text: str) -> list[Span]:
        """Where the secrets are, in order; spans that touch are one."""
        if len(text) <= _SHORT and not self.suspects(text):
            return []
        found = [*self._known_spans(text), *token_spans(text)]
        lower = _lowered(text)
        if _may_hold_setting(lower):
            found += private_key_spans(text)
            found += header_spans(text, lower)
            found += url_spans(text, lower)
            if any(map(lower.__contains__, TRIGGERS)):
                found += assigned_spans(text, lower)
        if found and MARK in text:
            marks = [Span(mark.start(), mark.end(), "") for mark in REPLACEMENT.finditer(text)]
            found = _outside(marks, found)
        return _merged(found) if len(found) > 1 else found

    def _known_spans(self, text: str) -> Iterator[Span]:
        # One search a value is faster than an alternation of them all, and finds values that overlap.
        for form in self._known:
            at = text.find(form)
            while at >= 0:
                yield Span(at, at + len(form), "known-value")
                at = text.find(form, at + len(form))


def _lowered(text: str) -> str:
    """Lower case without a change of length: U+0130 is the one letter whose lower case is longer."""
    return text.lower() if text.isascii() else text.replace("\u0130", "i").lower()


def _may_hold_setting(lower: str) -> bool:
    return _SETTINGS.are_in(lower)


def _outside(marks: list[Span], spans: list[Span]) -> list[Span]:
    """The spans that are more than part of an earlier replacement."""
    starts = [mark.start for mark in marks]
    kept = []
    for span in spans:
        at = bisect_right(starts, span.start) - 1
        if at < 0 or span.stop > marks[at].stop:
            kept.append(span)
    return kept


def _merged(spans: list[Span]) -> list[Span]:
    """Join what overlaps. The first kind that is named speaks for all."""
    spans.sort(key=lambda span: span.start)  # stable: of two at one place the first found stays first
    merged = [spans[0]]
    for span in spans[1:]:
        last = merged[-1]
        if span.start < last.stop:
            merged[-1] = Span(last.start, max(last.stop, span.stop), last.kind or span.kind)
        else:
            merged.append(span)
    return merged


def _replaced(text: str, spans: list[Span], start: int, stop: int) -> str:
    parts = []
    at = start
    for span in spans:
        if span.stop <= start or span.start >= stop:
            continue
        parts.append(text[at : max(span.start, at)])
        parts.append(REDACTED if span.kind in ("", "known-value") else f"{MARK}:{span.kind}]")
        at = span.stop
    parts.append(text[at : max(stop, at)] if at < stop else "")
    return "".join(parts)


def _is_worth_knowing(value: str) -> bool:
    return len(value.strip()) >= KNOWN_AT_LEAST and value.strip().lower() not in _TOO_COMMON and len(set(value)) > 1


def _forms_of(value: str) -> Iterator[str]:
    """A value in the forms in which it travels."""
    value = value.strip()
    yield value
    yield from (json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1])
    data = value.encode("utf-8", "replace")
    for encoded in (quote(data), quote(data, safe=""), quote_plus(data)):
        yield encoded
        yield re.sub("%..", lambda found: found[0].lower(), encoded)
    for before in range(3):
        # In base64 a value looks different at each of three offsets; the characters at its ends are shared.
        code = base64.b64encode(b"\0" * before + data).decode()
        code = code[(0, 2, 3)[before] : (before + len(data)) * 8 // 6]
        yield code
        yield code.replace("+", "-").replace("/", "_")
    if "\n" in value:
        yield value.replace("\r\n", "\n")
        yield from (line.strip() for line in value.splitlines() if _ENCODED_LINE.fullmatch(line.strip()))


def _password_in(value: str) -> str:
    """The password of a URL, or nothing."""
    found = _URL.match(value)
    if not found or "@" not in found[1]:
        return ""
    return found[1].rpartition("@")[0].partition(":")[2]


def _is_harmless(value: str, password: str) -> bool:
    if _PLAIN.fullmatch(value):
        return True
    if _URL.match(value):
        # Of a URL the password and what is signed are secret, not the address; those are found without it.
        return not password
    return bool(_PATH.fullmatch(value)) and not _DENSE.search(value)
