"""What secrets look like on their own: tokens of well-known services, private keys, credentials in URLs and headers.

Every search is linear in the text, also when the text was made to hurt: a shape starts with a literal, its runs are
possessive or bounded, and two attempts never walk over the same run. A shape is only tried where its trigger, a
substring, is present.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from projector.door.triggers import Triggers

MARK: Final = "[redacted"
"""How every replacement begins."""


class Span(NamedTuple):
    """A secret's place in a text. `kind` is empty where nothing more is known than that it is one."""

    start: int
    stop: int
    kind: str


class Shape(NamedTuple):
    """One kind of token: tried where `trigger` occurs; its last group is the secret, or else the whole match."""

    kind: str
    trigger: str
    pattern: re.Pattern[str]


def _shape(kind: str, trigger: str, pattern: str) -> Shape:
    return Shape(kind, trigger, re.compile(pattern))


def _prefixed(kind: str, prefix: str, least: int, characters: str = "A-Za-z0-9_-") -> Shape:
    # What follows without a break is taken too: it may be the next token of this kind.
    return _shape(kind, prefix, f"{re.escape(prefix)}[{characters}]{{{least},}}+[A-Za-z0-9_-]*+")


def _begins(prefix: str, word: str = "A-Za-z0-9") -> str:
    """No letter or digit stands before the prefix, except of an escape such as \\n or %3D."""
    return rf"(?:(?<![{word}]{prefix})|(?<=\\[nrt]{prefix})|(?<=%[0-9A-Fa-f]{{2}}{prefix}))"


SHAPES: Final = (
    _prefixed("anthropic-key", "sk-ant-", 16),
    _shape("openai-key", "sk-", rf"sk-{_begins('sk-')}[A-Za-z0-9_-]{{20,}}+"),
    *(_prefixed("github-token", prefix, 30, "A-Za-z0-9") for prefix in ("ghp_", "gho_", "ghu_", "ghs_", "ghr_")),
    _prefixed("github-token", "github_pat_", 22),
    *(_prefixed("gitlab-token", prefix, 16) for prefix in ("glpat-", "gldt-", "glrt-", "glptt-", "glcbt-", "glsoat-")),
    _shape("aws-access-key-id", "AKIA", r"AKIA[A-Z0-9]{16,}+"),
    _shape("aws-access-key-id", "ASIA", r"ASIA[A-Z0-9]{16,}+"),
    _prefixed("google-api-key", "AIza", 30),
    _prefixed("google-oauth-token", "ya29.", 20, "A-Za-z0-9_.-"),
    _prefixed("google-oauth-token", "1//0", 30),
    _prefixed("google-oauth-secret", "GOCSPX-", 20),
    _shape("slack-token", "xox", r"xox[a-z][.-][A-Za-z0-9.-]{12,}+"),
    _prefixed("slack-token", "xapp-", 12),
    _shape("webhook-url", "hooks.slack.com/", r"hooks\.slack\.com/[a-z]{4,12}/([A-Za-z0-9/_-]{16,}+)"),
    _shape("webhook-url", "/api/webhooks/", r"/api/webhooks/([0-9]{6,}+/[A-Za-z0-9_-]{20,}+)"),
    _shape("stripe-key", "k_live_", r"k_live_(?<=[sr]k_live_)[A-Za-z0-9]{10,}+[A-Za-z0-9_-]*+"),
    _shape("stripe-key", "k_test_", r"k_test_(?<=[sr]k_test_)[A-Za-z0-9]{10,}+[A-Za-z0-9_-]*+"),
    _prefixed("stripe-key", "whsec_", 16, "A-Za-z0-9+/="),
    _shape("twilio-key", "SK", r"SK[0-9a-f]{32}"),
    _shape("twilio-account", "AC", r"AC[0-9a-f]{32}"),
    _shape("sendgrid-key", "SG.", r"SG\.[A-Za-z0-9_-]{16,}+\.[A-Za-z0-9_.-]{16,}+"),
    _prefixed("npm-token", "npm_", 36, "A-Za-z0-9"),
    _prefixed("pypi-token", "pypi-AgE", 30),
    _prefixed("huggingface-token", "hf_", 30, "A-Za-z0-9"),
    _prefixed("groq-key", "gsk_", 30, "A-Za-z0-9"),
    _prefixed("vault-token", "hvs.", 24, "A-Za-z0-9_.-"),
    _shape("telegram-bot-token", ":AA", r":AA(?<=[0-9]:AA)[A-Za-z0-9_-]{30,}+"),
    _shape(
        "jwt",
        "eyJ",
        rf"eyJ{_begins('eyJ', 'A-Za-z0-9_-')}[A-Za-z0-9_-]{{8,}}+\.[A-Za-z0-9_-]{{4,}}+\.[A-Za-z0-9_-]*+"
        r"(?:\.[A-Za-z0-9_-]++)?(?:\.[A-Za-z0-9_-]++)?",
    ),
)


