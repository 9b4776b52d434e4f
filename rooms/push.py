"""Push: a value that somebody signs and sends in, for what no venue tells.

In        what a signer says: feed, value, time, sequence; what the same signer said before; now.
Out       a tick of that signer; or a refusal with what to do.
Promises  a sequence is never taken twice, nor a time that goes back; what is too old or ahead of
          us is refused, so that nothing can be kept and sent later.
Why       a push feed's sources are its signers, so that quorum, age and spread are judged as they
          are of venues.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from rooms.decimal_text import whole_from_text
from rooms.feed import Feed, Guards
from rooms.refusal import Impossible, Refused, must
from rooms.tick import Tick
from rooms.units import BPS_WHOLE, Bps, UnixMs, Value

PREFIX: Final = "push:"
AGE_MS_MAX: Final = 10_000
AHEAD_MS_MAX: Final = 1_000
SEQUENCE_MAX: Final = 2**63 - 1
VALUE_MAX: Final = 2**63 - 1
SIGNERS_MAX: Final = 20
KEY_BYTES: Final = 32

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")
_SIGNER: Final = re.compile(r"[a-z][a-z0-9_-]{0,31}")
_KEY: Final = re.compile(r"[0-9a-f]{64}")
_NEVER_MS: Final = 10**12
_FAR_BPS: Final = Bps(10**9)


@dataclass(frozen=True, slots=True, kw_only=True)
class Push:
    """What a signer says.

    Attributes:
        value: as it was sent, in plain decimal text: it is signed as text.
        at: when the signer says that it is so.
    """

    feed: str
    signer: str
    value: str
    at: UnixMs
    sequence: int

    def signed_text(self) -> str:
        """Return the text whose UTF-8 is signed: one line each, nothing after the last."""
        return f"rooms push 1\n{self.feed}\n{self.value}\n{self.at}\n{self.sequence}"


class Order:
    """Remember how far every signer of every feed has come."""

    def __init__(self) -> None:
        self._newest: dict[tuple[str, str], tuple[int, UnixMs]] = {}

    def take(self, push: Push, scale: int, now: UnixMs) -> Tick:
        """Make a tick of a push whose signature is good.

        Raises:
            Refused: when it is not new, not of now, or no value of the feed.
        """
        if now - push.at > AGE_MS_MAX:
            raise Refused(
                "too_old",
                f"'at' lies {now - push.at} ms back: sign within {AGE_MS_MAX} ms of sending.",
            )
        if push.at - now > AHEAD_MS_MAX:
            raise Refused("too_early", f"'at' lies {push.at - now} ms ahead: set your clock.")
        sequence, at = self._newest.get((push.feed, push.signer), (-1, UnixMs(0)))
        if push.sequence <= sequence:
            raise Refused("replayed", f"'sequence' must be above {sequence}.")
        if push.at < at:
            raise Refused("out_of_order", f"'at' must not go back: the last one was {at}.")
        tick = Tick(push.signer, push.sequence, _value(push.value, scale), push.at, now)
        self._newest[push.feed, push.signer] = push.sequence, push.at
        return tick


def push_feed(
    *,
    name: str,
    unit: str,
    scale: int,
    signers: Mapping[str, str],
    quorum: int,
    age_ms_max: int,
    spread_bps_max: Bps,
    volatility_bps: Bps,
) -> Feed:
    """Make the feed of what signers send in.

    Args:
        name: without its ``push:``.
        unit: what one is.
        scale: decimal places.
        signers: name to Ed25519 public key, in hex.
        quorum: how many signers must agree.
        age_ms_max: an older value does not count.
        spread_bps_max: signers further apart than this hold the value back.
        volatility_bps: a year's standard deviation of the logarithm.

    Raises:
        Impossible: when it cannot be one.
    """
    must(_NAME.fullmatch(name), "a push feed's name is up to 40 letters, digits, - and _")
    must(0 < len(unit) <= 16, "a unit is up to 16 letters")
    must(0 < len(signers) <= SIGNERS_MAX, f"a push feed has 1 to {SIGNERS_MAX} signers")
    must(len(set(signers.values())) == len(signers), "every signer has a key of his own")
    must(quorum <= len(signers), "a quorum is at most all signers")
    must(0 < spread_bps_max < BPS_WHOLE, "a spread is above 0 and below 100 %")
    for signer, key in signers.items():
        must(_SIGNER.fullmatch(signer), f"{signer!r}: a signer is small letters, digits, - and _")
        must(_KEY.fullmatch(key), f"{signer}: a key is 32 bytes in hex, in small letters")
    return Feed(
        name=PREFIX + name,
        unit=unit,
        scale=scale,
        symbols=dict(signers),
        volatility_bps=volatility_bps,
        guards=Guards(
            quorum=quorum,
            tick_age_ms_max=age_ms_max,
            tick_ahead_ms_max=AHEAD_MS_MAX,
            tick_lag_ms_max=AGE_MS_MAX,
            clock_ms_max=AHEAD_MS_MAX,
            # A signer speaks seldom, says the same for long, and then something else.
            dead_ms=_NEVER_MS,
            return_ticks=1,
            stuck_ms=_NEVER_MS,
            jump_bps=_FAR_BPS,
            jump_bps_max=_FAR_BPS,
            outlier_deviations=0,
            scatter_bps=_FAR_BPS,
            witness=None,
            outlier_bps_max=spread_bps_max,
            dispersion_bps_max=spread_bps_max,
        ),
    )


def _value(text: str, scale: int) -> Value:
    try:
        whole = whole_from_text(text, scale)
    except Impossible as why:
        raise Refused("bad_value", f"{why}.") from None
    if not 0 < whole <= VALUE_MAX:
        raise Refused("bad_value", "A value is above 0 and fits its feed.")
    return Value(whole)
