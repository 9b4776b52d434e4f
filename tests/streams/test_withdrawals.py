"""A withdrawal is judged once, in order, held in the same commit, and leaves when it is due."""

import asyncio
from dataclasses import replace
from itertools import count

import asyncpg
import pytest
from solders.pubkey import Pubkey

from rooms import ledger
from rooms.refusal import CannotGoOn
from rooms.units import Lamports
from rooms.withdrawal import DAY_MS, WithdrawalLimits
from storage import address_book, intents, withdrawal_limits
from storage.connections import Connections, transaction
from storage.flags import Flag, change
from streams.wake import drain
from streams.withdrawals import claim_asked, claim_cancelled, claim_due
from tests.place import SOL, Place

OUTSIDE = "67WKXSxm4oc149PvQjdXLacKFZpK5DyYdqBwpiVydJbb"
ELSEWHERE = "ZSx1e5zpVu3SY2cwo1vqUrSe34UaGkRdinnbv99nmSc"
LIMITS = WithdrawalLimits(
    free_lamports_day=Lamports(SOL), person_lamports_day_max=Lamports(5 * SOL)
)

_keys = count()


async def ask(place: Place, user: int, lamports: int, to: str = OUTSIDE, *, ago_ms: int = 0) -> int:
    asked: int = await place.value(
        "INSERT INTO withdrawals (key, user_id, to_address, lamports, asked_at)"
        " VALUES ($1, $2, $3, $4, now_ms() - $5::bigint) RETURNING id",
        f"press{next(_keys)}", user, to, lamports, ago_ms,
    )  # fmt: skip
    return asked


async def known(place: Place, user: int, address: str = OUTSIDE, *, ago_ms: int) -> None:
    await place.do(
        "INSERT INTO address_book (user_id, address, added_at) VALUES ($1, $2, now_ms() - $3)",
        user, address, ago_ms,
    )  # fmt: skip


async def judge(place: Place) -> list[str | None]:
    await drain([lambda: claim_asked(place.money())])
    return await place.refusals("withdrawals")


async def states(place: Place) -> list[str]:
    return await place.column("SELECT state FROM withdrawals ORDER BY id")


async def waits_ms(place: Place) -> list[int]:
    return await place.column("SELECT due_at - now_ms() FROM withdrawals ORDER BY id")


@pytest.fixture
async def place(place: Place) -> Place:
    await place.person(1, 9 * SOL)
    await place.person(2, 9 * SOL)
    await place.limit_withdrawals(LIMITS)
    return place


def test_the_addresses_of_this_test_are_wallets() -> None:
    assert all(Pubkey.from_string(each).is_on_curve() for each in (OUTSIDE, ELSEWHERE))


async def test_a_small_one_is_held_and_leaves_at_once(place: Place) -> None:
    withdrawal = await ask(place, 1, SOL)
    assert await judge(place) == [None]
    assert await states(place) == ["WAITING"]
    assert await place.balance(ledger.available(1)) == 8 * SOL
    assert await place.balance(ledger.held(1)) == SOL
    [told] = await place.told()
    assert (told["kind"], told["user"], told["lamports"]) == ("withdrawal.accepted", 1, str(SOL))
    assert (told["to_address"], told["withdrawal"]) == (OUTSIDE, str(withdrawal))

    assert await drain([lambda: claim_due(place.money())]) == 1
    assert await states(place) == ["LEAVING"]
    [transfer] = await place.rows("SELECT * FROM transfers")
    assert (transfer["key"], transfer["kind"]) == (f"withdrawal:{withdrawal}", "withdrawal")
    assert (transfer["from_address"], transfer["to_address"]) == ("Address1", OUTSIDE)
    assert (transfer["lamports"], transfer["subject_id"]) == (SOL, withdrawal)
    assert transfer["sign_by"] is None
    assert await place.woken() == ["custody"]
    await place.books_agree()


async def test_it_is_judged_and_planned_once(place: Place) -> None:
    await ask(place, 1, SOL)
    money = place.money()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(4):
            tasks.create_task(drain([lambda: claim_asked(money), lambda: claim_due(money)]))
    assert await place.value("SELECT count(*) FROM transfers") == 1
    assert await place.balance(ledger.held(1)) == SOL


