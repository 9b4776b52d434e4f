"""Steering: asks running venues, over their control port, for what should happen.

In        the control port's address.
Out       the venues' state after each command.
"""

from types import TracebackType
from typing import Self, cast

import httpx

from sandbox.venues.market import ALL

TIMEOUT_S = 5


class Steering:
    """A client of the control port; use it as ``async with Steering(url) as steering``."""

    def __init__(self, control_url: str) -> None:
        self._http = httpx.AsyncClient(base_url=control_url, timeout=TIMEOUT_S, trust_env=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._http.aclose()

    async def jump(self, coin: str, bps: int) -> None:
        """Move a coin's price at once, at every venue."""
        await self.do("jump", coin=coin, bps=bps)

    async def drift(
        self,
        coin: str,
        *,
        over_ms: int,
        bps: int | None = None,
        to: str | None = None,
        hold: bool = False,
    ) -> None:
        """Move a coin's price in a straight line, by ``bps`` or to a price in decimal text."""
        assert (bps is None) != (to is None), "say by how much, or to where"
        way = {"bps": bps} if to is None else {"to": to}
        await self.do("drift", coin=coin, over_ms=over_ms, hold=hold, **way)

    async def hold(self, coin: str) -> None:
        """Keep a coin's price flat."""
        await self.do("hold", coin=coin)

    async def walk(self, coin: str) -> None:
        """Let a coin's price walk again."""
        await self.do("walk", coin=coin)

    async def wick(self, venue: str, coin: str, bps: int, ms: int) -> None:
        """Let one venue's price stand off for a while."""
        await self.do("wick", venue=venue, coin=coin, bps=bps, ms=ms)

    async def outage(self, ms: int, *, venue: str = ALL, coin: str = ALL) -> None:
        """Silence a coin, or cut a venue off and refuse it new connections, for a while."""
        await self.do("outage", venue=venue, coin=coin, ms=ms)

    async def fault(self, kind: str, venue: str, **numbers: int) -> None:
        """Do half_open, cut, notice, throttle, duplicate, reorder (ms) or spoil (count)."""
        await self.do(kind, venue=venue, **numbers)

    async def price_e12(self, coin: str) -> int:
        """Return a coin's common price, times 10^12."""
        prices = cast(dict[str, int], (await self.state())["prices_e12"])
        return prices[coin]

    async def state(self) -> dict[str, object]:
        """Return the moment, the prices, the open connections and what was steered."""
        answer = await self._http.get("/state")
        answer.raise_for_status()
        return cast(dict[str, object], answer.json())

    async def do(self, command: str, **asked: object) -> None:
        """Post one command.

        Raises:
            ValueError: in the control port's words, when it was refused.
        """
        answer = await self._http.post(f"/{command}", json=asked)
        if answer.status_code == httpx.codes.BAD_REQUEST:
            raise ValueError(answer.json()["error"])
        answer.raise_for_status()
