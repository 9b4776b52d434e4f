"""Pace: how soon the next one may go, when so many may go a second and so many at once.

In        the moment, in seconds of any clock that never goes back.
Out       how long to wait; whether one more is too many.
Promises  pure but for its own count; over any stretch of time no more go than were allowed.
"""

from dataclasses import dataclass


@dataclass(slots=True)
class Pace:
    """Let one through each ``1 / per_s`` seconds, after ``burst`` at once."""

    per_s: float
    burst: int
    _due_s: float = 0.0

    def wait_s(self, now_s: float) -> float:
        """Take the next turn and return how long it has to wait."""
        gap_s = 1 / self.per_s
        due_s = max(self._due_s, now_s - (self.burst - 1) * gap_s)
        self._due_s = due_s + gap_s
        return max(0.0, due_s - now_s)

    def allows(self, now_s: float) -> bool:
        """Take a turn if there is one now, and say whether there was."""
        gap_s = 1 / self.per_s
        due_s = max(self._due_s, now_s - (self.burst - 1) * gap_s)
        if due_s > now_s:
            return False
        self._due_s = due_s + gap_s
        return True

    def hold_until(self, at_s: float) -> None:
        """Let nothing through before ``at_s``, and then one by one."""
        self._due_s = max(self._due_s, at_s)

    def is_idle(self, now_s: float) -> bool:
        """Say whether this pace no longer remembers anything that matters."""
        return self._due_s <= now_s - self.burst / self.per_s