async def test_a_large_one_waits(place: Place) -> None:
    await ask(place, 1, SOL + 1)
    assert await judge(place) == [None]
    assert (await waits_ms(place))[0] > DAY_MS - 60_000
    assert await drain([lambda: claim_due(place.money())]) == 0
    await place.do("UPDATE withdrawals SET due_at = now_ms()")
    assert await drain([lambda: claim_due(place.money())]) == 1


async def test_an_address_in_the_book_has_its_cool_down_behind_it_for_its_owner(
    place: Place,
) -> None:
    await known(place, 1, ago_ms=2 * DAY_MS)
    await ask(place, 1, 2 * SOL)
    await ask(place, 2, 2 * SOL)
    await judge(place)
    old, new = await waits_ms(place)
    assert old <= LIMITS.delay_ms
    assert new > DAY_MS - 60_000


async def test_an_address_that_was_forgotten_is_new(place: Place) -> None:
    await known(place, 1, ago_ms=2 * DAY_MS)
    async with place.connections.acquire() as connection:
        await address_book.forget(connection, 1, OUTSIDE)
        await address_book.remember(connection, 1, OUTSIDE)
    await ask(place, 1, 2 * SOL)
    assert await judge(place) == [None]
    assert (await waits_ms(place))[0] > DAY_MS - 60_000


async def test_fresh_winnings_stay_until_nobody_can_take_them_back(place: Place) -> None:
    for room, pool in ((1, 50 * SOL), (2, 50 * SOL + 1)):
        await place.room(room)
        await place.do(
            "INSERT INTO settlements (room_id, outcome, pool, house, shares, evidence_hash, at)"
            " VALUES ($1, 'YES', $2, 0, '[]', 'h', 1)",
            room, pool,
        )  # fmt: skip
        await place.do(
            "INSERT INTO transfers (key, kind, room_id, user_id, from_address, to_address,"
            " lamports, due_at, state, ended_at) VALUES ($1, 'payout', $2, 1, 'Vault', 'Address1',"
            " $3, 0, 'LANDED', now_ms() - 60000)",
            f"payout:{room}:1", room, 4 * SOL,
        )  # fmt: skip
    # Of 9 SOL one is old, four may leave after 90 s and four after 15 min, one minute of it over.
    await place.limit_withdrawals(replace(LIMITS, delay_ms=0, cool_down_ms=0))
    for lamports in (SOL, SOL, 3 * SOL):
        await ask(place, 1, lamports)
    await ask(place, 2, SOL)
    assert await judge(place) == [None, None, None, None]
    old, small_pool, still_small, others = await waits_ms(place)
    assert max(old, others) <= 0
    assert 25_000 < small_pool <= 30_000
    assert 25_000 < still_small <= 30_000
    await place.limit_withdrawals(
        replace(LIMITS, delay_ms=0, cool_down_ms=0, person_lamports_day_max=Lamports(20 * SOL))
    )
    await ask(place, 1, SOL)
    assert await judge(place) == [None] * 5
    assert 800_000 < (await waits_ms(place))[4] <= 840_000


