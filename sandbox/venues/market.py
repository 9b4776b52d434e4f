"""Market: what coins cost at any moment, at every venue, from one seed.

In        a seed, a moment, and what a person asked to happen (jump, drift, hold, wick, outage).
Out       one common price a coin; each venue's trades, a little off it.
Promises  whole numbers only; any moment can be asked for without the moments before it, so a
          restart goes on where the clock is; the same seed and steering give the same trades.
Why       the walk is a sum of waves of noise, each twice as long and √2 as high as the one before:
          it looks like a random walk, and no step of it has to be remembered.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from hashlib import blake2b
from math import isqrt

PRICE_SCALE = 12
BILLION = 10**9
BPS = 10_000
WAVES = 18
WAVE_FIRST_MS = 500
VENUE_NOISE_PPB = 300_000  # 3 bps either way.
STEADIER = 20
ALL = "all"


@dataclass(frozen=True, slots=True)
class Coin:
    """A coin: its first price, times 10^12, and the decimal places venues show of it.

    Attributes:
        steady: its price stays where it is until it is steered, nearly without noise.
        one_in: it trades once where others trade so many times.
    """

    name: str
    start_e12: int
    places: int
    steady: bool = False
    one_in: int = 1


COINS = (
    Coin("SOL", 150 * 10**12, 2),
    Coin("BTC", 68_000 * 10**12, 2),
    Coin("ETH", 3_500 * 10**12, 2),
    Coin("XRP", 5 * 10**11, 4),
    Coin("DOGE", 12 * 10**10, 5),
    Coin("JUP", 8 * 10**11, 4),
    Coin("WIF", 21 * 10**11, 4),
    Coin("BONK", 22 * 10**6, 8),
    Coin("PUMPY", 5 * 10**6, 10),
    Coin("USDT", 10**12, 5, steady=True, one_in=8),
)
QUOTES = {"binance": "USDT", "okx": "USDT", "bybit": "USDT", "pumpportal": "SOL"}
"""These venues tell what a coin costs in another coin than the dollar."""


@dataclass(frozen=True, slots=True)
class Trade:
    """One trade at one venue; text as that venue would write it."""

    coin: str
    number: int
    at: int
    price: str
    quantity: str
    is_buy: bool


@dataclass(frozen=True, slots=True)
class Course:
    """Where a coin's common price goes: a straight line, and the walk on top of it or not."""

    since_at: int
    from_e12: int
    to_e12: int
    over_ms: int
    is_walking: bool
    reference_ppb: int = BILLION


@dataclass(frozen=True, slots=True)
class Wick:
    """One venue's price of one coin off the common price for a while."""

    venue: str
    coin: str
    bps: int
    since_at: int
    until_at: int


@dataclass(frozen=True, slots=True)
class Outage:
    """No trades: at one venue or all of them, of one coin or all of them."""

    venue: str
    coin: str
    since_at: int
    until_at: int


