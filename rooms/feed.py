"""Feed: a named series that we can stand behind, and the rules by which we do.

Holds     its name, unit and scale, which symbol each source calls it by, and its guards.
Promises  a feed's scale never changes; a room keeps the guards that it was created with.
Why       the numbers are settings a feed, because a thin token cannot meet a major's rules.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from rooms.refusal import must
from rooms.units import BPS_WHOLE, Bps

SOURCES_MIN: Final = 3
"""A feed with fewer independent sources can be held at a value by one of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guards:
    """Say when an index price counts; docs/prices.md says why each is as it is.

    Attributes:
        quorum: how many sources that count must agree.
        tick_age_ms_max: an older tick, by either of its times, does not count.
        tick_ahead_ms_max: a tick whose source time lies further after its receipt does not count.
        tick_lag_ms_max: a tick that was on its way for longer does not count.
        clock_ms_max: most sources' times so far after their receipt: it is our clock that is off.
        dead_ms: a source that was silent for so long returns only after ``return_ticks`` ticks.
        outlier_bps_max: a tick further from the median is left out, unless all are scattered:
        outlier_deviations: what lies within so many median deviations of the median stays in, so
            that it is dispersion that holds the price; 0 leaves it out all the same.
        probation_ms: a source that strayed by itself and came back is left out for so long.
        strays_max: so many strays of a source in half an hour alarm the operator.
        stuck_ms: a source whose value is unchanged for so long, while two others have moved by
            ``stuck_bps``, does not count; it has the age of a tick to follow them.
        dispersion_bps_max: sources further apart than this hold the price back.
        scatter_bps: further apart than this for ``scatter_ms``, they void rooms that are watched.
        jump_bps: a price further from its own five-minute mean must last ``jump_ms`` to count.
        jump_bps_max: a price further from that mean than this does not count at all.
        witness: a source that is never counted, but contradicts; None asks no one.
        witness_bps_max: a price further from the witness's is held back.
        witness_age_ms_max: an older word of the witness says nothing.
        coverage_bps_min: NO needs a price in so much of the watch.
    """

    quorum: int = 3
    tick_age_ms_max: int = 2_000
    tick_ahead_ms_max: int = 250
    tick_lag_ms_max: int = 1_000
    dead_ms: int = 10_000
    return_ticks: int = 10
    outlier_bps_max: Bps = Bps(50)
    outlier_deviations: int = 4
    probation_ms: int = 60_000
    strays_max: int = 4
    stuck_ms: int = 10_000
    stuck_bps: Bps = Bps(5)
    dispersion_bps_max: Bps = Bps(100)
    scatter_bps: Bps = Bps(200)
    scatter_ms: int = 3_000
    jump_bps: Bps = Bps(500)
    jump_ms: int = 3_000
    jump_bps_max: Bps = Bps(1_000)
    witness: str | None = "pyth"
    witness_bps_max: Bps = Bps(50)
    witness_age_ms_max: int = 10_000
    clock_ms_max: int = 200
    coverage_bps_min: Bps = Bps(8_000)

    def __post_init__(self) -> None:
        must(self.quorum >= 1, "a quorum is at least one source")
        must(self.tick_age_ms_max > 0, "a tick may have some age")
        must(self.tick_ahead_ms_max >= 0, "a clock may be ahead, not behind, by this")
        must(self.tick_lag_ms_max > 0, "a tick may be on its way for a while")
        must(self.clock_ms_max > 0, "clocks differ by a little")
        must(0 <= self.coverage_bps_min <= BPS_WHOLE, "coverage is a part of the watch")
        must(self.dead_ms >= self.tick_age_ms_max, "a source whose tick is fresh is not dead")
        must(self.return_ticks >= 1, "a source returns by saying something")
        must(0 < self.outlier_bps_max < BPS_WHOLE, "an outlier is a part of the median away")
        must(self.outlier_deviations >= 0, "deviations are counted")
        must(0 < self.dispersion_bps_max < BPS_WHOLE, "dispersion is a part of the median")
        must(self.dispersion_bps_max <= self.scatter_bps, "what voids is held back before")
        must(0 < self.jump_bps <= self.jump_bps_max, "a jump is held before it is refused")
        must(
            min(self.dead_ms, self.probation_ms, self.stuck_ms, self.scatter_ms, self.jump_ms) > 0,
            "every wait is some time",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """Name a series, its scale and its sources.

    Attributes:
        name: such as ``"SOL/USD"``.
        unit: what one is: ``"USD"``.
        scale: values are whole numbers of ``10**-scale`` units.
        symbols: source name to the venue's own name for it.
        volatility_bps: a year's standard deviation of the logarithm, for weights and warnings.
        price, supply: of a market cap, the feeds that it is the product of.
        liquidity: the feed that says how many dollars lie in its market; None: deep enough.
        meaning: what a value of it is, where its name does not say so; printed in its rooms.
        expression: of a derived feed, what it is, in its one form; ``inputs``: the feeds that it
            is made of, each with its scale.
        offered: whether rooms are made on it; others are there to be multiplied with.
    """

    name: str
    unit: str
    scale: int
    symbols: Mapping[str, str]
    volatility_bps: Bps
    guards: Guards = field(default_factory=Guards)
    price: str | None = None
    supply: str | None = None
    liquidity: str | None = None
    meaning: str = ""
    offered: bool = True
    expression: str | None = None
    inputs: Mapping[str, int] = field(default_factory=dict)

    @property
    def is_thin(self) -> bool:
        """Say whether one purse may move its price: few sources, or a market that is measured."""
        if self.expression is not None:
            return self.liquidity is not None
        independent = sum(source != self.guards.witness for source in self.symbols)
        has_few = self.guards.quorum < SOURCES_MIN and independent < SOURCES_MIN
        return has_few or self.liquidity is not None

    def __post_init__(self) -> None:
        must(0 < len(self.name) <= 64, "a feed has a name of at most 64 characters")
        must(0 <= self.scale <= 12, "a feed's scale is 0 to 12 decimal places")
        must(self.volatility_bps > 0, "a feed's volatility is positive")
        must((self.price is None) == (self.supply is None), "a cap is a price times a supply")
        must(self.price is None or not self.symbols, "a cap has its price's sources")
        must((self.expression is None) == (not self.inputs), "what is derived has inputs")
        must(len(self.meaning) <= 160, "a meaning is one short sentence")
