"""Poll: what a poller must know about one source that answers over HTTP, as data.

Holds     how it is asked and what an answer means, in the words of `venue`; its limits.
Promises  nothing here waits, reads a clock or touches a socket.
Why       a new source is one file, whether it speaks by itself or has to be asked.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from streams.feeds.venue import DOLLAR, Heard, Key

LIQUIDITY = "#liquidity"
"""Behind a symbol: how many dollars lie in its market, instead of its price."""

CIRCULATING = "#circulating"
"""Behind a symbol: how many of it circulate, instead of its price."""


@dataclass(frozen=True, slots=True)
class Ask:
    """One request: a path behind the source's address; with a body it is a POST of JSON."""

    path: str
    body: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Poll:
    """One polled source.

    Attributes:
        ask: symbols into one request.
        parse: one answer's text into what it means; raises `Impossible` when it is malformed.
        every_ms: the pause between two requests, by the source's limit or above it.
        every_ms_keyless: the same without a key, where that is allowed.
        symbols_per_request: how many one request may ask for.
        computes: its values are computed, so digits finer than the feed's are cut, not refused.
        key: where its API key goes; needs_key: without one it is off.
        quote: the coin that its prices are in.
    """

    name: str
    default_url: str
    ask: Callable[[Sequence[str]], Ask]
    parse: Callable[[str], Sequence[Heard]]
    every_ms: int
    every_ms_keyless: int | None = None
    symbols_per_request: int
    symbols_max: int = 1_000
    computes: bool = True
    key: Key | None = None
    quote: str = DOLLAR

    @property
    def needs_key(self) -> bool:
        """Say whether it is off without a key."""
        return self.key is not None and self.every_ms_keyless is None


def plain(symbols: Sequence[str]) -> list[str]:
    """Return what symbols are of, each once, without what is behind them."""
    return list(dict.fromkeys(symbol.partition("#")[0] for symbol in symbols))
