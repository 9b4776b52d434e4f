"""Tail: follows the gateway and prints a JSON line for each thing that it tells.

Promises  lines go to standard output as soon as they come; nothing else does.
"""

import os
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing
from random import SystemRandom
from typing import TypeVar

import msgspec

from rooms.refusal import Refused
from streams.frames import Gap, Happened, Told
from streams.tail import tail_prices, tail_settlements

Frame = TypeVar("Frame", Told | Gap, Happened)


async def follow(what: str, url: str, feeds: str, cursor: int | None) -> None:
    """Print until told to stop."""
    random = SystemRandom()
    try:
        if what == "prices":
            names = [name.strip() for name in feeds.split(",") if name.strip()]
            await _print(tail_prices(url, names, random=random))
        else:
            await _print(tail_settlements(url, cursor, random=random))
    except Refused as refusal:
        sys.exit(refusal.sentence)
    except BrokenPipeError:
        # Whoever read has enough; what is left in our buffer must not be tried again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


async def _print(stream: AsyncGenerator[Frame, None]) -> None:
    async with aclosing(stream) as frames:
        async for frame in frames:
            sys.stdout.write(msgspec.json.encode(frame).decode() + "\n")
            sys.stdout.flush()
