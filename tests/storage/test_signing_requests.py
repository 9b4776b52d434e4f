"""A request to a signer elsewhere is what was written down first, until it is too old."""

import asyncio

from rooms.units import UnixMs
from storage.connections import Connections
from storage.signing_requests import SigningRequests

DAY_MS = 86_400_000


async def test_the_first_body_stays_until_it_is_too_old(connections: Connections) -> None:
    requests = SigningRequests(connections)
    kept = [
        await requests.keep("sign a", body, UnixMs(made_at), UnixMs(not_before))
        for body, made_at, not_before in [
            (b"one", 1_000, 0),
            (b"two", 2_000, 500),
            (b"three", 3_000, 1_001),
            (b"four", 4_000, 3_000),
        ]
    ]
    assert kept == [b"one", b"one", b"three", b"three"]


async def test_two_at_once_get_the_same_bytes(connections: Connections) -> None:
    requests = SigningRequests(connections)
    kept = await asyncio.gather(
        *(requests.keep("sign a", b"%d" % n, UnixMs(n), UnixMs(0)) for n in range(8))
    )
    assert len(set(kept)) == 1


async def test_what_is_older_than_a_day_is_gone(connections: Connections) -> None:
    requests = SigningRequests(connections)
    await requests.keep("old", b"x", UnixMs(5), UnixMs(0))
    await requests.keep("new", b"y", UnixMs(DAY_MS + 6), UnixMs(0))
    names = await connections.fetch("SELECT name FROM signing_requests")
    assert [row["name"] for row in names] == ["new"]
