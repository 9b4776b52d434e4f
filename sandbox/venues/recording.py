"""Recording: frames that venues once sent, served again as if they came now.

In        files of lines: ``URL <-> TIME`` opened, ``URL <- TIME: FRAME`` sent by the client,
          ``TIME: FRAME`` sent by the venue, TIME in seconds since 1970; or segments of the
          product's own recording, one JSON line a message.
Out       each published frame at its own pace (or faster), its times moved to now.
Promises  nothing but times and ids changes in a frame; ids rise from loop to loop and from one
          start to the next.
"""

import gzip
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sandbox.venues.kraken_v1 import update_from_v1
from sandbox.venues.market import Trade
from sandbox.venues.session import Spoken, Told

HOSTS = {
    "binance": ("binance.com", "binance.vision"),
    "coinbase": ("coinbase.com",),
    "kraken": ("kraken.com",),
    "okx": ("okx.com",),
    "bybit": ("bybit.com",),
    "bitstamp": ("bitstamp.net",),
    "gemini": ("gemini.com",),
    "pumpportal": ("pumpportal.fun",),
    "birdeye": ("birdeye.so",),
    "pyth": ("dourolabs.app", "pyth.network"),
}
IDS_A_MS = 16  # Ids move with the clock; faster than any venue's own ids rise.
LOOP_PAUSE_MS = 100
SEGMENT = ".segment.gz"
"""How files end that hold a stretch of a feed's log: what the product itself has recorded."""


@dataclass(frozen=True, slots=True)
class Moment:
    """One published frame and when it came."""

    at: int
    told: Told


@dataclass(frozen=True, slots=True)
class Tape:
    """One venue's recording."""

    moments: tuple[Moment, ...]

    @property
    def length_ms(self) -> int:
        """Say how long one loop lasts at its own pace."""
        return self.moments[-1].at - self.moments[0].at + LOOP_PAUSE_MS


def load(path: Path, spoken: Mapping[str, Spoken]) -> dict[str, Tape]:
    """Read a recording, or a folder of them; venues that are not served are left out.

    Raises:
        ValueError: when nothing in it can be served.
    """
    files = sorted([*path.glob("*.txt"), *path.rglob(f"*{SEGMENT}")]) if path.is_dir() else [path]
    moments: dict[str, list[Moment]] = {}
    for file in files:
        if file.name.endswith(SEGMENT):
            for name, moment in _of_segment(file, spoken):
                moments.setdefault(name, []).append(moment)
            continue
        lines = file.read_text(encoding="utf-8").splitlines()
        venue = _venue(lines[0]) if lines else None
        if venue is not None:
            moments.setdefault(venue, []).extend(_moments(lines, venue, spoken[venue].describe))
    tapes = {
        venue: Tape(tuple(sorted(heard, key=lambda moment: moment.at)))
        for venue, heard in moments.items()
        if heard
    }
    if not tapes:
        raise ValueError(f"{path} holds no frames of {', '.join(spoken)}")
    return tapes


class Player:
    """Plays the tapes; each begins when somebody first subscribes at its venue."""

    def __init__(
        self, tapes: Mapping[str, Tape], spoken: Mapping[str, Spoken], *, pace: int, loop: bool
    ) -> None:
        """Prepare to play ``pace`` times as fast as it was."""
        assert pace > 0, "a recording moves forward"
        self._tapes = tapes
        self._spoken = spoken
        self._pace = pace
        self._loops = loop
        self._known = {
            venue: {moment.told.symbol for moment in tape.moments} for venue, tape in tapes.items()
        }
        self._begun_at: dict[str, int] = {}
        self._next: dict[str, int] = {}

    def knows(self, venue: str, symbol: str) -> bool:
        """Say whether the recording has anything of this symbol."""
        return symbol in self._known.get(venue, ())

    def recent(self, venue: str, symbol: str, at: int, count: int) -> list[Trade]:
        """Return nothing: what came before a recording is not in it."""
        del venue, symbol, at, count
        return []

    def due(
        self, venue: str, wanted: set[tuple[str, str]], after_at: int, until_at: int
    ) -> Iterable[Told]:
        """Return what is due, of what is wanted."""
        tape = self._tapes.get(venue)
        if tape is None or not (wanted or venue in self._begun_at):
            return
        begun_at = self._begun_at.setdefault(venue, after_at)
        count, first_at = len(tape.moments), tape.moments[0].at
        while self._loops or self._next.get(venue, 0) < count:
            number = self._next.get(venue, 0)
            loop, moment = number // count, tape.moments[number % count]
            loop_at = begun_at + loop * tape.length_ms // self._pace
            at = loop_at + (moment.at - first_at) // self._pace
            if at > until_at:
                return
            self._next[venue] = number + 1
            told = moment.told
            if (told.channel, told.symbol) in wanted:
                ids = (loop_at - first_at) * IDS_A_MS
                text = self._spoken[venue].restamp(told.text, at - moment.at, ids)
                yield Told(told.channel, told.symbol, text)


def _venue(opening: str) -> str | None:
    host = urlsplit(opening.split(" ")[0]).hostname or ""
    for venue, ends in HOSTS.items():
        if host.endswith(ends):
            return venue
    return None


def _of_segment(path: Path, spoken: Mapping[str, Spoken]) -> Iterator[tuple[str, Moment]]:
    """Read what each venue said in a segment of a feed's log, as a trade of that venue.

    Only what counted is in it: one trade where there were many, in the feed's own unit.
    """
    with gzip.open(path, "rt", encoding="utf-8", newline="\n") as lines:
        head = json.loads(next(lines))
        coin, _, unit = head["feed"].partition("/")
        scale = head["rule"]["scale"]
        for line in lines:
            _, _, said = json.loads(line)
            message = _ticks(said)
            if unit != "USD" or message is None:
                continue
            for venue, number, value, source_at, at in message["ticks"]:
                if venue in spoken:
                    price = f"{value // 10**scale}.{value % 10**scale:0{scale}}"
                    trade = Trade(coin, number, source_at, price, "1", is_buy=True)
                    yield venue, Moment(at, spoken[venue].publish(trade, at))


def _ticks(said: object) -> dict[str, Any] | None:
    """Return a message of ticks; whatever else lies in a log tells no trade."""
    try:
        message = json.loads(said) if isinstance(said, str) else None
    except ValueError:
        return None
    return message if isinstance(message, dict) and message.get("kind") == "ticks" else None


def _moments(
    lines: Iterable[str], venue: str, describe: Callable[[str], Told | None]
) -> Iterable[Moment]:
    number = 1
    for line in lines:
        time, colon, frame = line.partition(": ")
        if not colon or " " in time:
            continue
        published: str | None = frame
        if venue == "kraken" and frame.startswith("["):
            published = update_from_v1(frame, number)
            number += 1_000
        told = describe(published) if published else None
        if told is not None:
            seconds, _, fraction = time.partition(".")
            yield Moment(int(seconds) * 1000 + int(fraction.ljust(3, "0")[:3]), told)
