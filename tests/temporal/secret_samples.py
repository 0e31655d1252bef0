"""Secrets of the usual kinds, put together when they are needed: none of them stands in a file, and none is real."""

from __future__ import annotations

import base64
import hashlib
import string
from dataclasses import dataclass
from typing import Final

_LETTERS: Final = string.ascii_letters + string.digits
_DASH: Final = "-" * 5


@dataclass(frozen=True)
class Sample:
    """`words` are how an agent lets it slip; `secret` is the part of them that must be found nowhere afterwards."""

    words: str
    secret: str

    @property
    def traces(self) -> tuple[str, ...]:
        """Parts of the secret by which it would be known: a cut through its middle leaves one of them."""
        return self.secret[:12], self.secret[-12:]


def _random(name: str, length: int, alphabet: str = _LETTERS) -> str:
    """The same for a name every time, so that the agent and the test know the same secret."""
    said = b"".join(hashlib.sha512(f"{name} {part}".encode()).digest() for part in range(length // 64 + 1))
    return "".join(alphabet[byte % len(alphabet)] for byte in said[:length])


def _token(*prefix: str, length: int = 40, alphabet: str = _LETTERS) -> Sample:
    body = _random("".join(prefix), length, alphabet)
    return Sample(f"I log in with {''.join(prefix)}{body} and go on", body)


def _named(before: str, after: str = "", *, length: int = 32) -> Sample:
    body = _random(before, length)
    return Sample(f"{before}{body}{after}", body)


def _private_key() -> Sample:
    lines = [_random(f"line {number}", 64) for number in range(3)]
    return Sample(
        f"{_DASH}BEGIN RSA PRIVATE {'KEY'}{_DASH}\n" + "\n".join(lines) + f"\n{_DASH}END RSA PRIVATE {'KEY'}{_DASH}",
        lines[1],
    )


def _jwt() -> Sample:
    head, body, signature = (
        base64.urlsafe_b64encode(text).decode().rstrip("=")
        for text in (
            b'{"alg":"HS256","typ":"JWT"}',
            b'{"sub":"keeper-of-the-light"}',
            _random("signature", 32).encode(),
        )
    )
    return Sample(f"the session is {head}.{body}.{signature}", signature)


def _basic() -> Sample:
    encoded = base64.b64encode(f"keeper:{_random('basic', 20)}".encode()).decode()
    return Sample(f"curl -H 'Authorization: Basic {encoded}' https://light.example", encoded)


SAMPLES: Final[dict[str, Sample]] = {
    "anthropic key": _token("sk", "-ant-", "api03-", length=60),
    "openai key": _token("sk", "-proj-", length=48),
    "github token": _token("gh", "p_", length=36),
    "github fine-grained token": _token("github", "_pat_", length=60),
    "gitlab token": _token("gl", "pat-", length=20),
    "aws access key": _token("AK", "IA", length=16, alphabet=string.ascii_uppercase + string.digits),
    "aws secret": _named("aws_secret_access_key=", length=40),
    "google api key": _token("AI", "za", length=35),
    "google oauth token": _token("ya", "29.", length=60),
    "slack token": _token("xo", "xb-", length=48),
    "stripe key": _token("sk", "_live_", length=24),
    "sendgrid key": Sample(f"SG.{_random('sg-1', 22)}.{_random('sg-2', 43)}", _random("sg-2", 43)),
    "npm token": _token("np", "m_", length=36),
    "huggingface token": _token("h", "f_", length=34),
    "vault token": _token("hv", "s.", length=60),
    "telegram token": Sample(f"bot 8112345678:AA{_random('telegram', 33)}", _random("telegram", 33)),
    "json web token": _jwt(),
    "private key": _private_key(),
    "database url": _named("postgresql://keeper:", "@db.light.example/lamps"),
    "bearer token": _named("Authorization: Bearer "),
    "basic auth": _basic(),
    "cookie": _named("Cookie: session="),
    "password": _named('connect(user="keeper", password="', '")'),
    "flag": _named("lamp --api-key ", " --level 3"),
}

LIGHTHOUSE_KEY: Final = _random("lighthouse", 30)
"""Value of the healthy runner's LIGHTHOUSE_API_KEY: known by its variable's name, not by its shape."""
KEYED: Final = Sample("", _random("keyed", 24))
"""A secret that only the key of its dictionary gives away."""
EVERY_ONE: Final = {**SAMPLES, "environment": Sample(f"the lamp wants {LIGHTHOUSE_KEY}", LIGHTHOUSE_KEY)}
