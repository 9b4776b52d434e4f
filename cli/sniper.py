"""Sniper: whether it pays to bet last, knowing more, against the product's own payout code.

In        how many rooms of each kind; a seed.
Out       a table: of each kind of room and each market, what a sniper gets for what he stakes.
Promises  weights, freeze, cut and division are the product's own; the same seed, the same table.
Why       in a pool, who bets last with the outcome nearly known takes the others' money: a room's
          kind is fair when that does not pay.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import erfc, exp, log, sqrt
from random import Random
from typing import Final

from rich.console import Console
from rich.table import Table

from rooms.pool import Stake
from rooms.room import LIVE_CUT_MS, Outcome, Side, freeze_distance
from rooms.settlement import settle
from rooms.units import BPS_WHOLE, Bps, Lamports, Value
from rooms.weight import YEAR_MS, chance_bps, weight_bps

SOL: Final = 10**9
HONEST: Final = 5 * SOL
SNIPES: Final = 5 * SOL
SURE: Final = 0.90
VOLATILITY_BPS: Final = Bps(9_000)
PROTOCOL_FEE_BPS: Final = Bps(200)
HOST_FEE_BPS: Final = Bps(100)
STEP_S: Final = 2
ROOM_S: Final = 3_600
LOCK_S: Final = 1_800
SCALE: Final = 10**8
START: Final = 200.0
JUMPS_A_ROOM: Final = 3.0
JUMP: Final = 0.004
BOUND: Final = {"move": 0.0, "fixed value": 0.03, "live": 0.03}
"""A move gives a sniper nothing; the others no more than the fees that everybody pays.

