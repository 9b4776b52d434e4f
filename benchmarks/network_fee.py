"""Network fee: what a payout costs when a room of 1,000 winners is paid.

Run       python -m benchmarks.network_fee [--quick]
Out       P6: lamports of network fee a payout, as the chain took them; one payout a transaction
          with a separate fee payer beside it; the priority fee apart.
Why       the settlements stage plans, custody signs and sends, and a real Solana runtime charges.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Final

from benchmarks import crowd
from benchmarks.alone import Options, run_alone
from benchmarks.figure import Figure, Goal
from benchmarks.settling import NoPrices
from benchmarks.stand import Stand
from chain.keystore import Keystore, PassphraseCost
from chain.providers import Providers
from chain.settings import ChainSettings, DepositSettings, Endpoint, FeeSettings
from chain.transactions import TRANSFERS_MAX
from rooms import ledger
from rooms.ledger import HOUSE, Account, Entry, Posting
from rooms.units import Address, Lamports
from sandbox.solana.serve import RunningSolana, SolanaSettings, running_solana
from storage import ledger as accounts
from storage.connections import Connections, open_connections, transaction
from streams.addresses import ensure_operator, give_addresses
from streams.custody import Custody
from streams.money import Money
from streams.receipts import post_fates
from streams.settlements import claim_settlements
from streams.transfers import sign_due

WINNERS: Final = 1_000
PEER_WINNERS: Final = 20
HOUSE_LAMPORTS: Final = 100_000_000_000
BLOCKS_MAX: Final = 2_000
CHEAP: Final = PassphraseCost(memory_kib=64, rounds=1, lanes=1)

DRAFT: Final = """
    INSERT INTO rooms (id, creator, feed, scale, comparator, move_bps, target, base, opened_at,
        lock_at, cut_at, watch_at, deadline_at, target_wait_ms, gap_ms_max, protocol_fee_bps,
        host_fee_bps, stake_lamports_min, stake_lamports_max, volatility_bps, guards)
    SELECT 1, 1, $1, 8, 1, 200, 10200000000, 10000000000, now - 60000, now - 50000, now - 40000,
        now - 30000, now + 7200000, 10000, 60000, 200, 100, 1000000, 1000000000000, 9000, '{}'
    FROM now_ms() AS now
"""


@dataclass(frozen=True, slots=True)
class Paying:
    """Custody at work on a chain of its own."""

    connections: Connections
    custody: Custody
    solana: RunningSolana

    async def lay(self, address: Address, lamports: int, whose: Account) -> None:
        """Let lamports lie at an address, on the chain and in both books."""
        self.solana.control.airdrop(address, lamports)
        entry = Entry(
            f"laid:{whose.name}",
            (Posting(ledger.chain(address), lamports), Posting(whose, lamports)),
        )
        async with transaction(self.connections) as connection:
            await accounts.post(connection, [entry])

    async def pay(self, winners: int) -> float:
        """Settle a room with so many winners, pay it, and return the fee of a payout."""
        rent = await self.custody.providers.first(lambda rpc: rpc.rent_minimum())
        await self.connections.execute(
            "INSERT INTO users (id, chat_id, name) SELECT n, n, 'p' || n"
            " FROM generate_series(1, $1::bigint) AS n",
            2 * winners,
        )
        await self.connections.execute(DRAFT, crowd.FEED)
        while await give_addresses(self.custody):
            pass
        for row in await self.connections.fetch("SELECT address, kind FROM addresses"):
            if row["kind"] != "fee_payer":
                floor = ledger.floor(Address(row["address"]))
                await self.lay(Address(row["address"]), rent, floor)
        await self.lay(self.custody.operator.fee_payer, HOUSE_LAMPORTS, HOUSE)
        await self._decide(2 * winners)
        money = Money(connections=self.connections, prices=NoPrices(), new_room_id=lambda: 0)
        assert await claim_settlements(money) == 1, "the room is settled"
        await self._until_paid()
        fee: float = await self.connections.fetchval(
            "SELECT sum(fee_lamports)::float8 / $1::bigint FROM attempts a WHERE EXISTS"
            " (SELECT FROM attempt_transfers l JOIN transfers t ON t.id = l.transfer_id"
            "  WHERE l.attempt_id = a.id AND t.kind = 'payout')",
            winners,
        )
        return fee

    async def _decide(self, bets: int) -> None:
        async with transaction(self.connections) as connection:
            await connection.execute(crowd.BETS, 1, bets)
            pool = await crowd.seal(connection, 1)
            vault = await connection.fetchval("SELECT address FROM addresses WHERE room_id = 1")
        self.solana.control.airdrop(vault, pool)
        self.solana.control.advance(1)

    async def _until_paid(self) -> None:
        for _ in range(BLOCKS_MAX):
            await sign_due(self.custody)
            self.solana.control.advance(10)
            await post_fates(self.custody)
            if not await self.connections.fetchval(
                "SELECT count(*) FROM transfers WHERE state IN ('PLANNED', 'ATTEMPTED')"
            ):
                return
        raise RuntimeError(f"the room was not paid within {BLOCKS_MAX} rounds")


@asynccontextmanager
async def paying(dsn: str, together: int) -> AsyncIterator[Paying]:
    """Start a chain and a custody that puts so many transfers into a transaction."""
    async with AsyncExitStack() as held:
        folder = Path(held.enter_context(TemporaryDirectory()))
        connections = await held.enter_async_context(open_connections(dsn, name="fee"))
        await crowd.found(connections, treasury=False)
        solana = await held.enter_async_context(
            running_solana(
                SolanaSettings(
                    port=0, second_port=0, control_port=0, manual=True,
                    data_dir=folder / "chain",
                    manual_at_ms=await connections.fetchval("SELECT now_ms()"),
                )
            )
        )  # fmt: skip
        chain = ChainSettings(
            endpoints=(Endpoint("first", solana.url), Endpoint("second", solana.second_url))
        )
        providers = await held.enter_async_context(Providers.of(chain))
        signer = Keystore.create(folder / "keys", "benchmark", Random(7).randbytes, CHEAP)
        custody = Custody(
            connections=connections,
            providers=providers,
            signer=signer,
            operator=await ensure_operator(connections, signer),
            fees=FeeSettings(),
            deposits=DepositSettings(),
            deposit_lamports_min=Lamports(5_000_000),
            transfers_max=together,
        )
        yield Paying(connections, custody, solana)


async def measure(stand: Stand, options: Options) -> Sequence[Figure]:
    """Pay one room as the product does, and a small one a payout at a time."""
    winners = options.pick(WINNERS, 70)
    async with paying(stand.database(), TRANSFERS_MAX[FeeSettings().version]) as custody:
        ours = await custody.pay(winners)
    options.say(f"network fee: {winners} winners paid at {ours:.1f} lamports each")
    async with paying(stand.database(), 1) as custody:
        alone = await custody.pay(options.pick(PEER_WINNERS, 3))
    return [
        Figure(
            number="P6",
            what=f"network fee of a payout, {winners:,} winners, priority fee 0",
            ours=ours,
            unit="lamports",
            peer=alone,
            against="one payout a transaction",
            goal=Goal(most=180, of_ratio=False, unit="lamports"),
        ),
        Figure(
            number="P6",
            what="priority fee offered with a transaction by default",
            ours=FeeSettings().priority_fee_lamports,
            unit="lamports",
        ),
    ]


if __name__ == "__main__":
    run_alone(measure, __doc__)
