"""Signers: people who sign a push feed's values and send them in, as the demo plays them.

In        the plan of a push feed; where pushes are taken.
Out       every second what each signer says, signed with a key of his own.
Promises  values go through the door that anybody's would; what is refused is logged by the door.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final

import httpx

from cli.plot import Signed
from cli.pushing import write
from rooms.push import PREFIX, Push, push_feed
from rooms.units import Bps, UnixMs
from storage.connections import Connections, transaction
from streams.pushes import PATH
from streams.signatures import SigningKey, make_key, signed_body

EVERY_S: Final = 1.0
AGE_MS: Final = 20_000
QUORUM: Final = 2
SPREAD_BPS: Final = Bps(200)
VOLATILITY_BPS: Final = Bps(10_000)


class Signers:
    """The signers of one push feed."""

    def __init__(self, plan: Signed, folder: Path, url: str, clock: Callable[[], UnixMs]) -> None:
        self._plan = plan
        self._url = url
        self._clock = clock
        self._values = plan.before
        self._keys: dict[str, SigningKey] = {
            name: make_key(folder / f"{name}.pem") for name in plan.signers
        }

    async def register(self, connections: Connections) -> None:
        """Register the feed with everybody's public key, as an operator does."""
        feed = push_feed(
            name=self._plan.name,
            unit=self._plan.unit,
            scale=1,
            signers={name: key.public_hex for name, key in self._keys.items()},
            quorum=QUORUM,
            age_ms_max=AGE_MS,
            spread_bps_max=SPREAD_BPS,
            volatility_bps=VOLATILITY_BPS,
        )
        async with transaction(connections) as connection:
            await write(connection, feed, "a feed of the demo")

    def turn(self) -> None:
        """Say from now on what is said after the turn."""
        self._values = self._plan.after

    async def say(self) -> None:
        """Sign and send until cancelled."""
        async with httpx.AsyncClient(base_url=self._url, timeout=10, trust_env=False) as client:
            while True:
                for (name, key), value in zip(self._keys.items(), self._values, strict=True):
                    now = self._clock()
                    push = Push(
                        feed=PREFIX + self._plan.name, signer=name, value=value, at=now,
                        sequence=now,
                    )  # fmt: skip
                    try:
                        await client.post(PATH, json=signed_body(push, key))
                    except httpx.TransportError:
                        continue  # The process that takes them is being started.
                await asyncio.sleep(EVERY_S)
