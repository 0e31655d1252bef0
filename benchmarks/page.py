"""docs/performance.md, made from what was measured: nobody writes a figure by hand."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from benchmarks.harness import Table
from benchmarks.plot import plot
from benchmarks.results import Result, Run, spread
from benchmarks.words import by_series, cells, found_words, number, target_words, verdicts

DOCS: Final = Path(__file__).resolve().parents[1] / "docs"
PAGE: Final = DOCS / "performance.md"
PLOTS: Final = DOCS / "performance"

_INTRODUCTION: Final = """\
# Performance

<!-- Made by `make bench`: change a benchmark, not this page. -->

What this project costs, beside what its peers cost on the same machine in the same run: the `eventsourcing` library as
its documentation says, `dbos`, `aiosqlite` by hand, and the floor below which nothing can go, which is the database
itself given the same bytes in large batches. Every write of every side is durable: SQLite in WAL mode with
`synchronous=FULL`, PostgreSQL with its defaults (`fsync=on`, `synchronous_commit=on`). Events have 350 bytes.

The sides of a table are measured in turn, in a new order each round. A cell is the median of the rounds, with the least
and the most in brackets. A ratio is the median of the ratios of the rounds, so that a disk that is slow for a while
slows both sides of it.

    make bench                                  all of it: some 20 minutes on an idle machine
    make bench ARGS="emit projection --quick"   some of it, smaller and rougher; only their sections are replaced
    make bench ARGS=--list                      what there is
"""


def write_page(tables: Sequence[Table], results: Mapping[str, Result]) -> None:
    """Write the page and its plots."""
    PAGE.write_text(page(tables, results), "utf-8")
    PLOTS.mkdir(exist_ok=True)
    for table in tables:
        if table.growth is not None and table.name in results:
            (PLOTS / f"{table.name}.svg").write_text(_plot(table, results[table.name]), "utf-8")


def page(tables: Sequence[Table], results: Mapping[str, Result]) -> str:
    """The whole page."""
    measured = [table for table in tables if table.name in results]
    machines = _machines([results[table.name].run for table in measured])
    parts = [_INTRODUCTION, _summary(measured, results), _machine_section(machines)]
    parts += [_section(table, results[table.name], machines) for table in measured]
    return "\n".join(parts)


def _summary(tables: Sequence[Table], results: Mapping[str, Result]) -> str:
    rows = [["target", "measured", "in"]]
    for table in tables:
        for judged in verdicts(table, results[table.name]):
            link = f"[{table.title}](#{_anchor(table.title)})"
            rows.append([target_words(judged.target, table), found_words(judged), link])
    return "## Targets\n\n" + _markdown(rows, rule="---")


def _machines(runs: Sequence[Run]) -> list[Mapping[str, str]]:
    found: list[Mapping[str, str]] = []
    for run in runs:
        if run.machine not in found:
            found.append(run.machine)
    return found


def _machine_section(machines: Sequence[Mapping[str, str]]) -> str:
    names = [f"machine {place}" for place in range(1, len(machines) + 1)]
    keys = dict.fromkeys(key for machine in machines for key in machine)
    rows = [["", *(names if len(names) > 1 else ["the machine"])]]
    rows += [[key, *(machine.get(key, "") for machine in machines)] for key in keys]
    return "## Machine\n\n" + _markdown(rows)


def _section(table: Table, result: Result, machines: Sequence[Mapping[str, str]]) -> str:
    run = result.run
    rounds = max((len(values) for each in result.series for values in each.figures.values()), default=0)
    when = f"Measured {run.date} in {rounds} {'round' if rounds == 1 else 'rounds'}"
    when += f" on machine {machines.index(run.machine) + 1}" if len(machines) > 1 else ""
    when += f"; an append and an fdatasync took {number(run.disk['p50'])} ms (p99 {number(run.disk['p99'])} ms)"
    when += f" there, at a load of {number(run.load)}."
    when += " **A quick run: sizes were smaller, and figures are rough.**" if run.is_quick else ""
    drawn = [f"![{table.title}](performance/{table.name}.svg)", ""] if table.growth is not None else []
    judged = [f"- {target_words(each.target, table)} — {found_words(each)}" for each in verdicts(table, result)]
    return "\n".join(
        [
            f"## {table.title}",
            "",
            _prose(table.about),
            "",
            _markdown(cells(table, result)),
            *drawn,
            *([*judged, ""] if judged else []),
            *([_prose(f"What bounds it: {table.bound}"), ""] if table.bound else []),
            _prose(when),
            "",
        ]
    )


def _prose(text: str) -> str:
    return textwrap.fill(text, 120, break_long_words=False, break_on_hyphens=False)


def _plot(table: Table, result: Result) -> str:
    assert table.growth is not None
    quantity = next(each for each in table.quantities if each.name == table.growth.quantity)
    lines = {
        name: {size: found.median for size, each in at.items() if (found := spread(each, quantity.name))}
        for name, at in by_series(result.series).items()
    }
    return plot(lines, x=table.growth.of, y=f"{quantity.name}, {quantity.unit}" if quantity.unit else quantity.name)


def _markdown(rows: Sequence[Sequence[str]], *, rule: str = "---:") -> str:
    escaped = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    head, *body = escaped
    rules = ["---", *(rule for _ in head[1:])]
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, rules, *body]) + "\n"


def _anchor(title: str) -> str:
    kept = "".join(each for each in title.lower() if each.isalnum() or each in " -_")
    return kept.replace(" ", "-")
