"""Sources: what every source of a feed says now, and which of them count.

In        ticks in the order of the feed's log; the passing of its time; the feed's guards.
Out       the index price or why there is none, after every tick; who has strayed too often.
Holds     of each source its newest tick and what it has done lately; the price's own mean.
Promises  the same ticks at the same moments give the same answers; what was remembered at any
          moment goes on exactly there.
Why       most ticks change one quote among a few that agree: that costs two searches in a short
          sorted list. All sources are looked at again only when time alone may change one of them.
"""

from bisect import bisect_left, insort
from dataclasses import dataclass, replace
from typing import Final

from rooms.feed import Guards
from rooms.index_price import (
    IndexPrice,
    LeftOut,
    Quote,
    Reason,
    Silence,
    Verdict,
    assembled,
    contradicts,
    is_clock_off,
    is_scattered,
    judge,
    left_out_alone,
    stale_after,
)
from rooms.tick import Tick
from rooms.units import BPS_WHOLE, UnixMs, Value

SEQUENCE_KEPT_MS: Final = 60_000
"""A source that was silent for so long may begin its numbers anew; its ticks' age still counts."""

MEAN_S: Final = 300
"""The mean of the price follows it within so many seconds."""

STRAYS_KEPT_MS: Final = 30 * 60_000
MOVED_MIN: Final = 2
"""So many others must have moved before one that did not is stuck."""

NEVER: Final = 2**63


