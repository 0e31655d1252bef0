"""The benchmarks' harness: who is measured when, what a target makes of it, and what the page says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import page, registry, results, words
from benchmarks.harness import (
    FLOOR,
    OURS,
    PEER,
    Figures,
    Growth,
    Quantity,
    Series,
    Side,
    Table,
    Target,
    Variant,
    growing,
    measured,
    quantiles,
)
from benchmarks.place import Place
from benchmarks.plot import plot
from benchmarks.results import Result, Run, verdict

RATE = Quantity("events/s", high_is_good=True)
QUIET = Run("2026-06-21", is_quick=False, machine={"CPU": "a quiet one"}, disk={"p50": 0.2, "p99": 0.9}, load=0.1)


def race(*variants: Variant, rounds: int = 3, budget: float = 60.0, targets: tuple[Target, ...] = ()) -> Table:
    @contextmanager
    def prepared(place: Place) -> Iterator[Sequence[Variant]]:
        yield variants

    return Table(
        name="race",
        subject="ships",
        title="A race of two ships",
        about="Once around the north reef.",
        quantities=(RATE, Quantity("seconds", "s")),
        variants=prepared,
        targets=targets,
        rounds=rounds,
        budget=budget,
    )


class Ship:
    """Gives its speeds one after the other, and leaves its name in the log each time."""

    def __init__(self, name: str, speeds: Sequence[float], log: list[str]) -> None:
        self.name, self._speeds, self._log = name, iter(speeds), log

    def sail(self) -> Figures:
        self._log.append(self.name)
        return {"events/s": next(self._speeds)}


def result(*series: Series, run: Run = QUIET) -> Result:
    return Result(run, series)


def rates(name: str, *values: float, side: Side = OURS) -> Series:
    return Series(name, side, {"events/s": dict(enumerate(values))})


def test_every_variant_has_its_turn_in_every_round(tmp_path: Path) -> None:
    log: list[str] = []
    ours, theirs = Ship("ours", (1, 2, 3), log), Ship("theirs", (4, 5, 6), log)
    table = race(Variant("ours", OURS, ours.sail), Variant("theirs", PEER, theirs.sail))

    found = measured(table, Place(tmp_path))

    assert [set(log[at : at + 2]) for at in (0, 2, 4)] == [{"ours", "theirs"}] * 3
    assert [each.figures["events/s"] for each in found] == [{0: 1, 1: 2, 2: 3}, {0: 4, 1: 5, 2: 6}]


def test_the_order_changes_between_rounds(tmp_path: Path) -> None:
    log: list[str] = []
    ships = [Ship(name, range(20), log) for name in ("ours", "theirs")]
    table = race(*(Variant(ship.name, PEER, ship.sail) for ship in ships), rounds=20)

    measured(table, Place(tmp_path))

    assert {tuple(log[at : at + 2]) for at in range(0, 40, 2)} == {("ours", "theirs"), ("theirs", "ours")}


def test_a_table_ends_when_another_round_would_not_fit(tmp_path: Path) -> None:
    log: list[str] = []
    table = race(Variant("ours", OURS, Ship("ours", range(9), log).sail), rounds=9, budget=0.0)

    measured(table, Place(tmp_path))

    assert log == ["ours"]


def test_a_slow_variant_has_only_so_many_turns(tmp_path: Path) -> None:
    log: list[str] = []
    slow = Variant("slow", PEER, Ship("slow", (1,), log).sail, rounds=1)

    found = measured(race(slow, Variant("ours", OURS, Ship("ours", (1, 2, 3), log).sail)), Place(tmp_path))

    assert log.count("slow") == 1
    assert found[0].figures["events/s"] == {0: 1}


def test_a_target_for_a_quantity_that_is_none_is_refused(tmp_path: Path) -> None:
    wrong = race(Variant("ours", OURS, dict), targets=(Target("ours", "knots", at_least=7),))

    with pytest.raises(ValueError, match="'knots', which is none of its quantities"):
        measured(wrong, Place(tmp_path))


@pytest.mark.parametrize(("at_least", "at_most"), [(None, None), (1.0, 2.0)])
def test_a_target_has_one_bound(at_least: float | None, at_most: float | None) -> None:
    with pytest.raises(ValueError, match="needs one bound"):
        Target("ours", "events/s", at_least=at_least, at_most=at_most)


def test_a_ratio_is_taken_round_by_round() -> None:
    # The disk was slow in the second round, for both: the ratio of the medians would be 10 / 4.
    both = result(rates("ours", 10, 2, 30), rates("theirs", 5, 1, 4, side=PEER))

    found = verdict(Target("ours", "events/s", of="theirs", at_least=2), both)

    assert found.found == results.Spread(2, 2, 7.5)
    assert found.is_reached


@pytest.mark.parametrize(
    ("target", "is_reached"),
    [
        (Target("ours", "events/s", at_least=10), True),
        (Target("ours", "events/s", at_least=10.1), False),
        (Target("ours", "events/s", at_most=10), True),
        (Target("ours", "events/s", at_most=9.9), False),
        (Target("ours", "events/s", of="nobody", at_most=1), None),
        (Target("nobody", "events/s", at_most=1), None),
        (Target("ours", "seconds", at_most=1), None),
    ],
)
def test_a_target_is_reached_by_the_median(target: Target, is_reached: bool | None) -> None:
    assert verdict(target, result(rates("ours", 1, 10, 11))).is_reached is is_reached


def test_quantiles_are_of_the_nearest_rank() -> None:
    hundred = [number / 1000 for number in range(1, 101)]

    assert quantiles("append", hundred, 0.5, 0.99, 0.999) == {
        "append p50": 50.0,
        "append p99": 99.0,
        "append p99.9": 100.0,
    }


@given(st.floats(min_value=1e-6, max_value=1e9))
def test_numbers_keep_three_digits(value: float) -> None:
    assert float(words.number(value).replace(",", "")) == pytest.approx(value, rel=0.006)


def test_results_are_read_as_they_were_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "FILE", tmp_path / "results.json")
    grown = Series("ours at 10", OURS, {"seconds": {0: 0.5}}, "ours", 10.0)
    written = {"race": result(rates("ours", 1, 2)), "growth": result(grown)}

    results.save(written)

    assert results.load() == written


def test_the_page_says_who_reached_what() -> None:
    table = race(targets=(Target("ours", "events/s", of="theirs", at_least=2), Target("ours", "events/s", at_most=5)))
    both = result(rates("ours", 10, 12), rates("theirs", 5, 4, side=FLOOR))

    text = page.page([table], {"race": both})

    assert "| ours | 11.0 (10.0–12.0) |  |" in text
    assert "| theirs (floor) | 4.50 (4.00–5.00) | 2.50 × |" in text
    assert "- ours: events/s ≥ 2 × theirs — 2.50 (2.00–3.00): reached" in text
    assert "- ours: events/s ≤ 5 — 11.0 (10.0–12.0): NOT reached" in text
    assert "[A race of two ships](#a-race-of-two-ships)" in text


def test_a_quick_run_says_that_it_was_one() -> None:
    quick = Run("2026-06-21", is_quick=True, machine=QUIET.machine, disk=QUIET.disk, load=0.1)

    assert "**A quick run" in " ".join(page.page([race()], {"race": result(rates("ours", 1), run=quick)}).split())
    assert "**A quick run" not in " ".join(page.page([race()], {"race": result(rates("ours", 1))}).split())


def test_a_table_that_grows_has_a_column_a_size() -> None:
    table = Table(
        name="growth",
        subject="ships",
        title="More ships",
        about="",
        quantities=(RATE,),
        variants=race().variants,
        growth=Growth("ships", "events/s"),
    )
    turns = [growing("ours", OURS, size, dict) for size in (1, 1_000)]
    found = [Series(each.name, each.side, {"events/s": {0: 7.0}}, each.series, each.at) for each in turns]

    assert words.cells(table, result(*found)) == [["events/s at ships", "1", "1,000"], ["ours", "7.00", "7.00"]]


def test_a_plot_has_a_line_a_series() -> None:
    drawn = ElementTree.fromstring(plot({"ours": {10: 1.0, 100: 2.0}, "<theirs>": {10: 3.0}}, x="ships", y="ms"))

    texts = [each.text for each in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert {"ours", "<theirs>", "ships", "ms", "10", "100"} <= set(texts)
    assert len(list(drawn.iter("{http://www.w3.org/2000/svg}circle"))) == 3


def test_sizes_follow_the_scale(tmp_path: Path) -> None:
    assert Place(tmp_path).size(1000, quick=10) == 1000
    assert Place(tmp_path, is_quick=True, scale=3).size(1000, quick=10) == 30
    assert Place(tmp_path, scale=0.0001).size(1000, quick=10) == 1


def test_a_kept_file_is_made_once(tmp_path: Path) -> None:
    place = Place(tmp_path)
    made: list[Path] = []

    assert place.kept("chart", made.append) == place.kept("chart", made.append) == made[0]
    assert len(made) == 1


def test_all_benchmarks_are_asked_for_by_name() -> None:
    names = [table.name for table in registry.tables()]

    assert len(set(names)) == len(names)
    assert [table.name for table in registry.chosen(["fold-cold"])] == ["fold-cold"]
    assert {table.subject for table in registry.chosen(["fold"])} == {"fold"}
    with pytest.raises(ValueError, match="knots: no such benchmark"):
        registry.chosen(["knots"])


def test_all_targets_ask_for_what_is_measured() -> None:
    for table in registry.tables():
        assert {target.quantity for target in table.targets} <= {each.name for each in table.quantities}, table.name
