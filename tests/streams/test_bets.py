"""A bet is taken whole or refused with its reason, once, whoever asks how often."""

import asyncio
from dataclasses import replace

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rooms import ledger
from rooms.decimal_text import whole_from_text
from rooms.feed import Guards
from rooms.room import Comparator, Room, Side, State
from rooms.units import Bps, Lamports, UnixMs
from storage.bets import Asked
from storage.connections import transaction
from storage.flags import Flag, change
from storage.rooms import KeptRoom
from streams.bets import Table, can_land, claim_bets, weigh
from streams.money import SigningPace
from streams.wake import drain
from tests.place import FEED, SOL, Place


@pytest.fixture
async def place(place: Place) -> Place:
    for user in (1, 2, 3):
        await place.person(user, 2 * SOL)
    await place.room()
    return place


async def decide(place: Place) -> list[str | None]:
    """Decide all that is asked for; return the refusals."""
    await drain([lambda: claim_bets(place.money())])
    return await place.refusals()


async def test_a_bet_that_is_allowed_is_held_planned_and_told(place: Place) -> None:
    await place.ask_bet(1, "YES", SOL)
    assert await decide(place) == [None]

    assert await place.rows("SELECT room_id, user_id, side FROM bets") == [
        {"room_id": 1, "user_id": 1, "side": "YES"}
    ]
    [stake] = await place.rows("SELECT * FROM stakes")
    assert (stake["lamports"], stake["weight_bps"], stake["state"]) == (SOL, 10_000, "HELD")
    assert await place.value("SELECT stake_id FROM bet_requests") == stake["id"]
    assert await place.balance(ledger.available(1)) == SOL
    assert await place.balance(ledger.held(1)) == SOL
    [transfer] = await place.rows("SELECT t.*, r.lock_at, r.cut_at FROM transfers t, rooms r")
    assert (transfer["key"], transfer["kind"]) == (f"stake:{stake['id']}", "stake")
    assert (transfer["from_address"], transfer["to_address"]) == ("Address1", "Vault1")
    assert (transfer["lamports"], transfer["subject_id"]) == (SOL, stake["id"])
    assert transfer["sign_by"] == transfer["lock_at"]
    assert transfer["due_at"] == transfer["cut_at"]
    [told] = await place.told()
    assert {**told, "at": 0} == {
        "kind": "bet.taken", "at": 0, "room": "1", "user": 1, "stake": str(stake["id"]),
        "side": "YES", "lamports": str(SOL), "weight_bps": 10_000,
    }  # fmt: skip
    assert await place.woken() == ["custody"]
    await place.books_agree()


async def test_adding_to_a_bet_makes_another_stake_of_it(place: Place) -> None:
    await place.ask_bet(1, "YES", SOL)
    await decide(place)
    await place.ask_bet(1, "YES", SOL)
    assert await decide(place) == [None, None]
    assert await place.value("SELECT count(*) FROM bets") == 1
    assert await place.value("SELECT count(DISTINCT bet_id) FROM stakes") == 1


async def test_whose_bets_that_came_back_cost_too_much_waits_for_the_next_hour(
    place: Place,
) -> None:
    hour = "(now_ms() / 3600000)"
    await place.rows(
        "INSERT INTO returned_fees (user_id, hour, lamports) VALUES"
        f" (1, {hour}, 2000000), (2, {hour}, 1999999), (3, {hour} - 1, 9000000) RETURNING 1"
    )
    for user in (1, 2, 3):
        await place.ask_bet(user, "YES", SOL)
    assert await decide(place) == ["too_many_returned", None, None]
    [told] = [each for each in await place.told() if each["kind"] == "bet.refused"]
    assert "from the next full hour on" in str(told["sentence"])
    assert await place.balance(ledger.available(1)) == 2 * SOL

    await place.rows("UPDATE bet_limits SET value = 2000001 RETURNING 1")
    await place.ask_bet(1, "YES", SOL)
    assert (await decide(place))[-1] is None
    assert await place.value("SELECT reason FROM acts WHERE kind = 'limit'") == (
        "2000000 is now 2000001"
    )


async def test_a_request_is_decided_once(place: Place) -> None:
    await place.ask_bet(1, "YES", SOL)
    assert await claim_bets(place.money()) == 1
    assert await claim_bets(place.money()) == 0
    assert await place.value("SELECT count(*) FROM stakes") == 1


