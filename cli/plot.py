"""Plot: what happens in the demo: which rooms, who bets what, how the market is steered.

Holds     two stories on the seeded market, and one on captured frames.
Why       the story is data, so that telling and reckoning it is one piece of code.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from rooms.room import Outcome

WITHDRAWN: Final = "1.5"
"""SOL that one person sends outside in the end."""


@dataclass(frozen=True, slots=True)
class PlannedRoom:
    """A room that somebody makes, and how it may end.

    Attributes:
        feed: the button that is pressed; or of an expression, what the story calls it.
        target: what is typed as the target; None for a condition, which is asked for none.
        typed: the expression, in which ``{SOL+80}`` stands for 80 basis points above what SOL
            costs before rooms are made.
    """

    maker: str
    feed: str
    target: str | None
    lock: str
    deadline: str
    endings: tuple[Outcome, ...]
    typed: str | None = None


@dataclass(frozen=True, slots=True)
class Bet:
    """Who stakes what on which side of the room on a feed."""

    name: str
    feed: str
    side: str
    sol: str


@dataclass(frozen=True, slots=True)
class Steering:
    """A lever of the sandbox venues, pulled for the coin of a feed."""

    lever: str
    feed: str
    facts: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Signed:
    """A push feed: what its signers say before the turn, and after it."""

    name: str
    unit: str
    signers: tuple[str, ...]
    before: tuple[str, ...]
    after: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """A story.

    Attributes:
        before: how the market is steered before rooms are made.
        turn: how it is steered once all rooms are watched.
        signed: a feed of values that people sign and send in.
        withdraws: who sends SOL outside in the end.
    """

    rooms: tuple[PlannedRoom, ...]
    bets: tuple[Bet, ...]
    before: tuple[Steering, ...] = ()
    turn: tuple[Steering, ...] = ()
    signed: Signed | None = None
    turn_said: str = ""
    withdraws: str


STORY: Final = Plot(
    rooms=(
        PlannedRoom("Ann", "SOL/USD", "+1%", "15s", "32s", (Outcome.YES,)),
        PlannedRoom("Bo", "ETH/USD", "+5%", "15s", "32s", (Outcome.NO,)),
        PlannedRoom("Cy", "BTC/USD", "-1%", "15s", "32s", (Outcome.VOID,)),
    ),
    bets=(
        Bet("Ann", "SOL/USD", "YES", "1"),
        Bet("Bo", "SOL/USD", "NO", "0.7"),
        Bet("Cy", "SOL/USD", "YES", "0.35"),
        Bet("Di", "ETH/USD", "YES", "0.4"),
        Bet("Cy", "ETH/USD", "NO", "0.6"),
        Bet("Ann", "BTC/USD", "YES", "0.25"),
        Bet("Di", "BTC/USD", "NO", "0.15"),
    ),
    before=(
        Steering("hold", "SOL/USD"),
        Steering("hold", "ETH/USD"),
        Steering("hold", "BTC/USD"),
    ),
    turn=(
        Steering("drift", "SOL/USD", {"over_ms": 1_500, "bps": 160, "hold": True}),
        Steering("outage", "BTC/USD", {"ms": 60_000}),
    ),
    turn_said="moves SOL up, holds ETH, silences every venue of BTC",
    withdraws="Cy",
)

ANY_CONDITION: Final = Plot(
    rooms=(
        PlannedRoom("Ann", "mcap:BONK", "+1%", "15s", "40s", (Outcome.YES,)),
        PlannedRoom(
            "Bo",
            "a condition",
            None,
            "15s",
            "40s",
            (Outcome.YES,),
            typed="price(SOL) >= {SOL+80} and mcap(BONK) > 1M",
        ),
        PlannedRoom("Cy", "push:rain", "+4%", "15s", "40s", (Outcome.YES,)),
    ),
    bets=(
        Bet("Ann", "mcap:BONK", "YES", "0.5"),
        Bet("Bo", "mcap:BONK", "NO", "0.3"),
        Bet("Bo", "a condition", "YES", "0.4"),
        Bet("Cy", "a condition", "NO", "0.2"),
        Bet("Cy", "push:rain", "YES", "0.25"),
        Bet("Di", "push:rain", "NO", "0.35"),
    ),
    before=(Steering("hold", "SOL/USD"), Steering("hold", "BONK/USD")),
    turn=(
        Steering("drift", "SOL/USD", {"over_ms": 1_500, "bps": 160, "hold": True}),
        Steering("drift", "BONK/USD", {"over_ms": 1_500, "bps": 160, "hold": True}),
    ),
    turn_said="moves SOL and BONK up, and it rains",
    signed=Signed(
        name="rain",
        unit="mm",
        signers=("alice", "bob", "carol"),
        before=("12.0", "12.0", "12.1"),
        after=("12.8", "12.9", "12.9"),
    ),
    withdraws="Ann",
)
"""Rooms on a market cap, on a condition over two feeds, and on a value that people sign."""

RECORDED: Final = Plot(
    rooms=(PlannedRoom("Ann", "BTC/USD", "+0.02%", "12s", "40s", (Outcome.YES, Outcome.NO)),),
    bets=(
        Bet("Ann", "BTC/USD", "YES", "0.5"),
        Bet("Bo", "BTC/USD", "NO", "0.4"),
        Bet("Cy", "BTC/USD", "YES", "0.3"),
        Bet("Di", "BTC/USD", "NO", "0.2"),
    ),
    withdraws="Bo",
)

STORIES: Final[Mapping[str, Plot]] = {"prices": STORY, "conditions": ANY_CONDITION}
"""What `rooms demo --story` can tell on the seeded market."""
