"""Generated: jump-diffusion markets with honest, noisy, late and wicking venues, seeded.

In        a seed.
Out       a feed's log, a target, and whether the market itself touched and held it.
Promises  the same seed gives the same market.
Why       the truth is the market's own path: what the venues made of it may be wrong.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import exp, sqrt
from random import Random

from rooms.feed import Guards
from rooms.feed_log import Decided, FeedLog, OpenRoom
from rooms.room import Comparator
from rooms.tick import Tick
from rooms.units import UnixMs, Value
from tests.oracle_cases.case import HELD_MS, RULES, START, VENUES

SECONDS = 75
WATCH_S, DEADLINE_S = 10, 70
STEPS_PER_S = 10
DOLLARS = 200.0
SCALE_UNITS = 10**8
VOLATILITY_PER_YEAR = 0.9
YEAR_S = 365 * 86_400
JUMPS_PER_S = 0.02
JUMP = 0.002
NOISE = 0.00005
WICKS_PER_S = 0.01
"""Of each venue: one in a hundred seconds it says something else for a moment."""


@dataclass(frozen=True, slots=True)
class Market:
    """A market's own path, its target, and what is true of it."""

    seed: int
    path: tuple[float, ...]
    target: float

    @property
    def touched(self) -> bool:
        """Say whether the path reached the target in the watch."""
        return any(price >= self.target for price in self._watched)

    @property
    def held(self) -> bool:
        """Say whether the path stayed at or past the target for the whole of a hold."""
        run = 0
        for price in self._watched:
            run = run + 1 if price >= self.target else 0
            if run > HELD_MS * STEPS_PER_S // 1000:
                return True
        return False

    @property
    def _watched(self) -> tuple[float, ...]:
        return self.path[WATCH_S * STEPS_PER_S : DEADLINE_S * STEPS_PER_S]

    def messages(self) -> Iterator[tuple[UnixMs, list[Tick]]]:
        """Return the feed's log."""
        random = Random(f"venues {self.seed}")
        lag = {venue: random.randint(0, 3) for venue in VENUES}
        wick = dict.fromkeys(VENUES, 1.0)
        until = dict.fromkeys(VENUES, 0)
        for step in range(len(self.path)):
            at = UnixMs(START + step * 1000 // STEPS_PER_S)
            ticks = []
            for venue in VENUES:
                if random.random() < WICKS_PER_S / STEPS_PER_S:
                    wick[venue] = 1 + random.choice((-1, 1)) * random.uniform(0.003, 0.2)
                    until[venue] = step + random.randint(1, 5 * STEPS_PER_S)
                if random.random() < 0.5:
                    continue  # Nobody traded there in this moment.
                price = self.path[max(0, step - lag[venue])] * (1 + random.gauss(0, NOISE))
                if step < until[venue]:
                    price *= wick[venue]
                value = Value(round(price * SCALE_UNITS))
                ticks.append(Tick(venue, step, value, at, at))
            yield at, ticks


def market(seed: int) -> Market:
    """Make the market of a seed; about half of them touch."""
    random = Random(f"market {seed}")
    step_deviation = VOLATILITY_PER_YEAR * sqrt(1 / STEPS_PER_S / YEAR_S)
    price, path = DOLLARS, []
    for _ in range(SECONDS * STEPS_PER_S):
        price *= exp(random.gauss(0, step_deviation))
        if random.random() < JUMPS_PER_S / STEPS_PER_S:
            price *= exp(random.gauss(0, JUMP))
        path.append(price)
    spread = VOLATILITY_PER_YEAR * sqrt((DEADLINE_S - WATCH_S) / YEAR_S)
    target = path[WATCH_S * STEPS_PER_S] * exp(0.7 * spread + 0.0005)
    return Market(seed, tuple(path), target)


def outcomes(given: Market) -> dict[str, str]:
    """Play a market; return what was decided by each touch rule."""
    opened = [
        OpenRoom(
            id=number,
            comparator=Comparator.UP,
            move_bps=None,
            target=Value(round(given.target * SCALE_UNITS)),
            opened_at=UnixMs(START + WATCH_S * 1000 - 2),
            lock_at=UnixMs(START + WATCH_S * 1000 - 1),
            watch_at=UnixMs(START + WATCH_S * 1000),
            deadline_at=UnixMs(START + DEADLINE_S * 1000),
            target_wait_ms=10_000,
            gap_ms_max=3_000,
            held_ms=held_ms,
        )
        for number, held_ms in enumerate(RULES.values())
    ]
    log = FeedLog(Guards(), rooms=opened)
    names = list(RULES)
    return {
        names[effect.room]: effect.outcome.value
        for at, ticks in given.messages()
        for effect in log.hear(at, ticks)
        if isinstance(effect, Decided)
    }


@dataclass(slots=True)
class Tally:
    """Count, for one touch rule, how decisions compare with the truth."""

    touched: int = 0
    untouched: int = 0
    false_touches: int = 0
    missed_touches: int = 0
    void: int = 0

    def add(self, outcome: str, *, truth: bool) -> None:
        """Count one decision."""
        self.touched += truth
        self.untouched += not truth
        self.void += outcome == "VOID"
        self.false_touches += outcome == "YES" and not truth
        self.missed_touches += outcome == "NO" and truth


def tally(seeds: range) -> dict[str, Tally]:
    """Play many markets; return the tally of each touch rule."""
    found = {name: Tally() for name in RULES}
    for seed in seeds:
        given = market(seed)
        said = outcomes(given)
        found["instant"].add(said["instant"], truth=given.touched)
        found["held"].add(said["held"], truth=given.held)
    return found
