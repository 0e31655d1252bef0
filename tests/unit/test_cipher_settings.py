"""The key that encrypts events: which can be used, and that it is never shown."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projector.keeping.at_rest import check_key, environment_for, mapper_for, opens
from projector.opening import hygiene_from_environment
from projector.settings import SettingsRejected, StoreSettings, load

VARIABLE = "EXECUTION_STATUS_CIPHER_KEY"
KEY = base64.b64encode(b"the key of the captain's cabin!!").decode()

keys = st.sampled_from((16, 24, 32)).flatmap(lambda size: st.binary(min_size=size, max_size=size))


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A settings file of the test's own, still empty; the environment says nothing of a key."""
    path = tmp_path / "config.toml"
    path.touch()
    monkeypatch.setenv("EXECUTION_STATUS_CONFIG", str(path))
    monkeypatch.delenv(VARIABLE, raising=False)
    return path


@pytest.mark.parametrize("size", [16, 24, 32])
def test_a_key_of_a_size_that_the_cipher_takes_is_taken(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setenv(VARIABLE, base64.b64encode(bytes(range(size))).decode())
    settings = load(StoreSettings)
    mapper = mapper_for(settings)
    assert mapper.opened(mapper.sealed(b'{"a":1}')) == b'{"a":1}'
    assert b'{"a":1}' not in mapper.sealed(b'{"a":1}')


@pytest.mark.parametrize("key", ["", " ", "short", "c2VjcmV0c2VjcmV0", f"{KEY[:-4]}!!!=", KEY[:-1], f"{KEY}\n", "ключ"])
def test_a_malformed_key_is_refused_and_not_shown(config: Path, monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    config.write_text(f"cipher_key = {json.dumps(key, ensure_ascii=False)}\n")
    with pytest.raises(SettingsRejected) as of_file:
        load(StoreSettings)
    monkeypatch.setenv(VARIABLE, key)
    with pytest.raises(SettingsRejected) as of_variable:
        load(StoreSettings)
    must_be = "base64 of 16, 24 or 32 random bytes, as `openssl rand -base64 32` prints it, or unset"
    why = f"cannot be used: it must be {must_be}"
    assert str(of_file.value) == f"cipher_key = *** in the settings file {config} {why}"
    assert str(of_variable.value) == f"{VARIABLE}=*** {why}"


def test_a_key_is_not_in_what_settings_print(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, KEY)
    settings = load(StoreSettings)
    assert KEY not in repr(settings) + str(settings) + settings.model_dump_json()
    assert KEY not in repr(mapper_for(settings))


def test_a_key_is_known_as_a_secret_wherever_it_stands(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for key in (KEY, base64.b64encode(b"/" * 24).decode(), base64.b64encode(bytes(range(200, 224))).decode()):
        config.write_text(f"cipher_key = {json.dumps(key)}\n")
        assert key not in hygiene_from_environment().redactor.redact(f"the agent said {key} aloud")
        config.write_text("")
        monkeypatch.setenv(VARIABLE, key)
        assert key not in hygiene_from_environment().redactor.redact(f"the agent said {key} aloud")
        monkeypatch.delenv(VARIABLE)


def test_a_settings_file_that_cannot_be_read_does_not_keep_the_door_from_being_made(config: Path) -> None:
    config.write_text("not TOML at all")
    assert hygiene_from_environment().redactor.redact("nothing secret") == "nothing secret"


def test_children_are_told_how_events_are_kept() -> None:
    assert environment_for(StoreSettings()) == {"EXECUTION_STATUS_COMPRESS": "false"}
    settings = StoreSettings(cipher_key=KEY, compress=True)  # type: ignore[arg-type]
    assert environment_for(settings) == {VARIABLE: KEY, "EXECUTION_STATUS_COMPRESS": "true"}


@given(keys, keys, st.binary(max_size=200))
def test_a_body_opens_with_its_own_key_only(key: bytes, other: bytes, body: bytes) -> None:
    """Whatever the ciphertext looks like, it is never taken for plain or for another key's."""
    body = b'{"data":"' + base64.b64encode(body) + b'"}'
    mine, theirs, plain = (
        mapper_for(StoreSettings(cipher_key=base64.b64encode(k).decode() if k else None))  # type: ignore[arg-type]
        for k in (key, other, b"")
    )
    state = mine.sealed(body)
    assert mine.opened(state) == body
    assert [opens(mapper, state) for mapper in (mine, theirs, plain)] == [True, key == other, False]
    assert opens(plain, body) and not opens(mine, body)


@given(st.lists(st.binary(max_size=80), max_size=5))
def test_short_damage_refuses_no_store(bodies: list[bytes]) -> None:
    check_key("a store", bodies, mapper_for(StoreSettings()))
