"""Admission: what a venue told, made into a tick or refused with a reason.

In        a trade in the venue's own words, and when we received it.
Out       a `Tick` at its feed's scale.
Promises  digits are never rounded; sequences rise; nothing ten times off its last passes.
Why       what is refused here is refused for its own sake; whether sources agree is judged later.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from rooms.decimal_text import DIGITS_MAX, whole_from_text
from rooms.refusal import Impossible
from rooms.tick import Tick
from rooms.units import UnixMs, Value
from streams.feeds.venue import SymbolOf, Trade
from streams.feeds.wire import cut_to

JUMP_MAX = 10
"""A value this many times its last good one, or one part in as many, is a mistake."""

GOOD_FOR_MS = 60_000
"""How long the last good tick is held against the next: a mistake admitted first must not stay."""

HISTORY_BEFORE_MS = 1_000
"""What happened this long before we subscribed was told as history, whatever the frame says."""

VALUE_MAX = 2**63 - 1

MARKS_KEPT = 256
"""So many names of trades without a number are remembered, of each symbol."""


class Reason(Enum):
    """Why something from a venue did not become a tick."""

    MALFORMED = "malformed"  # The frame is not what the venue's documents say.
    UNASKED = "unasked"  # A symbol that we did not ask for.
    HISTORY = "history"  # From before we subscribed.
    REPEATED = "repeated"  # Not after the last trade: told twice, or out of order.
    UNREADABLE = "unreadable"  # Not plain decimal text: an exponent, a sign, a blank.
    TOO_FINE = "too fine"  # More decimal places than the feed holds.
    TOO_BIG = "too big"
    NOT_POSITIVE = "not positive"
    NO_RATE = "no rate"  # Told in a coin whose price in dollars we do not know now.
    DEPEG = "depeg"  # Told in a dollar coin that is no longer a dollar.
    DOUBTFUL = "doubtful"  # The source itself says that it may be too far off.
    JUMP = "jump"


class Unfit(Impossible):
    """A trade that does not become a tick, with the reason it is counted under."""

    def __init__(self, reason: Reason, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class _Good:
    value: int
    sequence: int
    at: UnixMs


class Admission:
    """What one source has said of each symbol so far, which the next trade is held against."""

    def __init__(self, source: str, symbols: Mapping[str, SymbolOf]) -> None:
        self.source = source
        self._symbols = dict(symbols)
        self._last: dict[str, _Good] = {}
        self._marks: dict[str, deque[str]] = {}

    def expect(self, symbols: Mapping[str, SymbolOf]) -> None:
        """Change what is asked for; a symbol that keeps its feed keeps its memory."""
        kept = {symbol for symbol, of in symbols.items() if self._symbols.get(symbol) == of}
        self._last = {symbol: good for symbol, good in self._last.items() if symbol in kept}
        self._marks = {symbol: seen for symbol, seen in self._marks.items() if symbol in kept}
        self._symbols = dict(symbols)

    def admit(self, trade: Trade, at: UnixMs, asked_at: UnixMs | None) -> tuple[str, Tick]:
        """Make the trade its feed's tick; ``asked_at`` is when we subscribed on this line.

        A source that is asked again and again tells no history: None.

        Raises:
            Unfit: with the reason, and nothing remembered.
        """
        of = self._symbols.get(trade.symbol)
        if of is None:
            raise Unfit(Reason.UNASKED, f"{trade.symbol!r} was not asked for")
        source_at = _source_at(trade, at)
        if asked_at is not None and source_at < asked_at - HISTORY_BEFORE_MS:
            raise Unfit(Reason.HISTORY, f"{trade.symbol} told a trade from before we asked")
        last = self._last.get(trade.symbol)
        if last is not None and at - last.at > GOOD_FOR_MS:
            last = None
        sequence = trade.sequence
        if sequence is None:
            sequence = at if last is None else max(at, last.sequence + 1)
        marks = self._marks.setdefault(trade.symbol, deque(maxlen=MARKS_KEPT))
        if (last is not None and sequence <= last.sequence) or (trade.mark and trade.mark in marks):
            known = trade.mark or str(sequence)
            raise Unfit(Reason.REPEATED, f"{trade.symbol} told {known} again or late")
        value = _value(trade, of)
        if trade.doubt_bps > of.doubt_bps_max:
            raise Unfit(Reason.DOUBTFUL, f"{trade.symbol} is off by up to {trade.doubt_bps} bps")
        if last is not None:
            low, high = sorted((value, last.value))
            if high > low * JUMP_MAX:
                raise Unfit(Reason.JUMP, f"{trade.symbol} jumped from {last.value} to {value}")
        self._last[trade.symbol] = _Good(value, sequence, at)
        if trade.mark:
            marks.append(trade.mark)
        return of.feed, Tick(self.source, sequence, Value(value), source_at, at)


def _source_at(trade: Trade, at: UnixMs) -> UnixMs:
    if trade.source_at is not None:
        return trade.source_at
    told_at = UnixMs(max(0, at - trade.age_ms))
    return told_at if trade.latest_at is None else min(told_at, trade.latest_at)


def _value(trade: Trade, of: SymbolOf) -> int:
    try:
        price = cut_to(trade.price, of.scale) if of.is_cut else trade.price
        value = whole_from_text(price, of.scale)
    except Impossible as refusal:
        raise Unfit(_why_unreadable(trade.price), f"{trade.symbol}: {refusal}") from refusal
    if value <= 0:
        raise Unfit(Reason.NOT_POSITIVE, f"{trade.symbol} told a price of {trade.price}")
    if value > of.value_max:
        raise Unfit(Reason.TOO_BIG, f"{trade.symbol} told a price of {trade.price}")
    return value


def _why_unreadable(price: str) -> Reason:
    try:
        whole_from_text(price, DIGITS_MAX)
    except Impossible:
        return Reason.UNREADABLE
    return Reason.TOO_FINE
