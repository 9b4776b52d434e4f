"""Venue: what a price socket must know about one venue, as data.

Holds     the words a venue's file answers in (what was heard), and its rules for staying connected.
Promises  nothing here waits, reads a clock or touches a socket.
Why       a new venue is one file: its frames in, these words out; the socket's life is shared.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import urlencode, urlsplit

from rooms.units import UnixMs

DOLLAR = "USD"


@dataclass(frozen=True, slots=True)
class SymbolOf:
    """The feed that a venue's symbol speaks for, and that feed's decimal scale.

    Attributes:
        doubt_bps_max: a value that its own source doubts more than this is none.
        value_max: a bigger value is none.
        is_cut: digits finer than the scale are cut; else they are a mistake.
    """

    feed: str
    scale: int
    doubt_bps_max: int = 50
    value_max: int = 2**63 - 1
    is_cut: bool = False


@dataclass(frozen=True, slots=True)
class Trade:
    """One trade or value as the source told it; the price is still its own decimal text.

    Attributes:
        sequence: the source's own rising number; None: the moment of receipt stands in.
        source_at: when the source says that it was; None: when we received it.
        doubt_bps: how far the source itself says that it may be off, as a part of the price.
        age_ms: without a time, how old it was when it was told.
        latest_at: without a time, a moment that it is not after.
        mark: without a number, what names it, so that it is known when told again.
    """

    symbol: str
    price: str
    sequence: int | None = None
    source_at: UnixMs | None = None
    doubt_bps: int = 0
    age_ms: int = 0
    latest_at: UnixMs | None = None
    mark: str = ""

    def older(self, ms: int) -> "Trade":
        """Return it as it is when it has lain somewhere for so long."""
        return replace(self, age_ms=self.age_ms + ms) if ms and self.source_at is None else self


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
    """Where a source wants its API key: in a header, behind a prefix, or in the address.

    Attributes:
        elsewhere: another header at some hosts.
        query: the name it has in the address; such an address is shown nowhere.
    """

    header: str = ""
    prefix: str = ""
    elsewhere: Mapping[str, str] = field(default_factory=dict, hash=False)
    query: str = ""


def headers_of(place: Key | None, key: str | None, url: str) -> Mapping[str, str]:
    """Return the headers that carry a key, if it is wanted and there is one."""
    if place is None or key is None:
        return {}
    header = place.elsewhere.get(urlsplit(url).hostname or "", place.header)
    return {header: place.prefix + key} if header else {}


def address_of(place: Key | None, key: str | None, url: str) -> str:
    """Return the address to open, with the key where it belongs in there."""
    if place is None or key is None or not place.query:
        return url
    return f"{url}{'&' if '?' in url else '?'}{urlencode({place.query: key})}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Venue:
    """One venue's protocol: its frames as functions, its rules as numbers.

    Attributes:
        subscribe, unsubscribe: symbols and a request number into one frame's text.
        parse: one frame's text into what it means; raises `Impossible` when it is malformed.
        symbol: a coin such as ``"SOL"`` into this venue's symbol for it against the dollar; None
            where only its mint says which it is.
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
        headers, subprotocol: what else its handshake wants.
        is_alone: it bears one line at a time, so an old one ends before its successor opens.
        asks_for_all: a subscription replaces the one before it.
        computes: its values are computed, so digits finer than the feed's are cut, not refused.
    """

    name: str
    default_url: str
    subscribe: Callable[[Sequence[str], int], str]
    unsubscribe: Callable[[Sequence[str], int], str]
    parse: Callable[[str], Sequence[Heard]]
    attempts: Attempts
    symbol: Callable[[str], str] | None = None
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
    headers: Mapping[str, str] = field(default_factory=dict)
    subprotocol: str | None = None
    is_alone: bool = False
    asks_for_all: bool = False
    computes: bool = False
    quote: str = DOLLAR

    @property
    def needs_key(self) -> bool:
        """Say whether it is off without a key."""
        return self.key is not None
