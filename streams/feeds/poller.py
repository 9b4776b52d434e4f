"""Poller: the life of one source that answers over HTTP: ask, back off, ask again.

In        a source's rules, its address, the symbols wanted; a clock, a random source.
Out       ticks, each to one plain function, as soon as an answer is read.
Promises  one request at a time, never closer than the source allows; after a failure the waits
          grow, and ``Retry-After`` is heeded within bounds; an answer has a size and a time limit.
Why       an answer that has not changed (304) is the same words said again: whether they are too
          old is judged by their own time, or by nobody moving while others do.
"""

import asyncio
from collections.abc import Mapping, Sequence
from random import Random
from urllib.parse import urlsplit

import httpx
import structlog

from rooms.units import UnixMs
from streams.feeds.dial import FRAME_BYTES_MAX, LOOPBACK, STAY_AWAY, told_in_seconds_ms
from streams.feeds.intake import Clock, Convert, Intake, Record, Sink
from streams.feeds.patience import Patience, retry_ms
from streams.feeds.poll import Ask, Poll
from streams.feeds.status import SourceStatus, StreamStatus
from streams.feeds.venue import Denied, SymbolOf, Trade, headers_of

log = structlog.get_logger()

AGE_MAX_S = 86_400


class TooLongError(Exception):
    """An answer is longer than any that we asked for."""


