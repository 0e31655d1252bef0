"""Settings of everything that touches the store: flags over environment over file over defaults.

Environment variables begin with EXECUTION_STATUS_; the file is TOML, EXECUTION_STATUS_CONFIG or `config.toml` in the
XDG config folder. The environment is read once, when a program is put together.
"""

from __future__ import annotations

import base64
import os
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from projector.bounds import LONGEST, LONGEST_LOCK, LONGEST_POLL, POSTGRES_LOCK_TIMEOUT, SHORTEST, SQLITE_LOCK_TIMEOUT
from projector.errors import InputRejected, StatusError
from projector.store_address import SqliteAddress, StoreAddress, parse

PREFIX: Final = "EXECUTION_STATUS_"
APPLICATION: Final = "execution-status"

_PASSWORD: Final = re.compile(r"//.*@", re.DOTALL)
_OPTIONS: Final = {"agent_queue": "--queue"}
"""The options that are not named like their setting."""
_KEY_SIZES: Final = (16, 24, 32)
_SHOWN: Final = 100
"""How many characters of a value that cannot be used are worth showing."""

Seconds = Annotated[float, Field(ge=SHORTEST, le=LONGEST, allow_inf_nan=False)]


class SettingsRejected(StatusError):
    """A setting has a value that it cannot have."""

    exit_code = 4


class StoreSettings(BaseSettings):
    """Where the store is and how it is waited for."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore", validate_default=False)

    data_dir: Path = Field(
        default_factory=lambda: _xdg("XDG_DATA_HOME", ".local/share") / APPLICATION,
        description="the data folder: the store, the embedded Temporal's database, logs and threads",
    )
    store: str = Field(
        default="",
        description="the event store: sqlite:///relative/file.db, sqlite:////absolute/file.db or a path, "
        "or postgresql://user@host/name; store.db in the data folder by default",
    )
    lock_timeout: Annotated[Seconds, Field(le=LONGEST_LOCK)] | None = Field(
        default=None,
        description=f"how long a write waits for another process's, in seconds, at most {LONGEST_LOCK:,}; "
        f"{SQLITE_LOCK_TIMEOUT:g} on SQLite and {POSTGRES_LOCK_TIMEOUT:g} on PostgreSQL by default",
    )
    poll_interval: Annotated[Seconds, Field(le=LONGEST_POLL)] = Field(
        default=0.5,
        description=f"how often readers look for new events that no bell told of, in seconds, at most {LONGEST_POLL:,}",
    )

    cipher_key: SecretStr | None = Field(
        default=None,
        description="encrypts the events of a store that is made with it: base64 of 16, 24 or 32 random bytes",
    )
    compress: bool = Field(
        default=False, description="whether events are stored compressed; may be turned on and off at any time"
    )
    metrics_port: Annotated[int, Field(ge=0, le=65_535)] = Field(
        default=0,
        description="the port on 127.0.0.1 at which `up`, `orchestrator`, `project` and a runner each show Prometheus "
        "their own metrics, 0 for none; `serve` has `/metrics`",
    )

    @field_validator("data_dir", mode="before")
    @classmethod
    def _is_a_folder(cls, value: object) -> object:
        if value == "":  # a path that is empty would be the current folder, which nobody has asked for
            raise ValueError("name a folder, or leave it out")
        return value

    @field_validator("store")
    @classmethod
    def _is_an_address(cls, url: str) -> str:
        parse(url)
        return url

    @field_validator("cipher_key")
    @classmethod
    def _is_a_key(cls, key: SecretStr | None) -> SecretStr | None:
        if key is not None and _bytes_of(key.get_secret_value()) not in _KEY_SIZES:
            raise ValueError(
                "it must be base64 of 16, 24 or 32 random bytes, as `openssl rand -base64 32` prints it, or unset"
            )
        return key

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags, then environment, then the file."""
        return init_settings, env_settings, InitSettingsSource(settings_cls, init_kwargs=_settings_in_file())

    @property
    def store_address(self) -> StoreAddress:
        """Where the store is."""
        return parse(self.store) if self.store else SqliteAddress(self.data_dir / "store.db")


