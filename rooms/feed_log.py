"""Feed log: one feed's ticks and rooms, in the order of its log, into prices and decisions.

In        messages of the log: ticks with their times, rooms opened and stopped.
Out       effects, one after another: prices told, targets fixed, rooms decided, seconds closed.
Holds     the newest tick of each source, the last price, gaps, the rooms and their targets.
Promises  time is what the log says and never goes back; the same log gives the same effects,
          whoever reads it and however late; a memory taken at a second's end goes on exactly there.
Why       one pass decides price and crossing, so their order is one fact that can be replayed.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from heapq import heappop, heappush

from rooms.book import Book
from rooms.crossing import Crossing
from rooms.feed import Guards
from rooms.index_price import IndexPrice, Silence, index_price
from rooms.room import Comparator, Outcome, VoidReason, target_of_move
from rooms.tick import Tick
from rooms.units import Bps, UnixMs, Value

SEQUENCE_KEPT_MS = 60_000
"""A source that was silent for so long may begin its numbers anew; its ticks' age still counts."""

GAP_KEPT_MS_MIN = 500
"""Shorter gaps can void nothing and are forgotten."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenRoom:
    """What the log needs of a room.

    Attributes:
        target: None until a move's target is fixed.
    """

    id: int
    comparator: Comparator
    move_bps: Bps | None
    target: Value | None
    opened_at: UnixMs
    lock_at: UnixMs
    watch_at: UnixMs
    deadline_at: UnixMs
    target_wait_ms: int
    gap_ms_max: int


@dataclass(frozen=True, slots=True)
class Told:
    """The index price, or the silence, is another than before."""

    price: IndexPrice | Silence


@dataclass(frozen=True, slots=True)
class Locked:
    """The log has passed a room's lock."""

    room: int
    at: UnixMs


@dataclass(frozen=True, slots=True)
class WatchStarted:
    """A room is watched from here; for a move, the target is fixed by ``price``."""

    room: int
    at: UnixMs
    target: Value
    price: IndexPrice | None


