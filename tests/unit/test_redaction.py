"""No recognised secret survives, in whatever it stands; what is no secret stays as it is."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from typing import Final
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from projector.door.redaction import REDACTED, Redactor
from projector.door.secret_shapes import SHAPES
from projector.door.secret_values import words
from projector.door.text import clean_text
from tests.made_up_secrets import CREDENTIALS, DASHES, MIXED, TOKENS, Credential, jwt, pem

PLACES: Final[dict[str, Callable[[str], str]]] = {
    "bare": lambda text: text,
    "in JSON": lambda text: json.dumps({"note": text, "tries": 1}),
    "in JSON in JSON": lambda text: json.dumps({"body": json.dumps({"note": text})}),
    "in a repr": lambda text: repr({"note": text}),
    "in a URL": lambda text: f"https://lamp.example/login?next=%2F&value={text}&x=1",
    "in a header": lambda text: f"POST /light HTTP/1.1\r\nX-Note: {text}\r\nHost: lamp.example",
    "in a sentence": lambda text: f"I tried to log in with {text}, but it did not work.",
    "in parentheses": lambda text: f"(it was {text})",
    "in a stack": lambda text: (
        f'Traceback (most recent call last):\n  File "/srv/lamp/main.py", line 3, in light\n    light("{text}")\n'
        f"PermissionError: {text}"
    ),
    "after an escaped newline": lambda text: json.dumps(f"first line\n{text}\nlast line"),
    "in a shell": lambda text: f"export LAMP='{text}'",
    "in colour": lambda text: f"\x1b[31m{text}\x1b[0m",
}

CLEAN: Final = """\
Ordinary prose about a token of appreciation, a secret garden and the key to success.
The password must be at least 12 characters; your password:<space>
password:<space>
Password: required
token: expired
Unexpected token: '}' at line 3
SyntaxError: Unexpected token: else
AssertionError: assert 'token' == 'secret'
token count: 512
max_tokens=4096
tokens: 1024, prompt_tokens=12, completion_tokens: 34
"usage": {"input_tokens": 2048, "output_tokens": 512, "total_tokens": 2560}
{"token": null, "password": "", "secret": false}
def login(user: str, password: str, token: str | None = None) -> Session:
    client = Client(api_key=os.environ["OPENAI_KEY"], token=self.token, password=password)
    token = get_token(request)
    password = getpass.getpass("Password: ", stream=None)
    self.user, self.password = user, password
    api_key=settings.api_key, secret=config.client_secret
    print("shlex: token=" + repr(raw))
commit 3f2a9c1d4e5b6a7980f1e2d3c4b5a69788796a5b
sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
550e8400-e29b-41d4-a716-446655440000
  File "/srv/lamp/runner/agent.py", line 42, in light
