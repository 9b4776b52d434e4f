"""Payouts: is everybody paid once when sends are lost or time out and a provider lies?

Run       python -m benchmarks.payouts [--payouts N] [--minutes N]
Out       how far it is; whether every lamport lies where the ledger says; last, such as
          `10000 paid once, 0 twice, 0 lost, 170 lamports a payout`; 0 only where it is so.
Promises  custody is the product's own, with keys in Turnkey and three providers; who was paid is
          counted in the chain's history, as anybody reads it over JSON-RPC, not in our attempts.
Why       5 % of transactions are lost however often they are sent, so each has to be proved dead
          before its people are paid by another; 5 % of sends time out after they landed; and the
          provider that is asked first says what is not.
"""

import argparse
import asyncio
import logging
import os
import sys
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any, Final

import httpx

from benchmarks import crowd
from benchmarks.alone import say
from benchmarks.settling import NoPrices
from benchmarks.stand import stand
from chain.keystore import Keystore, PassphraseCost
from chain.providers import Providers
from chain.settings import ChainSettings, DepositSettings, Endpoint, FeeSettings
from chain.signer import KeyPath
from chain.transactions import TRANSFERS_MAX
from chain.turnkey.api import TurnkeyApi
from chain.turnkey.signer import SplitSigner, TurnkeySigner
from cli.clock import now_ms
from cli.embedded_turnkey import prepare_turnkey, turnkey_values
from cli.logs import set_up_logs
from cli.settings import read_settings_from
from cli.signer import turnkey_settings
from rooms import ledger
from rooms.ledger import HOUSE, Entry, Posting
from rooms.units import Address, Lamports, Signature, Slot
from sandbox.solana.serve import RunningSolana, SolanaSettings, running_solana
from sandbox.turnkey.serve import TurnkeySettings, running_turnkey
from storage import deposits
from storage import ledger as accounts
from storage.connections import Connection, Connections, open_connections, transaction
from storage.signing_requests import SigningRequests
from streams.addresses import ensure_operator, give_addresses
from streams.custody import Custody
from streams.money import Money
from streams.rounds import Pace, run_rounds
from streams.settlements import claim_settlements

PAYOUTS: Final = 10_000
IN_A_ROOM: Final = 1_000
LOST_PERCENT: Final = 5
LATE_PERCENT: Final = 5
MINUTES_MAX: Final = 30
SLOT_MS: Final = 100
HOUSE_LAMPORTS: Final = 100_000_000_000
LAID_TOGETHER: Final = 500
PAGE: Final = 1_000
FINAL_SLOTS: Final = 16
LOOK_S: Final = 2.0
LIAR: Final = 2
"""Which of the chain's addresses lies; custody is told of it first."""
LIES: Final = {"claimed": 30, "denied": 50, "wrong_height": 60, "wrong_signature": 90}
CHEAP: Final = PassphraseCost(memory_kib=64, rounds=1, lanes=1)
TURNKEY_PER_MINUTE: Final = 600_000

DRAFTS: Final = """
    INSERT INTO rooms (id, creator, feed, scale, comparator, move_bps, target, base, opened_at,
        lock_at, cut_at, watch_at, deadline_at, target_wait_ms, gap_ms_max, protocol_fee_bps,
        host_fee_bps, stake_lamports_min, stake_lamports_max, volatility_bps, guards)
    SELECT n, 1, $2, 8, 1, 200, 10200000000, 10000000000, now - 60000, now - 50000, now - 40000,
        now - 30000, now + 7200000, 10000, 60000, 200, 100, 1000000, 1000000000000, 9000, '{}'
    FROM generate_series(1, $1::bigint) AS n, now_ms() AS now
"""
PEOPLE: Final = """
    INSERT INTO users (id, chat_id, name)
    SELECT n, n, 'p' || n FROM generate_series(1, $1::bigint) AS n
"""
FAR: Final = """
    SELECT (SELECT count(*) FROM transfers WHERE kind = 'payout' AND state = 'LANDED') AS landed,
           (SELECT count(*) FROM transfers WHERE state IN ('PLANNED', 'ATTEMPTED')) AS open,
           (SELECT count(*) FROM attempts WHERE state = 'SIGNED') AS live,
           (SELECT count(*) FROM attempts WHERE state = 'LAPSED') AS lapsed,
           (SELECT count(*) FROM attempts WHERE state IN ('REFUSED', 'CLOSED')) AS refused
"""