class Poller:
    """One source, asked until cancelled."""

    def __init__(
        self,
        venue: Poll,
        url: str,
        symbols: Mapping[str, SymbolOf],
        sink: Sink,
        *,
        clock: Clock,
        random: Random,
        patience: Patience | None = None,
        key: str | None = None,
        convert: Convert | None = None,
        record: Record | None = None,
    ) -> None:
        """Prepare to ask; nothing is opened before `listen`. Arguments are as a `Listener`'s."""
        self.venue = venue
        self.url = url
        self._random = random
        self._patience = patience or Patience()
        self._key = key
        self._intake = Intake(venue.name, venue.parse, sink, clock, convert=convert, record=record)
        self._every_ms = venue.every_ms
        if key is None and venue.every_ms_keyless is not None:
            self._every_ms = venue.every_ms_keyless
        self._wanted = asyncio.Event()
        self._failures = self._failed = self._answers = 0
        self._last_end: str | None = None
        self._told: dict[Ask, tuple[str, bytes]] = {}
        self._heard_at: dict[str, UnixMs] = {}
        self._unanswered: set[str] = set()
        self._log = log.bind(source=venue.name)
        self.update(symbols)

    def update(self, symbols: Mapping[str, SymbolOf]) -> None:
        """Want these symbols from now on.

        Raises:
            ValueError: when two symbols speak for one feed: a source has one voice.
        """
        self._intake.want(symbols, self.venue.symbols_max)
        self._told.clear()
        if self._intake.symbols:
            self._wanted.set()
        else:
            self._wanted.clear()

    async def listen(self) -> None:
        """Ask until cancelled, through every outage."""
        loopback = urlsplit(self.url).hostname in LOOPBACK
        keyed = headers_of(self.venue.key, self._key, self.url)
        async with httpx.AsyncClient(
            base_url=self.url,
            headers={"Accept": "application/json", **keyed},
            timeout=self._patience.open_ms / 1000,
            trust_env=not loopback,
            follow_redirects=False,
        ) as http:
            nth = 0
            while True:
                await self._wanted.wait()
                symbols = list(self._intake.symbols)
                size = self.venue.symbols_per_request
                start = nth * size
                if start >= len(symbols):
                    nth, start = 0, 0
                began_ms = _now_ms()
                stay_away_ms = await self._ask(http, symbols[start : start + size])
                nth += 1
                wait_ms = max(
                    self._every_ms - (_now_ms() - began_ms),
                    retry_ms(self._failures, self._patience, self._random),
                    stay_away_ms,
                    0,
                )
                await asyncio.sleep(wait_ms / 1000)

    def status(self) -> SourceStatus:
        """Say how this source is doing."""
        intake = self._intake
        return SourceStatus(
            source=self.venue.name,
            url=self.url,
            connected=self._failures == 0 and self._answers > 0,
            frame_at=intake.frame_at,
            lag_ms=intake.lag_ms,
            ticks=intake.ticks,
            connections=self._answers,
            reconnects=self._failed,
            denied=intake.denied,
            last_denial=intake.last_denial,
            last_end=self._last_end,
            refused={why.value: count for why, count in intake.refused.items()},
            streams={
                symbol: StreamStatus(
                    of.feed, self._heard_at.get(symbol), symbol in self._unanswered
                )
                for symbol, of in intake.symbols.items()
            },
        )

    async def _ask(self, http: httpx.AsyncClient, symbols: Sequence[str]) -> int:
        """Ask once; return for how long the source wants to be left alone."""
        ask = self.venue.ask(symbols)
        try:
            async with asyncio.timeout(self._patience.open_ms / 1000):
                answer, body = await self._answer(http, ask)
        except (httpx.HTTPError, OSError, TimeoutError, TooLongError) as error:
            # The words of an error may hold an address, and an address a key.
            self._fail(f"no answer: {type(error).__name__}")
            return 0
        known = self._told.get(ask)
        if answer.status_code == httpx.codes.NOT_MODIFIED and known is not None:
            body = known[1]
        elif answer.status_code != httpx.codes.OK:
            self._fail(f"answered {answer.status_code}")
            if answer.status_code not in STAY_AWAY:
                return 0
            return told_in_seconds_ms(answer.headers.get("Retry-After", ""), self._patience)
        elif "ETag" in answer.headers:
            self._told[ask] = (answer.headers["ETag"], body)
        self._failures = 0
        self._answers += 1
        self._hear(body, symbols, _age_ms(answer))
        return 0

    async def _answer(self, http: httpx.AsyncClient, ask: Ask) -> tuple[httpx.Response, bytes]:
        known = self._told.get(ask)
        headers = {"If-None-Match": known[0]} if known is not None else {}
        if ask.body is not None:
            headers["Content-Type"] = "application/json"
        method = "GET" if ask.body is None else "POST"
        body = bytearray()
        async with http.stream(method, ask.path, content=ask.body, headers=headers) as answer:
            async for part in answer.aiter_bytes():
                body += part
                if len(body) > FRAME_BYTES_MAX:
                    raise TooLongError
        return answer, bytes(body)

    def _hear(self, body: bytes, symbols: Sequence[str], age_ms: int) -> None:
        at, heard = self._intake.read(body)
        answered: set[str] = set()
        for each in heard:
            match each:
                case Trade() if each.symbol in self._intake.symbols:
                    answered.add(each.symbol)
                    self._trade(each, at, age_ms, body)
                case Denied():
                    self._intake.note_denial(each, [each.symbol] if each.symbol else symbols)
                case _:
                    continue  # Of what was not asked for; told beside it.
        self._unanswered = (self._unanswered - answered) | (set(symbols) - answered)

    def _trade(self, trade: Trade, at: UnixMs, age_ms: int, body: bytes) -> None:
        told = self._intake.admit(trade.older(age_ms), at, None, body)
        if told is not None:
            self._heard_at[trade.symbol] = at
            self._intake.tell(*told, body)

    def _fail(self, why: str) -> None:
        self._failures += 1
        self._failed += 1
        self._last_end = why
        if self._failures & (self._failures - 1) == 0:
            self._log.warning("not_answered", why=why, failures=self._failures)


def _age_ms(answer: httpx.Response) -> int:
    """Read how long an answer has lain in somebody's cache."""
    told = answer.headers.get("Age", "")
    known = told.isascii() and told.isdigit() and len(told) <= 9
    return min(int(told), AGE_MAX_S) * 1000 if known else 0


def _now_ms() -> int:
    return int(asyncio.get_running_loop().time() * 1000)
