"""Story: what people, strangers, the operator and the network do in one seed, and when.

In        a world whose processes run.
Out       intents, deposits, pauses; forks, rents, silences and nodes that lie.
Promises  what a person wants is asked under one key, perhaps twice; what was paused is compared
          at its beginning and its end; everything is over at a moment known beforehand.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from random import Random
from typing import Any

from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.message import Message, MessageV0
from solders.pubkey import Pubkey
from solders.system_program import TransferParams, transfer
from solders.transaction import VersionedTransaction

from chain.programs import MEMO_PROGRAM
from chain.signer import KeyPath
from rooms.room import RoomRequest, Side
from rooms.units import Lamports, Value
from sandbox.solana.faults import FaultKind
from storage import feeds, flags, intents, people, withdrawal_limits
from storage.again import again
from storage.connections import Connection
from storage.flags import Flag
from tests.simulation.lives import Life
from tests.simulation.market import FEED
from tests.simulation.weather import Chances
from tests.simulation.world import DEPOSIT_LAMPORTS_MIN, World

SOL = 1_000_000_000
FEE_PAYER_LAMPORTS = 50 * SOL
FEE_PAYER_LAMPORTS_LOW = 8_000_000
FEE_PAYER_EMPTY = 0.07
ALL_IN = 0.12
LATE_BETS = 0.2
DARK = 0.1
ROOMS_FROM_S = 8.0
ROOMS_UNTIL_S = 32.0
OVER_S = 110.0
ASKED_AGAIN_S_MAX = 5.0
PAUSE_LIMIT_MS = 60_000
OUTSIDE = Keypair.from_seed(bytes(31) + b"\x07")

SPOILING = (
    FaultKind.ERROR, FaultKind.UNAVAILABLE, FaultKind.THROTTLED, FaultKind.SILENT, FaultKind.LATE,
    FaultKind.SWALLOWED, FaultKind.HTML, FaultKind.TRUNCATED, FaultKind.UNHEALTHY,
)  # fmt: skip
LYING = (
    FaultKind.WRONG_SIGNATURE, FaultKind.WRONG_HEIGHT, FaultKind.DENIED, FaultKind.CLAIMED,
    FaultKind.FORGOTTEN,
)  # fmt: skip


@dataclass
class Story:
    """One seed's story."""

    world: World
    random: Random
    life: Life = field(default_factory=lambda: Life("people", spared=True))
    users: list[int] = field(default_factory=list)
    rooms: int = 0
    _empty: bool = False
    _pausing: asyncio.Lock = field(default_factory=asyncio.Lock)

    @classmethod
    def of(cls, world: World) -> "Story":
        """Draw the story of a seed."""
        return cls(world, Random(f"{world.seed}:story"))

    async def prepare(self) -> None:
        """Write down what is there before anything runs, in calm weather."""
        weather = self.world.weather
        weather.chances, chances = Chances(), weather.chances
        fee_payer = await self._address(KeyPath.fee_payer())
        empty = self.random.random() < FEE_PAYER_EMPTY
        self._airdrop(fee_payer, FEE_PAYER_LAMPORTS_LOW if empty else FEE_PAYER_LAMPORTS)
        self._empty = empty
        await self._open_for_business()
        await self.world.ask(
            self.life, lambda connection: feeds.upsert(connection, FEED, standing=True)
        )
        await self.world.ask(
            self.life,
            lambda connection: withdrawal_limits.take_over(
                connection, self.world.withdrawals, "story"
            ),
        )
        weather.chances = chances

    async def play(self) -> None:
        """Let everything happen, until it is over."""
        random = self.random
        self.users = list(range(1, random.randint(2, 7) + 1))
        self.rooms = random.randint(1, 4)
        async with asyncio.TaskGroup() as tasks:
            for user in self.users:
                tasks.create_task(self._person(user))
            for number in range(self.rooms):
                tasks.create_task(self._room(number))
            for _ in range(random.randint(0, 6)):
                tasks.create_task(self._later(random.uniform(5, OVER_S), self._stranger))
            for _ in range(random.randint(0, 2)):
                tasks.create_task(self._later(random.uniform(5, OVER_S - 20), self._pause))
            for _ in range(random.choice((0, 0, 1, 3))):
                tasks.create_task(self._later(random.uniform(5, OVER_S), self._fork))
            for _ in range(random.choice((0, 0, 0, 1, 12))):
                tasks.create_task(self._later(random.uniform(5, OVER_S), self._rent))
            for _ in range(random.choice((0, 0, 1))):
                tasks.create_task(self._later(random.uniform(5, OVER_S - 30), self._no_blocks))
            for _ in range(random.choice((0, 0, 1, 3))):
                tasks.create_task(self._later(random.uniform(5, OVER_S), self._lock_lost))
            liar = random.choice((0, 1))
            if random.random() < DARK:
                tasks.create_task(
                    self._later(random.uniform(15, OVER_S - 60), lambda: self._dark(liar))
                )
            for _ in range(random.choice((0, 2, 6, 12))):
                tasks.create_task(self._later(random.uniform(5, OVER_S), lambda: self._gust(liar)))
            tasks.create_task(asyncio.sleep(OVER_S))

    async def heal(self) -> None:
        """Let everything go well from now on, and everything be open."""
        world = self.world
        world.weather.heal()
        if self._empty:
            self._airdrop(await self._address(KeyPath.fee_payer()), FEE_PAYER_LAMPORTS)
        world.solana.control.clear_faults()
        world.solana.chain.forget_late()
        world.market.silent_chance = 0.0
        for number in (0, 1):
            world.solana.control.set_lag(number, 0)
        if world.solana.chain.paused:
            world.solana.chain.resume()
        await self._open_for_business()

    async def _open_for_business(self) -> None:
        async def write(connection: Connection) -> None:
            for flag in Flag:
                await flags.change(connection, flag, open=True, reason="opened")

        await self.world.ask(self.life, write)

    async def _later(self, at_s: float, act: Callable[[], Coroutine[Any, Any, None]]) -> None:
        await asyncio.sleep(at_s)
        await act()

    async def _person(self, user: int) -> None:
        random = self.random
        await asyncio.sleep(random.uniform(0, 3))
        referrer = random.choice([None, *(each for each in self.users if each < user)])
        await self.world.ask(
            self.life,
            lambda connection: people.meet(
                connection, user=user, chat_id=user, name=f"p{user}", referrer=referrer
            ),
        )
        address = await self._address(KeyPath.user(user))
        async with asyncio.TaskGroup() as tasks:
            self._airdrop(address, random.randint(2 * SOL, 9 * SOL))
            for _ in range(random.randint(0, 2)):
                at_s = random.uniform(0.5, OVER_S - 20)
                tasks.create_task(self._later(at_s, lambda: self._deposit(address)))
            for number in range(random.choice((0, 1, 1, 3))):
                at_s = random.uniform(15, OVER_S - 5)
                tasks.create_task(self._later(at_s, self._withdrawal(user, number)))

    async def _deposit(self, address: Pubkey) -> None:
        lamports = self.random.choice((
            self.random.randint(SOL // 10, 3 * SOL),
            self.random.randint(SOL, 3 * SOL),
            self.random.randint(1, DEPOSIT_LAMPORTS_MIN),
            DEPOSIT_LAMPORTS_MIN,
        ))  # fmt: skip
        self._airdrop(address, lamports)

    def _withdrawal(self, user: int, number: int) -> Callable[[], Coroutine[Any, Any, None]]:
        async def act() -> None:
            random = self.random
            outside = random.choice((OUTSIDE, Keypair.from_seed(bytes([user] * 32)))).pubkey()
            to_address = str(outside)
            if random.random() < 0.1:
                to_address = str(await self._address(KeyPath.user(random.choice(self.users))))
            lamports = Lamports(random.choice((
                random.randint(1, 2 * SOL), random.randint(SOL // 100, SOL // 4), SOL // 10
            )))  # fmt: skip
            await self._asked(
                lambda connection: intents.ask_withdrawal(
                    connection, f"withdrawal {user} {number}", user=user, to_address=to_address,
                    lamports=lamports,
                )
            )  # fmt: skip

        return act

    async def _room(self, number: int) -> None:
        random, world = self.random, self.world
        await asyncio.sleep(random.uniform(ROOMS_FROM_S, ROOMS_UNTIL_S))
        key = f"room {number}"
        lock_in_ms = random.randint(12_000, 45_000)
        watch_ms = random.randint(5_000, 30_000)
        fixed = random.random() < 0.25
        creator = random.choice(self.users)
        request = RoomRequest(
            creator=creator,
            feed=FEED.name,
            move_bps=None if fixed else random.choice((-1, 1)) * random.randint(1, 40),
            fixed_value=Value(world.market.value * random.randint(9_950, 10_050) // 10_000)
            if fixed
            else None,
            lock_in_ms=lock_in_ms,
            deadline_in_ms=max(lock_in_ms + world.limits.watch_ms + watch_ms, 15_000),
            stake_lamports_min=world.limits.stake_lamports_min,
            stake_lamports_max=world.limits.stake_lamports_max,
            seats=random.choice((None, None, 2, 3)),
        )
        await self._met(creator)
        await self._asked(lambda connection: intents.ask_room(connection, key, request))
        opened = await self._opened(key)
        if opened is None:
            return
        room, lock_at_s = opened
        async with asyncio.TaskGroup() as tasks:
            for bet in range(random.randint(0, 3 * len(self.users))):
                until_s = max(0.0, lock_at_s - world.turns.now_s)
                late = random.random() < LATE_BETS
                at_s = (
                    random.uniform(max(0.0, until_s - 4), until_s + 1)
                    if late
                    else (random.uniform(0, 0.8 * until_s))
                )
                tasks.create_task(self._later(at_s, self._bet(room, f"{key} bet {bet}")))

    def _bet(self, room: int, key: str) -> Callable[[], Coroutine[Any, Any, None]]:
        random = self.random
        user = random.choice(self.users)
        # Mostly one side each, so that bets grow; sometimes the other, which is refused.
        usual = (Side.NO, Side.YES)[user % 2]
        side = random.choice((Side.YES, Side.NO)) if random.random() < 0.2 else usual
        amounts = (random.randint(1_000_000, SOL), random.randint(1, 300) * 1_000_000, SOL // 10)
        lamports = Lamports(random.choice((*amounts, *amounts, *amounts, 3 * SOL, 900_000)))

        everything = random.random() < ALL_IN

        async def act() -> None:
            stake = self._available(user) if everything else lamports
            await self._asked(
                lambda connection: intents.ask_bet(
                    connection, key, user=user, room=room, side=side, lamports=stake or lamports
                )
            )

        return act

    def _available(self, user: int) -> Lamports:
        rows = self.world.database.look(
            "SELECT balance FROM accounts WHERE name = %s", f"available:{user}"
        )
        return Lamports(rows[0][0] if rows else 0)

    async def _asked(self, work: Callable[[Connection], Awaitable[object]]) -> None:
        await self.world.ask(self.life, work)
        while self.world.weather.strikes("asked_twice"):
            await asyncio.sleep(self.random.uniform(0, ASKED_AGAIN_S_MAX))
            await self.world.ask(self.life, work)

    async def _met(self, user: int) -> None:
        while not self.world.database.look(  # noqa: ASYNC110 - as a person would
            "SELECT 1 FROM users WHERE id = %s", user
        ):
            await asyncio.sleep(1.0)

    async def _opened(self, key: str) -> tuple[int, float] | None:
        """Wait until a room is open or refused, as a person who looks at its card."""
        while True:
            [(refusal, room, state, lock_at, now)] = self.world.database.look(
                "SELECT q.refusal, r.id, r.state, r.lock_at, now_ms() FROM room_requests q"
                " LEFT JOIN rooms r ON r.id = q.room_id WHERE q.key = %s",
                key,
            )
            if refusal is not None:
                return None
            if state not in (None, "DRAFT"):
                return room, self.world.turns.now_s + (lock_at - now) / 1000
            await asyncio.sleep(1.0)

    async def _address(self, path: KeyPath) -> Pubkey:
        return Pubkey.from_string(await self.world.signer.address(path))

    def _airdrop(self, address: Pubkey, lamports: int) -> None:
        try:
            self.world.solana.chain.airdrop(address, lamports)
        except ValueError as refused:
            # Less than the rent minimum to a fresh address: in a block, and failed.
            self.world.turns.note(f"an airdrop: {refused}")
        self.world.turns.note(f"a stranger sends {lamports} to {address}")

    async def _stranger(self) -> None:
        """Send lamports to addresses of ours, plainly or with a memo that pretends."""
        random, chain = self.random, self.world.solana.chain
        self.world.weather.count("strangers_lamports")
        ours = [
            Pubkey.from_string(row[0])
            for row in self.world.database.look("SELECT address FROM addresses ORDER BY address")
        ]
        if not ours:
            return
        if random.random() < 0.5:
            lamports = random.choice((1, 890_880, random.randint(1, SOL)))
            self._airdrop(random.choice(ours), lamports)
            return
        some = random.sample(ours, min(len(ours), random.randint(1, 3)))
        moves = [
            transfer(
                TransferParams(
                    from_pubkey=chain.faucet.pubkey(), to_pubkey=to,
                    lamports=random.choice((1, random.randint(SOL // 1000, SOL))),
                )
            )
            for to in (*some, *some[:1])
        ]  # fmt: skip
        memo = random.choice((b"r1 stake 1 1 Y", b"hello"))
        payer = chain.faucet.pubkey()
        said = Instruction(MEMO_PROGRAM, memo, [AccountMeta(payer, True, False)])
        blockhash: Hash = chain.blockhash(chain.heads().processed)
        message: Any = (
            MessageV0.try_compile(payer, [*moves, said], [], blockhash)
            if random.random() < 0.5
            else Message.new_with_blockhash([*moves, said], payer, blockhash)
        )
        signed = VersionedTransaction(message, [chain.faucet])
        chain.submit(bytes(signed))
        self.world.turns.note(f"a stranger sends {signed.signatures[0]}")

    async def _pause(self) -> None:
        """Pause something for a while; nothing new of it may happen meanwhile."""
        random, world = self.random, self.world
        flag = random.choice((Flag.BETS, Flag.WITHDRAWALS, Flag.SIGNING, Flag.ALL))
        world.weather.count("pauses")

        async def pause(connection: Connection) -> None:
            await flags.change(connection, flag, open=False, reason="paused")

        async def resume(connection: Connection) -> int:
            count = await _new(connection, flag)
            await flags.change(connection, flag, open=True, reason="resumed")
            return count

        # One after another: the end of one must not open what another holds closed.
        async with self._pausing:
            await world.ask(self.life, pause)
            connections: Any = world.database.connections_of(self.life)
            waited = await again(
                lambda: flags.waited_out(connections, flag, limit_ms=PAUSE_LIMIT_MS)
            )
            if not waited:
                world.fail(f"I11: somebody who read that {flag} is open is under way for ever")
            before = await world.ask(self.life, lambda connection: _new(connection, flag))
            await asyncio.sleep(random.uniform(1, 15))
            after = await world.ask(self.life, resume)
        if before != after:
            world.fail(f"I11: {flag} was paused, and {after - before} new reserves or signatures")

    async def _lock_lost(self) -> None:
        """Let the server end a connection that holds a lock, before its owner knows."""
        random = self.random
        late_s = random.choice((0.0, random.uniform(0, 20)))
        if self.world.database.lose_one(random.randrange(1_000), late_s):
            self.world.weather.count("lock_lost")

    async def _fork(self) -> None:
        chain = self.world.solana.chain
        heads = chain.heads()
        if chain.paused or heads.processed <= heads.finalized:
            return
        self.world.weather.count("forks")
        first = self.random.randint(heads.finalized + 1, heads.processed)
        gone = chain.fork(first)
        self.world.weather.struck["transactions_forked_away"] += len(gone)
        self.world.turns.note(f"fork from {first}: {gone}")

    async def _rent(self) -> None:
        self.world.weather.count("rent_changes")
        self.world.solana.chain.set_rent(self.random.randint(3_000, 7_500))

    async def _no_blocks(self) -> None:
        chain = self.world.solana.chain
        if chain.paused:
            return
        self.world.weather.count("block_pauses")
        chain.pause()
        await asyncio.sleep(self.random.uniform(1, 20))
        chain.resume()

    async def _dark(self, liar: int) -> None:
        """Let one provider be gone for long, while the other knows of nothing that landed."""
        control = self.world.solana.control
        self.world.weather.count("dark_minutes")
        control.fault(1 - liar, FaultKind.UNAVAILABLE.value)
        control.fault(liar, FaultKind.DENIED.value)
        await asyncio.sleep(self.random.uniform(40, 60))
        control.clear_faults()

    async def _gust(self, liar: int) -> None:
        """Let a provider be wrong, slow or behind for a while. Only one of them ever lies."""
        random, control = self.random, self.world.solana.control
        if random.random() < 0.3:
            provider = random.choice((0, 1))
            control.set_lag(provider, random.choice((1, 5, 40, 150)))
            self.world.weather.count("provider_lags")
            await asyncio.sleep(random.uniform(2, 30))
            control.set_lag(provider, 0)
            return
        lies = random.random() < 0.4
        kind = random.choice(LYING if lies else SPOILING)
        provider = liar if lies else random.choice((0, 1))
        self.world.weather.count(f"provider_{kind.value}")
        control.fault(provider, kind.value, times=random.choice((1, 3, 10, 30)))


async def _new(connection: Connection, flag: Flag) -> int:
    """Count what a pause must hold still."""
    counted = {
        Flag.BETS: "(SELECT count(*) FROM stakes)",
        Flag.WITHDRAWALS: "(SELECT count(*) FROM withdrawals"
        " WHERE state NOT IN ('ASKED', 'REFUSED')) + "
        "(SELECT count(*) FROM transfers WHERE kind = 'withdrawal')",
        Flag.SIGNING: "(SELECT count(*) FROM attempts)",
    }
    which = list(counted) if flag is Flag.ALL else [flag]
    total: int = await connection.fetchval("SELECT " + " + ".join(counted[each] for each in which))
    return total
