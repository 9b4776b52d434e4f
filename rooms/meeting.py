"""Meeting: where the inputs of a derived feed meet, in the order of their own times.

In        what each input's log has said, and until when it was read; in any order between inputs.
Out       words in the order of time, up to the moment until which all inputs are known.
Holds     words that wait for another input's.
Promises  the same whatever the order in which inputs arrive; a word heard twice is heard once; an
          input that stays behind is waited for so long, by the time of the others, and no longer.
Why       inputs lie in other partitions, read by other workers. Were they joined as they arrive, a
          worker that is late by seconds would make prices meet that never were at one time, and a
          room could be decided by a ratio that the market never had.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from rooms.derived import Word
from rooms.units import UnixMs

PATIENCE_MS: Final = 30_000
WAITING_MAX: Final = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What one message of an input's log gave.

    Attributes:
        feed: the input.
        position: that message's offset in its log.
        at: the time until which its log was read.
        words: nothing when it is as before.
    """

    feed: str
    position: int
    at: UnixMs
    words: tuple[Word, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MeetingMemory:
    """All that a meeting must remember to go on where it was.

    Attributes:
        known_until: of every input that was heard, until when it is known.
        waiting: words that have not been let through.
    """

    known_until: tuple[tuple[str, UnixMs], ...] = ()
    waiting: tuple[Word, ...] = ()


class Meeting:
    """Let words through in the order of time."""

    def __init__(self, feeds: Iterable[str], memory: MeetingMemory, at: UnixMs) -> None:
        self._feeds = tuple(feeds)
        self._known_until = dict(memory.known_until)
        self._waiting = [(_order(word), word) for word in memory.waiting]
        self._at = at

    def take(self, given: Given) -> None:
        """Take what an input's log gave; what is heard twice waits once."""
        known_until = self._known_until.get(given.feed, UnixMs(0))
        self._known_until[given.feed] = max(known_until, given.at)
        for word in given.words:
            entry = _order(word), word
            place = bisect_left(self._waiting, entry[0], key=_first)
            if self._waiting[place : place + 1] != [entry]:
                self._waiting.insert(place, entry)

    def is_later(self, given: Given) -> bool:
        """Say whether an input was not known so far yet."""
        return given.at > self._known_until.get(given.feed, 0)

    def let_through(self) -> Iterator[tuple[UnixMs, Sequence[Word]]]:
        """Give the words until which all inputs are known, a second at a time, each with its end.

        A word that comes too late to be in order comes first.
        """
        until = self._until()
        while self._waiting and self._waiting[0][1].at <= until:
            second = max(self._at, self._waiting[0][1].at) // 1000
            count = bisect_left(self._waiting, (second + 1) * 1000, key=_time)
            count = min(count, bisect_right(self._waiting, until, key=_time))
            words = [word for _, word in self._waiting[:count]]
            del self._waiting[:count]
            self._at = max(self._at, words[-1].at)
            yield self._at, words
        self._at = max(self._at, until)
        yield self._at, ()

    def memory(self) -> MeetingMemory:
        """Return what must be stored to go on exactly here."""
        return MeetingMemory(
            known_until=tuple(sorted(self._known_until.items())),
            waiting=tuple(word for _, word in self._waiting),
        )

    def _until(self) -> UnixMs:
        newest = max(self._known_until.values())
        if len(self._waiting) > WAITING_MAX:
            return newest
        slowest = min(self._known_until.get(feed, 0) for feed in self._feeds)
        return UnixMs(max(self._at, slowest, newest - PATIENCE_MS))


_Order = tuple[UnixMs, str, int, int]


def _order(word: Word) -> _Order:
    return word.at, word.feed, word.position, word.nth


def _first(entry: tuple[_Order, Word]) -> _Order:
    return entry[0]


def _time(entry: tuple[_Order, Word]) -> UnixMs:
    return entry[1].at
