"""World: one story's database, chain, broker and the product's processes, put together.

In        a seed; a database that is empty.
Out       processes that run, die and run again until the story is over.
Promises  every stage, round, claim and agent is the product's own; only what lies outside the
          product is played.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, TypeVar, cast

from chain.keystore import Keystore
from chain.settings import DepositSettings, FeeSettings
from chain.signer import Wallet
from rooms.room import ROOM_ID_BITS, RoomLimits
from rooms.units import Lamports
from rooms.withdrawal import WithdrawalLimits
from sandbox.solana.settings import SolanaSettings
from storage import leases as leases_module
from storage.again import again
from storage.connections import Connection
from storage.leases import Lease, begin_epoch, held
from streams import auditor as auditor_module
from streams import relay as relay_module
from streams.addresses import ensure_operator
from streams.auditor import Auditor, run_auditor
from streams.custody import Custody
from streams.forgetting import forget_sent
from streams.money import Money, SigningPace
from streams.prices import PriceDeps, Pricing
from streams.relay import Patience, relay
from streams.rounds import Pace, run_rounds, wake_bell
from streams.sweeps import money_claims, slow_claims, sweep
from streams.wake import wake_agent
from tests.simulation import bus as buses
from tests.simulation.bus import Bus, Ends, Live, Producer, Ticks, Wakes, moment
from tests.simulation.chains import Solana, solana
from tests.simulation.database import EPOCH_MS, Database
from tests.simulation.lives import Life, Loop
from tests.simulation.market import FEED, Market
from tests.simulation.turns import Turns
from tests.simulation.weather import Weather

Result = TypeVar("Result")

DEPOSIT_LAMPORTS_MIN = Lamports(5_000_000)
RESTART_S_MAX = 3.0
PATIENCE = Patience(pause_first_s=0.2, pause_max_s=2.0, limit_s=30.0)
FORGET_EVERY_S = 60.0
SWEEP_EVERY_S = 8.0
RETURNS_EVERY_S = 20.0
POLL_S = 3.0
LEAD_POLL_S = 5.0
LOOK_EVERY_S = 5.0
SPEAK_EVERY_S = 5.0
RACES = 0.12
AUDITED = 0.3
AUDIT_EVERY_S = 8.0
AUDIT_CHAIN_MS = 15_000
PACE = Pace(work_ms=3_000, fates_ms=2_000, resend_ms=5_000, deposits_ms=2_500)


class Broken(Exception):
    """Something is not as it must be."""


@dataclass
class World:
    """Everything that one story is played with."""

    seed: int
    turns: Turns
    database: Database
    weather: Weather
    random: Random
    solana: Solana
    bus: Bus
    market: Market
    signer: Keystore
    limits: RoomLimits
    withdrawals: WithdrawalLimits
    transfers_max: int
    workers: int
    custodians: int
    audited: bool
    floor_idle_ms: int
    earning_lamports_min: Lamports
    over: bool = False
    deaths: int = 0
    broken: list[BaseException] = field(default_factory=list)
    lives: dict[str, Life] = field(default_factory=dict)

    @classmethod
    def of(cls, seed: int, turns: Turns, database: Database) -> "World":
        """Make the world of a seed."""
        random = Random(f"{seed}:world")
        weather = Weather.of(Random(f"{seed}:weather"))
        turns.begin(Random(f"{seed}:turns"), database)
        database.begin(weather)
        races = random.random() < RACES
        if races:
            weather.race()
        settings = SolanaSettings(
            manual=True,
            slot_ms=200 if races else random.choice((200, 400, 400, 600)),
            finalized_slots=4 if races else random.choice((4, 8, 16, 32)),
            skip_one_in=random.choice((0, 5, 20)),
            manual_at_ms=EPOCH_MS,
        )
        bus = Bus(turns, weather)
        seeds = {wallet: random.randbytes(32) for wallet in Wallet}
        return cls(
            seed=seed,
            turns=turns,
            database=database,
            weather=weather,
            random=random,
            solana=solana(settings, turns, weather, random.randint(-1_500, 1_500)),
            bus=bus,
            market=Market(
                turns, bus, Random(f"{seed}:market"), random.choice((0.0, 0.0, 0.004, 0.02))
            ),
            signer=Keystore(seeds),
            limits=RoomLimits(
                open_ms_min=5_000, cut_ms=random.choice((2_000, 5_000)), watch_ms=8_000,
                span_ms_min=15_000, warm_ms=2_000, target_wait_ms=5_000,
                gap_ms_max=6_000, gap_ms_floor=2_000,
                stake_lamports_min=Lamports(1_000_000),
            ),
            withdrawals=random.choice((
                WithdrawalLimits(delay_ms=5_000, cool_down_ms=0),
                WithdrawalLimits(
                    free_lamports_day=Lamports(300_000_000), delay_ms=10_000, cool_down_ms=20_000
                ),
                WithdrawalLimits(free_lamports_day=Lamports(100_000_000_000)),
            )),
            transfers_max=random.choice((3, 8, 60)),
            workers=random.choice((1, 1, 2)),
            custodians=random.choice((1, 1, 1, 2)),
            audited=random.random() < AUDITED,
            floor_idle_ms=random.choice((10_000, 40_000, 3_600_000)),
            earning_lamports_min=Lamports(random.choice((1, 100_000, 10_000_000))),
        )  # fmt: skip

    def processes(self) -> dict[str, Callable[[Life], Sequence[Loop]]]:
        """Return what each process does, by its name."""
        found: dict[str, Callable[[Life], Sequence[Loop]]] = {"prices": self._prices}
        found |= {f"worker {number}": self._worker for number in range(1, self.workers + 1)}
        found |= {f"custody {number}": self._custody for number in range(1, self.custodians + 1)}
        if self.audited:
            found["auditor"] = self._auditor
        return found

    async def keep(self, name: str, build: Callable[[Life], Sequence[Loop]]) -> None:
        """Run a process, again and again until the story is over."""
        while not self.is_over():
            life = self.lives[name] = Life(name)
            self.broken += await life.run(build(life))
            if not self.is_over():
                self.deaths += 1
                self.turns.note(f"{name} has ended")
                await asyncio.sleep(self.weather.random.uniform(0.0, RESTART_S_MAX))

    def is_over(self) -> bool:
        """Say whether the story is over."""
        return self.over

    def fail(self, what: str) -> None:
        """Say that something is not as it must be."""
        self.broken.append(Broken(what))

    async def ask(self, life: Life, work: Callable[[Connection], Awaitable[Result]]) -> Result:
        """Do what a person or an operator wants, in a transaction, until it is known to be done."""
        connections = self.database.connections_of(life)

        async def once() -> Result:
            async with connections.acquire() as connection, connection.transaction():
                # The story's own connection looks like asyncpg's as far as the product uses one.
                return await work(cast("Connection", connection))

        return await again(once, limit_s=3_600.0)

    def _worker(self, life: Life) -> Sequence[Loop]:
        connections: Any = self.database.connections_of(life)
        ids = Random(self.weather.random.getrandbits(64))
        money = Money(
            connections=connections,
            prices=Live(self.bus),
            new_room_id=lambda: ids.getrandbits(ROOM_ID_BITS),
            room_limits=self.limits,
            signing=SigningPace(stakes_per_s=20, sign_ms=200, land_ms=800),
            draft_wait_ms=40_000,
            batch_max=50,
            floor_idle_ms=self.floor_idle_ms,
            earning_lamports_min=self.earning_lamports_min,
        )
        claims = money_claims(money)
        agents = {
            topic: (wake_agent(each), Wakes(self.bus, topic, life))
            for topic, each in claims.items()
        }

        def hear(topic: str) -> Loop:
            agent, wakes = agents[topic]

            async def run() -> None:
                await agent(wakes)

            return run

        async def forget() -> None:
            while True:
                await forget_sent(connections)
                await asyncio.sleep(FORGET_EVERY_S)

        return [
            *(hear(topic) for topic in claims),
            lambda: sweep(claims, every_s=SWEEP_EVERY_S),
            lambda: sweep(slow_claims(money), every_s=RETURNS_EVERY_S),
            lambda: relay(life.name, Producer(self.bus, life), patience=PATIENCE),
            forget,
        ]

    def _prices(self, life: Life) -> Sequence[Loop]:
        stream = Ticks(self.bus, life)
        app: Any = buses.App(self.bus, stream)
        pricing = Pricing(
            app,
            PriceDeps(
                connections=self.database.connections_of(life),  # type: ignore[arg-type]
                live=Live(self.bus),  # type: ignore[arg-type]
                producer=Producer(self.bus, life),  # type: ignore[arg-type]
                ends=Ends(self.bus),  # type: ignore[arg-type]
                partitions=1,
                clock=lambda: moment(self.turns),
            ),
        )

        async def follow() -> None:
            try:
                await pricing.follow(stream)
            except asyncio.CancelledError:
                # A reader that is cancelled is a process that ends: its place in the log is lost.
                life.kill()
                raise

        return [follow]

    def _custody(self, life: Life) -> Sequence[Loop]:
        bell = asyncio.Event()
        wakes: Any = Wakes(self.bus, "custody", life)

        async def run() -> None:
            connections: Any = self.database.connections_of(life)
            async with (
                held(life.name, Lease.CUSTODY) as lease,
                self.solana.providers(life) as providers,
            ):
                async with connections.acquire() as connection:
                    epoch = await begin_epoch(connection, Lease.CUSTODY)
                custody = Custody(
                    connections=connections,
                    providers=providers,
                    signer=self.signer,
                    operator=await ensure_operator(connections, self.signer),
                    fees=FeeSettings(),
                    deposits=DepositSettings(),
                    deposit_lamports_min=DEPOSIT_LAMPORTS_MIN,
                    transfers_max=self.transfers_max,
                    fence=lease.fence,
                    epoch=epoch,
                )
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(run_rounds(custody, bell, PACE))
                    tasks.create_task(_awaited(wake_bell(bell)(wakes)))
                    tasks.create_task(lease.until_lost())

        return [run]

    def _auditor(self, life: Life) -> Sequence[Loop]:
        async def run() -> None:
            async with (
                held(life.name, Lease.AUDITOR) as lease,
                self.solana.providers(life) as providers,
            ):
                connections: Any = self.database.connections_of(life)
                auditor = Auditor(
                    connections=connections,
                    providers=providers,
                    head_path=self.audit_head,
                    clock=lambda: moment(self.turns),
                    chain_ms=AUDIT_CHAIN_MS,
                )
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(lease.until_lost())
                    tasks.create_task(run_auditor(auditor))

        return [run]

    @property
    def audit_head(self) -> Path:
        """Return where the head of the audit log is kept."""
        return self.database.folder / "audit-head"


async def _awaited(work: Awaitable[None]) -> None:
    await work


@contextmanager
def own_connections(world: World) -> Iterator[None]:
    """Let connections of their own be the story's, and have who polls poll less often."""

    def open_connection(dsn: str, **_: object) -> Any:  # noqa: ANN401 - as asyncpg's
        return world.database.one_connection(world.lives[dsn])

    changes: list[tuple[Any, str, object]] = [
        (relay_module, "open_connection", open_connection),
        (relay_module, "POLL_S", POLL_S),
        (relay_module, "LEAD_POLL_S", LEAD_POLL_S),
        (leases_module, "open_connection", open_connection),
        (leases_module, "LOOK_EVERY_S", LOOK_EVERY_S),
        (leases_module, "SPEAK_EVERY_S", SPEAK_EVERY_S),
        (auditor_module, "FLOOR_S", AUDIT_EVERY_S),
        (auditor_module, "PAUSE_S", AUDIT_EVERY_S),
    ]
    kept = [(module, name, getattr(module, name)) for module, name, _ in changes]
    for module, name, value in changes:
        setattr(module, name, value)
    try:
        yield
    finally:
        for module, name, value in kept:
            setattr(module, name, value)


def sol(lamports: int) -> str:
    """Write lamports for people."""
    return f"{lamports / 1e9:.9f}"


Act = Callable[[], Coroutine[Any, Any, None]]
FEED_NAME = FEED.name