KINDS: Final = frozenset(
    {
        *(shape.kind for shape in SHAPES),
        *("private-key", "url-password", "url-token", "url-signature"),
        *("authorization", "bearer-token", "basic-auth", "cookie"),
    }
)
"""Every kind that a replacement may name."""

_REPLACEMENTS: Final = (f"{MARK}]", *(f"{MARK}:{kind}]" for kind in sorted(KINDS)))
REPLACEMENT: Final = re.compile("|".join(map(re.escape, _REPLACEMENTS)))

# Shapes by a character that each of their triggers holds: one look for it spares a look for each of them.
_GROUPS: Final = tuple(
    (sign, tuple(shape for shape in SHAPES if next((c for c in "_-/." if c in shape.trigger), "") == sign))
    for sign in ("", "_", "-", "/", ".")
)
TOKENS: Final = Triggers(shape.trigger for shape in SHAPES)
"""Without one of these there is surely no well-known token in a text."""


def token_spans(text: str) -> Iterator[Span]:
    """Well-known tokens, anywhere in the text."""
    for sign, shapes in _GROUPS:
        for kind, trigger, pattern in shapes if sign in text else ():
            if trigger not in text:
                continue
            group = pattern.groups
            for found in pattern.finditer(text):
                # A digit tells a key from the name of a style sheet's class.
                if kind != "openai-key" or _DIGIT.search(found[0]):
                    yield Span(found.start(group), found.end(group), kind)


# --- private keys ------------------------------------------------------------------------------------------------

_PEM_EDGE: Final = re.compile(r"-----(BEGIN|END) [A-Z0-9 ]{0,24}PRIVATE KEY(?: BLOCK)?-----")
_PEM_BODY: Final = re.compile(r"[A-Za-z0-9+/=\\\s:,\"'.-]*+")
_PEM_LINE: Final = re.compile(r"[A-Za-z0-9+/=]{16,}+")
_PEM_REST: Final = re.compile(r"[\s\\\"',]*+[A-Za-z0-9+/=]*+")
_PEM_CHARACTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=\\ \n\r\t\"',"


def private_key_spans(text: str) -> Iterator[Span]:
    """PEM blocks, also one of which only the beginning or only the end is there. Prose about them is left alone."""
    if "PRIVATE KEY" not in text:
        return
    edges = list(_PEM_EDGE.finditer(text))
    done = 0
    for this, following in zip(edges, [*edges[1:], None], strict=False):
        begin: int | None = this.start()
        stop: int | None = this.end()
        if this[1] == "END":
            begin = _orphaned(text, done, this.start())
        elif following and following[1] == "END":
            body = _PEM_LINE.search(text, this.end(), following.start())
            stop = done = following.end() if body else this.end()
            begin = begin if body else None
        else:
            stop = _unfinished(text, this.end(), following.start() if following else len(text))
        if begin is not None and stop is not None:
            yield Span(begin, stop, "private-key")
        done = max(done, this.end())


