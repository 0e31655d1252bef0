"""Measure us and our peers side by side, and write docs/performance.md: `make bench`."""

from __future__ import annotations

import argparse
import os
import sys
import time
import traceback
from collections.abc import Sequence
from datetime import UTC, datetime

from benchmarks import machine, page, results
from benchmarks.harness import Table, measured
from benchmarks.place import Place, a_place
from benchmarks.registry import chosen, tables
from benchmarks.results import Result, Run
from benchmarks.words import cells, found_words, plain_table, target_words, verdicts


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmarks that were asked for; returns the exit code."""
    asked = _parser().parse_args(arguments)
    try:
        wanted = chosen(asked.benchmarks)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    if asked.list:
        print(plain_table([["subject", "name", "title"], *([t.subject, t.name, t.title] for t in wanted)]))
        return 0
    if asked.page:
        page.write_page(tables(), results.load())
        return 0
    return _run(wanted, asked)


def _run(wanted: Sequence[Table], asked: argparse.Namespace) -> int:
    began, held, is_good, broken = time.monotonic(), results.load(), True, []
    with a_place(is_quick=asked.quick, scale=asked.scale) as place:
        description = machine.machine()
        for table in wanted:
            try:
                held[table.name] = result = _measured(table, place, description, asked.rounds)
            except Exception:  # the other tables are worth having all the same
                traceback.print_exc()
                broken.append(table.name)
                continue
            is_good &= _show(table, result)
            if not asked.dry:  # after each table: what was measured stays measured if a later one is interrupted
                results.save(held)
                page.write_page(tables(), held)
    print(f"{time.monotonic() - began:.0f} s", file=sys.stderr)
    if broken:
        print(f"not measured, for the reasons above: {', '.join(broken)}", file=sys.stderr)
    return 1 if broken or (asked.check and not is_good) else 0


def _measured(table: Table, place: Place, description: dict[str, str], rounds: int | None) -> Result:
    with place.folder() as folder:
        run = Run(
            date=datetime.now(UTC).date().isoformat(),
            is_quick=place.is_quick,
            machine=description,
            disk=machine.disk(folder),
            load=round(os.getloadavg()[0], 2),
        )
    return Result(run, tuple(measured(table, place, rounds=rounds or (2 if place.is_quick else None))))


def _show(table: Table, result: Result) -> bool:
    print(f"{table.title}\n{plain_table(cells(table, result))}")
    judged = verdicts(table, result)
    for each in judged:
        print(f"  {target_words(each.target, table)}: {found_words(each)}")
    print(flush=True)
    return all(each.is_reached is not False for each in judged)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("benchmarks", nargs="*", help="subjects or names of tables; all when none is given")
    parser.add_argument("--quick", action="store_true", help="smaller and fewer: rough figures within three minutes")
    parser.add_argument("--rounds", type=_rounds, help="how many rounds at most, in place of each table's own")
    parser.add_argument("--scale", type=float, default=1.0, help="multiply every size by this")
    parser.add_argument("--dry", action="store_true", help="print only; leave the results and the page alone")
    parser.add_argument("--page", action="store_true", help="measure nothing; make the page from the stored results")
    parser.add_argument("--check", action="store_true", help="exit 1 when a target that was measured is not reached")
    parser.add_argument("--list", action="store_true", help="say what there is")
    return parser


def _rounds(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("there must be at least one round")
    return number


if __name__ == "__main__":
    sys.exit(main())