# Each line: the requests in order, as person, side and hundredths of a SOL (everybody has 200);
# then what each becomes.
STORIES = """
    1 YES 150, 1 YES 60             -> ok, too_little
    1 YES 150, 1 YES 60, 1 YES 50   -> ok, too_little, ok
    1 YES 1,   1 NO 1               -> ok, other_side
    1 YES 1,   2 NO 1               -> ok, ok
    1 YES 0.5                       -> below_min
    1 YES 200                       -> ok
    1 YES 200.0000001               -> too_little
"""


@pytest.mark.parametrize("together", [True, False], ids=["in one batch", "one by one"])
async def test_requests_are_decided_in_order_as_if_one_by_one(
    place: Place, *, together: bool
) -> None:
    expected: list[str | None] = []
    for number, line in enumerate(STORIES.strip().splitlines(), 10):
        asked, outcomes = line.split("->")
        room = await place.room(number)
        for person in (1, 2):
            await place.person(10 * number + person, 2 * SOL)
        for request in asked.split(","):
            person_, side, hundredths = request.split()
            lamports = whole_from_text(hundredths, 7)
            await place.ask_bet(10 * number + int(person_), side, lamports, room)
            if not together:
                await decide(place)
        expected += [None if each.strip() == "ok" else each.strip() for each in outcomes.split(",")]
    assert await decide(place) == expected
    await place.books_agree()


