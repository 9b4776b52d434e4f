"""Index price: the value that we stand behind at a moment, with the ticks it was made from.

In        the newest tick of each source, the moment, the feed's guards.
Out       an `IndexPrice` with its evidence, or a `Silence` with its reason.
Promises  fewer sources give silence, never a guess; the value is one that a source really said.
Why       with an even count an average would invent a price that nobody gave: the lower median.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from rooms.feed import Guards
from rooms.tick import Tick
from rooms.units import BPS_WHOLE, UnixMs, Value


class LeftOut(StrEnum):
    """Say why a source's newest tick did not count."""

    STALE = "stale"
    AHEAD = "ahead"
    OUTLIER = "outlier"


class Reason(StrEnum):
    """Say why there is no index price."""

    TOO_FEW = "too_few"
    """Fewer fresh sources than the quorum."""
    DISAGREE = "disagree"
    """Enough fresh sources, but fewer than the quorum near their median."""
    TOO_WIDE = "too_wide"
    """The sources that count lie too far apart."""


@dataclass(frozen=True, slots=True)
class IndexPrice:
    """Carry a value with everything that it was made from.

    Attributes:
        ticks: those that counted, ordered by value, then source.
        left_out: source and reason of those that did not, ordered by source.
    """

    value: Value
    at: UnixMs
    ticks: tuple[Tick, ...]
    left_out: tuple[tuple[str, LeftOut], ...]


@dataclass(frozen=True, slots=True)
class Silence:
    """Say that there is no index price at a moment, and why.

    Attributes:
        agreeing: how many sources counted.
        known: how many sources have ever spoken.
    """

    reason: Reason
    at: UnixMs
    agreeing: int
    known: int
    quorum: int


def index_price(newest: Iterable[Tick], at: UnixMs, guards: Guards) -> IndexPrice | Silence:
    """Take the lower median of the fresh ticks that agree, if there are enough of them.

    ``newest`` holds at most one tick a source; its order does not matter.
    """
    fresh: list[Tick] = []
    left_out: list[tuple[str, LeftOut]] = []
    for tick in newest:
        if tick.source_at > at + guards.tick_ahead_ms_max:
            left_out.append((tick.source, LeftOut.AHEAD))
        elif at - min(tick.source_at, tick.at) > guards.tick_age_ms_max:
            left_out.append((tick.source, LeftOut.STALE))
        else:
            fresh.append(tick)
    known = len(fresh) + len(left_out)
    if len(fresh) < guards.quorum:
        return Silence(Reason.TOO_FEW, at, len(fresh), known, guards.quorum)

    fresh.sort(key=lambda tick: (tick.value, tick.source))
    middle = _lower_median(fresh).value
    agreeing: list[Tick] = []
    for tick in fresh:
        if abs(tick.value - middle) * BPS_WHOLE > middle * guards.outlier_bps_max:
            left_out.append((tick.source, LeftOut.OUTLIER))
        else:
            agreeing.append(tick)
    if len(agreeing) < guards.quorum:
        return Silence(Reason.DISAGREE, at, len(agreeing), known, guards.quorum)

    value = _lower_median(agreeing).value
    spread = agreeing[-1].value - agreeing[0].value
    if spread * BPS_WHOLE > value * guards.dispersion_bps_max:
        return Silence(Reason.TOO_WIDE, at, len(agreeing), known, guards.quorum)
    return IndexPrice(value, at, tuple(agreeing), tuple(sorted(left_out)))


def _lower_median(ordered: list[Tick]) -> Tick:
    return ordered[(len(ordered) - 1) // 2]
