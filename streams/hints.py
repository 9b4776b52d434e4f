"""Hints: follows a provider's socket, so that custody looks at once where something may be new.

In        signatures whose fate is open; addresses that people may send to; the provider's words.
Out       bells: look at fates now, look at these addresses now.
Promises  a socket that lies, says nothing, is half open or gone changes how soon custody looks and
          nothing else: what it says is never written down, and custody looks by the clock anyway.
          Subscriptions, waits and frames are bounded; the address, which holds a key, is in no log.
Why       between two looks by the clock lie up to fifteen seconds that a depositor waits.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Final

import structlog
from websockets.exceptions import WebSocketException

from chain.hints import Denied, Kind, Subscribed, Told, Topic, read, subscribe, unsubscribe
from chain.trouble import Garbled
from rooms.units import Address, Lamports, Signature
from streams.feeds.dial import dial
from streams.feeds.line import Wire
from streams.feeds.patience import Patience, retry_ms

SIGNATURES_MAX: Final = 1_000
"""Signatures heard of at once; what is signed beyond them is asked for by the clock."""
NAMED_MAX: Final = 1_000
"""Addresses that wait to be looked at; a look by the clock reads every address."""
PATIENCE: Final = Patience()

log = structlog.get_logger()

Dial = Callable[[str, Patience, Mapping[str, str], str | None], Awaitable[Wire]]


class Hints:
    """What custody wants to hear of, and what it was told of and has not looked at.

    It rings `fates` and `deposits`, which whoever looks clears before looking.
    """

    def __init__(self) -> None:
        self.fates = asyncio.Event()
        self.deposits = asyncio.Event()
        self.changed = asyncio.Event()
        self._signatures: dict[Signature, None] = {}
        self._balances: dict[Address, Lamports] = {}
        self._named: dict[Address, None] = {}

    @property
    def topics(self) -> dict[Topic, None]:
        """Return what is to be heard of now, in order."""
        wanted = [Topic.signature(each) for each in list(self._signatures)[:SIGNATURES_MAX]]
        return dict.fromkeys([*wanted, *(Topic.account(each) for each in self._balances)])

    def want_signatures(self, signatures: Iterable[Signature]) -> None:
        """Want to hear of these transactions, and of no others."""
        wanted = dict.fromkeys(signatures)
        if wanted.keys() != self._signatures.keys():
            self._signatures = wanted
            self.changed.set()

    def want_signature(self, signature: Signature) -> None:
        """Want to hear of this transaction too, which is about to be sent."""
        self._signatures[signature] = None
        self.changed.set()

    def want_addresses(self, balances: Mapping[Address, Lamports]) -> None:
        """Want to hear of these addresses, at which the ledger says that so much lies."""
        if balances.keys() != self._balances.keys():
            self.changed.set()
        self._balances = dict(balances)

    def hear(self, topic: Topic, lamports: Lamports | None) -> None:
        """Take what a socket says of something that it was asked for."""
        if topic.kind is Kind.SIGNATURE:
            self.fates.set()
            return
        address = Address(topic.subject)
        # What is less than the ledger has is a stake of ours on its way, and no deposit.
        if lamports is None or lamports > self._balances.get(address, 0):
            self.name([address])

    def name(self, addresses: Iterable[Address]) -> None:
        """Have these addresses looked at, soon."""
        for address in addresses:
            if len(self._named) < NAMED_MAX:
                self._named[address] = None
        if self._named:
            self.deposits.set()

    def take_named(self) -> frozenset[Address]:
        """Return the addresses to look at, once."""
        named = frozenset(self._named)
        self._named.clear()
        return named


@dataclass(frozen=True, slots=True, kw_only=True)
class SocketSettings:
    """Say how patient to be with a node's socket.

    Attributes:
        ping_ms: how often the line is tried; a node closes one that says nothing for ten minutes.
        pong_ms: how long an answer may take, and how long a frame of ours may take to leave.
    """

    ping_ms: int = 20_000
    pong_ms: int = 10_000
    patience: Patience = PATIENCE


async def follow(
    hints: Hints,
    url: str,
    *,
    random: Random,
    settings: SocketSettings = SocketSettings(),
    dial: Dial = dial,
) -> None:
    """Follow a provider's socket until cancelled, through every outage."""
    failures = 0
    while True:
        await asyncio.sleep(retry_ms(failures, settings.patience, random) / 1_000)
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            wire = await dial(url, settings.patience, {}, None)
            log.info("hints begin")
            try:
                await _Line(hints, wire, settings).carry()
            finally:
                await wire.close()
        except* (OSError, EOFError, TimeoutError, WebSocketException) as trouble:
            # Only kinds are named: what a library says of an address may hold the key in it.
            log.info("no hints now", why=type(trouble.exceptions[0]).__name__)
        calm = (loop.time() - began) * 1_000 >= settings.patience.calm_ms
        failures = 1 if calm else failures + 1


