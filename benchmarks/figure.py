"""Figure: one row of the table of benchmarks, and the table.

In        what was measured, ours and a peer's, with the goal that one of them is judged by.
Out       whether the goal holds; a table for a person; the same rows as JSON.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What a figure must reach.

    Attributes:
        of_ratio: the ratio of ours to the peer's is judged; otherwise ours alone.
    """

    most: float | None = None
    least: float | None = None
    of_ratio: bool = True
    unit: str = "×"

    def holds(self, value: float) -> bool:
        """Judge a value."""
        return (self.most is None or value <= self.most) and (
            self.least is None or value >= self.least
        )

    def __str__(self) -> str:
        bounds = [("≤", self.most), ("≥", self.least)]
        return ", ".join(
            f"{sign} {shown(bound)}{'' if self.unit == '×' else ' '}{self.unit}"
            for sign, bound in bounds
            if bound is not None
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One measured figure.

    Attributes:
        number: of the goal, such as ``P4``.
        what: what was measured, in words.
        on: the broker it was measured on; empty where none takes part.
        against: who the peer is.
        goal: None for a figure that is only printed.
    """

    number: str
    what: str
    ours: float
    unit: str
    on: str = ""
    peer: float | None = None
    against: str = ""
    goal: Goal | None = None

    @property
    def ratio(self) -> float | None:
        """Return ours by the peer's, or None without a peer."""
        return self.ours / self.peer if self.peer else None

    @property
    def holds(self) -> bool | None:
        """Say whether the goal holds, or None without a goal."""
        if self.goal is None:
            return None
        judged = self.ratio if self.goal.of_ratio else self.ours
        return judged is not None and self.goal.holds(judged)


def shown(value: float) -> str:
    """Write a number as a person reads it: three digits that matter, thousands apart."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}".rstrip("0").rstrip(".")


def show(figures: Sequence[Figure], console: Console | None = None) -> None:
    """Print figures as one table."""
    table = Table(title="what it must reach, and what was measured")
    for name in ("", "figure", "broker"):
        table.add_column(name)
    for name in ("ours", "peer", "ratio", "goal"):
        table.add_column(name, justify="right")
    table.add_column("holds?")
    table.add_column("peer is")
    for each in figures:
        table.add_row(
            each.number,
            each.what,
            each.on,
            f"{shown(each.ours)} {each.unit}",
            "" if each.peer is None else f"{shown(each.peer)} {each.unit}",
            "" if each.ratio is None else f"{shown(each.ratio)}×",
            "" if each.goal is None else str(each.goal),
            {True: "[green]yes[/]", False: "[red]no[/]", None: ""}[each.holds],
            each.against,
        )
    (console or Console(width=WIDE)).print(table)


def write(figures: Iterable[Figure], path: Path) -> None:
    """Write figures as JSON, for whoever compares two runs."""
    rows = [asdict(each) | {"ratio": each.ratio, "holds": each.holds} for each in figures]
    path.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


WIDE = 160
