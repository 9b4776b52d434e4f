"""Feed: a named series that we can stand behind, and the rules by which we do.

Holds     its name, unit and scale, which symbol each source calls it by, and its guards.
Promises  a feed's scale never changes; a room keeps the guards that it was created with.
Why       the numbers are settings a feed, because a thin token cannot meet a major's rules.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from rooms.refusal import must
from rooms.units import Bps


@dataclass(frozen=True, slots=True, kw_only=True)
class Guards:
    """Say when an index price counts.

    Attributes:
        quorum: how many fresh sources must agree.
        tick_age_ms_max: an older tick, by either of its times, does not count.
        tick_ahead_ms_max: a tick whose source time lies further in the future does not count.
        outlier_bps_max: a tick further from the median is left out.
        dispersion_bps_max: sources further apart than this hold the price back.
    """

    quorum: int = 3
    tick_age_ms_max: int = 2_000
    tick_ahead_ms_max: int = 250
    outlier_bps_max: Bps = Bps(50)
    dispersion_bps_max: Bps = Bps(100)

    def __post_init__(self) -> None:
        must(self.quorum >= 1, "a quorum is at least one source")
        must(self.tick_age_ms_max > 0, "a tick may have some age")
        must(self.tick_ahead_ms_max >= 0, "a clock may be ahead, not behind, by this")
        must(0 < self.outlier_bps_max < 10_000, "an outlier is a part of the median away")
        must(0 < self.dispersion_bps_max < 10_000, "dispersion is a part of the median")


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

    def __post_init__(self) -> None:
        must(0 < len(self.name) <= 64, "a feed has a name of at most 64 characters")
        must(0 <= self.scale <= 12, "a feed's scale is 0 to 12 decimal places")
        must(self.volatility_bps > 0, "a feed's volatility is positive")
        must((self.price is None) == (self.supply is None), "a cap is a price times a supply")
        must(self.price is None or not self.symbols, "a cap has its price's sources")
        must(len(self.meaning) <= 160, "a meaning is one short sentence")
