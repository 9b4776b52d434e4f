"""Run: plays the published test set and generated markets, and prints false and missed touches.

Run       python -m tests.oracle_cases [--markets 200]
"""

import argparse
import sys

from rich.console import Console
from rich.table import Table

from tests.oracle_cases.case import VERSION, every, play
from tests.oracle_cases.generated import Tally, tally


def main() -> None:
    """Print both tables; the exit code is 0 when every case of the set is decided as written."""
    asked = argparse.ArgumentParser(description="Play the oracle's test set.")
    asked.add_argument("--markets", type=int, default=200, help="how many generated markets")
    markets = asked.parse_args().markets
    console = Console(width=None if sys.stdout.isatty() else 110)
    wrong = 0
    table = Table("case", "room", "instant", "held 3 s", title=f"test set, version {VERSION}")
    tallies = {"instant": Tally(), "held": Tally()}
    for case in every():
        for wanted, found in zip(case.rooms, play(case), strict=True):
            wrong += found != wanted.outcomes
            way = "≥" if wanted.up else "≤"
            shown = [
                found[rule] if found[rule] == said else f"{found[rule]}, not {said}"
                for rule, said in wanted.outcomes.items()
            ]
            table.add_row(case.name, f"{way} {wanted.target / 10**8:g}", *shown)
            for rule, tallied in tallies.items():
                # A poke is no held touch: what must be decided says what is true of a hold.
                truth = wanted.touched if rule == "instant" else "YES" in wanted.outcomes[rule]
                tallied.add(found[rule].split()[0], truth=truth)
    console.print(table)
    console.print(_rates(f"the set, {sum(len(case.rooms) for case in every())} rooms", tallies))
    console.print(_rates(f"{markets} generated jump-diffusion markets", tally(range(markets))))
    if wrong:
        sys.exit(f"{wrong} rooms were decided otherwise than the set says")


def _rates(title: str, tallies: dict[str, Tally]) -> Table:
    table = Table("touch rule", "touched", "untouched", "false touches", "missed touches", "void")
    table.title = title
    for rule, tallied in tallies.items():
        table.add_row(
            rule,
            str(tallied.touched),
            str(tallied.untouched),
            _rate(tallied.false_touches, tallied.untouched),
            _rate(tallied.missed_touches, tallied.touched),
            str(tallied.void),
        )
    return table


def _rate(count: int, whole: int) -> str:
    return f"{count} ({100 * count / whole:.1f} %)" if whole else str(count)


if __name__ == "__main__":
    main()
