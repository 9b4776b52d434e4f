"""Case: one small text file of the published test set, read and played through the product's rules.

In        what each venue said and when; rooms; what must be decided, and why.
Out       what is decided, for `instant` and for `held 3 s`.
Promises  the product's own code decides: text is read as a venue's text is, and the log is played
          as a worker plays it.
Why       a file that a person can read is a rule that a person can check.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

from rooms.decimal_text import whole_from_text
from rooms.feed import Guards
from rooms.feed_log import Decided, Effect, FeedLog, OpenRoom
from rooms.refusal import Impossible
from rooms.room import Comparator
from rooms.tick import Tick
from rooms.units import UnixMs, Value

FOLDER = Path(__file__).with_name("cases")
VERSION = 1
SCALE = 8
VENUES = ("binance", "coinbase", "kraken", "okx", "bybit")
EVERY_MS = 500
HELD_MS = 3_000
START = 1_700_000_000_000
WATCH_MS, DEADLINE_MS = 10_000, 70_000
GAP_MS_MAX = 3_000
RULES = {"instant": 0, "held": HELD_MS}

_SPAN = re.compile(
    r"(\d+(?:\.\d+)?)(?:\.\.(\d+(?:\.\d+)?))? (\w+) (\S+)(?: -> (\S+))?"
    r"(?: clock ([+-]\d+(?:\.\d+)?))?$"
)
_ROOM = re.compile(r"room (up|down) (\S+): (.+?)(?: \((touched|untouched)\))$")


@dataclass(frozen=True, slots=True)
class Span:
    """What venues said from one moment to another.

    Attributes:
        value: text as the venue sent it; ``-`` is nothing.
        to: where a ramp ends.
        clock_ms: how far the venue's clock is off.
    """

    since_ms: int
    until_ms: int
    venues: frozenset[str]
    value: str
    to: str | None
    clock_ms: int


@dataclass(frozen=True, slots=True)
class Wanted:
    """A room and what must become of it, by touch rule.

    Attributes:
        touched: whether the market did touch it, whatever single venues said.
    """

    up: bool
    target: Value
    outcomes: dict[str, str]
    touched: bool


@dataclass(slots=True)
class Case:
    """A file of the set."""

    name: str
    why: str = ""
    spans: list[Span] = field(default_factory=list)
    rooms: list[Wanted] = field(default_factory=list)
    changes: list[str] = field(default_factory=list)
    broken: tuple[int, int] | None = None

    def messages(self) -> Iterator[tuple[UnixMs, list[Tick]]]:
        """Return the feed's log: a message every quarter of a second."""
        heard: dict[int, list[Tick]] = {}
        last = max(span.until_ms for span in self.spans)
        for place, venue in enumerate(VENUES):
            for number, at in enumerate(range(37 * place, last, EVERY_MS)):
                tick = self._tick(venue, number, at)
                if tick is not None:
                    heard.setdefault(-(-at // 250) * 250, []).append(tick)
        if "duplicate" in self.changes:
            heard = {at: [tick for tick in ticks for _ in "ab"] for at, ticks in heard.items()}
        if "shuffle" in self.changes:
            for at, ticks in heard.items():
                Random(at).shuffle(ticks)
        if "replay" in self.changes:
            # All that was said comes again later, as if it were received then.
            for at, ticks in list(heard.items()):
                later = UnixMs(START + at + 20_000)
                again = [replace(tick, at=later) for tick in ticks]
                heard[at + 20_000] = heard.get(at + 20_000, []) + again
        for at in range(0, last + 250, 250):
            if self.broken and self.broken[0] <= at < self.broken[1]:
                continue
            ticks = sorted(heard.get(at, []), key=lambda tick: tick.at)
            yield UnixMs(START + at), heard.get(at, []) if "shuffle" in self.changes else ticks

    def _tick(self, venue: str, number: int, at: int) -> Tick | None:
        for span in reversed(self.spans):
            if venue in span.venues and span.since_ms <= at < span.until_ms:
                break
        else:
            return None
        if span.value == "-":
            return None
        try:
            value = whole_from_text(span.value, SCALE)
        except Impossible:
            return None
        if span.to is not None:
            rise = whole_from_text(span.to, SCALE) - value
            value += rise * (at - span.since_ms) // (span.until_ms - span.since_ms)
        if value <= 0:
            return None
        now = UnixMs(START + at)
        return Tick(venue, number, Value(value), UnixMs(now + span.clock_ms), now)


def read(path: Path) -> Case:
    """Read a file of the set.

    Raises:
        ValueError: with the line that is not understood.
    """
    lines = path.read_text(encoding="utf-8").splitlines()
    if lines[0] != f"version {VERSION}":
        raise ValueError(f"{path.name} is not of version {VERSION}")
    case = Case(path.stem)
    for line in filter(None, (line.partition("#")[0].strip() for line in lines[1:])):
        room = _ROOM.match(line)
        if line.startswith("why "):
            case.why = f"{case.why} {line[4:]}".strip()
        elif room is not None:
            case.rooms.append(_wanted(room))
        elif line in ("duplicate", "shuffle", "replay"):
            case.changes.append(line)
        elif line.startswith("log broken "):
            since, until = line.removeprefix("log broken ").split("..")
            case.broken = _ms(since), _ms(until)
        else:
            case.spans.append(_span(line))
    return case


def play(case: Case, guards: Guards | None = None) -> list[dict[str, str]]:
    """Play a case; return of every room the outcome by touch rule."""
    found: list[dict[str, str]] = [{} for _ in case.rooms]
    for effect in effects(case, guards):
        if isinstance(effect, Decided):
            place, number = divmod(effect.room, len(RULES))
            reason = f" {effect.reason}" if effect.reason else ""
            found[place][list(RULES)[number]] = f"{effect.outcome}{reason}"
    return found


def effects(case: Case, guards: Guards | None = None) -> Iterator[Effect]:
    """Play a case; return everything that follows, in order."""
    opened = [
        OpenRoom(
            id=place * len(RULES) + number,
            comparator=Comparator.UP if wanted.up else Comparator.DOWN,
            move_bps=None,
            target=wanted.target,
            opened_at=UnixMs(START + WATCH_MS - 2),
            lock_at=UnixMs(START + WATCH_MS - 1),
            watch_at=UnixMs(START + WATCH_MS),
            deadline_at=UnixMs(START + DEADLINE_MS),
            target_wait_ms=10_000,
            gap_ms_max=GAP_MS_MAX,
            held_ms=held_ms,
        )
        for place, wanted in enumerate(case.rooms)
        for number, held_ms in enumerate(RULES.values())
    ]
    log = FeedLog(guards or Guards(), rooms=opened)
    for at, ticks in case.messages():
        yield from log.hear(at, ticks)


def every() -> list[Case]:
    """Read the whole set."""
    return [read(path) for path in sorted(FOLDER.glob("*.txt"))]


def _wanted(line: re.Match[str]) -> Wanted:
    way, target, said, truth = line.groups()
    outcomes = dict(part.split(" ", 1) for part in said.split(", "))
    if "both" in outcomes:
        outcomes = dict.fromkeys(RULES, outcomes["both"])
    return Wanted(way == "up", Value(whole_from_text(target, SCALE)), outcomes, truth == "touched")


def _span(line: str) -> Span:
    parts = _SPAN.match(line)
    if parts is None:
        raise ValueError(f"not understood: {line}")
    since, until, who, value, to, clock = parts.groups()
    begin = _ms(since)
    end = _ms(until) if until else begin + EVERY_MS
    venues = frozenset(VENUES if who == "all" else [who])
    if not venues <= set(VENUES):
        raise ValueError(f"no such venue: {line}")
    return Span(begin, end, venues, value, to, _signed_ms(clock or "+0"))


def _signed_ms(seconds: str) -> int:
    return _ms(seconds[1:]) * (-1 if seconds[0] == "-" else 1)


def _ms(seconds: str) -> int:
    return whole_from_text(seconds, 3)
