"""Values that somebody gave a secret's name to: `password=…`, `"api_key": "…"`, `--token …`.

A name alone says little: types, code, placeholders, counts, paths and prose stand after it as well. What follows is
judged; where the judgement could go either way and the value is quoted or directly assigned, it is redacted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise
from typing import Final

from projector.door.secret_shapes import Span, is_masked

TRIGGERS: Final = ("token", "secret", "pass", "pwd", "key", "credential")
"""One of these is in every name that is looked for, in lower case."""


def words(text: str) -> frozenset[str]:
    """The words of a text, as a set: how this project's longer lists of words are written."""
    return frozenset(text.split())


# --- names ---------------------------------------------------------------------------------------------------------

_WORDS: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_SECRET_WORDS: Final = words(
    "secret secrets password passwords passwd passphrase pwd token credential credentials authorization auth "
    "cookie cookies apikey accesskey secretkey privatekey authtoken accesstoken authkey pgpassword sshpass dsn"
)
_KEY_OWNERS: Final = words(
    "api access account private secret encryption encrypt signing sign master auth shared storage license service "
    "deploy app admin hmac jwt ssh openai anthropic stripe fernet client webhook subscription session"
)
_HARMLESS_ENDS: Final = words(
    "id ids file files path paths dir url uri endpoint host port name names type types ttl timeout count counts "
    "limit limits size length len method mode enabled disabled required expiry expires expiration algorithm alg "
    "version sock region scope scopes header format prefix issuer audience domain max min budget usage window "
    "index position policy provider hint status field fields kind class label placeholder at in"
)
_HARMLESS_WORDS: Final = words(
    "public page next continuation pagination pad eos bos unk sep mask cls stop max min num count primary foreign "
    "sort cancellation cancel"
)


@lru_cache(maxsize=4096)
def is_secret_name(name: str) -> bool:
    """Whether a value under this key, header or parameter is a secret: `api_key`, `X-Auth-Token`, `dbPassword`."""
    parts = [word.lower() for word in _WORDS.findall(name[-200:])]
    if not parts or parts[-1] in _HARMLESS_ENDS or not _HARMLESS_WORDS.isdisjoint(parts):
        return False
    if not _SECRET_WORDS.isdisjoint(parts) or (parts[-1] == "pass" and len(parts) > 1):
        return True
    return any(owner in _KEY_OWNERS and word in ("key", "keys") for owner, word in pairwise(parts))


@lru_cache(maxsize=4096)
def is_secret_variable(name: str) -> bool:
    """Whether an environment variable of this name holds a secret. A bare KEY says more here than in a dictionary."""
    if is_secret_name(name):
        return True
    parts = [word.lower() for word in _WORDS.findall(name)]
    return "key" in parts and parts[-1] not in _HARMLESS_ENDS and _HARMLESS_WORDS.isdisjoint(parts)


# --- values --------------------------------------------------------------------------------------------------------

# Each way to begin is a plain literal, which keeps the search fast; whose key it is, is looked at afterwards.
_NAME: Final = (
    r"(?:key(?P<key>)|secret|token|passw(?:or)?d|passphrase|pass(?<=_pass)|pwd|credentials?)"
    r"(?:[_-](?:base|value|prod|production|dev|test|live|staging|old|new|primary|secondary|b64|base64|bytes))?[0-9]?"
)
_OWNERS_OF_KEYS: Final = tuple(sorted(_KEY_OWNERS - {"client", "app", "subscription", "session"}))
_ASSIGNMENT: Final = re.compile(
    rf"{_NAME}(?:[\"'\\]{{1,8}}\]?)?"
    # with a type between the name and the value, as in `password: str = "…"`; the other signs; an XML element
    r"(?:[ \t]{0,4}(?::[ \t]?[a-z_.\[\]|]{2,24}[ \t]?=(?!=)|:=|=>|==?|:)[ \t]{0,4}|>)(?=[^\s,;)}\]])"
)
_FLAG: Final = re.compile(
    rf"--(?:[a-z0-9]{{1,20}}+-)?(?:[a-z0-9]{{1,20}}+-)?(?:[a-z0-9]{{1,20}}+-)?{_NAME}[ \t]{{1,4}}(?=[^\s-])"
)
_OPENING: Final = re.compile(r"[\[(]?(?:[bf](?=[\"']))?(\\{0,7})([\"'])")
_UNQUOTED: Final = re.compile(r"[^\s\"'<>&;]++")
_BEGINNING: Final = re.compile(r"[^\s\"'<>&;]{1,256}+")
_TRAILING: Final = ",.)]}:!?\\"
_REST_OF_QUOTED: Final = {'"': re.compile(r'[^"\n]*+'), "'": re.compile(r"[^'\n]*+")}
_HORIZON: Final = 8192

