"""Intake: everything that one source says, made ticks or counted with the reason why not.

In        frames or answers as they came.
Out       what they mean; ticks, each to one plain function, as soon as they are known.
Holds     what was refused, by reason; the newest words of the source when it refused us.
Promises  whatever a source says, it is counted and goes no further than here.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import structlog

from rooms.refusal import Impossible
from rooms.tick import Tick
from rooms.units import UnixMs
from streams.feeds.admission import Admission, Reason, Unfit
from streams.feeds.venue import Denied, Heard, SymbolOf, Trade

log = structlog.get_logger()

Sink = Callable[[str, Tick], None]
Clock = Callable[[], UnixMs]
Convert = Callable[[str, Tick], Tick]
Record = Callable[[str, UnixMs, str], None]

SHOWN_MAX = 200


class Intake:
    """One source's words.

    Attributes:
        symbols: what we want of it, each with the feed that it speaks for.
        lag_ms: how long after the source's own time its newest tick reached us.
    """

    def __init__(
        self,
        source: str,
        parse: Callable[[str], Sequence[Heard]],
        sink: Sink,
        clock: Clock,
        *,
        convert: Convert | None,
        record: Record | None,
    ) -> None:
        self.source = source
        self.symbols: dict[str, SymbolOf] = {}
        self.frame_at: UnixMs | None = None
        self.lag_ms: int | None = None
        self.ticks = 0
        self.denied = 0
        self.last_denial: str | None = None
        self.refused: Counter[Reason] = Counter()
        self._parse = parse
        self._sink = sink
        self._clock = clock
        self._convert = convert
        self._record = record
        self._admission = Admission(source, {})
        self._log = log.bind(source=source)

    def want(self, symbols: Mapping[str, SymbolOf], symbols_max: int) -> list[str]:
        """Want these symbols from now on; return those that now speak for another feed.

        Raises:
            ValueError: when two symbols speak for one feed: a source has one voice.
        """
        if len({of.feed for of in symbols.values()}) < len(symbols):
            raise ValueError(f"two symbols of {self.source} speak for one feed")
        kept = dict(list(symbols.items())[:symbols_max])
        if len(kept) < len(symbols):
            self._log.error("symbols_left_out", wanted=len(symbols), limit=len(kept))
        changed = [symbol for symbol, of in kept.items() if self.symbols.get(symbol, of) != of]
        self.symbols = kept
        self._admission.expect(kept)
        return changed

    def read(self, frame: bytes) -> tuple[UnixMs, Sequence[Heard]]:
        """Say when a frame came and what it means: nothing, when it is malformed."""
        at = self.frame_at = self._clock()
        try:
            text = frame.decode()
            if self._record is not None:
                self._record(self.source, at, text)
            return at, self._parse(text)
        except (Impossible, UnicodeDecodeError) as refusal:
            self.refuse(Reason.MALFORMED, str(refusal), frame)
            return at, ()

    def admit(
        self, trade: Trade, at: UnixMs, asked_at: UnixMs | None, frame: bytes
    ) -> tuple[str, Tick] | None:
        """Make a trade a tick, not yet told to anybody; None when it is none."""
        try:
            feed, tick = self._admission.admit(trade, at, asked_at)
        except Unfit as refusal:
            self.refuse(refusal.reason, str(refusal), frame)
            return None
        self.lag_ms = at - tick.source_at
        return feed, tick

    def tell(self, feed: str, tick: Tick, frame: bytes) -> None:
        """Convert a tick where it must be, and pass it on."""
        if self._convert is not None:
            try:
                tick = self._convert(feed, tick)
            except Unfit as refusal:
                self.refuse(refusal.reason, str(refusal), frame)
                return
        self.ticks += 1
        self._sink(feed, tick)

    def note_denial(self, denied: Denied, symbols: Sequence[str]) -> None:
        """Count a refusal by the source."""
        self.denied += 1
        self.last_denial = denied.reason[:SHOWN_MAX]
        if self.denied & (self.denied - 1) == 0:
            self._log.warning("refused_by_source", why=self.last_denial, symbols=symbols)

    def refuse(self, reason: Reason, why: str, frame: bytes) -> None:
        """Count what is no tick."""
        self.refused[reason] += 1
        count = self.refused[reason]
        if count & (count - 1) == 0:  # 1, 2, 4, 8…: a flood is told without becoming one.
            shown = frame[:SHOWN_MAX].decode(errors="replace")
            self._log.warning(
                "not_a_tick", reason=reason.value, why=why[:SHOWN_MAX], count=count, frame=shown
            )