A condition has no bound: nothing weighs its bets, and its card warns.
"""


@dataclass(frozen=True, slots=True)
class Weather:
    """How the market differs from what the weights assume."""

    name: str
    volatility: float
    jumps: bool


WEATHERS: Final = (
    Weather("as assumed", 1.0, jumps=False),
    Weather("with jumps", 1.0, jumps=True),
    Weather("1.5 × as wild", 1.5, jumps=False),
    Weather("0.67 × as wild", 0.67, jumps=False),
)


@dataclass(slots=True)
class Tally:
    """What a sniper staked and got back, over many rooms."""

    rooms: int = 0
    acted: int = 0
    staked: int = 0
    got: int = 0

    @property
    def gain(self) -> float:
        """Return what a lamport staked brought beyond itself."""
        return self.got / self.staked - 1 if self.staked else 0.0


def simulate(rooms: int, seed: int, console: Console) -> bool:
    """Print the table; say whether every kind of room is within its bound."""
    table = Table("room", "market", "rooms", "he acted in", "return per stake", "bound")
    fair = True
    for kind, play in KINDS.items():
        for weather in WEATHERS:
            tally = Tally()
            for number in range(rooms):
                play(tally, weather, Random(f"{seed} {weather.name} {number}"))  # noqa: S311 - a market
            bound = BOUND.get(kind)
            # What nobody can know at creation is shown, and is why live rooms are off.
            judged = bound if weather.volatility == 1.0 else None
            within = judged is None or tally.gain <= judged
            fair &= within
            table.add_row(
                kind, weather.name, str(tally.rooms),
                f"{100 * tally.acted // max(tally.rooms, 1)} %",
                f"{100 * tally.gain:+.1f} %", "–" if judged is None else f"{100 * judged:+.0f} %",
                style=None if within else "red",
            )  # fmt: skip
        table.add_section()
    console.print(table)
    return fair


def _path(weather: Weather, random: Random) -> list[float]:
    deviation = VOLATILITY_BPS / BPS_WHOLE * weather.volatility * sqrt(STEP_S * 1000 / YEAR_MS)
    chance = JUMPS_A_ROOM * STEP_S / ROOM_S if weather.jumps else 0.0
    price, path = START, [START]
    for _ in range(ROOM_S // STEP_S):
        price *= exp(random.gauss(0, deviation))
        if random.random() < chance:
            price *= exp(random.gauss(0, JUMP))
        path.append(price)
    return path


def _even_target(left_s: int, base: float) -> float:
    """Return the target that is touched in half of all markets."""
    deviation = VOLATILITY_BPS / BPS_WHOLE * sqrt(left_s * 1000 / YEAR_MS)
    return base * exp(0.6745 * deviation)


def _knows(price: float, target: float, left_s: float, weather: Weather) -> float:
    """Return the true chance of a touch, which the sniper knows."""
    if price >= target:
        return 1.0
    deviation = VOLATILITY_BPS / BPS_WHOLE * weather.volatility * sqrt(left_s * 1000 / YEAR_MS)
    return erfc(log(target / price) / deviation / sqrt(2)) if deviation else 0.0


def _touch(path: list[float], target: float, since: int) -> int | None:
    return next((at for at in range(since, len(path)) if path[at] >= target), None)


def _pay(tally: Tally, side: Side, weight: Bps, *, touched: bool) -> None:
    """Divide the pool as the product does, and note what the sniper got."""
    stakes = [
        Stake(1, 1, 1, Side.YES, Lamports(HONEST)),
        Stake(2, 2, 2, Side.NO, Lamports(HONEST)),
        Stake(3, 3, 3, side, Lamports(SNIPES), weight),
    ]
    outcome = Outcome.YES if touched else Outcome.NO
    division = settle(
        stakes, outcome, None, host=9, protocol_fee_bps=PROTOCOL_FEE_BPS, host_fee_bps=HOST_FEE_BPS
    )
    tally.acted += 1
    tally.staked += SNIPES
    tally.got += sum(payout.lamports for payout in division.payouts if payout.user == 3)


def _weight(price: float, target: float, left_s: int, side: Side) -> Bps:
    return weight_bps(
        chance_bps(
            value=Value(round(price * SCALE)), target=Value(round(target * SCALE)),
            left_ms=left_s * 1000, volatility_bps=VOLATILITY_BPS, side=side,
        )
    )  # fmt: skip


def _move(tally: Tally, weather: Weather, random: Random) -> None:
    """Bet last before lock; the target comes only from the first price of the watch."""
    path = _path(weather, random)
    tally.rooms += 1
    lock, watch = LOCK_S // STEP_S, LOCK_S // STEP_S + 15
    target = _even_target(ROOM_S - LOCK_S, path[watch])
    # All that he can go by is where the price went until now.
    side = Side.YES if path[lock] > path[0] else Side.NO
    _pay(tally, side, BPS_WHOLE, touched=_touch(path, target, watch) is not None)


def _condition(tally: Tally, weather: Weather, random: Random) -> None:
    """Bet last on what is not weighed."""
    _fixed(tally, weather, random, is_weighed=False)


def _fixed(tally: Tally, weather: Weather, random: Random, *, is_weighed: bool = True) -> None:
    """Bet last before lock, when one side is nearly certain."""
    path = _path(weather, random)
    tally.rooms += 1
    lock, watch = LOCK_S // STEP_S, LOCK_S // STEP_S + 15
    target = _even_target(ROOM_S, path[0])
    early = _touch(path, target, 0)
    if early is not None and early < watch:
        return  # Void: everything goes back, and he did not act or got his stake.
    left_s = ROOM_S - LOCK_S
    chance = _knows(path[lock], target, left_s, weather)
    if 1 - SURE < chance < SURE:
        return
    side = Side.YES if chance >= SURE else Side.NO
    weight = _weight(path[lock], target, left_s, side) if is_weighed else BPS_WHOLE
    _pay(tally, side, weight, touched=_touch(path, target, watch) is not None)


def _live(tally: Tally, weather: Weather, random: Random) -> None:
    """Bet as soon as one side is nearly certain, while the room is watched."""
    path = _path(weather, random)
    tally.rooms += 1
    target = _even_target(ROOM_S, path[0])
    touched = _touch(path, target, 0)
    for at, price in _until(path, touched):
        left_s = ROOM_S - at * STEP_S
        chance = _knows(price, target, left_s, weather)
        frozen = freeze_distance(Value(round(target * SCALE)), VOLATILITY_BPS)
        if 1 - SURE < chance < SURE or abs(target - price) * SCALE <= frozen:
            continue
        side = Side.YES if chance >= SURE else Side.NO
        cut = touched is not None and (touched - at) * STEP_S * 1000 <= LIVE_CUT_MS
        if cut:
            tally.acted, tally.staked, tally.got = (
                tally.acted + 1, tally.staked + SNIPES, tally.got + SNIPES
            )  # fmt: skip
            return
        weight = _weight(price, target, left_s, side)
        _pay(tally, side, weight, touched=touched is not None)
        return


def _until(path: list[float], touched: int | None) -> Iterator[tuple[int, float]]:
    yield from enumerate(path[: touched if touched is not None else len(path) - 1])


KINDS: Final[dict[str, Callable[[Tally, Weather, Random], None]]] = {
    "move": _move,
    "fixed value": _fixed,
    "live": _live,
    "condition": _condition,
}