class _Line:
    """One connection: what was asked for on it, and by which number it is told."""

    def __init__(self, hints: Hints, wire: Wire, settings: SocketSettings) -> None:
        self._hints = hints
        self._wire = wire
        self._settings = settings
        self._requests = 0
        self._asked: dict[int, Topic] = {}
        self._told_by: dict[int, Topic] = {}
        self._numbers: dict[Topic, int | None] = {}
        self._unwanted: list[tuple[Kind, int]] = []

    async def carry(self) -> None:
        """Ask and hear until the connection ends, by an exception."""
        self._hints.changed.set()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._ask())
            tasks.create_task(self._try())
            tasks.create_task(self._listen())

    async def _ask(self) -> None:
        while True:
            await self._hints.changed.wait()
            self._hints.changed.clear()
            wanted = self._hints.topics
            for topic in [each for each in self._numbers if each not in wanted]:
                number = self._numbers.pop(topic)
                if number is not None and self._told_by.pop(number, None) is not None:
                    self._unwanted.append((topic.kind, number))
            while self._unwanted:
                await self._say(unsubscribe(self._next(), *self._unwanted.pop()))
            for topic in wanted:
                if topic not in self._numbers:
                    self._numbers[topic] = None
                    request = self._next()
                    self._asked[request] = topic
                    await self._say(subscribe(request, topic))

    async def _try(self) -> None:
        while True:
            await asyncio.sleep(self._settings.ping_ms / 1_000)
            async with asyncio.timeout(self._settings.pong_ms / 1_000):
                await (await self._wire.ping())

    async def _listen(self) -> None:
        garbled = False
        while True:
            frame = await self._wire.recv(decode=False)
            try:
                said = read(frame)
            except Garbled as why:
                if not garbled:
                    log.warning("hint passed over", why=str(why)[:200])
                garbled = True
                continue
            self._hear(said)

    def _hear(self, said: Subscribed | Denied | Told | None) -> None:
        match said:
            case Subscribed(request, number):
                topic = self._asked.pop(request, None)
                if topic is not None and topic in self._numbers:
                    self._numbers[topic] = number
                    self._told_by[number] = topic
                elif topic is not None:
                    # Nobody wants it any more.
                    self._unwanted.append((topic.kind, number))
                    self._hints.changed.set()
            case Denied(request, why):
                topic = self._asked.pop(request, None)
                log.warning("no hints of this", kind=topic.kind if topic else None, why=why)
            case Told(number, lamports):
                topic = self._told_by.get(number)
                if topic is not None:
                    if topic.kind is Kind.SIGNATURE:
                        # Told once, and then never again.
                        del self._told_by[number]
                    self._hints.hear(topic, lamports)
            case None:
                pass

    async def _say(self, message: str) -> None:
        async with asyncio.timeout(self._settings.pong_ms / 1_000):
            await self._wire.send(message)

    def _next(self) -> int:
        self._requests += 1
        return self._requests
