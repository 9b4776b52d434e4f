"""Weather: what goes wrong, how often, by the seed; and how often it did.

Holds     a chance for each kind of trouble; all are nothing once it has healed.
Promises  the same seed has the same weather; some seeds are calm in one kind or another, so that
          no trouble hides what another would show.
Why       the ranges are those of TigerBeetle's simulator where it has the same trouble: messages
          lost up to 30 %, said again up to 50 %, faults of storage up to 10 % in a bad moment.
"""

from collections import Counter
from dataclasses import dataclass, field, fields
from random import Random


@dataclass(kw_only=True)
class Chances:
    """How likely each trouble is, each time that it could happen."""

    connection_lost_before: float = 0.0
    connection_lost_after: float = 0.0
    killed_before: float = 0.0
    killed_after: float = 0.0
    cancelled_before: float = 0.0
    cancelled_after: float = 0.0
    statement_slow: float = 0.0
    wake_up_lost: float = 0.0
    wake_up_twice: float = 0.0
    wake_up_late: float = 0.0
    ring_lost: float = 0.0
    broker_away_before: float = 0.0
    broker_away_halfway: float = 0.0
    broker_away_after: float = 0.0
    node_slow: float = 0.0
    leader_drops: float = 0.0
    leader_late: float = 0.0
    asked_twice: float = 0.0


_WORST = Chances(
    connection_lost_before=0.006,
    connection_lost_after=0.006,
    killed_before=0.002,
    killed_after=0.002,
    cancelled_before=0.003,
    cancelled_after=0.003,
    statement_slow=0.02,
    wake_up_lost=0.3,
    wake_up_twice=0.5,
    wake_up_late=0.5,
    ring_lost=0.3,
    broker_away_before=0.05,
    broker_away_halfway=0.05,
    broker_away_after=0.05,
    node_slow=0.03,
    leader_drops=0.2,
    leader_late=0.15,
    asked_twice=0.5,
)
CALM_SEEDS = 0.3
LATENCIES_S = (0.03, 0.03, 0.03, 0.2, 1.5)
"""How long a call to a provider takes at most, each way."""


@dataclass
class Weather:
    """The troubles of one story."""

    random: Random
    latency_s_max: float = 0.15
    chances: Chances = field(default_factory=Chances)
    struck: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, random: Random) -> "Weather":
        """Draw the weather of a seed."""
        chances = Chances()
        for each in fields(Chances):
            if random.random() >= CALM_SEEDS:
                worst = getattr(_WORST, each.name)
                setattr(chances, each.name, random.uniform(0.0, worst))
        return cls(random, random.choice(LATENCIES_S), chances)

    def race(self) -> None:
        """Let much land at the last moment, while every question takes longer than finality."""
        self.latency_s_max = max(LATENCIES_S)
        self.chances.leader_late, self.chances.leader_drops = 0.5, 0.0

    def strikes(self, trouble: str) -> bool:
        """Say whether it happens now, and count it."""
        chance: float = getattr(self.chances, trouble)
        if not chance or self.random.random() >= chance:
            return False
        self.struck[trouble] += 1
        return True

    def count(self, trouble: str) -> None:
        """Count a trouble that was arranged in another way."""
        self.struck[trouble] += 1

    def heal(self) -> None:
        """Let nothing go wrong any more."""
        self.chances = Chances()
        self.latency_s_max = 0.1
