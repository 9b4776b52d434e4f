"""Index price: the value that we stand behind at a moment, with the ticks it was made from.

In        ticks of the sources that count, and of those that do not with the reason; the guards.
Out       an `IndexPrice` with its evidence, or a `Silence` with its reason.
Promises  fewer sources give silence, never a guess; the value is one that a source really said.
Why       with an even count an average would invent a price that nobody gave: the lower median.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from rooms.feed import Guards
from rooms.look_back import LookBack
from rooms.tick import Tick
from rooms.units import BPS_WHOLE, UnixMs, Value


class LeftOut(StrEnum):
    """Say why a source's newest tick did not count."""

    STALE = "stale"
    AHEAD = "ahead"
    LATE = "late"
    """It was on its way for too long: one of the clocks, or the way, is not to be trusted."""
    OUTLIER = "outlier"
    STUCK = "stuck"
    """It says the same while others move."""
    RETURNING = "returning"
    """It was silent for long and has said too little since."""
    PROBATION = "probation"
    """It strayed by itself a short while ago."""
    WITNESS = "witness"
    """It is asked for its opinion only."""


class Reason(StrEnum):
    """Say why there is no index price."""

    TOO_FEW = "too_few"
    """Fewer sources that count than the quorum."""
    DISAGREE = "disagree"
    """Enough sources, but fewer than the quorum near their median."""
    TOO_WIDE = "too_wide"
    """The sources that agree lie too far apart."""
    JUMP = "jump"
    """The price is so far from where it was that it has to last first."""
    CONTRADICTED = "contradicted"
    """The witness says something else."""
    CLOCK = "clock"
    """The times of most sources and ours do not fit together: our clock may be off."""
    INPUT_SILENT = "input_silent"
    """Of a derived feed: an input has no price."""
    PAST_UNKNOWN = "past_unknown"
    """Of a derived feed: too little is known of the past that it looks back at."""
    NO_VALUE = "no_value"
    """Of a derived feed: something is divided by nothing, or no feed can have such a value."""


@dataclass(frozen=True, slots=True)
class IndexPrice:
    """Carry a value with everything that it was made from.

    Attributes:
        ticks: those that counted, ordered by value, then source.
        left_out: tick and reason of every other source, ordered by source.
        inputs: of a derived feed, which has no ticks: what it was made from, ordered by feed.
    """

    value: Value
    at: UnixMs
    ticks: tuple[Tick, ...]
    left_out: tuple[tuple[Tick, LeftOut], ...]
    inputs: "tuple[Input, ...]" = ()

    @property
    def source_at(self) -> UnixMs:
        """Return the earliest source time in it."""
        return min(
            [tick.source_at for tick in self.ticks] + [each.price.source_at for each in self.inputs]
        )

    @property
    def sources(self) -> tuple[str, ...]:
        """Return who said it: sources, or the feeds that are the inputs."""
        return tuple(tick.source for tick in self.ticks) or tuple(i.feed for i in self.inputs)

    @property
    def known(self) -> int:
        """Return how many sources have ever spoken; a witness is none."""
        asked = sum(why is LeftOut.WITNESS for _, why in self.left_out)
        return len(self.ticks) + len(self.inputs) + len(self.left_out) - asked


@dataclass(frozen=True, slots=True)
class Input:
    """What an input of a derived feed was, with its own evidence.

    Attributes:
        looks: back from there, one a span that the expression asks for.
    """

    feed: str
    price: IndexPrice
    looks: tuple[LookBack, ...]


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


Quote = tuple[Value, str]
"""What a source says now, and its name: so they are sorted by value, then source."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What sources that count say together.

    Attributes:
        value: the lower median of those that agree; None in a silence.
        reason: why there is none.
        low, high: of the quotes in order, the first that agrees and the first after that does not.
        middle: the lower median of all quotes; None when there are too few.
    """

    value: Value | None
    reason: Reason | None
    low: int
    high: int
    middle: Value | None


TOO_FEW: Final = Verdict(None, Reason.TOO_FEW, 0, 0, None)


