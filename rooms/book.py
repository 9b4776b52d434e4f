"""Book: the targets of a feed's rooms, sorted, so that a price asks only the nearest.

In        targets added and taken out; values.
Out       the rooms that a value reaches, each once.
Promises  a value that reaches nothing costs two comparisons, however many rooms are open.
"""

from heapq import heappop, heappush

from rooms.room import Comparator
from rooms.units import Value


class Book:
    """Hold sorted targets; what is taken out is passed over when it comes to the top."""

    def __init__(self) -> None:
        self._up: list[tuple[int, int]] = []
        self._down: list[tuple[int, int]] = []
        self._target: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._target)

    def add(self, room: int, comparator: Comparator, target: Value) -> None:
        """Watch for ``target``; a room has one target, which never changes."""
        assert self._target.get(room, target) == target, "a target is fixed once"
        if room in self._target:
            return
        self._target[room] = target
        if comparator is Comparator.UP:
            heappush(self._up, (target, room))
        else:
            heappush(self._down, (-target, room))

    def remove(self, room: int) -> None:
        """Watch no longer; a room that is not here is no mistake."""
        self._target.pop(room, None)

    def take_reached(self, value: Value) -> list[int]:
        """Take out and return the rooms that ``value`` reaches, nearest target first."""
        taken: list[int] = []
        while self._up and self._up[0][0] <= value:
            self._take(heappop(self._up), 1, taken)
        while self._down and -self._down[0][0] >= value:
            self._take(heappop(self._down), -1, taken)
        return taken

    def _take(self, top: tuple[int, int], sign: int, taken: list[int]) -> None:
        target, room = top
        if self._target.get(room) == sign * target:
            del self._target[room]
            taken.append(room)