async def test_the_rules_own_limits_hold_within_a_batch(place: Place) -> None:
    await place.room(2, stake_lamports_max=SOL, seats=2)
    await place.ask_bet(1, "YES", SOL, room=2)
    await place.ask_bet(1, "YES", SOL // 2, room=2)
    await place.ask_bet(2, "NO", SOL, room=2)
    await place.ask_bet(3, "NO", SOL, room=2)
    assert await decide(place) == [None, "above_max", None, "full"]


async def test_a_stake_that_came_back_counts_no_more_against_the_limit(place: Place) -> None:
    await place.room(2, stake_lamports_max=SOL)
    await place.ask_bet(1, "YES", SOL, room=2)
    await decide(place)
    await place.do("UPDATE stakes SET state = 'RELEASED'")
    await place.ask_bet(1, "YES", SOL, room=2)
    assert await decide(place) == [None, None]


@pytest.mark.parametrize(
    ("state", "times", "code"),
    [
        ("DRAFT", {}, "not_open"),
        ("LOCKED", {}, "locked"),
        # Open still, as no price has passed its lock; the database's clock has.
        ("OPEN", {"opened_at": -9_000, "lock_at": -1}, "locked"),
        ("OPEN", {"lock_at": 400}, "cannot_land"),
        ("OPEN", {"lock_at": 1_000, "cut_at": 2_000}, "cannot_land"),
    ],
)
async def test_a_bet_that_is_early_or_late_is_refused(
    place: Place, state: str, times: dict[str, int], code: str
) -> None:
    await place.room(2, state=state, **times)
    await place.ask_bet(1, "YES", SOL, room=2)
    assert await decide(place) == [code]
    assert await place.balance(ledger.held(1)) == 0
    [told] = await place.told("bet.refused")
    assert (told["room"], told["user"], told["code"]) == ("2", 1, code)
    assert told["sentence"]
    assert await place.woken() == []


async def test_a_queue_that_is_too_long_takes_no_more(place: Place) -> None:
    pace = SigningPace(stakes_per_s=1, sign_ms=0, land_ms=0)
    await place.room(2, lock_at=4_500, cut_at=4_600)
    for user in (1, 2, 3, 1, 2, 3):
        await place.ask_bet(user, "YES", 10_000_000, room=2)
    await claim_bets(place.money(signing=pace))
    # Those that wait 0, 1, 2, 3 and perhaps 4 s are signed before lock.
    refused = await place.refusals()
    assert refused[:4] == [None] * 4
    assert refused[5] == "cannot_land"


async def test_a_later_room_does_not_hold_up_a_nearer_one(place: Place) -> None:
    pace = SigningPace(stakes_per_s=1, sign_ms=0, land_ms=0)
    await place.room(2, lock_at=2_500, cut_at=2_600)
    for _ in range(9):
        await place.ask_bet(1, "YES", 10_000_000)
    await place.ask_bet(1, "YES", 10_000_000, room=2)
    await claim_bets(place.money(signing=pace))
    assert (await place.refusals())[9] is None


async def test_a_person_without_a_wallet_is_told_to_get_one(place: Place) -> None:
    await place.do("INSERT INTO users (id, chat_id, name) VALUES (9, 9, 'p9')")
    await place.ask_bet(9, "YES", SOL)
    assert await decide(place) == ["no_wallet"]


@pytest.mark.parametrize("flag", [Flag.BETS, Flag.ALL])
async def test_while_bets_are_paused_none_is_taken(place: Place, flag: Flag) -> None:
    async with transaction(place.connections) as connection:
        await change(connection, flag, open=False, reason="test")
    await place.ask_bet(1, "YES", SOL)
    assert await decide(place) == ["paused"]
    assert await place.balance(ledger.available(1)) == 2 * SOL


@pytest.mark.parametrize("lamports", [0, -1])
async def test_postgres_refuses_an_amount_that_is_none(place: Place, lamports: int) -> None:
    with pytest.raises(asyncpg.CheckViolationError):
        await place.ask_bet(1, "YES", lamports)


async def test_the_largest_amount_there_is_is_refused_like_any_other(place: Place) -> None:
    await place.ask_bet(1, "YES", 2**63 - 1)
    assert await decide(place) == ["above_max"]


async def test_a_stake_on_a_fixed_value_is_weighed_by_the_price_now(place: Place) -> None:
    await place.room(2, move_bps=None, target=20_400)
    place.prices.values[FEED] = 20_000
    await place.ask_bet(1, "YES", SOL, room=2)
    await place.ask_bet(2, "NO", SOL, room=2)
    assert await decide(place) == [None, None]
    yes, no = await place.column("SELECT weight_bps FROM stakes ORDER BY id")
    # 2 % away within an hour at 80 % a year is unlikely: YES earns the most, NO next to nothing.
    assert yes == 50_000
    assert no < 500


async def test_without_a_price_a_fixed_value_takes_no_stake_but_a_move_does(place: Place) -> None:
    await place.room(2, move_bps=None, target=20_400)
    await place.ask_bet(1, "YES", SOL, room=2)
    await place.ask_bet(1, "YES", SOL)
    assert await decide(place) == ["no_price", None]


async def test_a_price_that_is_old_is_none(place: Place) -> None:
    await place.room(2, move_bps=None, target=20_400)
    place.prices.values[FEED] = 20_000
    place.prices.seen_at = await place.now() - 60_000
    await place.ask_bet(1, "YES", SOL, room=2)
    assert await decide(place) == ["no_price"]


async def test_a_price_at_the_target_takes_no_stake(place: Place) -> None:
    await place.room(2, move_bps=None, target=20_400)
    place.prices.values[FEED] = 20_400
    await place.ask_bet(1, "YES", SOL, room=2)
    assert await decide(place) == ["target_passed"]


async def test_workers_at_once_decide_each_request_once(place: Place) -> None:
    for number in range(120):
        await place.ask_bet(number % 3 + 1, "YES", 30_000_000, room=1)
    money = place.money(batch_max=7)
    async with asyncio.TaskGroup() as tasks:
        for _ in range(6):
            tasks.create_task(drain([lambda: claim_bets(money)]))

    # 2 SOL is 66 stakes of 0.03 SOL: everybody's 40 are taken.
    assert await place.refusals() == [None] * 120
    assert await place.value("SELECT count(*) FROM stakes") == 120
    assert await place.value("SELECT count(*) FROM bets") == 3
    assert [await place.balance(ledger.held(user)) for user in (1, 2, 3)] == [40 * 30_000_000] * 3
    await place.books_agree()


async def test_workers_at_once_never_take_more_than_there_is(place: Place) -> None:
    for number in range(60):
        await place.room(100 + number)
        await place.ask_bet(1, "YES", 100_000_000, room=100 + number)
    money = place.money(batch_max=3)
    async with asyncio.TaskGroup() as tasks:
        for _ in range(6):
            tasks.create_task(drain([lambda: claim_bets(money)]))
    refusals = await place.refusals()
    assert (refusals.count(None), refusals.count("too_little")) == (20, 40)
    assert await place.balance(ledger.available(1)) == 0
    await place.books_agree()


async def test_a_room_that_is_being_locked_is_waited_for_and_takes_no_more(place: Place) -> None:
    await place.ask_bet(1, "YES", SOL)
    async with transaction(place.connections) as locking:
        await locking.execute("UPDATE rooms SET state = 'LOCKED'")
        deciding = asyncio.create_task(claim_bets(place.money()))
        await place.somebody_waits()
    await deciding
    assert await place.refusals() == ["locked"]


async def test_workers_at_once_fill_no_more_seats_than_there_are(place: Place) -> None:
    await place.room(2, seats=2)
    for user in range(10, 26):
        await place.person(user, SOL)
        await place.ask_bet(user, "YES", SOL, room=2)
    money = place.money(batch_max=2)
    async with asyncio.TaskGroup() as tasks:
        for _ in range(6):
            tasks.create_task(drain([lambda: claim_bets(money)]))
    assert (await place.refusals()).count("full") == 14
    assert await place.value("SELECT count(*) FROM bets") == 2


async def test_a_batch_that_fails_changes_nothing(place: Place) -> None:
    await place.ask_bet(1, "YES", SOL)
    await place.ask_bet(2, "NO", SOL)
    await place.do("ALTER TABLE transfers ADD CHECK (user_id <> 2)")
    with pytest.raises(asyncpg.CheckViolationError):
        await claim_bets(place.money())
    assert await place.value("SELECT count(*) FROM stakes") == 0
    assert await place.value("SELECT count(*) FROM outbox") == 0
    assert await place.balance(ledger.available(1)) == 2 * SOL


NOW = UnixMs(1_700_000_000_000)
RULE = Room(
    id=1, creator=1, feed=FEED, scale=2, comparator=Comparator.UP, move_bps=Bps(200), target=None,
    opened_at=UnixMs(NOW - 1), lock_at=UnixMs(NOW + 10_000), cut_at=UnixMs(NOW + 20_000),
    watch_at=UnixMs(NOW + 30_000), deadline_at=UnixMs(NOW + 90_000), target_wait_ms=1,
    gap_ms_max=1, protocol_fee_bps=Bps(0), host_fee_bps=Bps(0), stake_lamports_min=Lamports(1),
    stake_lamports_max=Lamports(100), seats=3, volatility_bps=Bps(1), guards=Guards(),
)  # fmt: skip


@pytest.mark.parametrize(
    ("waiting", "sign_ms", "land_ms", "lands"),
    [
        (0, 0, 0, True),
        (0, 9_999, 10_000, True),
        (0, 9_999, 10_001, False),
        (0, 10_000, 0, False),
        (99, 0, 0, True),
        (100, 0, 0, False),
    ],
)
def test_a_stake_lands_when_it_is_signed_before_lock_and_there_before_cut(
    waiting: int, sign_ms: int, land_ms: int, *, lands: bool
) -> None:
    pace = SigningPace(stakes_per_s=10, sign_ms=sign_ms, land_ms=land_ms)
    assert can_land(RULE, waiting, NOW, pace) is lands


def test_on_a_move_every_stake_weighs_the_same() -> None:
    assert weigh(RULE, Side.YES, None, NOW) == 10_000


REQUESTS = st.lists(
    st.tuples(st.integers(1, 4), st.sampled_from([1, 2]), st.sampled_from(Side), st.integers(1, 60))
)


@given(requests=REQUESTS, available=st.lists(st.integers(0, 150), min_size=4, max_size=4))
def test_whatever_is_asked_the_rules_hold(
    requests: list[tuple[int, int, Side, int]], available: list[int]
) -> None:
    kept = {
        room: KeptRoom(
            rule=replace(RULE, id=room), state=State.OPEN, base=None, outcome=None,
            void_reason=None, decided_at=None, sealed_lamports=None,
        )
        for room in (1, 2)
    }  # fmt: skip
    table = Table(
        now=NOW, is_open=True, signing=SigningPace(), prices={}, rooms=kept, known={},
        pools={}, bettors={},
        available={
            (user, "SOL"): Lamports(lamports) for user, lamports in enumerate(available, 1)
        },
        frozen=frozenset(),
        costly=frozenset(),
        queues={RULE.cut_at: 0},
    )  # fmt: skip
    for number, (user, room, side, lamports) in enumerate(requests):
        table.decide(Asked(number, user, room, side, Lamports(lamports)), number)

    assert len(table.taken) + len(table.refused) == len(requests)
    for user, before in enumerate(available, 1):
        mine = [stake.asked for stake in table.taken if stake.asked.user == user]
        assert sum(each.lamports for each in mine) + table.available[user, "SOL"] == before
        assert table.available[user, "SOL"] >= 0
        for room in (1, 2):
            here = [each for each in mine if each.room == room]
            assert len({each.side for each in here}) <= 1
            assert sum(each.lamports for each in here) <= 100
    for room in (1, 2):
        assert len({stake.asked.user for stake in table.taken if stake.asked.room == room}) <= 3