def judge(quotes: Sequence[Quote], guards: Guards) -> Verdict:
    """Take the lower median of the quotes that agree, if there are enough of them.

    Args:
        quotes: one a source, in order.
        guards: the feed's.
    """
    count = len(quotes)
    if count < guards.quorum:
        return TOO_FEW
    middle = quotes[(count - 1) // 2][0]
    low, high, band = 0, count, middle * guards.outlier_bps_max
    if (middle - quotes[0][0]) * BPS_WHOLE > band or (quotes[-1][0] - middle) * BPS_WHOLE > band:
        band = max(band, guards.outlier_deviations * BPS_WHOLE * _deviation(quotes, middle))
        while (middle - quotes[low][0]) * BPS_WHOLE > band:
            low += 1
        while (quotes[high - 1][0] - middle) * BPS_WHOLE > band:
            high -= 1
        if high - low < guards.quorum:
            return Verdict(None, Reason.DISAGREE, low, high, middle)
    value = quotes[low + (high - low - 1) // 2][0]
    if (quotes[high - 1][0] - quotes[low][0]) * BPS_WHOLE > value * guards.dispersion_bps_max:
        return Verdict(None, Reason.TOO_WIDE, low, high, middle)
    return Verdict(value, None, low, high, middle)


def is_scattered(quotes: Sequence[Quote], verdict: Verdict, guards: Guards) -> bool:
    """Say whether sources are held back and lie so far apart that a watched room is void."""
    if verdict.middle is None or verdict.reason is None:
        return False
    return (quotes[-1][0] - quotes[0][0]) * BPS_WHOLE > verdict.middle * guards.scatter_bps


def left_out_alone(tick: Tick, at: UnixMs, guards: Guards) -> LeftOut | None:
    """Say why a tick does not count at a moment, whatever the others say; None when it does."""
    if tick.source == guards.witness:
        return LeftOut.WITNESS
    if tick.source_at > tick.at + guards.tick_ahead_ms_max:
        return LeftOut.AHEAD
    if at > stale_after(tick, guards):
        return LeftOut.STALE
    if tick.at - tick.source_at > guards.tick_lag_ms_max:
        return LeftOut.LATE
    return None


def stale_after(tick: Tick, guards: Guards) -> int:
    """Return the last moment at which a tick is fresh."""
    return min(tick.source_at, tick.at) + guards.tick_age_ms_max


def is_clock_off(newest: Iterable[Tick], at: UnixMs, guards: Guards, *, is_priced: bool) -> bool:
    """Say whether more than half of the sources that speak tell times that ours cannot be.

    Nothing is received before it was said: so many times after their receipt hold a price back.
    What comes late may be slow as well, and only explains why too few sources count.

    Args:
        newest: at most one tick a source.
        at: the moment.
        guards: the feed's.
        is_priced: whether there is a price to hold back.
    """
    speaking = ahead = late = 0
    for tick in newest:
        if tick.source == guards.witness or at - tick.at > guards.tick_age_ms_max:
            continue
        speaking += 1
        lead = tick.source_at - tick.at
        ahead += lead > guards.clock_ms_max
        late += -lead > guards.tick_lag_ms_max
    return 2 * (ahead if is_priced else max(ahead, late)) > speaking


def contradicts(witness: Tick | None, value: Value, at: UnixMs, guards: Guards) -> bool:
    """Say whether the witness was heard lately and says something else."""
    return (
        witness is not None
        and at - min(witness.source_at, witness.at) <= guards.witness_age_ms_max
        and abs(value - witness.value) * BPS_WHOLE > witness.value * guards.witness_bps_max
    )


def index_price(
    newest: Iterable[Tick],
    at: UnixMs,
    guards: Guards,
    barred: Mapping[str, LeftOut] | None = None,
) -> IndexPrice | Silence:
    """Judge ticks at a moment from nothing but themselves.

    What a source did before is not in its tick: ``barred`` names those left out for it. A price
    that has jumped is not held here either.

    Args:
        newest: at most one tick a source, in any order.
        at: the moment.
        guards: the feed's.
        barred: sources left out for what they did before, with the reason.
    """
    left_out: list[tuple[Tick, LeftOut]] = []
    counted: dict[str, Tick] = {}
    witness: Tick | None = None
    known = 0
    newest = list(newest)
    for tick in newest:
        why = left_out_alone(tick, at, guards) or (barred or {}).get(tick.source)
        if why is LeftOut.WITNESS:
            witness = tick
        else:
            known += 1
        if why is None:
            counted[tick.source] = tick
        else:
            left_out.append((tick, why))
    quotes = sorted((tick.value, source) for source, tick in counted.items())
    verdict = judge(quotes, guards)
    reason = verdict.reason
    if reason in (None, Reason.TOO_FEW) and is_clock_off(
        newest, at, guards, is_priced=reason is None
    ):
        reason = Reason.CLOCK
    elif verdict.value is not None and contradicts(witness, verdict.value, at, guards):
        reason = Reason.CONTRADICTED
    if reason is not None:
        agreeing = len(quotes) if verdict.middle is None else verdict.high - verdict.low
        return Silence(reason, at, agreeing, known, guards.quorum)
    return assembled(verdict, quotes, counted, left_out, at)


def assembled(
    verdict: Verdict,
    quotes: Sequence[Quote],
    ticks: Mapping[str, Tick],
    left_out: Iterable[tuple[Tick, LeftOut]],
    at: UnixMs,
) -> IndexPrice:
    """Put an index price together with its evidence."""
    assert verdict.value is not None, "only a value is a price"
    low, high = verdict.low, verdict.high
    outliers = [(ticks[source], LeftOut.OUTLIER) for _, source in (*quotes[:low], *quotes[high:])]
    others = sorted([*left_out, *outliers], key=lambda each: each[0].source)
    agreeing = tuple(ticks[source] for _, source in quotes[low:high])
    return IndexPrice(verdict.value, at, agreeing, tuple(others))


def _deviation(quotes: Sequence[Quote], middle: Value) -> int:
    """Return the lower median of the distances from the median."""
    distances = sorted(abs(value - middle) for value, _ in quotes)
    return distances[(len(distances) - 1) // 2]
