"""Coverage: the stretches of a feed's log in which there was no index price.

In        moments at which there was one.
Out       of a watch, how long it was without a price, together and at once.
Promises  a price is known only when the log says something: a stretch without messages is a gap
          like one of silence.
"""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass

from rooms.units import BPS_WHOLE, Bps, UnixMs

GAP_KEPT_MS_MIN = 500
"""Shorter gaps can void nothing and are forgotten."""

THIN_MS_MIN = 5_000
"""So little makes no coverage thin: watches of seconds are for trying out."""

_PRUNED_AT = 64


@dataclass(frozen=True, slots=True)
class Coverage:
    """Say how much of a watch had no index price.

    Attributes:
        until: the moment up to which it was looked at: the decision, or the deadline.
        missing_ms: all gaps of half a second or more together.
        longest_gap_ms: the longest of them.
    """

    since: UnixMs
    until: UnixMs
    missing_ms: int
    longest_gap_ms: int

    def is_thin(self, bps_min: Bps) -> bool:
        """Say whether less than so much of it had a price; a few seconds are forgiven."""
        whole_ms = self.until - self.since
        return (
            self.missing_ms > THIN_MS_MIN
            and (whole_ms - self.missing_ms) * BPS_WHOLE < whole_ms * bps_min
        )


class Gaps:
    """Remember gaps, in order, for as long as a room may ask for them."""

    def __init__(
        self,
        priced_at: UnixMs | None = None,
        gaps: Iterable[tuple[UnixMs, UnixMs]] = (),
    ) -> None:
        self.priced_at = priced_at
        self._gaps = list(gaps)
        self._pruned_at = _PRUNED_AT

    @property
    def kept(self) -> tuple[tuple[UnixMs, UnixMs], ...]:
        """Return the gaps that are remembered."""
        return tuple(self._gaps)

    @property
    def are_many(self) -> bool:
        """Say whether it is time to forget those that nobody can ask for."""
        return len(self._gaps) >= self._pruned_at

    def forget_before(self, earliest: UnixMs) -> None:
        """Forget gaps that ended by then."""
        self._gaps = [gap for gap in self._gaps if gap[1] > earliest]
        self._pruned_at = max(_PRUNED_AT, 2 * len(self._gaps))

    def note_priced(self, at: UnixMs) -> None:
        """Note that there is a price at this moment, as there was not since the last note."""
        since, self.priced_at = self.priced_at, at
        if since is not None and at - since >= GAP_KEPT_MS_MIN:
            self._gaps.append((since, at))

    def coverage(self, since: UnixMs, until: UnixMs) -> Coverage:
        """Return how much of a stretch had no price; what is not known yet is missing."""
        missing = longest = 0
        first = bisect_right(self._gaps, since, key=lambda gap: gap[1])
        last = (self.priced_at or since, until)
        for begin, end in (*self._gaps[first:], last):
            gap = min(end, until) - max(begin, since)
            if gap >= GAP_KEPT_MS_MIN:
                missing += gap
                longest = max(longest, gap)
        return Coverage(since, until, missing, longest)