@dataclass(frozen=True, slots=True)
class Decided:
    """A room has its outcome. YES carries the crossing."""

    room: int
    outcome: Outcome
    reason: VoidReason | None
    at: UnixMs
    crossing: Crossing | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """All that a feed log must remember to go on where it was, but for its rooms."""

    at: UnixMs
    newest: tuple[Tick, ...]
    price: IndexPrice | None
    silence: Silence | None
    priced_at: UnixMs | None
    gaps: tuple[tuple[UnixMs, UnixMs], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SecondClosed:
    """The log has left a second; everything before is final.

    Attributes:
        second_at: its beginning in milliseconds.
        low: of the index prices in it; None when it was silent from end to end.
    """

    second_at: UnixMs
    low: Value | None
    high: Value | None
    last: Value | None
    changes: int
    silence: Silence | None
    memory: Memory


Effect = Told | Locked | WatchStarted | Decided | SecondClosed


class _Timer(IntEnum):
    OPEN = 0
    LOCK = 1
    WATCH = 2
    TARGET_WAIT = 3
    DEADLINE = 4


class FeedLog:
    """Apply one feed's log in order. Effects must be handled before the next one is drawn."""

    def __init__(
        self, guards: Guards, *, memory: Memory | None = None, rooms: Iterable[OpenRoom] = ()
    ) -> None:
        self._guards = guards
        self._book = Book()
        self._rooms: dict[int, OpenRoom] = {}
        self._targets: dict[int, Value] = {}
        self._unfixed: dict[int, None] = {}
        self._timers: list[tuple[int, int, int]] = []
        self._at = memory.at if memory else UnixMs(0)
        self._newest = {tick.source: tick for tick in memory.newest} if memory else {}
        self._price = memory.price if memory else None
        self._silence = memory.silence if memory else None
        self._priced_at = memory.priced_at if memory else None
        self._gaps = list(memory.gaps) if memory else []
        self._second = self._at // 1000
        self._low: Value | None = None
        self._high: Value | None = None
        self._changes = 0
        for room in rooms:
            self.open(room)

    @property
    def at(self) -> UnixMs:
        """Return the log's time."""
        return self._at

    @property
    def open_count(self) -> int:
        """Return how many rooms are open here."""
        return len(self._rooms)

    def open(self, room: OpenRoom, *, locked: bool = False) -> None:
        """Follow a room until it is decided; to hear it twice is to hear it once.

        Args:
            room: as it stands; one whose target is fixed goes on from there.
            locked: its lock was told before, by whoever followed this log until now.
        """
        if room.id in self._rooms:
            return
        self._rooms[room.id] = room
        # Most rooms that are taken over wait for nothing but their deadline.
        self._wait_for(_Timer.DEADLINE, room, room.deadline_at)
        if not locked:
            self._wait_for(_Timer.LOCK, room, room.lock_at)
        if room.target is None:
            self._wait_for(_Timer.WATCH, room, room.watch_at)
            self._wait_for(_Timer.TARGET_WAIT, room, room.watch_at + room.target_wait_ms)
        elif room.move_bps is None:
            self._wait_for(_Timer.OPEN, room, room.opened_at)
            self._wait_for(_Timer.WATCH, room, room.watch_at)
        elif room.watch_at <= self._at:
            self._watch(room, room.target)
        else:
            self._wait_for(_Timer.WATCH, room, room.watch_at)

    def stop(self, room: int) -> None:
        """Follow a room no longer: it was decided elsewhere."""
        self._rooms.pop(room, None)
        self._targets.pop(room, None)
        self._unfixed.pop(room, None)
        self._book.remove(room)

    def hear(self, at: UnixMs, ticks: Sequence[Tick]) -> Iterator[Effect]:
        """Apply one message: its ticks in order, then its own time, which is the latest in it."""
        if at // 1000 > self._second:
            if self._at:
                yield self.closed_second()
            self._second = at // 1000
            priced = self._price is not None and self._silence is None
            self._low = self._high = self._price.value if self._price and priced else None
            self._changes = 0
        for tick in ticks:
            known = self._newest.get(tick.source)
            if known is not None and _is_repeat(known, tick):
                continue
            yield from self._pass_time(tick.at)
            self._newest[tick.source] = tick
            yield from self._look()
        yield from self._pass_time(at)
        yield from self._look()

    def memory(self) -> Memory:
        """Return what must be stored to go on exactly here."""
        return Memory(
            at=self._at,
            newest=tuple(sorted(self._newest.values(), key=lambda tick: tick.source)),
            price=self._price,
            silence=self._silence,
            priced_at=self._priced_at,
            gaps=tuple(self._gaps),
        )

    def closed_second(self) -> SecondClosed:
        """Return the second that the log is in, for one who stops reading there."""
        return SecondClosed(
            second_at=UnixMs(self._second * 1000),
            low=self._low,
            high=self._high,
            last=self._price.value if self._price and self._silence is None else None,
            changes=self._changes,
            silence=self._silence,
            memory=self.memory(),
        )

    def _wait_for(self, kind: _Timer, room: OpenRoom, due_at: int) -> None:
        heappush(self._timers, (due_at, kind, room.id))

    def _pass_time(self, at: UnixMs) -> Iterator[Effect]:
        """Let the log's time go on to ``at``, and what falls due on the way happen, in order."""
        self._at = max(self._at, at)
        while self._timers and self._timers[0][0] <= self._at:
            due_at, kind, room_id = heappop(self._timers)
            room = self._rooms.get(room_id)
            if room is not None:
                yield from self._fall_due(_Timer(kind), room, UnixMs(due_at))

    def _fall_due(self, kind: _Timer, room: OpenRoom, due_at: UnixMs) -> Iterator[Effect]:
        match kind:
            case _Timer.OPEN:
                # A fixed value counts from the start: reached before the watch, it voids.
                if room.move_bps is None:
                    assert room.target is not None, "a fixed value is known"
                    self._watch(room, room.target)
            case _Timer.LOCK:
                yield Locked(room.id, due_at)
            case _Timer.WATCH:
                if room.target is not None:
                    self._watch(room, room.target)
                    if room.move_bps is None:
                        yield WatchStarted(room.id, due_at, room.target, None)
                else:
                    self._unfixed[room.id] = None
            case _Timer.TARGET_WAIT:
                if room.id in self._unfixed:
                    yield self._decide(room, Outcome.VOID, VoidReason.NO_PRICE_AT_WATCH, due_at)
            case _Timer.DEADLINE:
                yield self._decide_at_deadline(room)

    def _look(self) -> Iterator[Effect]:
        """Judge the price now, and compare it if it is another."""
        price = index_price(self._newest.values(), self._at, self._guards)
        if isinstance(price, Silence):
            if self._silence is None or _differ(self._silence, price):
                self._silence = price
                yield Told(price)
            return
        was_silent, self._silence = self._silence is not None, None
        self._note_priced()
        before, changed = self._price, self._price is None or self._price.value != price.value
        self._price = price
        if changed:
            self._changes += 1
        self._low = price.value if self._low is None else min(self._low, price.value)
        self._high = price.value if self._high is None else max(self._high, price.value)
        if changed or was_silent:
            yield Told(price)
        for room_id in tuple(self._unfixed):
            yield self._fix_target(self._rooms[room_id], price)
        for room_id in self._book.take_reached(price.value):
            yield self._cross(self._rooms[room_id], before, price)

    def _watch(self, room: OpenRoom, target: Value) -> None:
        self._targets[room.id] = target
        self._book.add(room.id, room.comparator, target)

    def _fix_target(self, room: OpenRoom, price: IndexPrice) -> WatchStarted:
        assert room.move_bps is not None, "only a move waits for its target"
        del self._unfixed[room.id]
        target = target_of_move(room.comparator, room.move_bps, price.value)
        self._watch(room, target)
        return WatchStarted(room.id, self._at, target, price)

    def _cross(self, room: OpenRoom, before: IndexPrice | None, price: IndexPrice) -> Decided:
        crossing = Crossing(
            room=room.id,
            comparator=room.comparator,
            target=self._targets[room.id],
            before=before,
            price=price,
        )
        if price.at < room.watch_at:
            reason = VoidReason.REACHED_BEFORE_WATCH
            return self._decide(room, Outcome.VOID, reason, price.at, crossing)
        return self._decide(room, Outcome.YES, None, price.at, crossing)

    def _decide_at_deadline(self, room: OpenRoom) -> Decided:
        if self._silence is not None or self._price is None:
            reason: VoidReason | None = VoidReason.SILENT_AT_END
        elif self._longest_gap_ms(room) > room.gap_ms_max:
            reason = VoidReason.GAP
        else:
            return self._decide(room, Outcome.NO, None, room.deadline_at)
        return self._decide(room, Outcome.VOID, reason, room.deadline_at)

    def _decide(
        self,
        room: OpenRoom,
        outcome: Outcome,
        reason: VoidReason | None,
        at: UnixMs,
        crossing: Crossing | None = None,
    ) -> Decided:
        self.stop(room.id)
        return Decided(room.id, outcome, reason, at, crossing)

    def _note_priced(self) -> None:
        """Keep the stretch since the last moment with a price, when it was long enough to matter.

        Between two messages a price is known only at both ends, so a stretch without messages is
        a gap like one of silence.
        """
        since = self._priced_at
        self._priced_at = self._at
        if since is not None and self._at - since >= GAP_KEPT_MS_MIN:
            self._gaps.append((since, self._at))
            earliest = min((room.watch_at for room in self._rooms.values()), default=self._at)
            self._gaps = [gap for gap in self._gaps if gap[1] > earliest]

    def _longest_gap_ms(self, room: OpenRoom) -> int:
        ends = [*self._gaps, (self._priced_at or room.watch_at, room.deadline_at)]
        return max(
            min(until, room.deadline_at) - max(since, room.watch_at) for since, until in ends
        )


def _differ(one: Silence, other: Silence) -> bool:
    return (one.reason, one.agreeing, one.known) != (other.reason, other.agreeing, other.known)


def _is_repeat(known: Tick, tick: Tick) -> bool:
    """Say whether a source said this, or something later, already."""
    return tick.sequence <= known.sequence and tick.at - known.at < SEQUENCE_KEPT_MS
