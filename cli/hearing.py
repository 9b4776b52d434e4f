"""Hearing: what a gateway tells of rooms from the first event on.

In        the address of a gateway; rooms that are paid.
Out       every public event, as a program hears it.
"""

import asyncio
from contextlib import aclosing
from random import SystemRandom
from typing import Final

from rooms.event import Kind
from streams.frames import Happened
from streams.tail import tail_settlements

LIMIT_S: Final = 15.0


async def heard_from(url: str, rooms: int) -> list[Happened]:
    """Listen until so many rooms are told to be paid, or for as long as it is worth."""
    heard: list[Happened] = []
    paid = 0
    try:
        async with (
            asyncio.timeout(LIMIT_S),
            aclosing(tail_settlements(url, 0, random=SystemRandom())) as frames,
        ):
            async for frame in frames:
                heard.append(frame)
                paid += frame.event["kind"] == Kind.ROOM_PAID
                if paid == rooms:
                    break
    except TimeoutError:
        return heard
    return heard


def faults_of(name: str, heard: list[Happened], rooms: int) -> list[str]:
    """Say what a gateway told that cannot be: each room's events count themselves, each once."""
    faults: list[str] = []
    sequences: dict[str, list[int]] = {}
    for frame in heard:
        sequences.setdefault(frame.event["room"], []).append(frame.event["seq"])
    for room, told in sequences.items():
        if told != list(range(1, len(told) + 1)):
            faults.append(f"{name} told the events {told} of room {room}")
    paid = sum(frame.event["kind"] == Kind.ROOM_PAID for frame in heard)
    if paid != rooms:
        faults.append(f"{name} told of {paid} rooms that are paid, not of {rooms}")
    return faults
