"""The documentation says what the code does: names, commands, settings, links, and the reference as a whole."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from projector.catalogue import CATALOGUE, Code
from projector.events import EVENT_TYPES
from projector.settings import PREFIX
from runner.agent import AgentTask, Message, Result, Step, ToolCall, ToolResult, is_agent
from workflows.cli import app
from workflows.settings import OrchestratorSettings
from workflows.verdict.failure_classifier import _RULES

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference.md"
PAGES = (ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md")))
WRITTEN_BY_HAND = tuple(page for page in PAGES if page != REFERENCE)

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
every_page_written_by_hand = pytest.mark.parametrize("page", WRITTEN_BY_HAND, ids=lambda page: page.name)


def test_the_reference_is_what_the_code_says_now() -> None:
    checked = subprocess.run(
        [sys.executable, str(ROOT / "docs" / "generate_reference.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


@every_page
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", _prose(page)):
        if re.match(r"[a-z]+://", target):
            continue
        path, _, anchor = target.partition("#")
        goal = (page.parent / path).resolve() if path else page
        assert goal.exists(), f"{page.name} links to {target}"
        if anchor:
            assert anchor in _anchors(goal), f"{page.name} links to {target}, which has no such heading"


@every_page
def test_every_code_setting_and_file_that_is_named_exists(page: Path) -> None:
    text = _text(page)
    assert set(re.findall(r"\bE\d{3}\b", text)) <= {code.value for code in Code}
    settings = {PREFIX + name.upper() for name in OrchestratorSettings.model_fields} | {PREFIX + "CONFIG", PREFIX}
    assert set(re.findall(rf"\b{PREFIX}[A-Z_]*", text)) <= settings
    for path in re.findall(r"`((?:src|docs|tests|examples|requirements)/[\w./-]+)`", text):
        assert (ROOT / path).exists(), f"{page.name} names {path}"


@every_page
def test_every_class_that_is_named_stands_in_the_code(page: Path) -> None:
    code = "\n".join(_text(path) for path in (ROOT / "src").rglob("*.py"))
    known = set(re.findall(r"\b[A-Z]\w+", code))
    named = {name for span in re.findall(r"`([^`\n]+)`", _prose(page)) for name in re.findall(r"\b[A-Z][a-z]\w*", span)}
    assert {name for name in named if re.search(r"[a-z][A-Z]", name)} <= known


def test_every_command_line_can_be_run() -> None:
    commands: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    lines = [(page.name, line) for page in WRITTEN_BY_HAND for line in _command_lines(page)]
    assert len(lines) > 30, "the lines are no longer found"
    for page, line in lines:
        name, *arguments = _words(line)
        assert name in commands, f"{page}: {line}"
        try:
            commands[name].make_context(name, arguments)
        except Exception as refusal:
            pytest.fail(f"{page}: {line}: {refusal}")


@every_page_written_by_hand
def test_every_command_that_is_mentioned_exists(page: Path) -> None:
    commands: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    for mention in re.findall(r"`execution-status ([^`]+)`", _prose(page)):
        name, *arguments = _words(mention)
        assert name in commands, f"{page.name}: {mention}"
        options = {option for parameter in commands[name].params for option in parameter.opts}
        for word in arguments:
            if word.startswith("-"):
                assert word.partition("=")[0] in options, f"{page.name}: {mention}"


@every_page_written_by_hand
def test_prose_fits_into_120_columns(page: Path) -> None:
    too_long = [line for line in _prose(page).splitlines() if len(line) > 120 and not line.startswith("|")]
    assert too_long == []


@every_page
def test_no_page_names_a_folder_of_somebodys_machine(page: Path) -> None:
    assert re.findall(r"(?<![\w.}])/(?:home|root|Users|work|opt|mnt|private)/\S*", _text(page)) == []


def test_the_readme_opens_with_one_sentence() -> None:
    title, opening, *_ = _text(ROOT / "README.md").split("\n\n")
    assert title == "# execution-status"
    assert re.findall(r"[.!?](?=\s|$)", opening) == ["."]
    assert opening.endswith(".")


async def test_the_agent_of_the_readme_does_what_the_readme_says(tmp_path: Path) -> None:
    (source,) = re.findall(r"```python\n(.*?)```", _text(ROOT / "README.md"), re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(source, "my_agents.py", "exec"), names)
    agent: Callable[[AgentTask], AsyncIterator[Step]] = names["agent"]
    assert is_agent(agent)
    letter = tmp_path / "letter.txt"
    letter.write_text("the ferry leaves at seven\n")
    task = AgentTask("exec-1", str(letter), None, "thread-exec-1", tmp_path, 1)
    steps = [step async for step in agent(task)]
    assert [type(step) for step in steps] == [ToolCall, ToolResult, Message, Result]
    assert steps[-1] == Result({"words": 5})


def test_the_page_on_errors_has_each_code_with_its_category_in_order() -> None:
    rows = re.findall(r"^\| (E\d{3}) \| (\w+) \|", _errors_page(), re.MULTILINE)
    assert rows == [(entry.code.value, entry.category) for entry in CATALOGUE.values()]


def test_a_code_that_nothing_can_produce_yet_is_said_to_be_so() -> None:
    said = set(re.findall(r"^\| (E\d{3}) \| \w+ \| not yet: ", _errors_page(), re.MULTILINE))
    used = {
        Code[node.attr].value
        for path in (ROOT / "src" / "workflows").rglob("*.py")
        for node in ast.walk(ast.parse(_text(path)))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "Code"
        if not path.name.startswith("demo")
    }
    never_used = {code.value for code in Code} - used
    if "RunnerExited" not in _events_written():
        never_used.add(Code.RUNNER_CRASHED)
    assert said == never_used


def test_the_page_on_errors_has_each_rule_of_the_classifier() -> None:
    rows = re.findall(r"^\| (\d+) \| ", _section(_errors_page(), "How the classifier decides"), re.MULTILINE)
    assert [int(number) for number in rows] == list(range(1, len(_RULES) + 1))


def test_an_event_that_nobody_writes_yet_is_said_to_be_so() -> None:
    page, title = _text(REFERENCE), "Written by nobody yet"
    section = _section(page, title) if title in page else ""
    said = set(re.findall(r"^\| `(\w+)` ", section, re.MULTILINE))
    assert said == EVENT_TYPES.keys() - _events_written()


def test_the_glossary_has_every_word_once() -> None:
    words = re.findall(r"^\| ([^|]+?) \|", _text(ROOT / "docs" / "glossary.md"), re.MULTILINE)
    words = [word for word in words if word not in ("word", "---")]
    assert len(words) == len(set(words)) > 50


# --- reading the pages -----------------------------------------------------------------------------------------------


def _text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def _errors_page() -> str:
    return _text(ROOT / "docs" / "error-propagation.md")


def _prose(page: Path) -> str:
    """A page without its blocks of code and output."""
    return re.sub(r"^ *```.*?^ *```$", "", _text(page), flags=re.DOTALL | re.MULTILINE)


def _section(text: str, title: str) -> str:
    found = re.search(rf"^(#+) {re.escape(title)}\n(.*?)(?=^#{{1,3}} |\Z)", text, re.DOTALL | re.MULTILINE)
    assert found, f"there is no section '{title}'"
    return found[2]


def _anchors(page: Path) -> set[str]:
    """Headings as links name them: lower case, spaces as hyphens, punctuation left out."""
    headings = re.findall(r"^#+ (.+)$", _prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _command_lines(page: Path) -> Iterator[str]:
    """What a reader would type: from blocks of commands whole, from blocks with output the lines after a prompt."""
    for kind, block in re.findall(r"^```(sh|console)\n(.*?)^```$", _text(page), re.DOTALL | re.MULTILINE):
        for line in block.replace("\\\n", " ").splitlines():
            if kind == "sh" or line.startswith("$ "):
                for part in re.split(r"\s(?:&&|\|\||\||;|&)(?:\s|$)|;\s", line):
                    _, found, rest = part.partition("execution-status ")
                    if found and not part.startswith(("now:", "#")):
                        yield re.sub(r"\s\d?>(?:&\d|\s?\S+)", "", rest)  # without where its output goes


def _words(line: str) -> list[str]:
    return shlex.split(line, comments=True)


def _events_written() -> set[str]:
    """The events that the code makes: those that it calls, apart from those that it only matches."""
    return {
        node.func.id
        for path in (ROOT / "src").rglob("*.py")
        for node in ast.walk(ast.parse(_text(path)))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in EVENT_TYPES
    }
