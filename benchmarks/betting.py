"""Betting: how many bets a second are decided and committed, by the ledger alone.

Run       python -m benchmarks.betting [--quick]
Out       P5: bets/s from stored intent to committed bet, of 500 people who bet at once again and
          again; transactions/s of pgbench's TPC-B-like script on the same server.
Why       a claim finds one intent of each of 500 people, as it would when each asks again as soon
          as he is answered. What signer and providers allow is less, and is printed beside it.
"""

import re
import subprocess
import time
from collections.abc import Sequence
from statistics import median
from typing import Final

from benchmarks import crowd
from benchmarks.alone import Options, run_alone
from benchmarks.figure import Figure, Goal
from benchmarks.settling import NoPrices
from benchmarks.stand import Stand
from cli.settings import Settings
from sandbox.postgres import program
from storage.connections import open_connections
from streams.bets import claim_bets
from streams.money import Money, SigningPace

CLIENTS: Final = 500
ROOMS: Final = 50
ASKED_EACH: Final = 30
ROUNDS: Final = 3
PEER_SCALE: Final = 50
"""pgbench's branches: with fewer, its own clients would wait for each other."""

PEER_CLIENTS: Final = 16
PEER_SECONDS: Final = 8
LAMPORTS: Final = 10**11
UNHURRIED: Final = SigningPace(stakes_per_s=10**6, sign_ms=0, land_ms=0)

ASK: Final = """
    INSERT INTO bet_requests (key, user_id, room_id, side, lamports)
    SELECT 'ask:' || again || ':' || n, n, 1 + (n + again) % $3::bigint,
        CASE WHEN n % 2 = 0 THEN 'YES' ELSE 'NO' END, 1000000
    FROM generate_series(1, $2::bigint) AS again, generate_series(1, $1::bigint) AS n
    ORDER BY again, n
"""


async def bet_once(dsn: str, clients: int, each: int) -> float:
    """Decide so many intents of each client in an empty database; return bets a second."""
    async with open_connections(dsn, name="betting") as connections:
        await crowd.found(connections)
        await crowd.people(connections, clients, LAMPORTS)
        await crowd.rooms(connections, ROOMS)
        await connections.execute(ASK, clients, each, ROOMS)
        await connections.execute("VACUUM (ANALYZE)")
        money = Money(
            connections=connections,
            prices=NoPrices(),
            new_room_id=lambda: 0,
            signing=UNHURRIED,
            batch_max=clients,
        )
        began = time.perf_counter()
        while await claim_bets(money):
            pass
        took = time.perf_counter() - began
        taken = await connections.fetchval("SELECT count(*) FROM stakes WHERE state = 'HELD'")
        assert taken == clients * each, "every intent has become a bet"
    return clients * each / took


def prepare_peer(dsn: str, scale: int) -> None:
    """Write pgbench's own tables."""
    _pgbench("--initialize", "--quiet", "--scale", str(scale), dsn)


def peer_once(dsn: str, seconds: int) -> float:
    """Run pgbench's TPC-B-like script and return its transactions a second."""
    said = _pgbench(
        "--client", str(PEER_CLIENTS), "--jobs", "2", "--time", str(seconds),
        "--protocol", "prepared", dsn,
    )  # fmt: skip
    found = re.search(r"tps = ([0-9.]+)", said)
    assert found is not None, said
    return float(found[1])


def _pgbench(*arguments: str) -> str:
    done = subprocess.run(
        [program("pgbench"), *arguments], check=True, capture_output=True, text=True
    )
    return done.stdout


async def measure(stand: Stand, options: Options) -> Sequence[Figure]:
    """Bet and run pgbench in alternating rounds."""
    clients, each = options.pick(CLIENTS, 20), options.pick(ASKED_EACH, 3)
    peer_dsn = stand.empty_database()
    prepare_peer(peer_dsn, options.pick(PEER_SCALE, 1))
    ours: list[float] = []
    peer: list[float] = []
    for number in range(1, options.pick(ROUNDS, 1) + 1):
        ours.append(await bet_once(stand.database(), clients, each))
        peer.append(peer_once(peer_dsn, options.pick(PEER_SECONDS, 1)))
        options.say(f"betting, round {number}: {ours[-1]:,.0f}/s, pgbench {peer[-1]:,.0f}/s")
    return [
        Figure(
            number="P5",
            what=f"bets from stored intent to commit, {clients} people",
            ours=median(ours),
            unit="/s",
            peer=median(peer),
            against="pgbench, TPC-B-like",
            goal=Goal(least=4),
        ),
        Figure(
            number="P5",
            what="bets that the default signer's rate allows",
            ours=Settings.model_fields["stakes_per_second"].default,
            unit="/s",
        ),
    ]


if __name__ == "__main__":
    run_alone(measure, __doc__)
