"""Tick: one value of one feed from one source.

In        what a venue said, parsed exactly by that venue's own file.
Out       a whole number at the feed's scale, with both times.
Promises  a tick is positive; both times are milliseconds.
"""

from dataclasses import dataclass

from rooms.refusal import must
from rooms.units import UnixMs, Value


@dataclass(frozen=True, slots=True)
class Tick:
    """One value of one feed from one source.

    Attributes:
        source: who says it, such as ``"binance"``.
        sequence: the venue's own number (a trade id): a source's later tick has a higher one.
        value: at the feed's scale.
        source_at: when the venue says that it happened.
        at: when we received it.
    """

    source: str
    sequence: int
    value: Value
    source_at: UnixMs
    at: UnixMs

    def __post_init__(self) -> None:
        must(self.value > 0, "a tick's value is positive")
        must(self.sequence >= 0, "a tick's sequence is not negative")
