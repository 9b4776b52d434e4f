"""Providers: two or more RPC nodes asked side by side, because one can lie, lag or be gone.

In        a question as a function of one `Rpc`.
Out       what all that answered agree on; each one's answer with its failure; or the first answer.
Promises  `agreed` needs two answers and no other opinion; anything less is `Disagreement`. Who
          fails, lags or contradicts two others is left out for a while, down to two.
Why       a read that decides money is never one provider's word.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Generic, Self, TypeVar

from chain.health import AGREEING_MIN, Health, HealthSettings, Standing
from chain.rpc import Relay, Rpc
from chain.settings import ChainSettings
from chain.transactions import RecentBlockhash
from chain.trouble import (
    Disagreement,
    Garbled,
    NotKnown,
    RateLimited,
    UnknownVersion,
    Unreachable,
)
from rooms.units import BlockHeight, Slot, UnixMs

BLOCKHASH_BLOCKS = 150
"""How many blocks a blockhash is good for, so that a height far beyond is not believed."""

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Said(Generic[Answer]):
    """What one provider answered."""

    provider: str
    answer: Answer


@dataclass(frozen=True, slots=True)
class FinalMoment:
    """A slot that two providers have finalized, and its block's time."""

    slot: Slot
    at: UnixMs


def steady_ms() -> int:
    """Read a clock that only measures how long something took."""
    return time.monotonic_ns() // 1_000_000


