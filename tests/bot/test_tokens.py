"""Where a token may be staked, the chat says in what each amount is, and never mixes two."""

import pytest_asyncio

from rooms import ledger
from rooms.units import Address, Lamports, Signature
from rooms.withdrawal import TokenWithdrawals
from sandbox.telegram.person import Person
from storage import ledger as accounts
from storage import withdrawal_limits
from storage.connections import transaction
from tests.bot.town import PIN, Town, base58
from tests.place import SOL

UNIT = 1_000_000
OUTSIDE = base58(2**200)
ALLOWED = {"USDC": (Lamports(UNIT), Lamports(500 * UNIT))}


@pytest_asyncio.fixture
async def town(quiet_town: Town) -> Town:
    """A town in which USDC may be staked."""
    await quiet_town.place.do(
        "INSERT INTO tokens (name, mint, decimals, program) VALUES ('USDC', 'Mint', 6, 'Token')"
    )
    async with transaction(quiet_town.place.connections) as connection:
        limits = TokenWithdrawals(
            cool_down_ms=0, delay_ms=0, pin_only_lamports_day=Lamports(1_000 * UNIT)
        )
        await withdrawal_limits.take_over(connection, limits, "test", "USDC")
    await quiet_town.start_bot(token_stakes=ALLOWED)
    return quiet_town


async def rich(town: Town, name: str, amount: int, lamports: int = 0) -> Person:
    """Let a person join who has so much USDC."""
    person = await town.person(name, lamports)
    account = Address(f"Account{person.person_id}")
    await town.place.do(
        "INSERT INTO token_accounts (address, asset, wallet, kind, user_id)"
        " SELECT $1, 'USDC', address, 'user', user_id FROM addresses WHERE user_id = $2",
        account,
        person.person_id,
    )
    owner = ledger.available(person.person_id)
    entry = ledger.deposit(Signature(f"s{person.person_id}"), account, Lamports(amount), owner)
    async with transaction(town.place.connections) as connection:
        await accounts.post(connection, [entry.of("USDC")])
    return person


async def test_a_room_in_usdc_is_made_and_bet_in_by_chat(town: Town) -> None:
    ann = await rich(town, "Ann", 40 * UNIT, lamports=SOL)
    await ann.say("/create")
    await ann.press("SOL/USD")
    await ann.press("+2 %")
    await ann.press("30 s")
    await ann.expect("When does it end")
    await ann.say("1h")
    await ann.expect("Stakes 0.01 SOL to 5 SOL")
    await ann.press("What is staked")
    await ann.expect("What do people stake")
    await ann.press("USDC")
    await ann.expect("Stakes 1 USDC to 500 USDC")
    await ann.press("Stake limits")
    await ann.expect("Between 1 USDC and 500 USDC")
    await ann.say("2.5 - 100")
    await ann.expect("Stakes 2.5 USDC to 100 USDC")
    await ann.press("Open")
    await ann.expect("being opened")
    await work(town)
    assert await town.place.rows(
        "SELECT asset, asset_decimals, stake_lamports_min, stake_lamports_max FROM rooms"
    ) == [
        {
            "asset": "USDC",
            "asset_decimals": 6,
            "stake_lamports_min": 5 * UNIT // 2,
            "stake_lamports_max": 100 * UNIT,
        }
    ]


async def test_a_bet_in_usdc_takes_usdc_alone(town: Town) -> None:
    ann = await rich(town, "Ann", 40 * UNIT, lamports=SOL)
    await town.place.room(
        creator=ann.person_id, asset="USDC", asset_decimals=6,
        stake_lamports_min=UNIT, stake_lamports_max=100 * UNIT,
    )  # fmt: skip
    await town.place.do(
        "INSERT INTO token_accounts (address, asset, wallet, kind, room_id)"
        " VALUES ('VaultAccount', 'USDC', 'Vault1', 'vault', 1)"
    )
    await ann.say("/rooms")
    await ann.expect("Pool 0 USDC")
    await ann.press("SOL/USD")
    await ann.expect("Stakes: 1 USDC to 100 USDC")
    await ann.press("YES")
    await ann.expect("You have 40 USDC")
    await ann.press("Other amount")
    await ann.expect("Type the amount in USDC")
    await ann.say("0.0000001")
    await ann.expect("plain USDC with at most 6 decimals")
    await ann.say("41")
    await ann.expect("You have 40 USDC to bet")
    await ann.say("10.5")
    await ann.expect("YES · 10.5 USDC")
    await ann.press("Bet 10.5 USDC on YES")
    await ann.expect("taking your bet")
    await work(town)
    await ann.expect("YES · 10.5 USDC is in")
    await ann.say("/wallet")
    await ann.expect("Available +1 SOL.*Available +29.5 USDC\nReserved +10.5 USDC")
    await ann.say("/history")
    await ann.expect("Stake\n−10.5 USDC → 29.5 USDC")
    await ann.say("/deposit")
    await ann.expect("Only SOL or USDC, on Solana")
    planned = await town.place.rows("SELECT asset, lamports, to_address FROM transfers")
    assert planned == [{"asset": "USDC", "lamports": 21 * UNIT // 2, "to_address": "VaultAccount"}]


async def test_usdc_is_taken_out_by_chat(town: Town) -> None:
    ann = await rich(town, "Ann", 40 * UNIT)
    await town.has_pin(ann)
    await ann.say("/withdraw")
    await ann.expect("Available: 0 SOL")
    await ann.press("USDC instead")
    await ann.expect("Available: 40 USDC.*at least 1 USDC")
    await ann.say("12.5")
    await ann.expect("Withdraw 12.5 USDC")
    await ann.say(OUTSIDE)
    await ann.expect("Amount: 12.5 USDC")
    await ann.say(OUTSIDE[-6:])
    await ann.expect("Now your PIN")
    await ann.say(PIN)
    await ann.expect("12.5 USDC to .*on it")
    await work(town)
    await ann.expect("12.5 USDC")
    assert await town.place.rows("SELECT asset, lamports, state FROM withdrawals") == [
        {"asset": "USDC", "lamports": 25 * UNIT // 2, "state": "WAITING"}
    ]
    held = await town.place.balance(ledger.held(ann.person_id).of("USDC"))
    assert held == 25 * UNIT // 2


async def work(town: Town) -> None:
    await town.work(token_stakes=ALLOWED)
