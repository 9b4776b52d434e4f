"""Book: the targets of a feed's rooms, sorted, so that a price asks only the nearest.

In        targets added and taken out, one by one or packed; values.
Out       the rooms that a value reaches, each once.
Holds     of packed rooms only the nearest target each way; the next follows when it is reached.
Promises  a value that reaches nothing costs two comparisons, however many rooms are open.
"""

from heapq import heappop, heappush

from rooms.packed import PackedRooms
from rooms.room import Comparator
from rooms.units import Value


class Book:
    """Hold sorted targets; what is taken out is passed over when it comes to the top."""

    def __init__(self) -> None:
        self._up: list[tuple[int, int]] = []
        self._down: list[tuple[int, int]] = []
        self._target: dict[int, int] = {}
        self._packed = PackedRooms()
        self._nearest: dict[Comparator, int] = {}

    def add(self, room: int, comparator: Comparator, target: Value) -> None:
        """Watch for ``target``; a room has one target, which never changes."""
        assert self._target.get(room, target) == target, "a target is fixed once"
        if room in self._target:
            return
        self._target[room] = target
        self._push(comparator, target, room)

    def add_packed(self, packed: PackedRooms) -> None:
        """Watch for the targets of packed rooms, until each is taken out there."""
        self._packed = packed
        for comparator in Comparator:
            self._push_nearest(comparator)

    def remove(self, room: int) -> None:
        """Watch no longer; a room that is not here is no mistake."""
        self._target.pop(room, None)

    def take_reached(self, value: Value) -> list[int]:
        """Take out and return the rooms that ``value`` reaches, nearest target first."""
        taken: list[int] = []
        while self._up and self._up[0][0] <= value:
            self._take(heappop(self._up), Comparator.UP, taken)
        while self._down and -self._down[0][0] >= value:
            self._take(heappop(self._down), Comparator.DOWN, taken)
        return taken

    def _take(self, top: tuple[int, int], comparator: Comparator, taken: list[int]) -> None:
        key, room = top
        if self._nearest.get(comparator) == room:
            self._push_nearest(comparator)
            if room in self._packed:
                taken.append(room)
        elif self._target.get(room) == comparator * key:
            del self._target[room]
            taken.append(room)

    def _push_nearest(self, comparator: Comparator) -> None:
        self._nearest.pop(comparator, None)
        if (nearest := self._packed.next_target(comparator)) is not None:
            target, room = nearest
            self._nearest[comparator] = room
            self._push(comparator, target, room)

    def _push(self, comparator: Comparator, target: int, room: int) -> None:
        heap = self._up if comparator is Comparator.UP else self._down
        heappush(heap, (comparator * target, room))