SECRETS: Final = ("cipher_key", "serve_token", "serve_read_token")
"""The settings whose values nobody may see, of this program and of those on top of it."""

SettingsT = TypeVar("SettingsT", bound=StoreSettings)


def config_file() -> Path:
    """The settings file, whether it exists or not."""
    named = os.environ.get(PREFIX + "CONFIG")
    return Path(named) if named else _xdg("XDG_CONFIG_HOME", ".config") / APPLICATION / "config.toml"


def load(kind: type[SettingsT], **flags: Any) -> SettingsT:
    """Read the settings of a program once. Flags that are None were not given.

    Raises InputRejected for what an option says, and SettingsRejected for what the environment or the settings file
    says: both name the place, the value and what it may be.
    """
    given = {name: value for name, value in flags.items() if value is not None}
    for name, value in given.items():
        if isinstance(value, str) and not value.strip():
            raise InputRejected(f"{_option(name)} is empty: give it a value, or leave it out")
    try:
        return kind(**given)
    except ValidationError as error:
        raise _refusal(kind, error, given) from None


def own_secrets() -> tuple[str, ...]:
    """The secrets among this project's own settings, wherever they stand: no text may ever hold them."""
    try:
        in_file = _settings_in_file()
    except SettingsRejected:  # whoever loads the settings is told
        in_file = {}
    known = (os.environ.get(PREFIX + name.upper(), in_file.get(name)) for name in SECRETS)
    return tuple(secret for secret in known if isinstance(secret, str))


def _bytes_of(key: str) -> int:
    """How many bytes these are in base64; -1 when it is not base64."""
    try:
        return len(base64.b64decode(key, validate=True))
    except ValueError:
        return -1


def _refusal(kind: type[StoreSettings], error: ValidationError, given: dict[str, Any]) -> StatusError:
    first = error.errors()[0]
    name = str(first["loc"][0])
    shown = "***" if "key" in name or "token" in name else _shown(first.get("input"))
    if first["type"] == "value_error":  # our own words say already what it may be
        why = str(first["ctx"]["error"])
    else:
        why = f"{first['msg'][:1].lower()}{first['msg'][1:]}; it is {kind.model_fields[name].description}"
    if name in given:
        return InputRejected(f"{_option(name)} {shown} cannot be used: {why}")
    variable = PREFIX + name.upper()
    if variable in map(str.upper, os.environ):
        return SettingsRejected(f"{variable}={shown} cannot be used: {why}")
    return SettingsRejected(f"{name} = {shown} in the settings file {config_file()} cannot be used: {why}")


def _option(name: str) -> str:
    return _OPTIONS.get(name) or "--" + name.replace("_", "-")


def _shown(value: object) -> str:
    """A value as it can be told: without the password that may stand in it, and not without end."""
    if not isinstance(value, str):
        return repr(value)
    from projector.door.redaction import Redactor

    text = Redactor().redact(_PASSWORD.sub("//***@", value))
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "…")


def _settings_in_file() -> dict[str, Any]:
    """What the settings file says; nothing where the default one is absent. Raises SettingsRejected."""
    path, is_named = config_file(), bool(os.environ.get(PREFIX + "CONFIG"))
    which = f"the settings file {path}" + (f" that {PREFIX}CONFIG names" if is_named else "")
    remedy = f"correct or unset {PREFIX}CONFIG" if is_named else "mend it, or move it away"
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except (FileNotFoundError, NotADirectoryError):
        if not is_named:
            return {}
        raise SettingsRejected(f"{which} is not there: {remedy}") from None
    except OSError as error:
        raise SettingsRejected(f"{which} cannot be read: {error.strerror}; {remedy}") from None
    except ValueError as error:  # also where it is not UTF-8
        raise SettingsRejected(f"{which} is not TOML: {error}; mend it, or name another one") from None


def _xdg(variable: str, default: str) -> Path:
    named = os.environ.get(variable, "")
    return Path(named) if named.startswith("/") else Path.home() / default