/home/keeper/.config/lamp/secret/token.txt
SECRET_FILE=/run/secrets/db_password
token: /var/run/secrets/kubernetes.io/serviceaccount/token
pwd=/home/keeper/lamps
https://lamp.example/docs?page=2&sort=key&key=name#token
http://localhost:8080/@scope/package
git@git.example:keeper/lamp.git and ssh://git@git.example/keeper/lamp.git
postgres://localhost:5432/lamps
postgresql://{user}:{password}@{host}/lamps
Authorization: required
Authorization: Bearer <token>
Basic authentication failed, see the bearer documentation for details.
Basic understanding of authorization, and of cookies: yes
def seek(self, cookie, whence=0):
use --token to log in, or --password-file FILE
lamp --token $LAMP_TOKEN --password "$PASSWORD"
export API_KEY=${API_KEY}
API_KEY=<your key here>
password=********
primary_key=id, foreign_key=user_id, sort_key: created_at, cache_key=user:1234:profile
monkey: banana1, hotkey: ctrl-alt-1, keyboard=qwerty123
the sk-loading-spinner-container-large class of the task-force-2024-committee-report
KeyError: 'token'
pad_token="[PAD]" eos_token: <|endoftext|>
expects a file that begins with -----BEGIN PRIVATE KEY----- and ends with -----END PRIVATE KEY-----
-----BEGIN CERTIFICATE-----
SKU 12345, AC 220V, SK8
data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==
2026-11-23T21:30:00Z INFO attempt=1 runner=runner:host:4711 position=99 took=12ms
""".replace("<space>", " ")

redactor = Redactor()


@pytest.mark.parametrize("credential", CREDENTIALS, ids=lambda credential: credential.name)
@pytest.mark.parametrize("place", PLACES)
def test_no_part_of_a_credential_survives_wherever_it_stands(credential: Credential, place: str) -> None:
    redacted = redactor.redact(clean_text(PLACES[place](credential.text)))
    assert [piece for piece in credential.pieces() if piece in redacted] == []
    assert redactor.redact(redacted) == redacted


@pytest.mark.parametrize("credential", CREDENTIALS, ids=lambda credential: credential.name)
def test_the_replacement_names_the_kind_where_it_is_known(credential: Credential) -> None:
    marker = f"[redacted:{credential.kind}]" if credential.kind else REDACTED
    assert marker in redactor.redact(credential.text)
    assert (credential.kind or "named-value") in redactor.found(credential.text)


@pytest.mark.parametrize("line", CLEAN.splitlines())
def test_what_is_no_secret_stays_as_it_is(line: str) -> None:
    assert redactor.redact(line) is line
    assert redactor.found(line) == ()


def test_a_page_of_clean_lines_stays_as_it_is() -> None:
    assert redactor.redact(CLEAN) is CLEAN


def test_the_rest_of_the_text_is_left_alone() -> None:
    secret = TOKENS[4].secret
    assert redactor.redact(f"I used {secret}, twice.") == "I used [redacted:github-token], twice."
    assert redactor.redact("postgres://keeper:f0gh0rn@db/lamps") == "postgres://keeper:[redacted:url-password]@db/lamps"
    assert redactor.redact('{"api_key": "f0gh0rn", "level": 3}') == '{"api_key": "[redacted]", "level": 3}'
    assert redactor.redact(r'{"a": "{\"password\": \"fog\\\"horn7\", \"n\": 1}"}') == (
        r'{"a": "{\"password\": \"[redacted]\", \"n\": 1}"}'
    )


@pytest.mark.parametrize("token", TOKENS, ids=lambda token: token.name)
def test_two_tokens_without_a_break_between_them_leave_nothing(token: Credential) -> None:
    redacted = redactor.redact(f"{token.text}{token.text}, twice")
    assert [piece for piece in token.pieces() if piece in redacted] == []


def test_every_kind_found_is_told_once() -> None:
    text = f"{TOKENS[4].secret} {TOKENS[4].secret} password=f0gh0rn {jwt()}"
    assert redactor.found(text) == ("github-token", "named-value", "jwt")


@pytest.mark.parametrize("part", ["beginning", "end"])
def test_a_private_key_of_which_only_a_part_is_there_is_redacted(part: str) -> None:
    whole = pem()
    text = f"here: {whole[:1500]}" if part == "beginning" else f"{whole[1500:]} was there"
    redacted = redactor.redact(text)
    assert "[redacted:private-key]" in redacted
    assert MIXED not in redacted
    assert redacted.startswith("here: ") or redacted.endswith(" was there")


@pytest.mark.parametrize("word", ["[redacted:correcthorse]", "[redacted] correcthorse", "[redacted:jwt] correcthorse"])
def test_what_pretends_to_be_redacted_already_is_redacted(word: str) -> None:
    assert "correcthorse" not in Redactor(["correcthorse"]).redact(f"it is {word}!")
    assert "correcthorse" not in redactor.redact(f'password="{word}"')


# --- known values --------------------------------------------------------------------------------------------------

KNOWN: Final = 'Fog/horn "7" & ünder+way'


@pytest.mark.parametrize(
    "form",
    [
        KNOWN,
        json.dumps(KNOWN),
        json.dumps(KNOWN, ensure_ascii=False),
        quote(KNOWN),
        quote(KNOWN, safe=""),
        quote_plus(KNOWN),
        quote(KNOWN, safe="").replace("%2F", "%2f").replace("%C3%BC", "%c3%bc").replace("%2B", "%2b"),
    ],
)
def test_a_known_value_is_found_in_the_forms_in_which_it_travels(form: str) -> None:
    redacted = Redactor([KNOWN]).redact(f"I sent {form} to the lamp")
    assert redacted.replace('"', "") == "I sent [redacted] to the lamp"


@pytest.mark.parametrize("before", ["", "k", "ke", "keeper:"])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_a_known_value_is_found_inside_base64_at_any_offset(before: str, encode: Callable[[bytes], bytes]) -> None:
    known = "lamp?>~oil~<?2026"
    code = encode(f"{before}{known} and more".encode()).decode()
    redacted = Redactor([known]).redact(code)
    assert "[redacted]" in redacted
    assert code[8:20] not in redacted


def test_the_lines_of_a_known_private_key_are_known_one_by_one() -> None:
    body = pem().splitlines()
    assert Redactor([pem()]).redact(f"line 7 is {body[7]}") == "line 7 is [redacted]"


def test_known_values_that_overlap_leave_nothing() -> None:
    assert Redactor(["lampoil2026", "2026lighthouse"]).redact("x lampoil2026lighthouse x") == "x [redacted] x"


@pytest.mark.parametrize(
    "value", ["", "oil", "password", "      ", "********", "redacted", "github-token", "[redacted]"]
)
def test_a_known_value_that_would_ruin_ordinary_text_is_ignored(value: str) -> None:
    text = f"the password of the oil store: {REDACTED} and [redacted:github-token] ******** x"
    assert Redactor([value]).redact(text) == text


ENVIRON: Final = {
    "LAMP_API_KEY": "f0gh0rn-at-n1ght",
    "SERVICE_TOKEN": "lightkeeper",
    "DB_PASSWORD": "correcthorse",
    "MYSQL_PWD": "b4tterystaple",
    "SENTRY_DSN": "https://public@lamp.example/1",
    "DATABASE_URL": "postgresql://keeper:st0rm%40sea@db.example/lamps",
    "AWS_SECRET_ACCESS_KEY": "/Ab3/" + MIXED + "xyzxyz",
    "SESSION_COOKIE": "id=a1b2c3d4e5",
    "PATH": "/usr/local/bin:/usr/bin",
    "SSH_AUTH_SOCK": "/tmp/ssh-XXXX/agent.42",
    "TOKEN_FILE": "/run/secrets/token",
    "GIT_AUTHOR_NAME": "Grace Darling",
    "AUTH_ENABLED": "true",
    "AUTH_URL": "https://auth.example.com/login",
    "KEY_LENGTH": "4096000000",
    "MAX_TOKENS": "1234567890",
    "API_KEY_TIMEOUT": "30 seconds",
    "SHORT_TOKEN": "oil7",
    "SECRET_NUMBER": "1234567890",
    "TOKENIZERS_PARALLELISM": "disabled-here",
    "KEYBOARD_LAYOUT": "de-latin1-nodeadkeys",
    "PUBLIC_KEY": "the-public-half-of-it",
}


def test_secrets_of_the_environment_are_known_by_the_names_of_their_variables() -> None:
    knowing = Redactor.from_environment(ENVIRON, [SecretStr("from the settings"), "given outright"])
    secrets = ["f0gh0rn-at-n1ght", "lightkeeper", "correcthorse", "b4tterystaple", "st0rm%40sea", "st0rm@sea"]
    secrets += ["/Ab3/" + MIXED, "id=a1b2c3d4e5", "from the settings", "given outright"]
    for secret in secrets:
        assert "[redacted]" in knowing.redact(f"<{secret}xyzxyz>"), secret


def test_what_is_harmless_in_the_environment_is_not_taken_for_a_secret() -> None:
    knowing = Redactor.from_environment(ENVIRON)
    kept = "PATH SSH_AUTH_SOCK TOKEN_FILE GIT_AUTHOR_NAME AUTH_ENABLED AUTH_URL KEY_LENGTH MAX_TOKENS API_KEY_TIMEOUT"
    kept += " SHORT_TOKEN SECRET_NUMBER TOKENIZERS_PARALLELISM KEYBOARD_LAYOUT PUBLIC_KEY"
    for name in kept.split():
        assert knowing.redact(f"it says {ENVIRON[name]} here") == f"it says {ENVIRON[name]} here", name


@pytest.mark.parametrize(
    "name",
    sorted(
        words(
            "api_key apiKey API-KEY x-api-key Authorization proxy-authorization Set-Cookie cookie password dbPassword "
            "user_pwd token accessToken refresh_token client_secret clientSecret privateKey aws_secret_access_key "
            "credentials dsn db_pass X-Auth-Token passphrase"
        )
    ),
)
def test_these_names_are_of_secrets(name: str) -> None:
    assert redactor.is_secret_name(name)


@pytest.mark.parametrize(
    "name",
    sorted(
        words(
            "key keys name tokens max_tokens token_count total_tokens next_page_token pad_token token_type author "
            "path primary_key sort_key public_key password_file secret_name keyboard monkey tokenizer pass passed "
            "compass cache_key api"
        )
    ),
)
def test_these_names_are_not(name: str) -> None:
    assert not redactor.is_secret_name(name)
    assert not redactor.is_secret_name("")


# --- properties ----------------------------------------------------------------------------------------------------

scraps = st.lists(
    st.sampled_from(
        [
            *(shape.trigger for shape in SHAPES),
            *(token.secret for token in TOKENS),
            *"=:\"'\\@/?&;,.()[]{}<> \n-_%",
            *sorted(
                words("password token api_key secret --token :// Authorization: cookie: f0gh0rn7 hunter 4096 None")
            ),
            *sorted(words("[redacted [redacted] [redacted:jwt] @tcp( sig= lampoil2026 AAAAAAAAAAAAAAAAAAAA")),
            *("Bearer ", "Basic ", "cookie: a=", "str = ", "curl -u a:"),
            *(f"{DASHES}{edge} PRIVATE KEY{DASHES}" for edge in ("BEGIN", "END")),
        ]
    ),
    max_size=25,
).map("".join)


@given(scraps | st.text(max_size=100))
def test_redacting_twice_changes_nothing(text: str) -> None:
    knowing = Redactor(["lampoil2026", "oil2026hunter"])
    redacted = knowing.redact(text)
    assert knowing.redact(redacted) == redacted
    assert (redacted == text) == (knowing.found(text) == ())


@given(scraps, st.integers(0, 40), scraps)
def test_a_secret_that_straddles_the_edge_of_a_part_leaves_nothing(before: str, inside: int, after: str) -> None:
    secret = "gh" + "p_" + "Z9y8" * 9
    text = f"{before} {secret} {after}"
    edge = len(before) + 1 + inside
    for part in (redactor.redact_part(text, 0, edge), redactor.redact_part(text, edge, len(text))):
        assert "Z9y8" not in part


# --- speed ---------------------------------------------------------------------------------------------------------

MEBIBYTE: Final = 1 << 20
HOSTILE: Final = (
    "a", "A", "-", "=", ":", "sk-", "ghp_", "eyJ", "eyJaaaaaaaaaa.", "://", "://a:", "redis://:x/", "--a-a-a",
    "bearer ", "basic ", "cookie: a", "?sig=", "[redacted", "authorization: digest ", "AKIA", "1:AA", "SK", "\\\\\"",
    "api_api_", "--token ", "token=(", "-----BEGIN ", "key=key:", "password=\\\"",
    "The quick brown fox says: everything is fine. ",
)  # fmt: skip


@pytest.mark.parametrize("shape", HOSTILE)
def test_the_time_is_linear_in_a_text_that_was_made_to_hurt(shape: str) -> None:
    def seconds(size: int) -> float:
        text = shape * (size // len(shape))
        return min(_timed(text) for _ in range(3))

    # A quadratic search would take 16 times as long for 4 times the text; and minutes for a mebibyte.
    small, large = seconds(MEBIBYTE // 4), seconds(MEBIBYTE)
    assert large < max(small * 9, 0.05)
    assert large < 1.5


def _timed(text: str) -> float:
    begin = time.process_time()
    redactor.redact(text)
    return time.process_time() - begin
