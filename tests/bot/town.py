"""A town for tests: the bot in a real chat, and by hand what other processes would do.

Holds     a database, the Bot API stand-in, the running bot, people who write to it.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

from solders.keypair import Keypair

from bot.app import run_bot
from bot.bell import Bell
from bot.factors import Factors
from bot.intake import Intake
from bot.settings import BotSettings, PaceSettings
from rooms.event import Event, Kind
from rooms.room import RoomLimits
from rooms.units import Address, Lamports, UnixMs
from rooms.withdrawal import WithdrawalLimits
from sandbox.telegram.person import Person
from sandbox.telegram.serve import RunningTelegram, TelegramSettings, running_telegram
from storage import addresses, outbox
from storage.addresses import OwnAddress
from storage.connections import transaction
from streams.bets import claim_bets
from streams.openings import claim_requests
from streams.withdrawals import claim_asked, claim_cancelled
from tests.place import Place

PIN = "271828"
FACTOR_KEY = "a key that only the bot of these tests has"
TOKEN = "4711:AAtest-token_for-the-stand-in"
LIMITS = RoomLimits(
    open_ms_min=20_000, cut_ms=1_000, watch_ms=3_000, span_ms_min=24_000, warm_ms=2_000
)
WITHDRAWALS = WithdrawalLimits(
    cool_down_ms=0, delay_ms=0, pin_only_lamports_day=Lamports(10_000_000_000)
)
SETTINGS = BotSettings(
    token=TOKEN,
    factor_key=FACTOR_KEY,
    limits=LIMITS,
    pace=PaceSettings(
        all_per_s=500, chat_per_s=200, chat_burst=50, acts_per_minute=6_000, acts_burst=1_000
    ),
    poll_s=20,
    floor_ms=50,
)

_numbers = count(900_000_000)
_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def base58(number: int, size: int = 32) -> str:
    """Write a number as the base58 of so many bytes, the first of them not 0."""
    number |= 0x7F << (8 * (size - 1))
    text = ""
    while number:
        number, digit = divmod(number, 58)
        text = _ALPHABET[digit] + text
    return text


def wallet(number: int) -> str:
    """Return an address that somebody holds a key for."""
    return str(Keypair.from_seed(number.to_bytes(32, "little")).pubkey())


def message(person: Person, text: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return an update that carries a message which the stand-in cannot make."""
    who = {"id": person.person_id, "is_bot": False, "first_name": person.name}
    return {
        "update_id": next(_numbers),
        "message": {
            "message_id": 1,
            "date": 1_763_793_600,
            "from": who,
            "chat": {"id": person.person_id, "type": "private", "first_name": person.name},
            "text": text,
            **more,
        },
    }


def press(person: Person, data: str) -> dict[str, Any]:
    """Return an update that carries a press."""
    return {
        "update_id": next(_numbers),
        "callback_query": {
            "id": "1",
            "chat_instance": "1",
            "from": {"id": person.person_id, "is_bot": False, "first_name": person.name},
            "data": data,
        },
    }


