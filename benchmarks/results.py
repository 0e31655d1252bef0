"""What was measured, kept in results.json so that the page is made from it, and what it means for the targets."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.harness import Series, Side, Target

FILE: Final = Path(__file__).with_name("results.json")


@dataclass(frozen=True, slots=True)
class Run:
    """When and on what something was measured. `disk` is what an fdatasync took just before, in milliseconds."""

    date: str
    is_quick: bool
    machine: Mapping[str, str]
    disk: Mapping[str, float]
    load: float


@dataclass(frozen=True, slots=True)
class Result:
    """What the turns of one table gave."""

    run: Run
    series: tuple[Series, ...]

    def of(self, variant: str) -> Series | None:
        """The series of one variant, None when it was not measured."""
        return next((each for each in self.series if each.variant == variant), None)


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of some rounds, and the least and the most."""

    median: float
    least: float
    most: float

    @classmethod
    def over(cls, values: Sequence[float]) -> Spread:
        """The spread of at least one value."""
        return cls(statistics.median(values), min(values), max(values))


@dataclass(frozen=True, slots=True)
class Verdict:
    """A target and what was measured; `found` is None when one of its variants was not."""

    target: Target
    found: Spread | None

    @property
    def is_reached(self) -> bool | None:
        """Whether the median reaches the target; None when that was not measured."""
        if self.found is None:
            return None
        if self.target.at_least is not None:
            return self.found.median >= self.target.at_least
        return self.target.at_most is not None and self.found.median <= self.target.at_most


def spread(series: Series, quantity: str) -> Spread | None:
    """The spread of one quantity over the rounds, None when no round gave it."""
    values = list(series.figures.get(quantity, {}).values())
    return Spread.over(values) if values else None


def ratio(ours: Series, other: Series, quantity: str) -> Spread | None:
    """The spread of ours over theirs, round by round; over their median where the other was not in that round."""
    mine, theirs = ours.figures.get(quantity, {}), other.figures.get(quantity, {})
    usual = statistics.median(theirs.values()) if theirs else 0.0
    ratios = [value / theirs.get(number, usual) for number, value in mine.items() if theirs.get(number, usual)]
    return Spread.over(ratios) if ratios else None


def verdict(target: Target, result: Result) -> Verdict:
    """What a result says about a target."""
    ours = result.of(target.variant)
    if ours is None:
        return Verdict(target, None)
    if target.of is None:
        return Verdict(target, spread(ours, target.quantity))
    other = result.of(target.of)
    return Verdict(target, ratio(ours, other, target.quantity) if other else None)


def load() -> dict[str, Result]:
    """All results by the names of their tables; none when there is no file."""
    if not FILE.exists():
        return {}
    stored: dict[str, Any] = json.loads(FILE.read_text("utf-8"))
    return {name: _result(each) for name, each in stored.items()}


def save(results: Mapping[str, Result]) -> None:
    """Write all results."""
    stored = {name: _plain(result) for name, result in sorted(results.items())}
    FILE.write_text(json.dumps(stored, indent=1, ensure_ascii=False) + "\n", "utf-8")


def _plain(result: Result) -> dict[str, Any]:
    run = result.run
    return {
        "date": run.date,
        "quick": run.is_quick,
        "machine": dict(run.machine),
        "disk": dict(run.disk),
        "load": run.load,
        "series": [
            {
                "variant": each.variant,
                "side": each.side.value,
                **({"series": each.series, "at": each.at} if each.series else {}),
                "figures": {
                    quantity: {str(number): float(f"{value:.6g}") for number, value in rounds.items()}
                    for quantity, rounds in each.figures.items()
                },
            }
            for each in result.series
        ],
    }


def _result(stored: Mapping[str, Any]) -> Result:
    return Result(
        Run(stored["date"], stored["quick"], stored["machine"], stored["disk"], stored["load"]),
        tuple(
            Series(
                each["variant"],
                Side(each["side"]),
                {
                    quantity: {int(number): value for number, value in rounds.items()}
                    for quantity, rounds in each["figures"].items()
                },
                each.get("series", ""),
                each.get("at"),
            )
            for each in stored["series"]
        ),
    )
