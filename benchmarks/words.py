"""Figures in words: the cells of a table and the sentence of a target, for the terminal and for the page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from benchmarks.harness import OURS, Quantity, Series, Table, Target
from benchmarks.results import Result, Spread, Verdict, ratio, spread, verdict

_NOTHING = "–"
_MOST_WITH_SPREAD = 6
"""A table that grows over more sizes than this has room for the medians only."""


def number(value: float) -> str:
    """Three digits that count, with separators: 110,000, 12.3, 0.0456."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    digits = 2 - math.floor(math.log10(abs(value)))
    return f"{round(value, digits):,.{max(digits, 0)}f}"


def spread_words(found: Spread | None) -> str:
    """The median and, where there were several rounds, the least and the most."""
    if found is None:
        return _NOTHING
    median = number(found.median)
    return median if found.least == found.most else f"{median} ({number(found.least)}–{number(found.most)})"


def _median_words(found: Spread | None) -> str:
    return number(found.median) if found else _NOTHING


def cells(table: Table, result: Result) -> list[list[str]]:
    """The table, its header first."""
    if table.growth is not None:
        return _growing(table, result)
    shown = [each for each in table.quantities if any(spread(series, each.name) for series in result.series)]
    ours = next((each for each in result.series if each.side is OURS), None)
    first = table.quantities[0]
    rows = [["", *map(_header, shown), f"ours / it, {first.name}"]]
    for each in result.series:
        times = ratio(ours, each, first.name) if ours and each is not ours else None
        rows.append(
            [
                f"{each.variant} ({each.side.value})" if each.side is not OURS else each.variant,
                *(spread_words(spread(each, quantity.name)) for quantity in shown),
                f"{number(times.median)} ×" if times else "",
            ]
        )
    return rows


def _growing(table: Table, result: Result) -> list[list[str]]:
    assert table.growth is not None
    quantity = next(each for each in table.quantities if each.name == table.growth.quantity)
    sizes = sorted({each.at for each in result.series if each.at is not None})
    rows = [[f"{_header(quantity)} at {table.growth.of}", *(f"{size:,.0f}" for size in sizes)]]
    for name, at in by_series(result.series).items():
        found = [spread(at[size], quantity.name) if size in at else None for size in sizes]
        words = _median_words if len(sizes) > _MOST_WITH_SPREAD else spread_words
        rows.append([name, *map(words, found)])
    return rows


def by_series(all_series: Sequence[Series]) -> dict[str, Mapping[float, Series]]:
    """The variants that grow, by their series and size."""
    found: dict[str, dict[float, Series]] = {}
    for each in all_series:
        if each.at is not None:
            name = f"{each.series} ({each.side.value})" if each.side is not OURS else each.series
            found.setdefault(name, {})[each.at] = each
    return dict(found)


def _header(quantity: Quantity) -> str:
    return f"{quantity.name}, {quantity.unit}" if quantity.unit else quantity.name


def verdicts(table: Table, result: Result) -> list[Verdict]:
    """What the result says about each of the table's targets."""
    return [verdict(target, result) for target in table.targets]


def target_words(target: Target, table: Table) -> str:
    """What must be reached."""
    unit = next(each.unit for each in table.quantities if each.name == target.quantity)
    bound, sign = (target.at_least, "≥") if target.at_least is not None else (target.at_most, "≤")
    assert bound is not None
    if target.of is None:
        return f"{target.variant}: {target.quantity} {sign} {_bound(bound)}{' ' + unit if unit else ''}"
    return f"{target.variant}: {target.quantity} {sign} {_bound(bound)} × {target.of}"


def _bound(value: float) -> str:
    part = 1 / value if value else 0.0
    return f"1/{part:.0f}" if part >= 10 and abs(part - round(part)) < 1e-6 else f"{value:g}"


def found_words(judged: Verdict) -> str:
    """What was measured, and whether that reaches the target."""
    if judged.found is None:
        return "not measured"
    return f"{spread_words(judged.found)}: {'reached' if judged.is_reached else 'NOT reached'}"


def plain_table(rows: Sequence[Sequence[str]]) -> str:
    """Rows as aligned text."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )
