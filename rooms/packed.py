"""Packed rooms: the watched rooms of a feed, very many of them, as columns of whole numbers.

In        when a feed is taken over, its rooms whose watch has begun, page by page;
          but not those that must stay at their target, as those have more to remember.
Out       one of them by its id; the nearest target each way; the next deadline.
Holds     some 50 bytes a room; one by itself takes 700.
Promises  targets and deadlines come in the order in which those of single rooms would.
Why       whoever takes a feed over must know all its rooms before the next tick, and to make a
          million objects takes seconds.
"""

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from rooms.room import Comparator
from rooms.units import UnixMs, Value


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedRoom:
    """What the log needs of a watched room whose target is fixed, and decides at first touch."""

    id: int
    comparator: Comparator
    target: Value
    watch_at: UnixMs
    deadline_at: UnixMs
    gap_ms_max: int


class PackedRooms:
    """Rooms as columns, each room at a place of its own; one that is taken out leaves it empty."""

    def __init__(self) -> None:
        self._ids = array("q")
        self._targets = array("q")
        self._watch_at = array("q")
        self._deadline_at = array("q")
        self._gap_ms_max = array("i")
        self._up_count = 0
        # Set by `seal`: places by id and by deadline, who is out, how far each order was gone.
        self._by_id = array("I")
        self._by_deadline = array("I")
        self._is_out = bytearray()
        self._count = 0
        self._up = self._down = self._deadline = 0
        self.earliest_watch_at: UnixMs | None = None

    def add(self, page: Sequence[Iterable[int]]) -> None:
        """Take a page of rows: first those upwards, then downwards; the nearest target first.

        A row is id, comparator, target, start of the watch, deadline, and the longest gap that does
        not void.
        """
        ids, comparators, targets, watch_at, deadline_at, gap_ms_max = zip(*page, strict=True)
        self._ids.extend(ids)
        self._targets.extend(targets)
        self._watch_at.extend(watch_at)
        self._deadline_at.extend(deadline_at)
        self._gap_ms_max.extend(gap_ms_max)
        self._up_count += comparators.count(Comparator.UP)

    def seal(self) -> None:
        """Take no more pages, and give the rooms."""
        count = len(self._ids)
        self._by_id = array("I", sorted(range(count), key=self._ids.__getitem__))
        # Equal deadlines come by id, as places are given in that order here.
        self._by_deadline = array("I", sorted(self._by_id, key=self._deadline_at.__getitem__))
        self._is_out = bytearray(count)
        self._count = count
        self._down = self._up_count
        self.earliest_watch_at = UnixMs(min(self._watch_at)) if count else None

    def __len__(self) -> int:
        """Return how many are left."""
        return self._count

    def __contains__(self, room: int) -> bool:
        """Say whether a room is here and not out."""
        place = self._place(room)
        return place is not None and not self._is_out[place]

    def get(self, room: int) -> WatchedRoom | None:
        """Return a room that is not out."""
        place = self._place(room)
        return None if place is None or self._is_out[place] else self._room(place)

    def take_out(self, room: int) -> None:
        """Give a room no more; one that is not here is no mistake."""
        place = self._place(room)
        if place is not None and not self._is_out[place]:
            self._is_out[place] = True
            self._count -= 1

    def next_target(self, comparator: Comparator) -> tuple[int, int] | None:
        """Give the nearest target that way which was not given yet, and its room."""
        while True:
            if comparator is Comparator.UP:
                place, end = self._up, self._up_count
                self._up += place < end
            else:
                place, end = self._down, len(self._ids)
                self._down += place < end
            if place == end:
                return None
            if not self._is_out[place]:
                return self._targets[place], self._ids[place]

    def next_deadline(self) -> tuple[int, int] | None:
        """Give the earliest deadline that was not given yet, and its room."""
        while self._deadline < len(self._by_deadline):
            place = self._by_deadline[self._deadline]
            self._deadline += 1
            if not self._is_out[place]:
                return self._deadline_at[place], self._ids[place]
        return None

    def left(self) -> Iterator[WatchedRoom]:
        """Give all that are not out."""
        for place, is_out in enumerate(self._is_out):
            if not is_out:
                yield self._room(place)

    def _place(self, room: int) -> int | None:
        nth = bisect_left(self._by_id, room, key=self._ids.__getitem__)
        if nth == len(self._by_id) or self._ids[self._by_id[nth]] != room:
            return None
        return self._by_id[nth]

    def _room(self, place: int) -> WatchedRoom:
        return WatchedRoom(
            id=self._ids[place],
            comparator=Comparator.UP if place < self._up_count else Comparator.DOWN,
            target=Value(self._targets[place]),
            watch_at=UnixMs(self._watch_at[place]),
            deadline_at=UnixMs(self._deadline_at[place]),
            gap_ms_max=self._gap_ms_max[place],
        )