class Providers:
    """All providers we have, at least two. Use as ``async with Providers.of(settings)``."""

    def __init__(
        self,
        rpcs: Sequence[Rpc],
        health: HealthSettings = HealthSettings(),  # noqa: B008 (frozen)
        clock_ms: Callable[[], int] = steady_ms,
    ) -> None:
        names = {rpc.name for rpc in rpcs}
        if len(names) < AGREEING_MIN or len(names) != len(rpcs):
            raise ValueError("the chain is read through at least two providers of different names")
        self._rpcs = tuple(rpcs)
        self._health = Health([rpc.name for rpc in rpcs], health)
        self._clock_ms = clock_ms
        self._open = AsyncExitStack()

    @classmethod
    def of(cls, settings: ChainSettings) -> "Providers":
        """Build a client for each endpoint of the settings."""
        if len({endpoint.url for endpoint in settings.endpoints}) != len(settings.endpoints):
            raise ValueError("two Solana RPC providers have the same address")
        return cls([Rpc(endpoint, settings.rpc) for endpoint in settings.endpoints])

    async def __aenter__(self) -> Self:
        for rpc in self._rpcs:
            await self._open.enter_async_context(rpc)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._open.aclose()

    async def each(
        self, ask: Callable[[Rpc], Awaitable[Answer]]
    ) -> tuple[tuple[Said[Answer], ...], tuple[NotKnown, ...]]:
        """Ask all that are fit at once; give answers in the providers' order, and the failures.

        Raises:
            UnknownVersion: when any of them met a transaction that we cannot read.
        """
        return await self._each(ask, self._fit())

    async def _each(
        self, ask: Callable[[Rpc], Awaitable[Answer]], rpcs: Sequence[Rpc]
    ) -> tuple[tuple[Said[Answer], ...], tuple[NotKnown, ...]]:
        said: list[Said[Answer] | NotKnown | UnknownVersion | None] = [None] * len(rpcs)

        async def one(place: int, rpc: Rpc) -> None:
            try:
                said[place] = Said(rpc.name, await self._asked(rpc, ask))
            except (NotKnown, UnknownVersion) as trouble:
                said[place] = trouble

        async with asyncio.TaskGroup() as group:
            for place, rpc in enumerate(rpcs):
                group.create_task(one(place, rpc))
        for each in said:
            if isinstance(each, UnknownVersion):
                raise each
        return (
            tuple(each for each in said if isinstance(each, Said)),
            tuple(each for each in said if isinstance(each, NotKnown)),
        )

    async def _asked(self, rpc: Rpc, ask: Callable[[Rpc], Awaitable[Answer]]) -> Answer:
        """Ask one, and remember how it went."""
        began = self._clock_ms()
        try:
            answer = await ask(rpc)
        except (Unreachable, RateLimited, Garbled) as trouble:
            self._health.note_trouble(rpc.name, self._clock_ms(), str(trouble))
            raise
        self._health.note_answer(rpc.name, self._clock_ms() - began)
        return answer

    def _fit(self) -> tuple[Rpc, ...]:
        fit = self._health.fit(self._clock_ms())
        return tuple(rpc for rpc in self._rpcs if rpc.name in fit)

    async def examine(self) -> tuple[Standing, ...]:
        """Ask every provider how far it is, also those left out, and say how each stands."""
        said, _ = await self._each(lambda rpc: rpc.slot("confirmed"), self._rpcs)
        for each in said:
            self._health.note_slot(each.provider, each.answer)
        return self._health.standings(self._clock_ms())

    async def agreed(self, ask: Callable[[Rpc], Awaitable[Answer]]) -> Answer:
        """Ask all and give the one answer that at least two gave and none contradicted.

        Raises:
            Disagreement: when fewer than two answered, or the answers differ.
        """
        said, failed = await self.each(ask)
        if len(said) < AGREEING_MIN:
            raise Disagreement(f"{len(said)} of {len(self._rpcs)} providers answered{_why(failed)}")
        if any(each.answer != said[0].answer for each in said):
            self.compare(said)
            raise Disagreement(
                f"{' and '.join(each.provider for each in said)} answered differently"
            )
        return said[0].answer

    def compare(self, said: Sequence[Said[Answer]]) -> None:
        """Note who is alone against at least two that agree about something that cannot differ."""
        for each in said:
            others = [other.answer for other in said if other is not each]
            if len(others) < AGREEING_MIN or any(other != others[0] for other in others):
                continue
            if each.answer != others[0]:
                self._health.note_contradiction(each.provider, self._clock_ms())

    async def first(self, ask: Callable[[Rpc], Awaitable[Answer]]) -> Answer:
        """Ask one after the other until one answers; for reads that decide no money.

        Raises:
            Disagreement: when none answered.
        """
        failed: list[NotKnown] = []
        for rpc in self._fit():
            try:
                return await self._asked(rpc, ask)
            except NotKnown as trouble:
                failed.append(trouble)
        raise Disagreement(f"no provider answered{_why(failed)}")

    async def second(self, ask: Callable[[Rpc], Awaitable[Answer]]) -> Answer:
        """Ask the second provider alone, on which nobody else relies first.

        Raises:
            NotKnown: when it does not answer.
        """
        return await self._asked(self._rpcs[1], ask)

    async def send(self, raw: bytes) -> tuple[Relay, ...]:
        """Hand our bytes to every provider; whatever they answer, ask for the fate afterwards."""
        said, _ = await self.each(lambda rpc: rpc.send(raw))
        return tuple(each.answer for each in said)

    async def recent_blockhash(self) -> RecentBlockhash:
        """Give a blockhash that two providers know, and the last height at which it may land.

        A last height that is too low would have us sign anew what can still land, and one that is
        too high, or a slot that is, would have us wait for ever: so none is one provider's word.

        Raises:
            Disagreement: when fewer than two answered, or only who gave it knows the blockhash.
        """
        said, failed = await self.each(lambda rpc: rpc.latest_blockhash())
        if len(said) < AGREEING_MIN:
            raise Disagreement(f"{len(said)} of {len(self._rpcs)} providers answered{_why(failed)}")
        recents = sorted((each.answer for each in said), key=lambda each: each.last_valid_height)
        heights = [each.last_valid_height for each in recents]
        # The second furthest: another is at least as far, and must know it.
        chosen = recents[-AGREEING_MIN]
        slot = min(
            chosen.context_slot, sorted(each.context_slot for each in recents)[-AGREEING_MIN]
        )
        known, failed = await self.each(lambda rpc: rpc.knows_blockhash(chosen.blockhash, slot))
        self.compare(known)
        if sum(each.answer for each in known) < AGREEING_MIN:
            raise Disagreement(f"one provider alone knows the newest blockhash{_why(failed)}")
        return RecentBlockhash(
            blockhash=chosen.blockhash,
            # Later than it may land costs time; earlier, a payment.
            last_valid_height=BlockHeight(
                min(heights[-1], heights[-AGREEING_MIN] + BLOCKHASH_BLOCKS)
            ),
            context_slot=slot,
        )

    async def final_moment(self) -> FinalMoment:
        """Give the newest finalized slot that two providers have reached, with its block's time.

        Raises:
            Disagreement: when fewer than two know one.
        """
        said, failed = await self.each(_final_moment)
        if len(said) < AGREEING_MIN:
            raise Disagreement(f"{len(said)} of {len(self._rpcs)} providers answered{_why(failed)}")
        # The second newest: one provider alone is ahead of it, so two have reached it.
        reached = sorted((each.answer for each in said), key=lambda moment: moment.slot)
        return reached[-AGREEING_MIN]


async def _final_moment(rpc: Rpc) -> FinalMoment:
    slot = await rpc.slot("finalized")
    at = await rpc.block_time(slot)
    if at is None:
        raise Garbled(f"{rpc.name} does not know when its newest finalized block was made")
    return FinalMoment(slot, at)


def _why(failed: Sequence[NotKnown]) -> str:
    return "".join(f"; {trouble}" for trouble in failed)
