"""Giving: what a plain feed gives to the feeds that are derived from it.

In        the effects of its log, in order; which derived feeds are wanted now.
Out       messages for the logs of those.
Promises  every price and silence that is told is given, in its order; a feed that says nothing new
          says so four times a second, so that those that wait for it need not wait long.
Why       an input's log is read by one worker, and what it gives lies in the derived feed's log.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from rooms.feed_log import SecondClosed
from rooms.index_price import IndexPrice, Silence
from rooms.look_back import LookBack, Step, Steps
from rooms.units import UnixMs
from streams import messages

BEAT_MS: Final = 250

_Said = tuple[UnixMs, IndexPrice | Silence, tuple[LookBack, ...]]


class Giver:
    """Give for one plain feed.

    Attributes:
        now: what the feed is.
    """

    def __init__(self, feed: str, now: IndexPrice | Silence | None) -> None:
        self.now = now
        self._feed = feed
        self._spans: dict[str, tuple[int, ...]] = {}
        self._steps: dict[int, Steps] = {}
        self._told: list[_Said] = []
        self._given: dict[str, _Said] = {}

    @property
    def unread(self) -> list[int]:
        """Return the spans of which nothing stored was read yet."""
        return [span for span, steps in self._steps.items() if not steps.is_whole]

    def want(self, spans: Mapping[str, tuple[int, ...]]) -> None:
        """Give to these derived feeds from now on, with looks back over these spans."""
        self._spans = dict(spans)
        self._given = {name: said for name, said in self._given.items() if name in spans}
        needed = {span for each in spans.values() for span in each}
        self._steps = {span: self._steps.get(span) or Steps(span) for span in needed}

    def read(self, span_ms: int, stored: Iterable[Step]) -> None:
        """Take the steps of a span as they were stored."""
        steps = self._steps.get(span_ms)
        if steps is not None:
            steps.read(stored)

    def note(self, price: IndexPrice | Silence) -> None:
        """Note that the feed is another than before."""
        self.now = price
        if isinstance(price, IndexPrice):
            for steps in self._steps.values():
                steps.note(price.value)
        if self._spans:
            self._told.append(self._said(price.at))

    def close(self, second: SecondClosed) -> None:
        """Note that a second is over."""
        for steps in self._steps.values():
            steps.close(second.second_at, second.low, second.high, second.last)

    def messages(self, position: int, at: UnixMs) -> Iterator[messages.Inputs]:
        """Give what a message of the feed's log gave, to every derived feed that is due.

        Args:
            position: the message's offset.
            at: the log's time after it.
        """
        told, self._told = self._told, []
        if self.now is None:
            return
        for name, spans in self._spans.items():
            before = self._given.get(name)
            if told:
                said = told
            elif before is None or at - before[0] >= BEAT_MS:
                said = [self._said(at)]
            else:
                continue
            words = [(when, price, _only(looks, spans)) for when, price, looks in said]
            if not told and before is not None and _same(before, said[0], spans):
                yield messages.inputs(name, self._feed, position, at, [(at, None, ())])
            else:
                yield messages.inputs(name, self._feed, position, at, words)
            self._given[name] = at, *said[-1][1:]

    def _said(self, at: UnixMs) -> _Said:
        assert self.now is not None, "the feed is something"
        if isinstance(self.now, Silence):
            return at, self.now, ()
        value = self.now.value
        return at, self.now, tuple(steps.look(at, value) for steps in self._steps.values())


def _only(looks: Iterable[LookBack], spans: tuple[int, ...]) -> tuple[LookBack, ...]:
    return tuple(look for look in looks if look.span_ms in spans)


def _same(before: _Said, said: _Said, spans: tuple[int, ...]) -> bool:
    return before[1] is said[1] and _only(before[2], spans) == _only(said[2], spans)
