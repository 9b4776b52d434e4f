"""Venue: what a price socket must know about one venue, as data.

Holds     the words a venue's file answers in (what was heard), and its rules for staying connected.
Promises  nothing here waits, reads a clock or touches a socket.
Why       a new venue is one file: its frames in, these words out; the socket's life is shared.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from rooms.units import UnixMs

DOLLAR = "USD"


@dataclass(frozen=True, slots=True)
class SymbolOf:
    """The feed that a venue's symbol speaks for, and that feed's decimal scale.

    Attributes:
        doubt_bps_max: a value that its own source doubts more than this is none.
        value_max: a bigger value is none.
    """

    feed: str
    scale: int
    doubt_bps_max: int = 50
    value_max: int = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Trade:
    """One trade as the venue told it; the price is still its own decimal text.

    Attributes:
        doubt_bps: how far the source itself says that it may be off, as a part of the price.
    """

    symbol: str
    price: str
    sequence: int
    source_at: UnixMs
    doubt_bps: int = 0


@dataclass(frozen=True, slots=True)
class Alive:
    """A heartbeat, a pong, or a frame that we did not ask about: the line lives, nothing more."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The venue took a subscription."""


@dataclass(frozen=True, slots=True)
class Denied:
    """The venue refused something; ``request`` and ``symbol`` name it when the venue does."""

    reason: str
    request: int | None = None
    symbol: str | None = None


@dataclass(frozen=True, slots=True)
class History:
    """Trades from before we subscribed: context, never ticks."""

    count: int


@dataclass(frozen=True, slots=True)
class Leave:
    """The venue will close this line soon: open the next one first."""

    reason: str


Heard = Trade | Alive | Accepted | Denied | History | Leave
ALIVE: tuple[Heard, ...] = (Alive(),)


@dataclass(frozen=True, slots=True)
class Attempts:
    """At most ``count`` connections in any ``window_ms``, by the venue's limit or below it."""

    count: int
    window_ms: int


@dataclass(frozen=True, slots=True)
class Key:
    """Where a source wants its API key: in this header, behind this prefix."""

    header: str
    prefix: str = ""


def headers_of(place: Key | None, key: str | None) -> Mapping[str, str]:
    """Return the headers that carry a key, if it is wanted and there is one."""
    return {} if place is None or key is None else {place.header: place.prefix + key}


@dataclass(frozen=True, slots=True, kw_only=True)
class Venue:
    """One venue's protocol: its frames as functions, its rules as numbers.

    Attributes:
        subscribe, unsubscribe: symbols and a request number into one frame's text.
        parse: one frame's text into what it means; raises `Impossible` when it is malformed.
        symbol: a coin such as ``"SOL"`` into this venue's symbol for it against the dollar.
        beats: it promises a message every second or so; others are probed when they are quiet.
        probe: the frame that asks "are you there"; None asks with a websocket ping.
        probe_ms: how long a quiet line is left before it is probed.
        probe_always_ms: probe at this interval however busy the line is; None when not needed.
        silence_ms: a line that has said nothing for so long is dead.
        stream_silence_ms: a symbol that has said nothing for so long is subscribed anew, alone.
        lifetime_ms: a line is replaced, with overlap, before the venue would cut it.
        send_gap_ms: the pause between two frames of ours.
        symbols_per_request, symbols_max, sends_max: the venue's limits, for one line.
        quote: the coin that its prices are in; another one than the dollar is converted.
        key: where its API key goes; such a source is off until the operator gives one.
    """

    name: str
    default_url: str
    subscribe: Callable[[Sequence[str], int], str]
    unsubscribe: Callable[[Sequence[str], int], str]
    parse: Callable[[str], Sequence[Heard]]
    symbol: Callable[[str], str]
    attempts: Attempts
    beats: bool = False
    probe: Callable[[int], str] | None = None
    probe_ms: int = 2_500
    probe_always_ms: int | None = None
    silence_ms: int = 5_000
    stream_silence_ms: int = 30_000
    lifetime_ms: int = 23 * 3_600_000
    send_gap_ms: int = 250
    symbols_per_request: int = 100
    symbols_max: int = 1_000
    sends_max: int = 100_000
    key: Key | None = None
    quote: str = DOLLAR