_CODE: Final = re.compile(
    r"[A-Za-z_.]+[\[({|].*|(?:self|cls|os|ctx|cfg|conf|config|settings?|request|args|env|app|data|[A-Z]\w*)(?:\.\w+)+"
    r"|(?:[A-Za-z_]+\.)*(?:[A-Za-z_]*_)?(?:token|secret|password|passwd|pwd|key|credentials?|auth)"
    r"|[a-z]+(?:Token|Password|Secret|Key|Credentials?)|[A-Z]+_[A-Z_]+",
    re.DOTALL,
)
_PATH: Final = re.compile(
    r"(?:~|\.{1,2})/.*|/[a-z0-9_.@-]+/[a-z0-9_.@/-]*|/(?:etc|home|usr|var|tmp|opt|root|run|mnt|app|srv|dev|proc|Users)\b.*"
    r"|[A-Za-z]:\\.*|[a-z][a-z0-9+.-]{1,20}://.*|file:.*",
    re.DOTALL,
)
_ALPHABETIC: Final = re.compile(r"[A-Za-z_.'|-]+")
_NUMERIC: Final = re.compile(r"[0-9][0-9.,_]*")
_END_OF_VALUE: Final = re.compile(r"[ \t]*(?:[\r\n,;)}\]\"'<#]|\\n|\Z)")
_END_OF_LINE: Final = re.compile(r"[ \t]*(?:[\r\n;#]|\\n|\Z)")
# After a closing quote: the name and the sign were the end of a string, such as the prompt "Password: ".
_AFTER_A_STRING: Final = re.compile(r"[ \t]*(?:,\s|\)|\+ |% |\.format|[\r\n]|\Z)")
_NOT_A_VALUE: Final = words(
    "none null nil true false undefined str string text bytes int integer float number bool boolean any object "
    "optional required missing invalid incorrect wrong expired empty unset redacted hidden masked omitted "
    "filtered must should cannot could would does value option flag argument parameter field input output type "
    "from with when then that this have been were will your only also either instead together before after "
    "default example changed rejected accepted revoked unknown please unexpected needed found denied failed error "
    "creds kwargs options payload response request form body secretstr"
)
JUDGED_AT_MOST: Final = 5_000
"""After this many values of one text, the rest are redacted without a look: no honest text gets there."""


def assigned_spans(text: str, lower: str) -> Iterator[Span]:
    """Values after a secret's name and `=` or `:`, in JSON, code, shell and prose, and after a `--flag`."""
    judged = 0
    for pattern in (_ASSIGNMENT, _FLAG):
        done = 0
        for found in pattern.finditer(lower):
            if found.start() < done or (found["key"] is not None and not _is_owned(lower, found.start("key"))):
                continue
            judged += 1
            start, stop = _value_at(text, found.end())
            if start < stop and (judged > JUDGED_AT_MOST or _is_secret(text, found, start, stop)):
                if start == found.end():
                    stop = max(stop, _end_of_run(text, start))
                elif stop == start + _HORIZON:
                    rest = _REST_OF_QUOTED[text[start - 1]].match(text, stop)
                    stop = rest.end() if rest else stop
                done = stop
                yield Span(start, stop, "")


def _is_owned(lower: str, stop: int) -> bool:
    """Whether the key whose name ends here is one that opens something, such as an API key."""
    return lower[max(stop - 20, 0) : stop - len("key")].rstrip(" _-").endswith(_OWNERS_OF_KEYS)


def _value_at(text: str, at: int) -> tuple[int, int]:
    """Where the value at this place begins and ends, of an unquoted one no more than its first 256 characters."""
    opening = _OPENING.match(text, at)
    if not opening:
        run = _BEGINNING.match(text, at)
        return at, at + len(run[0].rstrip(_TRAILING)) if run else at
    start, depth, quote = opening.end(), len(opening[1]), opening[2]
    newline = text.find("\n", start, start + _HORIZON)
    horizon = newline if newline >= 0 else min(len(text), start + _HORIZON)
    stop = text.find(quote, start, horizon)
    while stop >= 0:
        before = text[max(start, stop - 16) : stop]
        slashes = len(before) - len(before.rstrip("\\"))
        # More backslashes than the opening quote had: a quote inside the value.
        if slashes <= depth:
            return start, stop - slashes
        stop = text.find(quote, stop + 1, horizon)
    return start, horizon


def _end_of_run(text: str, start: int) -> int:
    run = _UNQUOTED.match(text, start)
    return start + len(run[0].rstrip(_TRAILING)) if run else start


def _is_secret(text: str, found: re.Match[str], start: int, stop: int) -> bool:
    """Tell a secret from what else stands after such a name: types, code, placeholders, prose, paths, counts."""
    whole = text[start : min(stop, start + 256)]
    value = whole.lstrip("`([").rstrip("`")
    if len(value) < 4 or value.lower() in _NOT_A_VALUE or is_masked(whole) or is_masked(value):
        return False
    label = found[0]
    flag = label.startswith("--")
    password = flag or "pass" in label or "pwd" in label
    assigned = label.endswith(("=", ">"))
    # "Unexpected token: …" is a parser speaking.
    before = text[max(found.start() - 1, 0) : found.start()]
    prose = label.startswith("token") and ":" in label and not before.strip(" \t\r\n(")
    compared = "==" in label
    if label.endswith(">") and not text.startswith("</", stop):
        return False
    if start > found.end():
        if _AFTER_A_STRING.match(text, start) and not label.rstrip("=: \t").endswith(('"', "'")):
            return False
        if not prose and not compared:
            return True
    if _NUMERIC.fullmatch(value):
        return len(value) >= (4 if password else 8 if label.startswith("secret") else 16)
    if start == found.end() and (_PATH.fullmatch(value) or _CODE.fullmatch(value)):
        return False
    if _ALPHABETIC.fullmatch(value):
        if assigned:
            return password or len(value) >= 8
        end = _END_OF_LINE if "=" in label else _END_OF_VALUE
        return flag or (password and not compared and end.match(text, stop) is not None)
    return len(value) >= (8 if prose or compared else 4 if password else 6)
