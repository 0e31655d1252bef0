"""The example agents: the one that works does real work, and each of the others fails in the way that it says."""

from __future__ import annotations

import asyncio
import importlib
import json
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from examples import faulty, file_agent
from runner.agent import AgentTask, Message, Progress, ProviderUnavailable, Result, Step, ToolCall, ToolResult, is_agent

AnyAgent = Callable[[AgentTask], AsyncIterator[Step]]


def task(text: str, folder: Path) -> AgentTask:
    return AgentTask(execution_id="voyage-1", input=text, session_id=None, thread_id="t", thread_dir=folder, attempt=1)


def steps_of(agent: AnyAgent, text: str, folder: Path) -> list[Step]:
    async def collect() -> list[Step]:
        return [step async for step in agent(task(text, folder))]

    return asyncio.run(collect())


def of(kind: type[Any], steps: list[Step]) -> list[Any]:
    return [step for step in steps if isinstance(step, kind)]


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    folder = tmp_path / "ship's notes"
    (folder / "letters").mkdir(parents=True)
    (folder / "log.txt").write_text("Fog until noon.\nTODO buy two fenders\n")
    letter = folder / "letters" / "keeper.txt"
    letter.write_text("The lamp is bright.\nFog again, says Ilse, and more of it to come.\n")
    (folder / "photo.png").write_bytes(b"\x89PNG\xff\xfe")
    (folder / ".hidden").write_text("fog")
    return folder


# --- the agent that works ------------------------------------------------------------------------------------------


def test_it_counts_what_is_really_in_the_files(notes: Path, tmp_path: Path) -> None:
    result = of(Result, steps_of(file_agent.agent, f"word=fog {notes}", tmp_path))[0].output

    assert result == {
        "files": 2,
        "unread": 1,
        "lines": 4,
        "words": 21,
        "markers": 1,
        "hits": 2,
        "report": str(tmp_path / "report.md"),
    }
    json.dumps(result)


def test_every_tool_call_is_answered_by_its_own_result_before_the_next_begins(notes: Path, tmp_path: Path) -> None:
    steps = steps_of(file_agent.agent, str(notes), tmp_path)
    calls, answers = of(ToolCall, steps), of(ToolResult, steps)

    assert [type(step) for step in steps if step in calls + answers] == [ToolCall, ToolResult] * len(calls)
    assert [call.call_id for call in calls] == [answer.call_id for answer in answers]
    assert len({call.call_id for call in calls}) == len(calls)
    assert [call.name for call in calls] == ["list_files", *["read_file"] * 3, "search", "write_report"]


def test_a_file_that_is_no_text_is_a_failed_tool_call_and_not_the_end(notes: Path, tmp_path: Path) -> None:
    failed = [answer for answer in of(ToolResult, steps_of(file_agent.agent, str(notes), tmp_path)) if answer.error]

    assert [answer.error for answer in failed] == ["photo.png: not a UTF-8 text"]


def test_the_report_names_the_longest_line_the_markers_and_where_the_word_stands(notes: Path, tmp_path: Path) -> None:
    steps_of(file_agent.agent, f"{notes} word=FOG", tmp_path)
    report = (tmp_path / "report.md").read_text()

    assert "| letters/keeper.txt | 2 | 14 | 2 (45) |" in report
    assert "- log.txt: TODO buy two fenders" in report
    assert "- log.txt:1: Fog until noon." in report


def test_progress_ends_at_its_total(notes: Path, tmp_path: Path) -> None:
    progress = of(Progress, steps_of(file_agent.agent, str(notes), tmp_path))

    assert [(step.done, step.total) for step in progress] == [(0, 3), (1, 3), (2, 3), (3, 3)]


def test_without_a_path_it_reads_the_files_that_come_with_it(tmp_path: Path) -> None:
    steps = steps_of(file_agent.agent, "", tmp_path)

    assert len(steps) >= 15
    assert of(Message, steps)[-1].text.endswith("1 file could not be read as text. The report is report.md.")
    assert of(Result, steps)[0].output["files"] == 4


def test_it_reads_a_single_file(notes: Path, tmp_path: Path) -> None:
    assert of(Result, steps_of(file_agent.agent, str(notes / "log.txt"), tmp_path))[0].output["lines"] == 2


