"""Settings of everything that touches the store: flags over environment over file over defaults.

Environment variables begin with EXECUTION_STATUS_; the file is TOML, EXECUTION_STATUS_CONFIG or `config.toml` in the
XDG config folder. The environment is read once, when a program is put together.
"""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from projector.bounds import LONGEST, LONGEST_LOCK, LONGEST_POLL, SHORTEST
from projector.errors import InputRejected, StatusError

PREFIX: Final = "EXECUTION_STATUS_"
APPLICATION: Final = "execution-status"

_PASSWORD: Final = re.compile(r"//.*@", re.DOTALL)
_OPTIONS: Final = {"agent_queue": "--queue"}
"""The options that are not named like their setting."""
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
        description="the event store: sqlite:///relative/file.db, sqlite:////absolute/file.db or a path; "
        "store.db in the data folder by default",
    )
    lock_timeout: Annotated[Seconds, Field(le=LONGEST_LOCK)] = Field(
        default=30.0, description=f"how long a write waits for another process's, in seconds, at most {LONGEST_LOCK:,}"
    )
    poll_interval: Annotated[Seconds, Field(le=LONGEST_POLL)] = Field(
        default=0.05, description=f"how often readers look for new events, in seconds, at most {LONGEST_POLL:,}"
    )

    @field_validator("data_dir", mode="before")
    @classmethod
    def _is_a_folder(cls, value: object) -> object:
        if value == "":  # a path that is empty would be the current folder, which nobody has asked for
            raise ValueError("name a folder, or leave it out")
        return value

    @field_validator("store")
    @classmethod
    def _is_a_file(cls, url: str) -> str:
        _path_of(url)
        return url

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
    def store_path(self) -> Path:
        """The store's file."""
        return _path_of(self.store) if self.store else self.data_dir / "store.db"


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
    from projector.redaction import Redactor

    text = Redactor().redact(_PASSWORD.sub("//***@", value))
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "…")


def _path_of(url: str) -> Path:
    """The file that a store's URL or path names. Raises ValueError, which says what it may be."""
    scheme, separator, rest = url.partition("://")
    if separator and (scheme != "sqlite" or not rest.startswith("/") or rest == "/"):
        raise ValueError("name an SQLite file, as sqlite:///relative/file.db, sqlite:////absolute/file.db or a path")
    try:
        return Path(rest[1:] if separator else url).expanduser()
    except RuntimeError:
        raise ValueError("nobody on this machine has that name: write the path without ~") from None


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