@dataclass(slots=True)
class Source:
    """Remember what a source said last and how it behaved.

    Attributes:
        changed_at: the log's time at which its value became another.
        anchor: the value from which its next move is measured.
        passed_by: the first others that have moved since it changed.
        passed_at: when there were enough of them to expect something of it.
        returning: how many ticks it must still say before it counts.
        astray: what it said when it left the others by itself; None while it is with them.
        probation_until: it does not count before this moment.
        strays: when it strayed, in the last half hour, since the last alarm.
    """

    tick: Tick
    changed_at: UnixMs
    anchor: Value
    passed_by: tuple[str, ...] = ()
    passed_at: UnixMs | None = None
    returning: int = 0
    astray: Value | None = None
    probation_until: UnixMs = UnixMs(0)
    strays: tuple[UnixMs, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SourcesMemory:
    """All that `Sources` must remember to go on where they were.

    Attributes:
        mean: the price's own mean; None when there has been no price lately.
        jump_since: since when the price has been far from its mean.
    """

    sources: tuple[Source, ...] = ()
    mean: Value | None = None
    jump_since: UnixMs | None = None


class Sources:
    """Judge a feed's sources together.

    Attributes:
        due: the moment at which time alone may change the answer; look again then.
        value: the index price now, or None.
        agreeing: how many sources count.
        scattered: whether there is no price because sources lie very far apart.
        strayed: sources that strayed too often, to be taken out by whoever alarms somebody.
    """

    def __init__(self, guards: Guards, memory: SourcesMemory, at: UnixMs) -> None:
        self._guards = guards
        self._known = {source.tick.source: replace(source) for source in memory.sources}
        self._mean = memory.mean
        self._jump_since = memory.jump_since
        self._witness: Tick | None = None
        self._quotes: list[Quote] = []
        self._counted: set[str] = set()
        # Those whose time lies further after its receipt than a clock that is right allows.
        self._ahead: set[str] = set()
        self._verdict = Verdict(None, Reason.TOO_FEW, 0, 0, None)
        self._candidate: Value | None = None
        self._calm = (0, NEVER)
        self._astray = any(source.astray is not None for source in self._known.values())
        self._reason: Reason | None = Reason.TOO_FEW
        self.due: int = NEVER
        self.value: Value | None = None
        self.agreeing = 0
        self.scattered = False
        self.strayed: list[str] = []
        for source in self._known.values():
            self._note_ahead(source.tick)
        self._measure_calm()
        self.look(at)

    @property
    def known(self) -> int:
        """Return how many sources have ever spoken; a witness is none."""
        return len(self._known) - (self._witness is not None)

    @property
    def reason(self) -> Reason:
        """Return why there is no price."""
        assert self._reason is not None, "only a silence has a reason"
        return self._reason

    def memory(self) -> SourcesMemory:
        """Return what must be stored to go on exactly here."""
        return SourcesMemory(
            sources=tuple(replace(self._known[name]) for name in sorted(self._known)),
            mean=self._mean,
            jump_since=self._jump_since,
        )

    def is_new(self, tick: Tick) -> bool:
        """Say whether a source has said neither this nor something later already."""
        known = self._known.get(tick.source)
        if known is None:
            return True
        before = known.tick
        if tick.at - before.at >= SEQUENCE_KEPT_MS:
            return True
        if tick.sequence <= before.sequence:
            return False
        # What came from the future says nothing about the order of what comes after it.
        ahead = before.source_at > before.at + self._guards.tick_ahead_ms_max
        return ahead or tick.source_at >= before.source_at

    def hear(self, tick: Tick, at: UnixMs) -> None:
        """Take a tick that is new."""
        name = tick.source
        source = self._known.get(name)
        if source is None:
            self._known[name] = Source(tick, at, tick.value)
            self._note_ahead(tick)
            self.look(at)
            return
        before, source.tick = source.tick, tick
        if tick.at - before.at >= self._guards.dead_ms:
            source.returning = self._guards.return_ticks
        if source.returning:
            source.returning -= 1
        moved = False
        if tick.value != before.value:
            source.changed_at = at
            source.passed_by, source.passed_at = (), None
            if abs(tick.value - source.anchor) * BPS_WHOLE > source.anchor * self._guards.stuck_bps:
                source.anchor, moved = tick.value, True
        self._note_ahead(tick)
        self._keep_on_probation(source, at)
        counts = (
            name in self._counted
            and not source.returning
            and left_out_alone(tick, at, self._guards) is None
        )
        if not counts or at >= self.due:
            self._sift(at)
        else:
            self.due = min(self.due, stale_after(tick, self._guards) + 1)
            if tick.value == before.value and not self._ahead and self._reason is not Reason.CLOCK:
                return
            del self._quotes[bisect_left(self._quotes, (before.value, name))]
            insort(self._quotes, (tick.value, name))
        self._weigh(at, source)
        if moved and self._agrees(source) and self._pass_by(name, at):
            self.look(at)

    def look(self, at: UnixMs) -> None:
        """Look at all sources again, as time has passed."""
        self._sift(at)
        self._weigh(at, None)

    def close_second(self, passed: int) -> None:
        """Let the mean follow the price, once a second; ``passed`` seconds have gone by."""
        if passed >= MEAN_S:
            self._mean = None
        elif self._candidate is not None and self._mean is not None:
            # Rounded away from the mean, so that it arrives.
            distance = self._candidate - self._mean
            step = -(-abs(distance) // MEAN_S)
            self._mean = Value(self._mean + (step if distance > 0 else -step))
        self._measure_calm()
        if self._jump_since is not None:
            self.due = 0

    def price(self, at: UnixMs) -> IndexPrice:
        """Return the index price with its evidence."""
        assert self.value is not None, "there is a price"
        ticks = {name: source.tick for name, source in self._known.items()}
        left_out = [
            (source.tick, why)
            for name, source in self._known.items()
            if name not in self._counted and (why := self._why(source, at)) is not None
        ]
        return assembled(self._verdict, self._quotes, ticks, left_out, at)

    def silence(self, at: UnixMs) -> Silence:
        """Return the silence with its reason."""
        return Silence(self.reason, at, self.agreeing, self.known, self._guards.quorum)

    def _sift(self, at: UnixMs) -> None:
        """Find out anew which sources count, and until when that holds."""
        guards, due = self._guards, NEVER
        quotes: list[Quote] = []
        for name, source in self._known.items():
            why = self._why(source, at)
            if why is None:
                quotes.append((source.tick.value, name))
                due = min(due, stale_after(source.tick, guards) + 1)
                due = min(due, self._stuck_at(source))
            elif why is LeftOut.WITNESS:
                self._witness = tick = source.tick
                ends_at = min(tick.source_at, tick.at) + guards.witness_age_ms_max + 1
                due = min(due, ends_at if ends_at > at else NEVER)
            elif why is LeftOut.PROBATION:
                due = min(due, source.probation_until)
            if why not in (None, LeftOut.WITNESS):
                # Until then it counts among those who say what the time is.
                silent_at = source.tick.at + guards.tick_age_ms_max + 1
                due = min(due, silent_at if silent_at > at else NEVER)
        quotes.sort()
        self._quotes = quotes
        self._counted = {name for _, name in quotes}
        if self._jump_since is not None and self._jump_since + guards.jump_ms > at:
            due = min(due, self._jump_since + guards.jump_ms)
        self.due = due

    def _why(self, source: Source, at: UnixMs) -> LeftOut | None:
        why = left_out_alone(source.tick, at, self._guards)
        if why is not None:
            return why
        if source.returning:
            return LeftOut.RETURNING
        if source.probation_until > at:
            return LeftOut.PROBATION
        return LeftOut.STUCK if at >= self._stuck_at(source) else None

    def _agrees(self, source: Source) -> bool:
        if source.tick.source not in self._counted:
            return False
        place = bisect_left(self._quotes, (source.tick.value, source.tick.source))
        return self._verdict.low <= place < self._verdict.high

    def _pass_by(self, name: str, at: UnixMs) -> bool:
        """Note with all others that this one has moved; say whether one of them is now expected.

        One that has just changed itself went ahead of this one, and is not passed by. Only who
        agrees with the others moves the market: a wick leaves nobody behind.
        """
        expected = False
        for other, source in self._known.items():
            if other == name or at - source.changed_at <= self._guards.tick_age_ms_max:
                continue
            if len(source.passed_by) < MOVED_MIN and name not in source.passed_by:
                source.passed_by += (name,)
                if len(source.passed_by) == MOVED_MIN:
                    source.passed_at, expected = at, True
        return expected

    def _stuck_at(self, source: Source) -> int:
        """Return from when a source is stuck, if it goes on saying the same."""
        if source.passed_at is None:
            return NEVER
        # However long it has been the same: it is given the time in which a tick grows old.
        follows_until = source.passed_at + self._guards.tick_age_ms_max
        return max(source.changed_at + self._guards.stuck_ms, follows_until)

    def _weigh(self, at: UnixMs, by: Source | None) -> None:
        """Judge the quotes; ``by`` has just said something."""
        verdict = judge(self._quotes, self._guards)
        all_agree = verdict.high - verdict.low == len(self._quotes)
        if not (all_agree and not self._astray) and self._note_strays(verdict, at, by):
            self._sift(at)
            verdict = judge(self._quotes, self._guards)
        self._verdict, self._candidate, self._reason = verdict, verdict.value, verdict.reason
        value = verdict.value
        if (value is None and self._reason is Reason.TOO_FEW) or self._ahead:
            ticks = (source.tick for source in self._known.values())
            if is_clock_off(ticks, at, self._guards, is_priced=value is not None):
                value, self._reason = None, Reason.CLOCK
        self.agreeing = len(self._quotes) if verdict.middle is None else verdict.high - verdict.low
        self.scattered = verdict.value is None and is_scattered(self._quotes, verdict, self._guards)
        if value is None:
            self._jump_since = None
        else:
            if self._mean is None:
                self._mean = value
                self._measure_calm()
            if self._calm[0] <= value <= self._calm[1]:
                self._jump_since = None
            elif self._is_held_for_jump(value, at):
                value, self._reason = None, Reason.JUMP
            if value is not None and contradicts(self._witness, value, at, self._guards):
                value, self._reason = None, Reason.CONTRADICTED
        self.value = value

    def _note_ahead(self, tick: Tick) -> None:
        if tick.source_at - tick.at > self._guards.clock_ms_max:
            self._ahead.add(tick.source)
        elif self._ahead:
            self._ahead.discard(tick.source)

    def _is_held_for_jump(self, value: Value, at: UnixMs) -> bool:
        assert self._mean is not None, "a price jumps from its mean"
        if self._jump_since is None:
            self._jump_since = at
        lasts_at = self._jump_since + self._guards.jump_ms
        if at < lasts_at:
            self.due = min(self.due, lasts_at)
            return True
        return abs(value - self._mean) * BPS_WHOLE > self._mean * self._guards.jump_bps_max

    def _measure_calm(self) -> None:
        """Note between which values the price is near its mean."""
        if self._mean is None:
            self._calm = (0, NEVER)
            return
        part = self._mean * self._guards.jump_bps // BPS_WHOLE
        self._calm = (self._mean - part, self._mean + part)

    def _note_strays(self, verdict: Verdict, at: UnixMs, by: Source | None) -> bool:
        """Note who has left the others by itself and who came back; say who counts changed.

        A source that left, and to whom the others then came, was first. One that came back to
        them was wrong. One that the others left is late, and nothing is noted of it.
        """
        if verdict.value is None or verdict.middle is None:
            return False
        agreeing = {name for _, name in self._quotes[verdict.low : verdict.high]}
        if by is not None and by.astray is None:
            name = by.tick.source
            if name in self._counted and name not in agreeing:
                self._stray(by, at)
        changed = False
        self._astray = False
        for name, source in self._known.items():
            if source.astray is None:
                continue
            if name not in agreeing:
                self._astray = True
                continue
            was_wrong = self._is_off(source.astray, verdict.middle)
            source.astray = None
            if was_wrong:
                source.probation_until = UnixMs(at + self._guards.probation_ms)
                changed = True
        return changed

    def _stray(self, source: Source, at: UnixMs) -> None:
        source.astray = source.tick.value
        recent = [each for each in source.strays if at - each < STRAYS_KEPT_MS]
        source.strays = (*recent, at)
        if len(source.strays) >= self._guards.strays_max:
            self.strayed.append(source.tick.source)
            source.strays = ()

    def _keep_on_probation(self, source: Source, at: UnixMs) -> None:
        middle = self._verdict.middle
        if source.probation_until <= at or middle is None:
            return
        if self._is_off(source.tick.value, middle):
            source.probation_until = UnixMs(at + self._guards.probation_ms)

    def _is_off(self, value: Value, middle: Value) -> bool:
        return abs(value - middle) * BPS_WHOLE > middle * self._guards.outlier_bps_max
