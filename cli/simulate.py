"""Simulate: plays seeds of the deterministic simulation and adds up what became of them.

In        seeds; how many processes play them side by side.
Out       every failure as it is found, with the line that plays it again; a summary.
Promises  the same seed plays the same story; the exit code is 0 only when every seed ended well.
Why       the simulation lies in the repository's tests, so that is where it is run from.
"""

import importlib
import sys
from itertools import islice
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

ROOT: Final = Path(__file__).parents[1]
TOLD_EVERY: Final = 20


class BadSeedsError(ValueError):
    """What was given names no seeds."""


def seeds_of(text: str) -> range:
    """Read ``"1..1000"`` or ``"17"``.

    Raises:
        BadSeedsError: when it is neither.
    """
    first, dots, last = text.partition("..")
    if not first.isdigit() or not (last.isdigit() if dots else True):
        raise BadSeedsError("give seeds such as 1..1000, or one such as 17")
    seeds = range(int(first), int(last or first) + 1)
    if not seeds:
        raise BadSeedsError("the last seed comes before the first")
    return seeds


def simulate(seeds: range, *, jobs: int, tell: bool, console: Console) -> bool:
    """Play seeds; say whether every one ended well."""
    module = _simulation("players")
    summary = _simulation("played").Summary()
    options = ("--tell",) if tell else ()
    with module.players(min(jobs, len(seeds)), *options) as opened:
        playing = iter(opened.play(seeds))
        while some := list(islice(playing, 1 if tell else TOLD_EVERY)):
            for played in some:
                summary.add(played)
                for fault in played.faults:
                    console.print(f"seed {played.seed}: {fault}", style="red", markup=False)
                if tell:
                    console.print(f"seed {played.seed}: fingerprint {played.digest}")
            console.print(
                f"{summary.seeds} of {len(seeds)} seeds, {len(summary.failed)} failed", style="dim"
            )
    console.print(_table(summary))
    for played in summary.failed:
        console.print(f"again: rooms simulate --seeds {played.seed} --tell", style="red")
    return not summary.failed


def _simulation(name: str) -> Any:  # noqa: ANN401 - a module of the tests
    if not (ROOT / "tests" / "simulation").is_dir():
        sys.exit("the simulation is a part of the repository: run it from there")
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))
    return importlib.import_module(f"tests.simulation.{name}")


def _table(summary: Any) -> Table:  # noqa: ANN401 - of the tests' own
    table = Table("what", "how many")
    table.columns[1].justify = "right"
    for what, count in (
        ("seeds", summary.seeds),
        ("failed", len(summary.failed)),
        ("hours of virtual time", f"{summary.virtual_s / 3600:.1f}"),
        ("transactions on chain", summary.transactions),
        ("statements", summary.statements),
        ("  that waited for a lock", summary.lock_waits),
        ("turns", summary.turns),
        ("processes that died", summary.deaths),
    ):
        table.add_row(what, count if isinstance(count, str) else f"{count:,}")
    table.add_section()
    table.add_row("faults injected", f"{summary.struck.total():,}")
    for counted in (summary.struck, summary.reached):
        for what, count in sorted(counted.items()):
            table.add_row(f"  {what.replace('_', ' ')}", f"{count:,}")
        table.add_section()
    return table