@dataclass
class Town:
    """The bot, its people, and everyone else played by hand."""

    place: Place
    telegram: RunningTelegram
    settings: BotSettings
    stack: AsyncExitStack
    bots: list["asyncio.Task[None]"] = field(default_factory=list)

    async def start_bot(self, **changes: object) -> "asyncio.Task[None]":
        """Start the bot and wait until it takes updates."""
        ready = asyncio.Event()
        settings = replace(self.settings, **changes)  # type: ignore[arg-type]
        task = asyncio.create_task(
            run_bot(settings, self.place.connections, self.place.prices, ready=ready.set)
        )
        self.bots.append(task)
        waiting = asyncio.create_task(ready.wait())
        await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if task.done():
            task.result()
        return task

    async def stop_bot(self) -> None:
        """Stop every bot that was started."""
        bots, self.bots = self.bots, []
        for task in bots:
            task.cancel()
        await asyncio.gather(*bots, return_exceptions=True)

    async def person(self, name: str, lamports: int = 0) -> Person:
        """Let a person join and start, with a wallet and so much in it."""
        person = await self.stack.enter_async_context(Person.joins(self.telegram.page_url, name))
        await person.say("/start")
        await person.expect("wallet is being made")
        await self.make_wallets()
        await person.expect("wallet is ready")
        if lamports:
            await self.pay_in(person, lamports)
        return person

    async def newcomer(self, name: str) -> Person:
        """Let a person join who has not written yet."""
        return await self.stack.enter_async_context(Person.joins(self.telegram.page_url, name))

    async def has_pin(self, person: Person) -> None:
        """Let a person have chosen `PIN`."""
        factors = Factors(FACTOR_KEY)
        await self.place.do(
            "INSERT INTO second_factors (user_id, pin_hash) VALUES ($1, $2)",
            person.person_id,
            factors.pin_hash(factors.seal(person.person_id, PIN)),
        )

    async def pay_in(self, person: Person, lamports: int) -> None:
        """Post a deposit, without telling of it."""
        await self.place.deposit(person.person_id, lamports)

    async def make_wallets(self) -> None:
        """Do what custody does for people without an address."""
        async with transaction(self.place.connections) as connection:
            users = await addresses.people_without(connection)
            made = [OwnAddress(Address(base58(user)), "user", user=user) for user in users]
            await addresses.insert(connection, made)
            await outbox.tell(
                connection,
                [
                    Event(Kind.WALLET_READY, 1, user=each.user, facts={"address": each.address})
                    for each in made
                ],
            )
        await self.number()

    async def work(self, **changes: Any) -> None:  # noqa: ANN401 - as Money takes it
        """Do what the worker does with what people asked for."""
        money = self.place.money(room_limits=LIMITS, **changes)
        await claim_requests(money)
        await claim_bets(money)
        await claim_asked(money)
        await claim_cancelled(money)
        await self.number()

    async def tell(self, *events: Event) -> None:
        """Write events and number them."""
        async with transaction(self.place.connections) as connection:
            await outbox.tell(connection, events)
        await self.number()

    async def number(self) -> None:
        """Do what the relay does with events."""
        async with self.place.connections.acquire() as connection:
            rows = await outbox.unsent(connection, 1_000)
            await outbox.mark_sent(connection, await outbox.give_numbers(connection, rows))

    async def deliver(self, *updates: dict[str, Any]) -> None:
        """Store updates as Telegram would have sent them."""
        await Intake(self.place.connections, Bell(), Factors(FACTOR_KEY)).keep(updates)

    async def handled(self, update: int) -> None:
        """Wait until an update was handled and answered."""
        await self.until(
            "SELECT done_at IS NOT NULL AND replies IS NULL FROM updates WHERE update_id = $1",
            update,
        )

    async def until(self, query: str, *arguments: object) -> None:
        """Wait until a query answers yes."""
        async with asyncio.timeout(30):
            # A row of another process tells nothing when it changes.
            while not await self.place.value(query, *arguments):  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    async def set_price(self, value: int) -> None:
        """Let SOL/USD be at this value, in cents."""
        self.place.prices.values["SOL/USD"] = value

    async def now(self) -> UnixMs:
        """Read the database's clock."""
        return UnixMs(await self.place.now())


@asynccontextmanager
async def founded(place: Place, folder: Path) -> AsyncIterator[Town]:
    """Put a town together; the bot is not started yet."""
    async with AsyncExitStack() as stack:
        running = await stack.enter_async_context(
            running_telegram(TelegramSettings(data_dir=folder, people=(), retry_first_ms=50))
        )
        town = Town(place, running, replace(SETTINGS, base_url=running.base_url), stack)
        await place.limit_withdrawals(WITHDRAWALS)
        try:
            yield town
        finally:
            await town.stop_bot()