def _unfinished(text: str, start: int, stop: int) -> int | None:
    """Where the body of a key ends of which only the beginning is there."""
    run = _PEM_BODY.match(text, start, stop)
    lines = list(_PEM_LINE.finditer(text, start, run.end() if run else start))
    rest = _PEM_REST.match(text, lines[-1].end(), stop) if lines else None
    return rest.end() if rest else None


def _orphaned(text: str, floor: int, stop: int) -> int | None:
    """Where the body of a key begins of which only the end is there."""
    start = floor + len(text[floor:stop].rstrip(_PEM_CHARACTERS))
    line = _PEM_LINE.search(text, start, stop)
    return line.start() if line else None


# --- URLs and database addresses -----------------------------------------------------------------------------------

_AUTHORITY: Final = re.compile(r"://([^\s/?#\"<>@]*+@[^\s/?#\"<>]*+)")
# What was not encoded as a URL demands; after a port begins a path.
_RAW_PASSWORD: Final = re.compile(r"://[^\s:@/?#\"<>]*+:(?![0-9]{1,5}[/?#])([^\s\"<>:@/?#]*+[/?#][^\s\"<>:@]*+)@")
_GO_DSN: Final = re.compile(r":([^\s:@\"']{1,256}+)@(?:tcp|unix)\(")
_SIGNED: Final = re.compile(
    r"[?&;](?:sig|signature|x-amz-signature|x-goog-signature|key|auth|hmac)=([^\s&#\"'<>]{16,}+)"
)
_DIGIT: Final = re.compile("[0-9]")
TEMPLATE: Final = re.compile(
    r"<[^<>]*>?|\{[^{}]*\}?|\{\{.*|\$\{[^}]*\}?|\$[A-Z_]+|%\(?\w*\)?[sdr]|\$\(.*|\[[A-Z_]+\]?|%[A-Z_]+%", re.DOTALL
)
"""A place that is still to be filled in: `<password>`, `{password}`, `${PASSWORD}`, `%s`."""


def is_masked(value: str) -> bool:
    """Whether there is nothing to hide: redacted already, stars, or a place to be filled in."""
    return (
        (value[0] == "[" and any(replacement.startswith(value) for replacement in _REPLACEMENTS))
        or value.count(value[0]) == len(value)
        or TEMPLATE.fullmatch(value[:256]) is not None
    )


def url_spans(text: str, lower: str) -> Iterator[Span]:
    """Passwords and tokens in the userinfo of URLs and database addresses, and signatures in their queries."""
    if "://" in text and "@" in text:
        for found in _AUTHORITY.finditer(text):
            userinfo = found[1].rpartition("@")[0]
            user, colon, password = userinfo.partition(":")
            start = found.start(1)
            if password and not is_masked(password):
                yield Span(start + len(user) + 1, start + len(userinfo), "url-password")
            elif not colon and len(user) >= 20 and _DIGIT.search(user) and not is_masked(user):
                yield Span(start, start + len(user), "url-token")
        for found in _RAW_PASSWORD.finditer(text):
            if not is_masked(found[1]):
                yield Span(found.start(1), found.end(1), "url-password")
    if "@tcp(" in text or "@unix(" in text:
        for found in _GO_DSN.finditer(text):
            if not is_masked(found[1]):
                yield Span(found.start(1), found.end(1), "url-password")
    if "sig" in lower or "key=" in lower or "auth=" in lower or "hmac=" in lower:
        for found in _SIGNED.finditer(lower):
            if not is_masked(found[1]) and (_DIGIT.search(found[1]) or len(found[1]) >= 32):
                yield Span(found.start(1), found.end(1), "url-signature")


# --- headers -------------------------------------------------------------------------------------------------------