def test_an_empty_folder_is_reported_as_such(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    steps = steps_of(file_agent.agent, str(tmp_path / "empty"), tmp_path)

    assert of(Message, steps)[-1].text.startswith("0 files, 0 lines, 0 words, 0 things left to do.")


def test_a_missing_path_raises_pythons_own_error_while_the_tool_call_is_open(tmp_path: Path) -> None:
    seen: list[Step] = []

    async def run() -> None:
        async for step in file_agent.agent(task("no/such/chart.txt", tmp_path)):
            seen.append(step)

    with pytest.raises(FileNotFoundError, match=r"No such file or directory: 'no/such/chart.txt'"):
        asyncio.run(run())
    assert isinstance(seen[-1], ToolCall)


def test_pace_makes_every_tool_call_take_its_time(notes: Path, tmp_path: Path) -> None:
    began = time.monotonic()
    calls = of(ToolCall, steps_of(file_agent.agent, f"pace=0.01 {notes}", tmp_path))

    assert time.monotonic() - began >= 0.01 * len(calls)


@pytest.mark.parametrize(
    ("text", "path", "word", "pace"),
    [
        ("", file_agent.SAMPLE_FILES, "harbour", 0),
        ("notes", Path("notes"), "harbour", 0),
        ("pace=0.2 path=notes word=refund", Path("notes"), "refund", 0.2),
        ("my old notes/log.txt word=tide", Path("my old notes/log.txt"), "tide", 0),
        ("path=my old notes pace=1", Path("my old notes"), "harbour", 1),
        ("pace=0 my old notes", Path("my old notes"), "harbour", 0),
        ("the captain's log", Path("the captain's log"), "harbour", 0),
        ("the cook's and the captain's log", Path("the cook's and the captain's log"), "harbour", 0),
        ("a=b.txt", Path("a=b.txt"), "harbour", 0),
    ],
)
def test_the_input_is_a_path_with_options_around_it(text: str, path: Path, word: str, pace: float) -> None:
    assert file_agent.parse(text) == file_agent.Request(path, word, pace)


@pytest.mark.parametrize("pace", ["fast", "-1", "nan", "inf", "1e9"])
def test_a_pace_that_is_no_number_of_seconds_is_refused_by_name(pace: str) -> None:
    with pytest.raises(ValueError, match=f"pace={pace} is not a number of seconds from 0 to 3600"):
        file_agent.parse(f"pace={pace}")


# --- the agents that fail ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "agent",
    [
        file_agent.agent,
        faulty.agent_error,
        faulty.too_slow,
        faulty.silent,
        faulty.blocking,
        faulty.provider_down,
        faulty.unserialisable,
    ],
    ids=lambda agent: agent.__name__,
)
def test_every_example_is_an_agent(agent: object) -> None:
    assert is_agent(agent)


def test_agent_error_raises_its_input_from_a_key_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^test error$") as caught:
        steps_of(faulty.agent_error, "test error", tmp_path)
    assert isinstance(caught.value.__cause__, KeyError)


def test_too_slow_keeps_yielding(tmp_path: Path) -> None:
    async def first(number: int) -> list[Step]:
        seen: list[Step] = []
        async for step in faulty.too_slow(task("", tmp_path)):
            seen.append(step)
            if len(seen) == number:
                break
        return seen

    assert [step.done for step in of(Progress, asyncio.run(first(4)))] == [1, 2, 3]


@pytest.mark.parametrize("agent", [faulty.silent, faulty.blocking], ids=["silent", "blocking"])
def test_silent_and_blocking_finish_after_the_seconds_they_were_given(agent: AnyAgent, tmp_path: Path) -> None:
    began = time.monotonic()
    steps = steps_of(agent, "0.1", tmp_path)

    assert time.monotonic() - began >= 0.1
    assert isinstance(steps[-1], Result)


def test_provider_down_says_when_to_come_back(tmp_path: Path) -> None:
    with pytest.raises(ProviderUnavailable, match="overloaded") as caught:
        steps_of(faulty.provider_down, "", tmp_path)
    assert caught.value.retry_after == 30


def test_unserialisable_returns_what_json_cannot_hold(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="not JSON serializable"):
        json.dumps(of(Result, steps_of(faulty.unserialisable, "", tmp_path))[0].output)


def test_broken_import_fails_with_the_name_of_what_is_not_installed() -> None:
    with pytest.raises(ModuleNotFoundError, match="multipart_parser_that_is_not_installed"):
        importlib.import_module("examples.broken_import")
