"""Derived log: the feed log of a derived feed.

In        what its inputs' logs gave; rooms opened and stopped.
Out       the effects of `rooms.feed_log`.
Holds     the meeting of its inputs, their newest words, and a feed log that judges them.
Promises  what `rooms.feed_log` promises; what was on its way when it stopped is not lost.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from rooms.derived import Derivation, Inputs, Word, scale_of
from rooms.expression.form import formula
from rooms.expression.reading import Misread
from rooms.feed import Feed, Guards
from rooms.feed_log import Effect, FeedLog, Memory, OpenRoom, SecondClosed
from rooms.meeting import Given, Meeting, MeetingMemory
from rooms.refusal import Impossible, must
from rooms.units import UnixMs


class DerivedLog(FeedLog):
    """Apply a derived feed's log in order; otherwise as `FeedLog`."""

    def __init__(
        self,
        derivation: Derivation,
        guards: Guards,
        *,
        memory: Memory | None = None,
        rooms: Iterable[OpenRoom] = (),
    ) -> None:
        at = memory.at if memory else UnixMs(0)
        self._feeds = derivation.formula.feeds
        self._inputs = Inputs(derivation, memory.words if memory else (), at)
        met = memory.meeting if memory else MeetingMemory()
        self._meeting = Meeting(derivation.formula.feeds, met, at)
        self._passing: Sequence[Word] = ()
        super().__init__(guards, memory=memory, rooms=rooms, judge=self._inputs)

    @property
    def feeds(self) -> tuple[str, ...]:
        """Return the inputs."""
        return self._feeds

    def is_later(self, given: Given) -> bool:
        """Say whether an input was not known so far yet."""
        return self._meeting.is_later(given)

    def hear_given(self, given: Given) -> Iterator[Effect]:
        """Apply one message: what passes now that an input is known further."""
        self._meeting.take(given)
        for at, words in self._meeting.let_through():
            self._passing = words
            for effect in self.hear(at, words):
                self._passing = self._passing if isinstance(effect, SecondClosed) else ()
                yield effect
            self._passing = ()

    def memory(self) -> Memory:
        """Return what must be stored to go on exactly here."""
        met = self._meeting.memory()
        waiting = (*self._passing, *met.waiting)
        return replace(
            super().memory(), words=self._inputs.words, meeting=replace(met, waiting=waiting)
        )


def log_of(feed: Feed, *, memory: Memory | None = None, rooms: Iterable[OpenRoom] = ()) -> FeedLog:
    """Return the log of any feed.

    Raises:
        Impossible: when a derived feed is written down as it cannot be.
    """
    if feed.expression is None:
        return FeedLog(feed.guards, memory=memory, rooms=rooms)
    return DerivedLog(derivation_of(feed), feed.guards, memory=memory, rooms=rooms)


def derivation_of(feed: Feed) -> Derivation:
    """Return how a derived feed is made.

    Raises:
        Impossible: when what is written down is not what its name says.
    """
    assert feed.expression is not None, "it is derived"
    try:
        found = formula(feed.expression)
    except Misread as misread:
        raise Impossible(f"{feed.name} cannot be read: {misread.sentence}") from misread
    must(found.text == feed.expression, f"{feed.name} is not written in its one form")
    must(found.name == feed.name, f"{feed.name} is the name of another expression")
    must(feed.scale == scale_of(found, feed.inputs.values()), f"{feed.name} has another scale")
    return Derivation(
        formula=found,
        scale=feed.scale,
        scales=feed.inputs,
        age_ms_max=feed.guards.tick_age_ms_max,
    )
