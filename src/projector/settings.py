"""Settings of everything that touches the store: flags over environment over file over defaults.

Environment variables begin with EXECUTION_STATUS_; the file is TOML, EXECUTION_STATUS_CONFIG or `config.toml` in the
XDG config folder. The environment is read once, when a program is put together.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from projector.errors import StatusError

PREFIX: Final = "EXECUTION_STATUS_"
APPLICATION: Final = "execution-status"

_PASSWORD: Final = re.compile(r"//[^/@]*@")

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


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
    lock_timeout: Seconds = Field(default=30.0, description="how long a write waits for another process's, in seconds")
    poll_interval: Seconds = Field(default=0.05, description="how often readers look for new events, in seconds")

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
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, toml_file=config_file())

    @property
    def store_path(self) -> Path:
        """The store's file. Raises SettingsRejected for a URL that names no SQLite file."""
        if not self.store:
            return self.data_dir / "store.db"
        scheme, separator, rest = self.store.partition("://")
        if not separator:
            return Path(self.store).expanduser()
        if scheme != "sqlite" or not rest.startswith("/") or rest == "/":
            shown = _PASSWORD.sub("//***@", self.store)
            raise SettingsRejected(
                f"the event store '{shown}' cannot be used: name an SQLite file, as sqlite:///relative/file.db, "
                "sqlite:////absolute/file.db or a path"
            )
        return Path(rest[1:]).expanduser()


SettingsT = TypeVar("SettingsT", bound=StoreSettings)


def config_file() -> Path:
    """The settings file, whether it exists or not."""
    named = os.environ.get(PREFIX + "CONFIG")
    return Path(named) if named else _xdg("XDG_CONFIG_HOME", ".config") / APPLICATION / "config.toml"


def load(kind: type[SettingsT], **flags: Any) -> SettingsT:
    """Read the settings of a program once. Flags that are None were not given.

    Raises SettingsRejected, which names the setting, its value and what it may be.
    """
    try:
        return kind(**{name: value for name, value in flags.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else "a setting"
        shown = "***" if "key" in name or "token" in name else repr(first.get("input"))
        raise SettingsRejected(f"{PREFIX}{name.upper()}={shown} cannot be used: {first['msg'].lower()}") from None
    except (OSError, ValueError) as error:  # a settings file that cannot be read, or is not TOML
        raise SettingsRejected(f"the settings file {config_file()} cannot be read: {error}") from None


def _xdg(variable: str, default: str) -> Path:
    named = os.environ.get(variable, "")
    return Path(named) if named.startswith("/") else Path.home() / default
