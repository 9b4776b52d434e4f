"""Scale: how many of each process a stack runs.

In        what a person says: `worker=3`.
Out       the number of copies of each process that there are several of.
Promises  whatever is not one of our processes, or not a small number, is one clear line.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from cli.embedded import LISTENS
from cli.ports import free_ports

SCALED: Final = ("feeds", "worker", "gateway", "custody", "bot", "auditor")
"""Those that share the work, and those of which one works and the others stand by."""

COPIES_MAX: Final = 9


class BadScaleError(ValueError):
    """What was said is no scale; the message says what is expected."""


def copies_of(said: Iterable[str]) -> Mapping[str, int]:
    """Read each ``process=count``.

    Raises:
        BadScaleError: when one of them is something else.
    """
    copies: dict[str, int] = {}
    for each in said:
        name, _, count = each.partition("=")
        if name not in SCALED:
            raise BadScaleError(f"choose one of {', '.join(SCALED)}, such as worker=3")
        if not count.isascii() or not count.isdigit() or not 1 <= int(count) <= COPIES_MAX:
            raise BadScaleError(f"say how many {name} there are, 1 to {COPIES_MAX}: {name}=2")
        copies[name] = int(count)
    return copies


def more_ports_of(copies: Mapping[str, int]) -> Mapping[str, tuple[int, ...]]:
    """Choose free ports for all copies but the first of each process that listens."""
    return {name: free_ports(copies.get(name, 1) - 1) for name in LISTENS}
