"""A withdrawal is judged once, in order, held in the same commit, and leaves when it is due."""

import asyncio
from itertools import count

import asyncpg
import pytest
from solders.pubkey import Pubkey

from rooms import ledger
from rooms.units import Lamports
from rooms.withdrawal import DAY_MS, WithdrawalLimits
from storage.connections import transaction
from storage.flags import Flag, change
from streams.wake import drain
from streams.withdrawals import claim_asked, claim_due
from tests.place import SOL, Place

OUTSIDE = "67WKXSxm4oc149PvQjdXLacKFZpK5DyYdqBwpiVydJbb"
ELSEWHERE = "ZSx1e5zpVu3SY2cwo1vqUrSe34UaGkRdinnbv99nmSc"
LIMITS = WithdrawalLimits(free_lamports_day=Lamports(SOL), lamports_day_max=Lamports(5 * SOL))

_keys = count()


async def ask(place: Place, user: int, lamports: int, to: str = OUTSIDE, *, ago_ms: int = 0) -> int:
    asked: int = await place.value(
        "INSERT INTO withdrawals (key, user_id, to_address, lamports, asked_at)"
        " VALUES ($1, $2, $3, $4, now_ms() - $5::bigint) RETURNING id",
        f"press{next(_keys)}", user, to, lamports, ago_ms,
    )  # fmt: skip
    return asked


async def judge(place: Place) -> list[str | None]:
    await drain([lambda: claim_asked(place.money(withdrawal_limits=LIMITS))])
    return await place.refusals("withdrawals")


async def states(place: Place) -> list[str]:
    return await place.column("SELECT state FROM withdrawals ORDER BY id")


async def waits_ms(place: Place) -> list[int]:
    return await place.column("SELECT due_at - now_ms() FROM withdrawals ORDER BY id")


@pytest.fixture
async def place(place: Place) -> Place:
    await place.person(1, 9 * SOL)
    await place.person(2, 9 * SOL)
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
    money = place.money(withdrawal_limits=LIMITS)
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


async def test_an_address_used_before_has_its_cool_down_behind_it(place: Place) -> None:
    await ask(place, 1, SOL // 2, ago_ms=2 * DAY_MS)
    await judge(place)
    await ask(place, 1, 2 * SOL)
    await ask(place, 2, 2 * SOL)
    await judge(place)
    _, known, unknown = await waits_ms(place)
    assert known <= LIMITS.delay_ms
    assert unknown > DAY_MS - 60_000


async def test_an_address_that_was_only_refused_is_new(place: Place) -> None:
    await ask(place, 1, 90 * SOL, ago_ms=2 * DAY_MS)
    await judge(place)
    await ask(place, 1, 2 * SOL)
    assert await judge(place) == ["too_little", None]
    assert (await waits_ms(place))[1] > DAY_MS - 60_000


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