class Market:
    """The prices, and the steering that changes them; every method is told the moment."""

    def __init__(
        self,
        seed: int,
        coins: Iterable[Coin] = COINS,
        *,
        volatility_bps: int = 12,
        trade_ms: int = 125,
    ) -> None:
        """Begin with every coin on its walk.

        Args:
            volatility_bps: the walk's usual distance in a minute.
            trade_ms: a trade falls somewhere in each such stretch, at each venue.
        """
        assert trade_ms > 0, "trades take their time"
        self.coins = {coin.name: coin for coin in coins}
        self._seed = seed
        self._volatility_bps = volatility_bps
        self._trade_ms = trade_ms
        self._courses = {
            coin.name: Course(0, coin.start_e12, coin.start_e12, 0, is_walking=not coin.steady)
            for coin in self.coins.values()
        }
        self._wicks: list[Wick] = []
        self._outages: list[Outage] = []

    def price_e12(self, coin: str, at: int) -> int:
        """Return the common price times 10^12."""
        course = self._courses[coin]
        way = course.to_e12 - course.from_e12
        gone_ms = min(max(at - course.since_at, 0), course.over_ms)
        price = course.from_e12 + (way * gone_ms // course.over_ms if course.over_ms else way)
        if course.is_walking:
            price = price * self._walk_ppb(coin, at) // course.reference_ppb
        return price

    def last_at(self, venue: str, coin: str, at: int) -> int | None:
        """Return when a coin last traded at a venue; None in an outage."""
        return None if self.is_out(venue, coin, at) else at // self._trade_ms * self._trade_ms

    def trades(self, venue: str, coin: str, after_at: int, until_at: int) -> list[Trade]:
        """Return the trades with ``after_at < at <= until_at``, in order; none in an outage."""
        numbers = range(after_at // self._trade_ms, until_at // self._trade_ms + 1)
        return [
            self.trade(venue, coin, number)
            for number in numbers
            if after_at < (at := self._traded_at(venue, coin, number)) <= until_at
            and not self.is_out(venue, coin, at)
        ]

    def trade(self, venue: str, coin: str, number: int) -> Trade:
        """Return one trade; numbers rise with time, so they go on rising after a restart."""
        at = self._traded_at(venue, coin, number)
        chance = _chance(f"{self._seed} trade {venue} {coin} {number}")
        noise_ppb = chance % (2 * VENUE_NOISE_PPB + 1) - VENUE_NOISE_PPB
        if self.coins[coin].steady:
            noise_ppb //= STEADIER
        price = self.price_e12(coin, at) * (BILLION + noise_ppb) // BILLION
        quote = QUOTES.get(venue, coin)
        if quote != coin and quote in self.coins:
            price = price * 10**PRICE_SCALE // self.price_e12(quote, at)
        for wick in self._wicks:
            if (wick.venue, wick.coin) == (venue, coin) and wick.since_at <= at < wick.until_at:
                price = price * (BPS + wick.bps) // BPS
        places = PRICE_SCALE if QUOTES.get(venue) == "SOL" else self.coins[coin].places
        step = 10 ** (PRICE_SCALE - places)
        steps = max(1, (price + step // 2) // step)
        return Trade(
            coin=coin,
            number=number,
            at=at,
            price=_text(steps, places),
            quantity=_text(1 + (chance >> 32) % 50_000, 4),
            is_buy=bool(chance >> 63),
        )

    def _traded_at(self, venue: str, coin: str, number: int) -> int:
        name = f"{self._seed} when {venue} {coin} {number}"
        return number * self._trade_ms + _chance(name) % self._trade_ms

    def jump(self, coin: str, bps: int, at: int) -> None:
        """Move the common price at once and for good; it walks or stands as before."""
        assert bps > -BPS, "a price stays above zero"
        price = self.price_e12(coin, at) * (BPS + bps) // BPS
        walks = self._courses[coin].is_walking
        self._set(coin, Course(at, price, price, 0, walks), at)

    def drift(self, coin: str, to_e12: int, over_ms: int, at: int, *, then_hold: bool) -> None:
        """Move the common price in a straight line; afterwards it holds, or walks from there."""
        assert to_e12 > 0, "a price stays above zero"
        assert over_ms >= 0, "a drift takes its time"
        now_e12 = self.price_e12(coin, at)
        self._set(coin, Course(at, now_e12, to_e12, over_ms, not then_hold), at)

    def hold(self, coin: str, at: int) -> None:
        """Keep the common price flat; trades go on within the venues' noise."""
        price = self.price_e12(coin, at)
        self._set(coin, Course(at, price, price, 0, is_walking=False), at)

    def walk(self, coin: str, at: int) -> None:
        """Let the price walk on from where it is."""
        price = self.price_e12(coin, at)
        self._set(coin, Course(at, price, price, 0, is_walking=True), at)

    def wick(self, venue: str, coin: str, bps: int, ms: int, at: int) -> None:
        """Let one venue's price stand off the others' for a while."""
        assert bps > -BPS, "a price stays above zero"
        self._wicks = [wick for wick in self._wicks if wick.until_at > at]
        self._wicks.append(Wick(venue, coin, bps, at, at + ms))

    def outage(self, venue: str, coin: str, ms: int, at: int) -> None:
        """Stop the trades of a venue (or `ALL`) and a coin (or `ALL`) for a while."""
        self._outages = [outage for outage in self._outages if outage.until_at > at]
        self._outages.append(Outage(venue, coin, at, at + ms))

    def is_out(self, venue: str, coin: str, at: int) -> bool:
        """Say whether this venue is silent about this coin (`ALL`: about everything)."""
        return any(
            outage.since_at <= at < outage.until_at
            and outage.venue in (venue, ALL)
            and outage.coin in (coin, ALL)
            for outage in self._outages
        )

    def steering(self) -> dict[str, object]:
        """Return all that was steered, as plain JSON."""
        return {
            "courses": {coin: asdict(course) for coin, course in self._courses.items()},
            "wicks": [asdict(wick) for wick in self._wicks],
            "outages": [asdict(outage) for outage in self._outages],
        }

    def steer(
        self,
        courses: Mapping[str, Course],
        wicks: Iterable[Wick],
        outages: Iterable[Outage],
    ) -> None:
        """Take up steering that was returned before; coins that are not there now are left out."""
        known = {coin: course for coin, course in courses.items() if coin in self.coins}
        self._courses.update(known)
        self._wicks = list(wicks)
        self._outages = list(outages)

    def _set(self, coin: str, course: Course, at: int) -> None:
        self._courses[coin] = replace(course, reference_ppb=self._walk_ppb(coin, at))

    def _walk_ppb(self, coin: str, at: int) -> int:
        offset = 0
        for wave in range(WAVES):
            period_ms = WAVE_FIRST_MS << wave
            step, into_ms = divmod(at, period_ms)
            before = _lattice(self._seed, coin, wave, step)
            after = _lattice(self._seed, coin, wave, step + 1)
            height = before + (after - before) * into_ms // period_ms
            offset += height * isqrt(period_ms * BILLION // 60_000) // 31_623
        # 0.7 makes the waves up to a minute add up to the volatility asked for.
        return BILLION + offset * self._volatility_bps * 7 // 100


@lru_cache(maxsize=16_384)
def _lattice(seed: int, coin: str, wave: int, step: int) -> int:
    return _chance(f"{seed} walk {coin} {wave} {step}") % 2_000_001 - 1_000_000


def _chance(name: str) -> int:
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest())


def _text(number: int, places: int) -> str:
    whole, fraction = divmod(number, 10**places)
    return f"{whole}.{fraction:0{places}d}" if places else str(whole)
