"""wall: the wall clock the chain goes by: the machine's, or one that only the control moves.

Promises  it never goes back, whatever happens to the machine's clock or between two starts.
"""

import time
from typing import Protocol


class Wall(Protocol):
    """Tell the time in milliseconds since 1970."""

    def now_ms(self) -> int:
        """Return the time."""
        ...


class MachineWall:
    """Follow the machine's clock from a moment that is not before ``floor_ms``."""

    def __init__(self, floor_ms: int) -> None:
        self._start_ms = max(time.time_ns() // 1_000_000, floor_ms)
        self._start_ns = time.monotonic_ns()

    def now_ms(self) -> int:
        """Return the time."""
        return self._start_ms + (time.monotonic_ns() - self._start_ns) // 1_000_000


class ManualWall:
    """Stand still until told to move."""

    def __init__(self, now_ms: int) -> None:
        self._now_ms = now_ms

    def now_ms(self) -> int:
        """Return the time."""
        return self._now_ms

    def move_to(self, now_ms: int) -> None:
        """Move to a later time."""
        assert now_ms >= self._now_ms, "time only goes on"
        self._now_ms = now_ms
