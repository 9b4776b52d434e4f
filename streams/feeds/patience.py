"""Patience: how long to wait before the next connection.

In        how many connections in a row failed, when the earlier ones were tried, a random source.
Out       milliseconds to wait.
Promises  waits grow from half a second to half a minute and spread over their whole range; a
          venue's limit of connections is kept however the waits fall.
Why       after an outage everybody comes back at once; full jitter is what spreads them out.
"""

from collections import deque
from dataclasses import dataclass
from random import Random

from streams.feeds.venue import Attempts


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """The waits that all venues share; tests make them small.

    Attributes:
        calm_ms: so long of good data forgives the failures before it.
        overlap_ms: how long an old line is still heard when its successor has begun.
        behind_ms, behind_count: so many ticks in a row so late mean a backlog: start afresh.
    """

    open_ms: int = 10_000
    close_ms: int = 1_000
    retry_first_ms: int = 500
    retry_max_ms: int = 30_000
    told_to_wait_max_ms: int = 300_000
    calm_ms: int = 60_000
    overlap_ms: int = 2_000
    behind_ms: int = 10_000
    behind_count: int = 50


def retry_ms(failures: int, patience: Patience, random: Random) -> int:
    """Draw the wait after so many failures in a row: none after none, then full jitter."""
    if failures == 0:
        return 0
    ceiling = min(patience.retry_first_ms << min(failures - 1, 16), patience.retry_max_ms)
    return random.randint(0, ceiling)


class Pace:
    """Keeps connections within a venue's limit."""

    def __init__(self, attempts: Attempts) -> None:
        self._window_ms = attempts.window_ms
        self._tried: deque[int] = deque(maxlen=attempts.count)

    def wait_ms(self, now_ms: int) -> int:
        """Say how long the next attempt has to wait."""
        if len(self._tried) < (self._tried.maxlen or 0):
            return 0
        return max(0, self._tried[0] + self._window_ms - now_ms)

    def tried(self, now_ms: int) -> None:
        """Count an attempt."""
        self._tried.append(now_ms)
