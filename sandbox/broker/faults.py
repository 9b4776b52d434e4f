"""Faults: what goes wrong because somebody asked for it.

In        calls from a test, or from the control port.
Out       what the connections ask before they read or answer, and the produce handler before it
          appends.
Promises  nothing goes wrong unasked; a thaw lets everything go on where it stood.
"""

from collections.abc import Callable


class Faults:
    """The faults that are in force now."""

    def __init__(self) -> None:
        self.delay_ms = 0
        self.frozen = False
        self._duplicates_left = 0
        self._on_thaw: list[Callable[[], None]] = []

    @property
    def duplicates_left(self) -> int:
        """Count the batches still to be appended twice."""
        return self._duplicates_left

    def slow(self, delay_ms: int) -> None:
        """Hold every answer back for so long; 0 ends it."""
        self.delay_ms = delay_ms

    def freeze(self) -> None:
        """Read no request and give no answer until `thaw`."""
        self.frozen = True

    def thaw(self) -> None:
        """Go on where `freeze` stopped."""
        self.frozen = False
        waiting, self._on_thaw = self._on_thaw, []
        for go_on in waiting:
            go_on()

    def when_thawed(self, go_on: Callable[[], None]) -> None:
        """Call back once after the next `thaw`."""
        self._on_thaw.append(go_on)

    def duplicate(self, batches: int) -> None:
        """Append each of the next batches twice."""
        self._duplicates_left = batches

    def take_duplicate(self) -> bool:
        """Say whether the batch at hand is to be appended twice, and count it."""
        if self._duplicates_left == 0:
            return False
        self._duplicates_left -= 1
        return True
