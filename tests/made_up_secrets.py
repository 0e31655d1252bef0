"""Made-up credentials in the shapes of real ones, put together at run time so that none of them stands in a file.

`secret` is what must not survive, in whole or in part; `text` is how it is met where it needs something around it.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Final

MIXED: Final = "a1B2c3D4e5F6g7H8i9J0"
UPPER: Final = "Q2W3E4R5T6Y7U2I3"
HEX: Final = "0f1e2d3c4b5a6978"
DASHES: Final = "-" * 5


@dataclass(frozen=True)
class Credential:
    """One credential, and the kind that its replacement names (empty when only its name gives it away)."""

    name: str
    secret: str
    text: str
    kind: str

    def pieces(self) -> list[str]:
        """Every run of 12 characters of the secret: none may be left."""
        return [self.secret[at : at + 12] for at in range(0, max(len(self.secret) - 11, 1), 4)] + [self.secret[-12:]]


def _token(name: str, kind: str, *parts: str) -> Credential:
    secret = "".join(parts)
    return Credential(name, secret, secret, kind)


def _named(name: str, before: str, secret: str, after: str = "", kind: str = "") -> Credential:
    return Credential(name, secret, f"{before}{secret}{after}", kind)


def pem(lines: int = 46, kind: str = "RSA ") -> str:
    """A private key of so many lines of 64 characters: 46 make 3 KB."""
    body = "\n".join(f"{number:02d}{MIXED * 3}{'+/'}"[:64] for number in range(lines))
    return f"{DASHES}BEGIN {kind}PRIVATE {'KEY'}{DASHES}\n{body}\nzZ9=\n{DASHES}END {kind}PRIVATE {'KEY'}{DASHES}"


def jwt() -> str:
    """A JSON Web Token."""
    parts = (b'{"alg":"HS256","typ":"JWT"}', b'{"sub":"lighthouse-keeper","iat":1790000000}', MIXED.encode() * 2)
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


TOKENS: Final = (
    _token("openai", "openai-key", "sk-", MIXED * 2 + "T3Bl"),
    _token("openai project", "openai-key", "sk-", "proj-", MIXED, "_", MIXED, "-", MIXED),
    _token("openai service account", "openai-key", "sk-", "svcacct-", MIXED * 3),
    _token("anthropic", "anthropic-key", "sk-", "ant-", "api03-", MIXED * 4, "-AA"),
    _token("github classic", "github-token", "ghp", "_", "a1B2" * 9),
    _token("github oauth", "github-token", "gho", "_", "a1B2" * 9),
    _token("github user", "github-token", "ghu", "_", "a1B2" * 9),
    _token("github server", "github-token", "ghs", "_", "a1B2" * 9),
    _token("github refresh", "github-token", "ghr", "_", "a1B2" * 9),
    _token("github fine-grained", "github-token", "github", "_pat_", "11ABCDE2Y0", MIXED, "_", MIXED * 2),
    _token("gitlab", "gitlab-token", "gl", "pat-", MIXED),
    _token("aws key id", "aws-access-key-id", "AK", "IA", UPPER),
    _token("aws temporary key id", "aws-access-key-id", "AS", "IA", UPPER),
    _token("google api", "google-api-key", "AI", "za", "Sy", MIXED, "-", MIXED[:12]),
    _token("google oauth", "google-oauth-token", "ya", "29.", MIXED * 3),
    _token("slack bot", "slack-token", "xo", "xb-", "1234567890-", "9876543210-", MIXED),
    _token("slack app", "slack-token", "xa", "pp-", "1-A0B1C2D3E-", "1234567890-", HEX * 3),
    _token("stripe live", "stripe-key", "sk", "_live_", MIXED + "4eC3"),
    _token("stripe restricted", "stripe-key", "rk", "_live_", MIXED + "4eC3"),
    _token("stripe webhook", "stripe-key", "wh", "sec_", MIXED + "4eC39HqLyjWD"),
    _token("twilio key", "twilio-key", "S", "K", HEX * 2),
    _token("twilio account", "twilio-account", "A", "C", HEX * 2),
    _token("sendgrid", "sendgrid-key", "S", "G.", MIXED + "ab", ".", MIXED * 2 + "abc"),
    _token("npm", "npm-token", "np", "m_", "a1B2" * 9),
    _token("pypi", "pypi-token", "pypi", "-AgE", "IcaBcDeFgHiJ", MIXED * 4),
    _token("hugging face", "huggingface-token", "h", "f_", MIXED + "KlMnOpQrStUvWx"),
    _token("vault", "vault-token", "hv", "s.", MIXED * 3),
    _token("jwt", "jwt", jwt()),
    _named("telegram", "8112345678", ":AA" + "Fq" + MIXED + "x-y_zABCDEF", kind="telegram-bot-token"),
    _named("slack webhook", "https://hooks.slack.com/services/", "T0A1B2C3D/B0A1B2C3D/" + MIXED, kind="webhook-url"),
)

SETTINGS: Final = (
    _named("aws secret", "aws_secret_access_key = ", "wJalrXUtnF" + "/K7MDENG+" + "bPxRfiCYMADEUPKEY3zz"),
    _named("azure account key", "AccountName=lamp;AccountKey=", MIXED * 4 + "+/==", ";EndpointSuffix=example.net"),
    _named(
        "azure signature",
        "https://lamp.example/c?sv=2024&sig=",
        MIXED + "%2F%2BabcdefghIJ%3D",
        "&se=9",
        "url-signature",
    ),
    _named("bearer", "Authorization: Bearer ", MIXED + MIXED, kind="bearer-token"),
    _named("basic", "Authorization: Basic ", base64.b64encode(b"keeper:f0gh0rn-at-n1ght").decode(), kind="basic-auth"),
    _named("url password", "https://keeper:", "f0gh0rn-at-n1ght", "@lamp.example/status", "url-password"),
    _named("database", "postgresql+psycopg://keeper:", "f0g/h0rn?n1ght!", "@db.example:5432/lamps", "url-password"),
    _named("redis", "redis://:", "f0gh0rnatn1ght", "@cache.example:6379/0", "url-password"),
    _named("go database", "keeper:", "f0gh0rnatn1ght", "@tcp(db.example:3306)/lamps", "url-password"),
    _named("sentry", "https://", HEX * 2, "@o42.ingest.example/7", "url-token"),
    _named("api key", "api_key=", "f0gh0rn-at-n1ght"),
    _named("password", "password: ", "f0gh0rn-at-n1ght"),
    _named("wordy password", "DB_PASSWORD=", "correcthorsebatterystaple"),
    _named("quoted password", 'connect(user="keeper", password="', "correct horse battery staple", '", timeout=3)'),
    _named("client secret", "client-secret: ", "f0gh0rn-at-n1ght-" + HEX),
    _named("odbc", "Server=db;Uid=keeper;Pwd=", "f0gh0rn@n1ght!", ";Encrypt=yes"),
    _named("flag", "lamp deploy --api-token ", "f0gh0rn-at-n1ght", " --level 3"),
    _named("cookie", "Set-Cookie: ", "session=" + MIXED, kind="cookie"),
    _named("curl", "curl -u keeper:", "f0gh0rnatn1ght", " https://lamp.example", "basic-auth"),
    _named("xml", "<password>", "f0gh0rnatn1ght", "</password>"),
    _named("typed default", "def light(password: str = '", "f0gh0rnatn1ght", "') -> None:"),
)

PRIVATE_KEYS: Final = (
    Credential("rsa", pem(), pem(), "private-key"),
    Credential("openssh", pem(40, "OPENSSH "), pem(40, "OPENSSH "), "private-key"),
    Credential("pkcs8", pem(3, ""), pem(3, ""), "private-key"),
)

CREDENTIALS: Final = (*TOKENS, *SETTINGS, *PRIVATE_KEYS)