# `:` in a header, `=` in code, `,` in a list of quoted pairs; the value may be quoted, or a bytes literal.
_HEADER_ENDS: Final = r"(?:[\"'\\]{0,8}[ \t]{0,4}[:=]|[\"'\\]{1,8}[ \t]{0,4},)[ \t]{0,4}(?:b(?=[\"']))?[\"'\\]{0,8}"
_AUTHORIZATION: Final = re.compile(rf"authorization{_HEADER_ENDS}")
_COOKIE: Final = re.compile(rf"cookie{_HEADER_ENDS}([a-z0-9_.-]{{1,64}}=[^\r\n\"']+)")
_SCHEME: Final = re.compile(r"[a-z][a-z0-9-]{2,24}[ \t]{1,4}")
_WHOLE_LINE: Final = re.compile(r"[^\r\n]{0,4096}+")
_WORD: Final = re.compile(r"[^\s\"',;<>\\]{1,8192}+")
_LINE_SCHEMES: Final = frozenset(("digest", "aws4-hmac-sha256", "hawk", "oauth", "signature", "hmac"))
_WORD_SCHEMES: Final = frozenset(("bearer", "basic", "token", "apikey", "bot", "negotiate"))
_SCHEME_KINDS: Final = {"bearer": "bearer-token", "basic": "basic-auth"}
_ABOUT_A_SCHEME: Final = re.compile(r"auth|realm|scheme|header|token|credential|access|require")
_BEARER: Final = re.compile(r"bearer(?:[ \t]{1,4}|%20)([a-z0-9._~+/=-]{8,}+)")
_BASIC: Final = re.compile(r"basic(?:[ \t]{1,4}|%20)([a-z0-9+/_-]{6,}+={0,2})")
_CURL_USER: Final = re.compile(r"(?<=[\s\"'])(?:-u|--user)[ =][\"']?[^\s:\"']{1,64}+:([^\s\"']{4,256}+)")


def header_spans(text: str, lower: str) -> Iterator[Span]:
    """Credentials in Authorization and Cookie headers, after `Bearer` and `Basic` anywhere, and in `curl -u`."""
    if "authorization" in lower:
        done = 0
        for found in _AUTHORIZATION.finditer(lower):
            span = _authorization(lower, found.end()) if found.start() >= done else None
            if span:
                done = span.stop
                yield span
    if "bearer" in lower:
        for found in _BEARER.finditer(lower):
            if _DIGIT.search(found[1]) or len(found[1]) >= 24:
                yield Span(found.start(1), found.end(1), "bearer-token")
    if "basic" in lower:
        for found in _BASIC.finditer(lower):
            if _is_basic(text[found.start(1) : found.end(1)]):
                yield Span(found.start(1), found.end(1), "basic-auth")
    if "cookie" in lower:
        for found in _COOKIE.finditer(lower):
            yield Span(found.start(1), found.end(1), "cookie")
    if "curl" in lower:
        for found in _CURL_USER.finditer(lower):
            if not is_masked(found[1]) and not found[1].isdigit():
                yield Span(found.start(1), found.end(1), "basic-auth")


def _authorization(lower: str, start: int) -> Span | None:
    scheme = _SCHEME.match(lower, start)
    name = scheme[0].strip() if scheme else ""
    at = scheme.end() if scheme else start
    found = (_WHOLE_LINE if name in _LINE_SCHEMES else _WORD).match(lower, at)
    if not found or len(found[0]) < 6 or is_masked(found[0]):
        return None
    value = found[0]
    by_shape = _DIGIT.search(value) or len(value) >= 20
    if not by_shape and (name not in _WORD_SCHEMES or _ABOUT_A_SCHEME.search(value)):
        return None
    return Span(found.start(), found.end(), _SCHEME_KINDS.get(name, "authorization"))


def _is_basic(value: str) -> bool:
    """Whether this is base64 of user:password, rather than the next word of a sentence."""
    try:
        decoded = binascii.a2b_base64(value.replace("-", "+").replace("_", "/").rstrip("=") + "==").decode()
    except ValueError:
        return False
    return ":" in decoded and decoded.isprintable()
