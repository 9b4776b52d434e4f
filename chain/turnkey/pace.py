"""Pace: how fast a service may be asked, and when it is left alone.

In        the time, in milliseconds, as an argument.
Out       how long to wait before the next request.
Promises  over any stretch no more requests than the rate and one burst; after so many failures in a
          row nothing is asked for a while, then one request tries.
"""

from dataclasses import dataclass

from rooms.units import UnixMs

MINUTE_MS = 60_000


class Bucket:
    """A token bucket, counted in whole milliseconds of allowance."""

    def __init__(self, per_minute: int, burst: int) -> None:
        assert per_minute > 0, "a rate is positive"
        assert burst > 0, "a burst is positive"
        self._cost_ms = -(-MINUTE_MS // per_minute)
        self._credit_ms_max = self._cost_ms * burst
        self._credit_ms = self._credit_ms_max
        self._at: UnixMs | None = None

    def take(self, at: UnixMs) -> int:
        """Take one request's worth; return how many milliseconds to wait before it is sent."""
        if self._at is not None:
            gained = max(0, at - self._at)
            self._credit_ms = min(self._credit_ms_max, self._credit_ms + gained)
        self._at = at if self._at is None else UnixMs(max(at, self._at))
        self._credit_ms -= self._cost_ms
        return max(0, -self._credit_ms)


@dataclass(slots=True)
class Breaker:
    """Counts failures in a row, and rests after too many."""

    failures_max: int
    rest_ms: int
    _failures: int = 0
    _rests_until: UnixMs = UnixMs(0)

    def rest(self, at: UnixMs) -> int:
        """Return for how many milliseconds nothing may be asked."""
        return max(0, self._rests_until - at)

    def succeeded(self) -> None:
        """Forget earlier failures."""
        self._failures = 0

    def failed(self, at: UnixMs) -> None:
        """Count a failure; one too many, and the rest begins."""
        self._failures += 1
        if self._failures >= self.failures_max:
            self._rests_until = UnixMs(at + self.rest_ms)