@dataclass(frozen=True, slots=True)
class Counted:
    """What the chain's own history says of the payouts that were planned."""

    once: int
    twice: int
    lost: int
    fee_lamports: int

    @property
    def is_right(self) -> bool:
        """Say whether everybody was paid, and nobody twice."""
        return self.twice == 0 and self.lost == 0

    def __add__(self, more: "Counted") -> "Counted":
        return Counted(
            self.once + more.once,
            self.twice + more.twice,
            self.lost + more.lost,
            self.fee_lamports + more.fee_lamports,
        )

    def __str__(self) -> str:
        paid = self.once + self.twice
        fee = round(self.fee_lamports / paid) if paid else 0
        return (
            f"{self.once} paid once, {self.twice} twice, {self.lost} lost, {fee} lamports a payout"
        )


@dataclass(frozen=True, slots=True)
class Town:
    """Custody, its database, and a chain of three providers."""

    connections: Connections
    custody: Custody
    solana: RunningSolana

    async def settle(self, payouts: int) -> None:
        """Lay what people staked, and have every room decided, sealed and divided."""
        rooms = -(-payouts // IN_A_ROOM)
        winners = [min(IN_A_ROOM, payouts - IN_A_ROOM * room) for room in range(rooms)]
        await self.connections.execute(PEOPLE, 2 * winners[0])
        await self.connections.execute(DRAFTS, rooms, crowd.FEED)
        while await give_addresses(self.custody):
            say(f"{await self.connections.fetchval('SELECT count(*) FROM addresses')} addresses")
        rent = await self.custody.providers.agreed(lambda rpc: rpc.rent_minimum())
        rows = await self.connections.fetch(
            "SELECT address FROM addresses WHERE kind <> 'fee_payer'"
        )
        floors = [(Address(row["address"]), rent) for row in rows]
        for start in range(0, len(floors), LAID_TOGETHER):
            some = floors[start : start + LAID_TOGETHER]
            await self._lay([(each, rent, ledger.floor(each)) for each, rent in some])
        payer = self.custody.operator.fee_payer
        await self._lay([(payer, Lamports(HOUSE_LAMPORTS), HOUSE)])
        for room, many in enumerate(winners, 1):
            async with transaction(self.connections) as connection:
                await connection.execute(crowd.BETS, room, 2 * many)
                pool = await crowd.seal(connection, room)
                vault = await connection.fetchval(
                    "SELECT address FROM addresses WHERE room_id = $1", room
                )
                await self._bring(connection, Address(vault), pool)
        money = Money(connections=self.connections, prices=NoPrices(), new_room_id=lambda: 0)
        settled = 0
        while settled < rooms:
            settled += await claim_settlements(money)
            say(f"{settled} of {rooms} rooms settled")

    async def _lay(self, some: list[tuple[Address, Lamports, ledger.Account]]) -> None:
        """Let lamports lie at addresses, on the chain and in both books."""
        async with transaction(self.connections) as connection:
            for address, lamports, _ in some:
                await self._bring(connection, address, lamports)
            await accounts.post(
                connection,
                [
                    Entry(
                        f"laid:{whose.name}",
                        (Posting(ledger.chain(address), lamports), Posting(whose, lamports)),
                    )
                    for address, lamports, whose in some
                ],
            )

    async def _bring(self, connection: Connection, address: Address, lamports: int) -> None:
        """Bring lamports to an address, and note that its history is read up to there."""
        signature = Signature(self.solana.control.airdrop(address, lamports))
        landed = self.solana.control.chain.history.get(signature)
        assert landed is not None, "the faucet's transfer is in a block at once"
        await deposits.move_cursor(connection, address, signature, Slot(landed.slot))

    def spoil(self) -> None:
        """Let sends be lost and time out everywhere, and one provider lie."""
        control = self.solana.control
        for provider in (0, 1, LIAR):
            control.fault(provider, "lost", percent=LOST_PERCENT)
            control.fault(provider, "late", ["sendTransaction"], percent=LATE_PERCENT)
        for lie, percent in LIES.items():
            control.fault(LIAR, lie, percent=percent)

    async def pay(self, payouts: int, minutes: float) -> None:
        """Run custody's rounds until nothing can move any more, or for so long."""
        async with asyncio.TaskGroup() as group:
            rounds = group.create_task(run_rounds(self.custody, asyncio.Event(), Pace()))
            until = time.monotonic() + 60 * minutes
            while time.monotonic() < until:
                await asyncio.sleep(LOOK_S)
                far = await self.far()
                say(
                    f"{far['landed']} of {payouts} landed, {far['live']} attempts live, "
                    f"{far['lapsed']} lapsed, {far['refused']} refused"
                )
                if not far["open"]:
                    break
            rounds.cancel()

    async def far(self) -> Mapping[str, int]:
        """Say how far it is."""
        row = await self.connections.fetchrow(FAR)
        assert row is not None, "counting gives a row"
        return dict(row)

    async def counted(self) -> Counted:
        """Count, in the history of each vault, who was paid."""
        planned: defaultdict[str, dict[str, int]] = defaultdict(dict)
        other: defaultdict[str, Counter[tuple[str, int]]] = defaultdict(Counter)
        rows = await self.connections.fetch(
            "SELECT kind, from_address, to_address, lamports FROM transfers"
        )
        for row in rows:
            source, to, lamports = row["from_address"], row["to_address"], row["lamports"]
            if row["kind"] == "payout":
                assert to not in planned[source], "a person has one payout of a room"
                planned[source][to] = lamports
            else:
                other[source][to, lamports] += 1
        found = Counted(0, 0, 0, 0)
        async with httpx.AsyncClient(base_url=self.solana.url, timeout=30) as http:
            for vault, wanted in planned.items():
                paid, fees = await _left(http, vault)
                found += count(wanted, other[vault], paid, fees)
        return found

    async def differing(self) -> Mapping[str, int]:
        """Say at which addresses something else lies than the ledger says, and by how much."""
        rows = await self.connections.fetch(
            "SELECT a.address, coalesce(c.balance, 0) AS lamports FROM addresses a"
            " LEFT JOIN accounts c ON c.name = 'chain:' || a.address"
        )
        async with httpx.AsyncClient(base_url=self.solana.url, timeout=30) as http:
            found = {
                row["address"]: (
                    await _ask(http, "getBalance", row["address"], {"commitment": "finalized"})
                )["value"]
                - row["lamports"]
                for row in rows
            }
        return {address: by for address, by in found.items() if by}


def count(
    payouts: Mapping[str, int],
    other: Mapping[tuple[str, int], int],
    left: Mapping[str, list[int]],
    fee_lamports: int,
) -> Counted:
    """Compare what left a vault with what was planned.

    Whoever got anything but the planned lamports, once, was paid twice; so was whoever was to get
    nothing. ``other`` is what else was planned to leave it, such as shares.
    """
    got = {to: left.get(to, []) for to in payouts}
    once = sum(got[to] == [lamports] for to, lamports in payouts.items())
    lost = sum(not each for each in got.values())
    astray = Counter((to, each) for to in left.keys() - got.keys() for each in left[to])
    more = (astray - Counter(other)).total()
    return Counted(once, len(payouts) - once - lost + more, lost, fee_lamports)


async def _left(http: httpx.AsyncClient, vault: str) -> tuple[dict[str, list[int]], int]:
    """Read what left a vault, by whom it went to, and the network's fees, out of its history."""
    paid: defaultdict[str, list[int]] = defaultdict(list)
    fees, before = 0, None
    while True:
        options: dict[str, object] = {"commitment": "finalized", "limit": PAGE}
        page = await _ask(
            http, "getSignaturesForAddress", vault, options | ({"before": before} if before else {})
        )
        for listed in page:
            landed = await _ask(
                http,
                "getTransaction",
                listed["signature"],
                {
                    "commitment": "finalized",
                    "encoding": "jsonParsed",
                    "maxSupportedTransactionVersion": 1,
                },
            )
            moves = [
                each["parsed"]["info"]
                for each in landed["transaction"]["message"]["instructions"]
                if each.get("program") == "system" and each["parsed"]["type"] == "transfer"
            ]
            if any(move["source"] == vault for move in moves):
                fees += landed["meta"]["fee"]
            if landed["meta"]["err"] is None:
                for move in moves:
                    if move["source"] == vault:
                        paid[move["destination"]].append(move["lamports"])
        if len(page) < PAGE:
            return dict(paid), fees
        before = page[-1]["signature"]


async def _ask(http: httpx.AsyncClient, method: str, *params: object) -> Any:  # noqa: ANN401 - JSON
    asked = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    answer = (await http.post("/", json=asked)).json()
    return answer["result"]


@asynccontextmanager
async def town(dsn: str, folder: Path, slot_ms: int) -> AsyncIterator[Town]:
    """Start a chain behind three providers, an organisation at Turnkey, and custody on both."""
    async with AsyncExitStack() as held:
        connections = await held.enter_async_context(open_connections(dsn, name="payouts"))
        await crowd.found(connections, treasury=False)
        solana = await held.enter_async_context(
            running_solana(
                SolanaSettings(
                    port=0, second_port=0, control_port=0, more_ports=(0,), slot_ms=slot_ms,
                    data_dir=folder / "chain",
                )
            )
        )  # fmt: skip
        own = Keystore.create(folder / "keys", "benchmark", Random(7).randbytes, CHEAP)
        prepare_turnkey(folder / "turnkey", await own.address(KeyPath.fee_payer()))
        turnkey = await held.enter_async_context(
            running_turnkey(
                TurnkeySettings(data_dir=folder / "turnkey", requests_per_minute=TURNKEY_PER_MINUTE)
            )
        )
        told = {
            f"ROOMS_{name}": value
            for name, value in turnkey_values(folder / "turnkey", turnkey.port).items()
        }
        told["ROOMS_TURNKEY__REQUESTS_PER_MINUTE"] = str(TURNKEY_PER_MINUTE)
        account = read_settings_from(told).turnkey
        api = await held.enter_async_context(TurnkeyApi(turnkey_settings(account), now_ms))
        signer = SplitSigner(own, TurnkeySigner(api, SigningRequests(connections), now_ms))
        chain = ChainSettings(
            endpoints=(
                Endpoint("liar", solana.more_urls[0]),
                Endpoint("first", solana.url),
                Endpoint("second", solana.second_url),
            )
        )
        fees = FeeSettings()
        custody = Custody(
            connections=connections,
            providers=await held.enter_async_context(Providers.of(chain)),
            signer=signer,
            operator=await ensure_operator(connections, signer),
            fees=fees,
            deposits=DepositSettings(),
            deposit_lamports_min=Lamports(5_000_000),
            transfers_max=TRANSFERS_MAX[fees.version],
        )
        yield Town(connections, custody, solana)


async def run(
    payouts: int,
    minutes: float,
    tell: Callable[[str], None] = print,
    slot_ms: int = SLOT_MS,
) -> bool:
    """Pay so many people, count, and say whether everybody was paid once."""
    async with stand() as running:
        with TemporaryDirectory(prefix="rooms-payouts-") as folder:
            async with town(running.database(), Path(folder), slot_ms) as place:
                await place.settle(payouts)
                place.spoil()
                began = time.monotonic()
                await place.pay(payouts, minutes)
                took = time.monotonic() - began
                place.solana.control.clear_faults()
                await asyncio.sleep(slot_ms * FINAL_SLOTS / 1000)
                counted, differing = await place.counted(), await place.differing()
                far = await place.far()
    tell(
        f"{payouts} payouts in {took:.0f} s; {LOST_PERCENT} % of transactions lost, "
        f"{LATE_PERCENT} % of sends timed out after landing, one provider of three lying; "
        f"{far['lapsed']} attempts lapsed and were signed anew"
    )
    for address, by in differing.items():
        tell(f"{address}: {by} lamports more than the ledger says")
    if not differing:
        tell("every lamport lies where the ledger says")
    tell(str(counted))
    return counted.is_right and not differing


def main() -> None:
    """Read the command line, pay, count; end with 1 when somebody was not paid once."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--payouts", type=int, default=PAYOUTS, help="how many people are paid")
    parser.add_argument("--minutes", type=float, default=MINUTES_MAX, help="give up after so long")
    given = parser.parse_args()
    if given.payouts < 1 or given.minutes <= 0:
        parser.error("at least one payout and some time")
    set_up_logs("payouts", "people", level=logging.ERROR)
    if not asyncio.run(run(given.payouts, given.minutes)):
        sys.exit(os.EX_SOFTWARE)


if __name__ == "__main__":
    main()