async def test_what_leaves_here_in_an_hour_is_limited_and_the_rest_waits_its_turn(
    place: Place,
) -> None:
    await place.limit_withdrawals(
        replace(
            LIMITS, all_lamports_hour_max=Lamports(2 * SOL), all_lamports_day_max=Lamports(3 * SOL)
        )
    )
    for user in (1, 2, 1):
        await ask(place, user, SOL * 9 // 10 if user == 1 else SOL, ELSEWHERE)
    await place.do("UPDATE withdrawals SET due_at = now_ms()")
    assert await judge(place) == [None, None, None]
    await place.do("UPDATE withdrawals SET due_at = now_ms() - 10 + id")
    assert await drain([lambda: claim_due(place.money())]) == 2
    assert await states(place) == ["LEAVING", "LEAVING", "WAITING"]
    await place.do("UPDATE withdrawals SET left_at = now_ms() - 3600000 WHERE state = 'LEAVING'")
    assert await drain([lambda: claim_due(place.money())]) == 1
    await ask(place, 2, SOL, ELSEWHERE)
    await judge(place)
    assert await drain([lambda: claim_due(place.money())]) == 0


ABOVE = {
    "person_lamports_hour_max": "WAITING",
    "person_lamports_day_max": "WAITING",
    "address_lamports_hour_max": "WAITING",
    "address_lamports_day_max": "WAITING",
    "all_lamports_hour_max": "LEAVING",
    "all_lamports_day_max": "LEAVING",
}


@pytest.mark.parametrize(("limit", "state"), ABOVE.items())
async def test_postgres_itself_lets_nothing_past_a_limit(
    place: Place, limit: str, state: str
) -> None:
    for _ in range(2):
        await ask(place, 1, SOL)
    await place.do("UPDATE withdrawal_limits SET value = $2 WHERE name = $1", limit, 2 * SOL)
    await place.do("UPDATE withdrawals SET state = 'WAITING'")
    await place.do("UPDATE withdrawals SET state = 'LEAVING'")
    await ask(place, 1, 2_000_000)
    with pytest.raises(asyncpg.CheckViolationError, match=limit):
        await place.do("UPDATE withdrawals SET state = $1 WHERE state = 'ASKED'", state)
    await place.do("DELETE FROM withdrawal_limits WHERE name = $1", limit)
    await place.do("UPDATE withdrawals SET state = 'REFUSED' WHERE id < 3")
    with pytest.raises(asyncpg.CheckViolationError, match=limit):
        await place.do("UPDATE withdrawals SET state = $1 WHERE state = 'ASKED'", state)


async def test_a_changed_limit_is_an_act_and_a_missing_one_stops_everything(place: Place) -> None:
    await place.limit_withdrawals(replace(LIMITS, delay_ms=7))
    await place.limit_withdrawals(replace(LIMITS, delay_ms=7))
    assert await place.rows(
        "SELECT kind, subject, reason, who FROM acts WHERE subject LIKE 'd%'"
    ) == [{"kind": "limit", "subject": "delay_ms", "reason": "7200000 is now 7", "who": "test"}]
    await ask(place, 1, SOL)
    await place.do("DELETE FROM withdrawal_limits WHERE name = 'delay_ms'")
    with pytest.raises(CannotGoOn):
        await claim_asked(place.money())
    assert await states(place) == ["ASKED"]


async def test_the_schema_has_the_limits_that_the_settings_have(connections: Connections) -> None:
    async with connections.acquire() as connection:
        assert await withdrawal_limits.read(connection) == WithdrawalLimits()


async def cancel(place: Place, withdrawal: int, user: int = 1) -> bool:
    async with transaction(place.connections) as connection:
        return await intents.cancel_withdrawal(connection, withdrawal, user=user)


async def test_what_waits_can_be_called_off_by_its_owner_and_is_there_again(place: Place) -> None:
    withdrawal = await ask(place, 1, 2 * SOL)
    await judge(place)
    assert not await cancel(place, withdrawal, user=2)
    assert await cancel(place, withdrawal)
    assert await cancel(place, withdrawal)
    await place.do("UPDATE withdrawals SET due_at = 0")
    money = place.money()
    assert await drain([lambda: claim_due(money)]) == 0
    async with asyncio.TaskGroup() as tasks:
        for _ in range(3):
            tasks.create_task(drain([lambda: claim_cancelled(money)]))
    assert await states(place) == ["RELEASED"]
    assert await place.balance(ledger.available(1)) == 9 * SOL
    [told] = await place.told("withdrawal.released")
    assert (told["lamports"], told["cancelled"]) == (str(2 * SOL), True)
    assert not await cancel(place, withdrawal)
    await place.books_agree()


async def test_what_was_called_off_before_it_was_judged_is_refused(place: Place) -> None:
    withdrawal = await ask(place, 1, SOL)
    assert await cancel(place, withdrawal)
    assert await judge(place) == ["cancelled"]
    assert await place.balance(ledger.available(1)) == 9 * SOL


async def test_what_is_leaving_cannot_be_called_off(place: Place) -> None:
    withdrawal = await ask(place, 1, SOL)
    await judge(place)
    await drain([lambda: claim_due(place.money())])
    assert not await cancel(place, withdrawal)
    assert await drain([lambda: claim_cancelled(place.money())]) == 0
    assert await states(place) == ["LEAVING"]


async def test_to_leave_and_to_be_called_off_at_once_is_one_of_them(place: Place) -> None:
    for _ in range(5):
        await ask(place, 1, SOL // 10)
    await judge(place)
    money = place.money(batch_max=1)
    async with asyncio.TaskGroup() as tasks:
        for withdrawal in range(1, 6):
            tasks.create_task(cancel(place, withdrawal))
        tasks.create_task(drain([lambda: claim_due(money), lambda: claim_cancelled(money)]))
        tasks.create_task(drain([lambda: claim_cancelled(money), lambda: claim_due(money)]))
    await drain([lambda: claim_cancelled(money)])
    left = await place.value("SELECT count(*) FROM transfers")
    assert (await states(place)).count("LEAVING") == left
    assert (await states(place)).count("RELEASED") == 5 - left
    assert await place.balance(ledger.held(1)) == left * (SOL // 10)
    await place.books_agree()


async def test_what_was_taken_today_counts_in_one_batch_and_in_two(place: Place) -> None:
    await ask(place, 1, SOL)
    await ask(place, 1, 2 * SOL)
    assert await judge(place) == [None, None]
    await ask(place, 1, 2 * SOL)
    await ask(place, 1, 2_000_000)
    assert await judge(place) == [None, None, None, "day_limit"]
    first, *later = (await waits_ms(place))[:3]
    assert first <= 0
    assert min(later) > DAY_MS - 60_000


async def test_what_was_taken_yesterday_or_came_back_does_not_count(place: Place) -> None:
    await ask(place, 1, SOL, ago_ms=DAY_MS + 1_000)
    await ask(place, 1, SOL, ELSEWHERE)
    await judge(place)
    await place.do("UPDATE withdrawals SET state = 'RELEASED' WHERE to_address = $1", ELSEWHERE)
    await ask(place, 1, SOL)
    await judge(place)
    assert (await waits_ms(place))[2] <= 0


REFUSED = [
    (1, 9 * SOL + 1, OUTSIDE, "too_little"),
    (1, 1_999_999, OUTSIDE, "below_min"),
    (1, 6 * SOL, OUTSIDE, "day_limit"),
    (1, SOL, "not an address", "bad_address"),
    (1, SOL, "11111111111111111111111111111111", "bad_address"),
    (1, SOL, "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA", "bad_address"),
    (1, SOL, ELSEWHERE, "our_address"),
    (9, 2_000_000, OUTSIDE, "no_wallet"),
]


async def test_what_must_not_leave_is_refused_and_nothing_moves(place: Place) -> None:
    await place.do("INSERT INTO users (id, chat_id, name) VALUES (9, 9, 'p')")
    await place.do("INSERT INTO users (id, chat_id, name) VALUES (8, 8, 'p')")
    await place.do(
        "INSERT INTO addresses (address, kind, user_id) VALUES ($1, 'user', 8)", ELSEWHERE
    )
    for user, lamports, to, _ in REFUSED:
        await ask(place, user, lamports, to)
    codes = await judge(place)
    assert codes == [code for *_, code in REFUSED]
    assert set(await states(place)) == {"REFUSED"}
    told = await place.told("withdrawal.refused")
    assert [each["code"] for each in told] == codes
    assert all(each["sentence"] for each in told)
    assert await place.balance(ledger.held(1)) == 0


@pytest.mark.parametrize("flag", [Flag.WITHDRAWALS, Flag.ALL])
async def test_while_withdrawals_are_paused_none_is_taken_and_none_leaves(
    place: Place, flag: Flag
) -> None:
    await ask(place, 1, SOL)
    await judge(place)
    async with transaction(place.connections) as connection:
        await change(connection, flag, open=False, reason="test")
    await ask(place, 1, SOL)
    assert await judge(place) == [None, "paused"]
    assert await drain([lambda: claim_due(place.money())]) == 0
    assert await states(place) == ["WAITING", "REFUSED"]

    async with transaction(place.connections) as connection:
        await change(connection, flag, open=True, reason="test")
    assert await drain([lambda: claim_due(place.money())]) == 1


@pytest.mark.parametrize("lamports", [0, -1])
async def test_postgres_refuses_an_amount_that_is_none(place: Place, lamports: int) -> None:
    with pytest.raises(asyncpg.CheckViolationError):
        await ask(place, 1, lamports)
