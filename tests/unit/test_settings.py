"""Settings that cannot be used: each is named with the place that it comes from, its value, and what it may be."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pytest

from projector.bounds import LONGEST, LONGEST_LOCK, LONGEST_POLL, SHORTEST
from projector.errors import InputRejected, StatusError
from projector.settings import SettingsRejected, load
from workflows.settings import OrchestratorSettings

TIMES: Final = ("schedule_to_start", "heartbeat_timeout", "start_to_close", "connect_timeout", "stuck_after")


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A settings file of the test's own, still empty."""
    path = tmp_path / "config.toml"
    path.touch()
    monkeypatch.setenv("EXECUTION_STATUS_CONFIG", str(path))
    return path


def refusal(**flags: Any) -> StatusError:
    with pytest.raises(StatusError) as refused:
        load(OrchestratorSettings, **flags)
    assert "\n" not in str(refused.value)
    return refused.value


@pytest.mark.parametrize("name", TIMES)
@pytest.mark.parametrize("value", [1e30, 1e300, LONGEST + 1, float("inf"), float("nan"), 0.0, -1.0, SHORTEST / 2])
def test_a_time_that_temporal_could_not_hold_is_refused_wherever_it_stands(
    config: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: float
) -> None:
    option = refusal(**{name: value})
    assert isinstance(option, InputRejected) and option.exit_code == 2
    assert f"--{name.replace('_', '-')} " in str(option)

    config.write_text(f"{name} = {value!r}\n")
    filed = refusal()
    assert isinstance(filed, SettingsRejected) and filed.exit_code == 4
    assert f"{name} = {value!r} in the settings file {config} cannot be used: " in str(filed)
    assert "EXECUTION_STATUS" not in str(filed)

    monkeypatch.setenv(f"EXECUTION_STATUS_{name.upper()}", str(value))
    set_outside = refusal()
    assert isinstance(set_outside, SettingsRejected)
    assert f"EXECUTION_STATUS_{name.upper()}='{value}' cannot be used: " in str(set_outside)


def test_the_longest_and_the_shortest_time_can_be_used() -> None:
    settings = load(OrchestratorSettings, start_to_close=float(LONGEST), heartbeat_timeout=SHORTEST)
    assert (settings.timeouts.start_to_close, settings.timeouts.heartbeat) == (LONGEST, SHORTEST)


@pytest.mark.parametrize(("name", "most"), [("lock_timeout", LONGEST_LOCK), ("poll_interval", LONGEST_POLL)])
def test_a_wait_has_a_bound_of_its_own(name: str, most: int) -> None:
    assert getattr(load(OrchestratorSettings, **{name: most}), name) == most
    assert str(most) in str(refusal(**{name: most + 1}))


def test_a_refusal_says_what_the_setting_is() -> None:
    said = str(refusal(start_to_close=1e30))
    assert said.startswith("--start-to-close 1e+30 cannot be used: input should be less than or equal to 315360000")
    assert "it is how long an agent may run, in seconds, at most 315,360,000 (10 years)" in said


@pytest.mark.parametrize("blank", ["", " ", "\t"])
@pytest.mark.parametrize(
    ("name", "option"), [("agent_queue", "--queue"), ("store", "--store"), ("data_dir", "--data-dir")]
)
def test_an_option_that_is_empty_is_named(name: str, option: str, blank: str) -> None:
    error = refusal(**{name: blank})
    assert isinstance(error, InputRejected)
    assert str(error) == f"{option} is empty: give it a value, or leave it out"


@pytest.mark.parametrize("name", ["agent_queue", "data_dir"])
def test_a_variable_that_is_empty_is_named(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(f"EXECUTION_STATUS_{name.upper()}", "")
    error = refusal()
    assert isinstance(error, SettingsRejected)
    assert str(error).startswith(f"EXECUTION_STATUS_{name.upper()}='' cannot be used: ")


def test_the_option_is_blamed_also_where_the_environment_says_something_good(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXECUTION_STATUS_AGENT_QUEUE", "survey")
    assert str(refusal(agent_queue="q" * 201)).startswith("--queue 'qqq")


@pytest.mark.parametrize(
    "url",
    [
        "mysql://me:hunter2secret@harbour/events",
        "mysql://me:hunter2/secret@harbour/events",
        "mysql://me:hunter2@secret@harbour/events",
        "mysql://hunter2secret@harbour:3306/events",
        "sqlite://me:hunter2secret@harbour",
    ],
)
def test_the_password_of_a_store_that_cannot_be_used_is_not_told(
    config: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    errors = [refusal(store=url)]
    config.write_text(f'store = "{url}"\n')
    errors.append(refusal())
    monkeypatch.setenv("EXECUTION_STATUS_STORE", url)
    errors.append(refusal())

    assert [error.exit_code for error in errors] == [2, 4, 4]
    for error, place in zip(errors, ("--store ", f"settings file {config}", "EXECUTION_STATUS_STORE="), strict=True):
        assert place in str(error) and "name an SQLite file" in str(error)
        assert "hunter2" not in str(error) and "secret" not in str(error)
        assert "harbour" in str(error), "the rest is what it is recognised by"
        assert error.__suppress_context__, "pydantic's own error tells the value whole"


def test_a_home_that_nobody_has_is_refused() -> None:
    assert "write the path without ~" in str(refusal(store="~nobody-of-that-name/store.db"))


def test_a_long_value_is_told_by_its_beginning() -> None:
    assert len(str(refusal(agent_queue="q" * 5000))) < 400


def test_a_settings_file_that_is_named_must_be_there(config: Path) -> None:
    config.unlink()
    error = refusal()
    assert isinstance(error, SettingsRejected)
    assert str(error) == (
        f"the settings file {config} that EXECUTION_STATUS_CONFIG names is not there: "
        "correct or unset EXECUTION_STATUS_CONFIG"
    )


def test_the_settings_file_of_a_user_may_be_absent_but_not_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EXECUTION_STATUS_CONFIG")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    assert load(OrchestratorSettings).agent_queue == "agent-runner"

    own = tmp_path / "home" / "execution-status" / "config.toml"
    own.parent.mkdir(parents=True)
    own.write_text("agent_queue = \n")
    error = refusal()
    assert str(error).startswith(f"the settings file {own} is not TOML: ") and "line 1" in str(error)


@pytest.mark.parametrize("content", [b"store = [\n", b'store = "\xff"\n', b"\x00\x01"], ids=["open", "latin", "binary"])
def test_a_settings_file_that_is_not_toml_is_named(config: Path, content: bytes) -> None:
    config.write_bytes(content)
    assert f"the settings file {config} that EXECUTION_STATUS_CONFIG names is not TOML: " in str(refusal())


def test_a_settings_file_that_cannot_be_read_is_named(config: Path) -> None:
    config.unlink()
    config.mkdir()
    assert f"the settings file {config} that EXECUTION_STATUS_CONFIG names cannot be read: Is a dir" in str(refusal())


def test_the_file_is_outranked_by_the_environment_and_that_by_an_option(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config.write_text("slots = 3\ngrace = 4.0\nagent_queue = 'file'\n")
    monkeypatch.setenv("EXECUTION_STATUS_GRACE", "5")
    monkeypatch.setenv("EXECUTION_STATUS_AGENT_QUEUE", "environment")
    settings = load(OrchestratorSettings, agent_queue="option", store=None)
    assert (settings.slots, settings.grace, settings.agent_queue) == (3, 5.0, "option")
