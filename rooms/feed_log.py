"""Feed log: one feed's ticks and rooms, in the order of its log, into prices and decisions.

In        messages of the log: ticks with their times, rooms opened and stopped.
Out       effects, one after another: prices told, targets fixed, rooms decided, seconds closed.
Holds     what the sources say, the last price, gaps, the rooms, their targets and holds.
Promises  time is what the log says and never goes back; the same log gives the same effects,
          whoever reads it and however late; a memory taken at a second's end goes on exactly there.
Why       one pass decides price and crossing, so their order is one fact that can be replayed.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from heapq import heappop, heappush
from typing import Any, Protocol

from rooms.book import Book
from rooms.coverage import Coverage, Gaps
from rooms.crossing import Crossing, thinned
from rooms.derived import Word
from rooms.feed import Guards
from rooms.index_price import IndexPrice, Silence
from rooms.meeting import MeetingMemory
from rooms.packed import PackedRooms, WatchedRoom
from rooms.room import Comparator, Outcome, VoidReason, reached, target_of_move
from rooms.sources import NEVER, Sources, SourcesMemory
from rooms.tick import Tick
from rooms.units import Bps, UnixMs, Value

UNHEARD_MS_MAX = 1_000
"""A longer stretch in which the log says nothing breaks a hold: nobody knows what was in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenRoom:
    """What the log needs of a room.

    Attributes:
        target: None until a move's target is fixed.
        held_ms: how long the price must stay at or past the target; 0: the first touch decides.
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
    held_ms: int = 0


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
    """A room has its outcome. YES carries the crossing.

    Attributes:
        coverage: how much of the watch had an index price; None when it had not begun.
    """

    room: int
    outcome: Outcome
    reason: VoidReason | None
    at: UnixMs
    crossing: Crossing | None
    coverage: Coverage | None = None


@dataclass(frozen=True, slots=True)
class Strayed:
    """A source has left the others too often: somebody should look."""

    source: str
    at: UnixMs


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """All that a feed log must remember to go on where it was, but for its rooms.

    Attributes:
        price: the last that was told.
        holds: rooms whose target is reached and must stay so, each with since when.
        run: the prices told since the first of them, thinned.
        scattered_since: since when the sources have lain so far apart that it may void.
        words: of a derived feed, the newest word of every input; ``meeting``: those that wait.
    """

    at: UnixMs
    sources: SourcesMemory = SourcesMemory()
    price: IndexPrice | None
    silence: Silence | None
    priced_at: UnixMs | None
    gaps: tuple[tuple[UnixMs, UnixMs], ...]
    holds: tuple[tuple[int, UnixMs], ...] = ()
    run: tuple[IndexPrice, ...] = ()
    scattered_since: UnixMs | None = None
    words: tuple[Word, ...] = ()
    meeting: MeetingMemory = MeetingMemory()


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


Effect = Told | Locked | WatchStarted | Decided | Strayed | SecondClosed


class Judge(Protocol):
    """What says what the price is: `rooms.sources.Sources`, or `rooms.derived.Inputs`."""

    due: int
    value: Value | None
    scattered: bool
    strayed: list[str]

    def is_new(self, said: Any, /) -> bool: ...  # noqa: ANN401 - a tick or a word

    def hear(self, said: Any, at: UnixMs, /) -> None: ...  # noqa: ANN401

    def look(self, at: UnixMs) -> None: ...

    def close_second(self, passed: int) -> None: ...

    def price(self, at: UnixMs) -> IndexPrice: ...

    def silence(self, at: UnixMs) -> Silence: ...

    def memory(self) -> SourcesMemory: ...


class _Timer(IntEnum):
    OPEN = 0
    LOCK = 1
    WATCH = 2
    TARGET_WAIT = 3
    DEADLINE = 4
    HOLD = 5


class FeedLog:
    """Apply one feed's log in order. Effects must be handled before the next one is drawn."""

    def __init__(
        self,
        guards: Guards,
        *,
        memory: Memory | None = None,
        rooms: Iterable[OpenRoom] = (),
        judge: Judge | None = None,
    ) -> None:
        memory = memory or _NOTHING
        self._guards = guards
        self._book = Book()
        self._rooms: dict[int, OpenRoom] = {}
        self._packed = PackedRooms()
        self._packed_deadline: int | None = None
        self._targets: dict[int, Value] = {}
        self._unfixed: dict[int, None] = {}
        self._timers: list[tuple[int, int, int]] = []
        self._at = memory.at
        self._sources: Judge = judge or Sources(guards, memory.sources, memory.at)
        self._price = memory.price
        self._silence = memory.silence
        self._gaps = Gaps(memory.priced_at, memory.gaps)
        # Rooms whose target was added since the price was compared last.
        self._uncompared = False
        self._holding = Book()
        self._holds: dict[int, UnixMs] = {}
        self._left_holds = dict(memory.holds)
        self._run = list(memory.run)
        self._scattered_since = memory.scattered_since
        self._scatter_due = NEVER
        if memory.scattered_since is not None:
            due_at = memory.scattered_since + guards.scatter_ms
            self._scatter_due = due_at if due_at > memory.at else NEVER
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
        return len(self._rooms) + len(self._packed)

    def open(self, room: OpenRoom, *, locked: bool = False) -> None:
        """Follow a room until it is decided; to hear it twice is to hear it once.

        Args:
            room: as it stands; one whose target is fixed goes on from there.
            locked: its lock was told before, by whoever followed this log until now.
        """
        if room.id in self._rooms or room.id in self._packed:
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

    def open_packed(self, packed: PackedRooms) -> None:
        """Follow rooms whose watch the log has passed and whose target decides at first touch."""
        assert not len(self._packed), "rooms are taken over once"
        self._packed = packed
        self._book.add_packed(packed)
        self._uncompared = True
        self._wait_for_packed()

    def stop(self, room: int) -> None:
        """Follow a room no longer: it was decided elsewhere."""
        self._rooms.pop(room, None)
        self._packed.take_out(room)
        self._targets.pop(room, None)
        self._unfixed.pop(room, None)
        self._left_holds.pop(room, None)
        self._book.remove(room)
        self._end_hold(room)

    def hear(self, at: UnixMs, ticks: Sequence[Tick] | Sequence[Word]) -> Iterator[Effect]:
        """Apply one message: its ticks in order, then its own time, which is the latest in it."""
        if at // 1000 > self._second:
            if self._at:
                yield self.closed_second()
            self._sources.close_second(at // 1000 - self._second)
            self._second = at // 1000
            priced = self._price is not None and self._silence is None
            self._low = self._high = self._price.value if self._price and priced else None
            self._changes = 0
        sources = self._sources
        for tick in ticks:
            if not sources.is_new(tick):
                continue
            if self._is_due(tick.at):
                yield from self._pass_time(tick.at)
            elif tick.at > self._at:
                self._at = tick.at
            sources.hear(tick, self._at)
            if self._has_news():
                yield from self._look()
            self._note_priced()
        if self._is_due(at):
            yield from self._pass_time(at)
        elif at > self._at:
            self._at = at
        if self._has_news():
            yield from self._look()
        self._note_priced()

    def memory(self) -> Memory:
        """Return what must be stored to go on exactly here."""
        return Memory(
            at=self._at,
            sources=self._sources.memory(),
            price=self._price,
            silence=self._silence,
            priced_at=self._gaps.priced_at,
            gaps=self._gaps.kept,
            holds=tuple(sorted((self._left_holds | self._holds).items())),
            run=tuple(self._run),
            scattered_since=self._scattered_since,
        )

    def closed_second(self) -> SecondClosed:
        """Return the second that the log is in, for one who stops reading there."""
        self._thin_run()
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

    def _wait_for_packed(self) -> None:
        """Wait for the next deadline among the packed rooms; the others come after it."""
        self._packed_deadline = None
        if (due := self._packed.next_deadline()) is not None:
            due_at, self._packed_deadline = due
            heappush(self._timers, (due_at, _Timer.DEADLINE, self._packed_deadline))

    def _is_due(self, at: UnixMs) -> bool:
        """Say whether something happens on the way to ``at`` by time alone."""
        at = max(self._at, at)
        return (
            at >= self._sources.due
            or bool(self._timers and self._timers[0][0] <= at)
            or at >= self._scatter_due
            or (bool(self._holds or self._left_holds) and at - self._at > UNHEARD_MS_MAX)
        )

    def _pass_time(self, at: UnixMs) -> Iterator[Effect]:
        """Let the log's time go on to ``at``, and what falls due on the way happen, in order."""
        at = max(self._at, at)
        if at - self._at > UNHEARD_MS_MAX:
            self._break_holds()
        while True:
            timer_due = self._timers[0][0] if self._timers else NEVER
            next_due = min(timer_due, self._sources.due, self._scatter_due)
            if next_due > at:
                break
            self._at = max(self._at, UnixMs(next_due))
            if timer_due == next_due:
                _, kind, room_id = heappop(self._timers)
                if room_id == self._packed_deadline:
                    self._wait_for_packed()
                if (room := self._rooms.get(room_id)) is not None:
                    yield from self._fall_due(_Timer(kind), room, UnixMs(next_due))
                elif (watched := self._packed.get(room_id)) is not None:
                    yield self._decide_at_deadline(watched)
            elif self._scatter_due == next_due:
                self._scatter_due = NEVER
                yield from self._void_scattered()
            else:
                self._sources.look(self._at)
                yield from self._look(heard=False)
        self._at = at

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
            case _Timer.HOLD:
                since = self._holds.get(room.id)
                if since is not None and since + room.held_ms == due_at:
                    yield self._cross_held(room)

    def _has_news(self) -> bool:
        """Say whether the price is another than before, or is awaited."""
        value = self._sources.value
        if value is None or self._silence is not None or self._price is None:
            return True
        return value != self._price.value or self._uncompared or bool(self._unfixed)

    def _note_priced(self) -> None:
        """Note that the log has said something, and there was a price."""
        if self._sources.value is None:
            return
        self._gaps.note_priced(self._at)
        if self._gaps.are_many:
            watches = (room.watch_at for room in self._rooms.values())
            earliest = min(watches, default=self._at)
            self._gaps.forget_before(min(earliest, self._packed.earliest_watch_at or earliest))

    def _look(self, *, heard: bool = True) -> Iterator[Effect]:
        """Tell the price or the silence if it is another, and compare it.

        Args:
            heard: whether the log says something now; time alone fixes no target.
        """
        sources = self._sources
        for source in sources.strayed:
            yield Strayed(source, self._at)
        sources.strayed.clear()
        self._note_scattered()
        if sources.value is None:
            self._break_holds()
            silence = sources.silence(self._at)
            if self._silence is None or _differ(self._silence, silence):
                self._silence = silence
                yield Told(silence)
            return
        before, was_silent = self._price, self._silence is not None
        changed = before is None or before.value != sources.value
        if not (changed or was_silent or (heard and (self._uncompared or self._unfixed))):
            return
        price = sources.price(self._at)
        if changed or was_silent:
            self._price, self._silence = price, None
            self._changes += changed
            self._low = price.value if self._low is None else min(self._low, price.value)
            self._high = price.value if self._high is None else max(self._high, price.value)
            yield Told(price)
        if self._run:
            self._run.append(price)
        yield from self._compare(before, price)

    def _compare(self, before: IndexPrice | None, price: IndexPrice) -> Iterator[Effect]:
        """Fix targets that wait for a price, and find the rooms whose target it reaches."""
        self._uncompared = False
        for room_id in tuple(self._unfixed):
            yield self._fix_target(self._rooms[room_id], price)
        for room_id in self._holding.take_reached(price.value):
            self._fall_back(room_id)
        for room_id in self._book.take_reached(price.value):
            room = self._rooms.get(room_id)
            if room is None:
                yield self._cross(self._packed.get(room_id), before, price)
            elif room.held_ms:
                self._hold(room, before, price)
            else:
                yield self._cross(room, before, price)

    def _watch(self, room: OpenRoom, target: Value) -> None:
        self._targets[room.id] = target
        since = self._left_holds.pop(room.id, None)
        if since is not None:
            self._keep_hold(room, since)
            return
        self._book.add(room.id, room.comparator, target)
        self._uncompared = True

    def _fix_target(self, room: OpenRoom, price: IndexPrice) -> WatchStarted:
        assert room.move_bps is not None, "only a move waits for its target"
        del self._unfixed[room.id]
        target = target_of_move(room.comparator, room.move_bps, price.value)
        self._watch(room, target)
        return WatchStarted(room.id, self._at, target, price)

    def _hold(self, room: OpenRoom, before: IndexPrice | None, price: IndexPrice) -> None:
        """Begin to wait: the price reached the target and must stay there."""
        if not self._run:
            self._run = [price] if before is None or before is price else [before, price]
        self._keep_hold(room, self._at)

    def _keep_hold(self, room: OpenRoom, since: UnixMs) -> None:
        target = self._targets[room.id]
        self._holds[room.id] = since
        # It falls back where the price is short of the target by the least that a value can be.
        other_way = Comparator(-room.comparator)
        self._holding.add(room.id, other_way, Value(target - room.comparator))
        self._wait_for(_Timer.HOLD, room, since + room.held_ms)

    def _fall_back(self, room_id: int) -> None:
        room = self._rooms[room_id]
        self._end_hold(room_id)
        self._book.add(room_id, room.comparator, self._targets[room_id])

    def _break_holds(self) -> None:
        """Let every hold begin anew: there is no price, or nobody knows what it was."""
        self._left_holds.clear()
        for room_id in tuple(self._holds):
            self._fall_back(room_id)
            self._uncompared = True

    def _end_hold(self, room_id: int) -> None:
        if self._holds.pop(room_id, None) is not None:
            self._holding.remove(room_id)
            if not self._holds and not self._left_holds:
                self._run.clear()

    def _starts(self) -> dict[int, int]:
        """Return where in the run the price lies that began each hold, by room."""
        found: dict[int, int] = {}
        for room_id, since in self._holds.items():
            room, target = self._rooms[room_id], self._targets[room_id]
            for place, price in enumerate(self._run):
                if price.at >= since and reached(room.comparator, target, price.value):
                    found[room_id] = place
                    break
        return found

    def _thin_run(self) -> None:
        """Keep of the run what a crossing will show; the run of a hold is never long."""
        if self._run and not self._left_holds:
            kept = thinned(self._run, set(self._starts().values()))
            self._run = [self._run[place] for place in kept]

    def _cross_held(self, room: OpenRoom) -> Decided:
        price = self._sources.price(self._at)
        start = self._starts().get(room.id)
        before = began = None
        between: list[IndexPrice] = []
        if start is not None:
            began, after = self._run[start], self._run[start + 1 :]
            before = self._run[start - 1] if start else None
            between = [after[place] for place in thinned(after, ())]
        return self._cross(room, before, price, began or price, tuple(between))

    def _cross(
        self,
        room: OpenRoom | WatchedRoom | None,
        before: IndexPrice | None,
        price: IndexPrice,
        began: IndexPrice | None = None,
        between: tuple[IndexPrice, ...] = (),
    ) -> Decided:
        assert room is not None, "a target is of a room that is followed"
        target = room.target if isinstance(room, WatchedRoom) else self._targets[room.id]
        if before is not None and reached(room.comparator, target, before.value):
            before = None  # The room was opened when the price was there already.
        crossing = Crossing(
            room=room.id,
            comparator=room.comparator,
            target=target,
            before=before,
            began=began,
            between=between,
            price=price,
        )
        if price.at < room.watch_at:
            reason = VoidReason.REACHED_BEFORE_WATCH
            return self._decide(room, Outcome.VOID, reason, price.at, crossing)
        return self._decide(room, Outcome.YES, None, price.at, crossing)

    def _note_scattered(self) -> None:
        if not self._sources.scattered:
            self._scattered_since, self._scatter_due = None, NEVER
        elif self._scattered_since is None:
            self._scattered_since = self._at
            self._scatter_due = self._at + self._guards.scatter_ms

    def _void_scattered(self) -> Iterator[Decided]:
        """Void what is watched: for so long now nobody knows what the price is."""
        watched: list[OpenRoom | WatchedRoom] = list(self._packed.left())
        watched += [room for room in self._rooms.values() if room.watch_at <= self._at]
        for room in watched:
            yield self._decide(room, Outcome.VOID, VoidReason.SOURCES_SCATTERED, self._at)

    def _decide_at_deadline(self, room: OpenRoom | WatchedRoom) -> Decided:
        covered = self._gaps.coverage(room.watch_at, room.deadline_at)
        if self._silence is not None or self._price is None:
            reason: VoidReason | None = VoidReason.SILENT_AT_END
        elif covered.longest_gap_ms > room.gap_ms_max:
            reason = VoidReason.GAP
        elif covered.is_thin(self._guards.coverage_bps_min):
            reason = VoidReason.THIN_COVERAGE
        else:
            return self._decide(room, Outcome.NO, None, room.deadline_at)
        return self._decide(room, Outcome.VOID, reason, room.deadline_at)

    def _decide(
        self,
        room: OpenRoom | WatchedRoom,
        outcome: Outcome,
        reason: VoidReason | None,
        at: UnixMs,
        crossing: Crossing | None = None,
    ) -> Decided:
        self.stop(room.id)
        covered = self._gaps.coverage(room.watch_at, at) if at > room.watch_at else None
        return Decided(room.id, outcome, reason, at, crossing, covered)


_NOTHING = Memory(at=UnixMs(0), price=None, silence=None, priced_at=None, gaps=())


def _differ(one: Silence, other: Silence) -> bool:
    return (one.reason, one.agreeing, one.known) != (other.reason, other.agreeing, other.known)
