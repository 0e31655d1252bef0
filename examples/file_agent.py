"""An agent that does real work on real files: it lists, reads, searches and summarises them, and writes a report.

The input is a file or a folder, with options in front or behind: `path=notes word=refund pace=0.2`. Without a path it
reads the sample files beside this module. `pace` is the seconds that each tool call takes at least, so that a
spectator can follow (and a demonstration can kill the runner in the middle of one).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path

from runner.agent import AgentTask, Message, Progress, Result, Step, ToolCall, ToolResult

SAMPLE_FILES = Path(__file__).parent / "sample_files"
MARKERS = ("TODO", "FIXME")
DEFAULT_WORD = "harbour"
MAX_FILES = 200
MAX_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class Request:
    """What the input asks for. `pace` is in seconds."""

    path: Path = SAMPLE_FILES
    word: str = DEFAULT_WORD
    pace: float = 0.0


@dataclass(frozen=True, slots=True)
class Summary:
    """What was found in one file. `longest_line` is the number of the line, from 1 (0 in an empty file)."""

    file: str
    lines: int
    words: int
    longest_line: int
    longest_length: int
    markers: tuple[str, ...]


async def agent(task: AgentTask) -> AsyncIterator[Step]:
    """Raises `FileNotFoundError` when the path does not exist, `ValueError` when `pace` is no number of seconds."""
    request = parse(task.input)
    call_ids = (f"call-{number}" for number in count(1))
    yield Message("user", task.input or "Summarise the sample files.")

    call = ToolCall(next(call_ids), "list_files", {"path": request.path.name})
    yield call
    await asyncio.sleep(request.pace)
    files = list_files(request.path)
    names = {file: file.relative_to(request.path).as_posix() if file != request.path else file.name for file in files}
    yield ToolResult(call.call_id, list(names.values()))
    yield Message("assistant", f"I found {_many(len(files), 'file')} in {request.path.name}; I read them one by one.")

    texts: dict[str, str] = {}
    summaries: list[Summary] = []
    for done, (file, name) in enumerate(names.items()):
        yield Progress(done, len(files), f"reading {name}")
        call = ToolCall(next(call_ids), "read_file", {"path": name})
        yield call
        await asyncio.sleep(request.pace)
        try:
            texts[name] = read_text(file)
        except (OSError, ValueError) as problem:
            yield ToolResult(call.call_id, error=f"{name}: {problem}")
            continue
        summaries.append(summarise(name, texts[name]))
        yield ToolResult(call.call_id, asdict(summaries[-1]))
    yield Progress(len(files), len(files), "all files are read")

    call = ToolCall(next(call_ids), "search", {"word": request.word})
    yield call
    await asyncio.sleep(request.pace)
    hits = search(texts, request.word)
    yield ToolResult(call.call_id, hits)
    yield Message("assistant", f"'{request.word}' stands in {_many(len(hits), 'line')}.")

    report = task.thread_dir / "report.md"
    call = ToolCall(next(call_ids), "write_report", {"path": report.name})
    yield call
    await asyncio.sleep(request.pace)
    written = report.write_text(write_up(request, summaries, hits), encoding="utf-8")
    yield ToolResult(call.call_id, {"path": report.name, "characters": written})

    unread = len(files) - len(summaries)
    totals = {
        "files": len(summaries),
        "unread": unread,
        "lines": sum(summary.lines for summary in summaries),
        "words": sum(summary.words for summary in summaries),
        "markers": sum(len(summary.markers) for summary in summaries),
        "hits": len(hits),
    }
    yield Message(
        "assistant",
        f"{_many(len(summaries), 'file')}, {_many(totals['lines'], 'line')}, {_many(totals['words'], 'word')}, "
        f"{_many(totals['markers'], 'thing')} left to do"
        + (f"; {_many(unread, 'file')} could not be read as text" if unread else "")
        + f". The report is {report.name}.",
    )
    yield Result({**totals, "report": str(report)})


def parse(text: str) -> Request:
    """Read `key=value` options; what is left is the path, which may hold spaces."""
    first, *options = _OPTION.split(text)
    path, word, pace = first.strip(), DEFAULT_WORD, "0"
    for key, value in zip(options[::2], options[1::2], strict=True):
        option, _, rest = (value, "", "") if key == "path" else value.partition(" ")
        if key == "pace":
            pace = option
        elif key == "word":
            word = option or word
        else:
            path = option.strip()
        path = path or rest.strip()
    return Request(path=Path(path).expanduser() if path else SAMPLE_FILES, word=word, pace=_seconds(pace))


def list_files(path: Path) -> list[Path]:
    """The file itself, or the files below the folder by name: at most `MAX_FILES`, without the hidden ones."""
    if not path.is_dir():
        path.stat()
        return [path]
    found = sorted(file for file in path.rglob("*") if file.is_file() and not _hidden(file.relative_to(path)))
    return found[:MAX_FILES]


def read_text(file: Path) -> str:
    """The file's text. Raises `ValueError` when it is too large, or is not text."""
    if file.stat().st_size > MAX_BYTES:
        raise ValueError(f"larger than {MAX_BYTES} bytes")
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError("not a UTF-8 text") from error


def summarise(name: str, text: str) -> Summary:
    """Count, find the longest line, and collect what is marked as left to do."""
    lines = text.splitlines()
    longest = max(range(len(lines)), key=lambda at: len(lines[at]), default=None)
    return Summary(
        file=name,
        lines=len(lines),
        words=len(text.split()),
        longest_line=0 if longest is None else longest + 1,
        longest_length=0 if longest is None else len(lines[longest]),
        markers=tuple(line.strip() for line in lines if any(marker in line for marker in MARKERS)),
    )


def search(texts: dict[str, str], word: str) -> list[str]:
    """Each line that holds the word, whatever its case, as `file:line: text`."""
    return [
        f"{name}:{number}: {line.strip()}"
        for name, text in texts.items()
        for number, line in enumerate(text.splitlines(), 1)
        if word.casefold() in line.casefold()
    ]


def write_up(request: Request, summaries: list[Summary], hits: list[str]) -> str:
    """The report, in Markdown."""
    rows = [f"| {s.file} | {s.lines} | {s.words} | {s.longest_line} ({s.longest_length}) |" for s in summaries]
    left = [f"- {summary.file}: {marker}" for summary in summaries for marker in summary.markers]
    return "\n".join(
        [
            f"# {request.path.name}",
            "",
            "| file | lines | words | longest line (characters) |",
            "|---|---:|---:|---:|",
            *rows,
            "",
            "## Left to do",
            "",
            *(left or ["Nothing."]),
            "",
            f"## '{request.word}'",
            "",
            *([f"- {hit}" for hit in hits] or ["Nowhere."]),
            "",
        ]
    )


_OPTION = re.compile(r"(?:^|\s+)(pace|path|word)=")


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 3600:
        raise ValueError(f"pace={text} is not a number of seconds from 0 to 3600")
    return seconds


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _many(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
