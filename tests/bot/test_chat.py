"""The chat as people have it: every act goes through the Bot API and the database."""

from rooms.event import Event, Kind
from rooms.room import Side, room_code
from tests.bot.test_typed import BAD_AMOUNTS
from tests.bot.town import PIN, Town, wallet
from tests.place import SOL

OUTSIDE = wallet(2**200)


async def test_a_newcomer_gets_a_wallet(town: Town) -> None:
    ann = await town.newcomer("Ann")
    await ann.say("/start")
    await ann.expect("Welcome, Ann!.*wallet is being made")
    assert "custody" in await town.place.woken()
    await town.make_wallets()
    told = await ann.expect("wallet is ready")
    address = await town.place.value(
        "SELECT address FROM addresses WHERE user_id = $1", ann.person_id
    )
    assert told.marked("code") == [address]
    await ann.say("/wallet")
    assert (await ann.expect("Available +0 SOL")).marked("code") == [address]


async def test_a_bet_is_placed_by_buttons(town: Town) -> None:
    ann, bo = await town.person("Ann", 2 * SOL), await town.person("Bo", 2 * SOL)
    await town.place.room(creator=ann.person_id)
    await ann.say("/rooms")
    await ann.expect("SOL/USD \\+2 %.*now \\$200.37.*Pool 0 SOL")
    await ann.press("SOL/USD")
    await ann.expect("No stakes yet. Be the first")
    await ann.press("YES")
    await ann.expect("You have 2 SOL")
    await ann.press("0.5 SOL")
    await ann.expect("YES · 0.5 SOL.*nobody is on the other side yet")
    await ann.press("Bet 0.5 SOL on YES")
    await ann.expect("taking your bet")
    await town.work()
    await ann.expect("YES · 0.5 SOL is in: SOL/USD \\+2 % · room 3")

    await bo.say("/room 3")
    await bo.expect("1 bettor")
    await bo.press("NO")
    await bo.press("Other amount")
    await bo.expect("Type the amount")
    await bo.say("0.25")
    await bo.expect("NO · 0.25 SOL.*about 0.735 SOL")
    await bo.press("Bet 0.25 SOL")
    await bo.expect("taking your bet")
    await town.work()
    await bo.expect("is in:")
    rows = await town.place.rows("SELECT user_id, side, lamports FROM stakes ORDER BY id")
    assert [tuple(row.values()) for row in rows] == [
        (ann.person_id, "YES", SOL // 2),
        (bo.person_id, "NO", SOL // 4),
    ]
    await ann.say("/bets")
    await ann.expect("YES · 0.5 SOL · SOL/USD \\+2 %.*ends in ")
    await ann.say("/wallet")
    await ann.expect("Available +1.5 SOL\nReserved +0.5 SOL")
    await ann.say("/history")
    await ann.expect("Stake\n−0.5 SOL → 1.5 SOL.*Deposit\n\\+2 SOL → 2 SOL")


async def test_a_bad_amount_is_refused_and_changes_nothing(town: Town) -> None:
    ann = await town.person("Ann", 2 * SOL)
    await town.place.room(creator=ann.person_id)
    await ann.say("/room 3")
    await ann.press("NO")
    await ann.press("Other amount")
    await ann.expect("Type the amount")
    for text in [text for text in BAD_AMOUNTS if text.strip()]:
        await ann.say(text)
        await ann.expect("⚠️.*Type ")
    for text, said in (("0.001", "at least 0.01 SOL"), ("3", "You have 2 SOL"), ("6", "at most 5")):
        await ann.say(text)
        await ann.expect(said)
    assert await town.place.value("SELECT count(*) FROM bet_requests") == 0
    # The question is still open: a good answer is taken.
    await ann.say("0.25")
    await ann.expect("NO · 0.25 SOL")


async def test_a_room_is_made_with_a_move(town: Town) -> None:
    ann = await town.person("Ann")
    await ann.say("/create")
    await ann.expect("Which price")
    await ann.press("SOL/USD")
    await ann.expect("How far must it move")
    await ann.press("−2 %")
    await ann.expect("How long can people bet\\? At least 20 s")
    await ann.say("19s")
    await ann.expect("at least 20 s")
    await ann.say("25s")
    await ann.expect("When does it end.*Not before 29 s")
    await ann.press("30 s")
    await ann.expect("Your room.*−2 %.*lock 25 s after.*Ends 30 s after.*nearly certain")
    await ann.press("Stake limits")
    await ann.expect("Between 0.01 SOL and 5 SOL")
    await ann.say("0.1 - 2")
    await ann.expect("Stakes 0.1 SOL to 2 SOL")
    await ann.press("Open it all the same")
    await ann.expect("being opened")
    assert "openings" in await town.place.woken()
    await town.work()
    assert await town.place.rows(
        "SELECT state, comparator, move_bps, stake_lamports_min, stake_lamports_max,"
        " lock_at - opened_at AS open_ms, deadline_at - opened_at AS whole_ms FROM rooms"
    ) == [
        {
            "state": "DRAFT",
            "comparator": -1,
            "move_bps": 200,
            "stake_lamports_min": SOL // 10,
            "stake_lamports_max": 2 * SOL,
            "open_ms": 25_000,
            "whole_ms": 30_000,
        }
    ]


async def test_a_fixed_value_is_offered_as_a_move_first(town: Town) -> None:
    ann = await town.person("Ann")
    await ann.say("/create")
    await ann.press("SOL/USD")
    await ann.expect("How far must it move")
    for text in ("0", "-1", "1e3", "200.371", "abc"):
        await ann.say(text)
        await ann.expect("⚠️")
    await ann.say("200.37")
    await ann.expect("price is there already")
    await ann.say("205")
    offered = await ann.expect("\\$205.00 is \\+2.31 % from \\$200.37 now")
    assert [row[0].text for row in offered.rows[:2]] == ["✅ Use +2.31 %", "📌 Keep $205.00"]
    await ann.press("Keep $205.00")
    await ann.expect("SOL/USD · \\$205.00.*How long")
    await ann.press("1 h")
    await ann.press("1 d")
    await ann.expect("Fixed value: late bets earn less.*weighs .*× on YES and .*× on NO now")
    await ann.press("Open the room")
    await ann.expect("being opened")
    await town.work()
    assert await town.place.value("SELECT target FROM rooms") == 20_500
    assert await town.place.value("SELECT move_bps FROM rooms") is None


async def test_a_withdrawal_needs_the_address_retyped(town: Town) -> None:
    ann = await town.person("Ann", 2 * SOL)
    await town.has_pin(ann)
    await ann.say("/withdraw")
    await ann.expect("Available: 2 SOL")
    for text in ("0", "-1", "1e3", "0.0000000001", "abc", "3", "0.0001"):
        await ann.say(text)
        await ann.expect("⚠️")
    await ann.say("0.25")
    await ann.expect("Where to")
    for text in ("nowhere", OUTSIDE[:-4], OUTSIDE[:-1] + "0", await _own_address(town)):
        await ann.say(text)
        await ann.expect("⚠️")
    await ann.say(OUTSIDE)
    groups = " ".join(OUTSIDE[at : at + 4] for at in range(0, len(OUTSIDE), 4))
    await ann.expect(f"{groups}.*Amount: 0.25 SOL.*last 6 letters")
    for text in ("", OUTSIDE[-5:], OUTSIDE[-6:].swapcase(), OUTSIDE[:6]):
        if text:
            await ann.say(text)
            await ann.expect("not the last 6 letters")
    assert await town.place.value("SELECT count(*) FROM withdrawals") == 0
    await ann.say(OUTSIDE[-6:])
    await ann.expect("Now your PIN")
    assert await town.place.value("SELECT count(*) FROM withdrawals") == 0
    await ann.say(PIN)
    await ann.expect("0.25 SOL to .*on it")
    assert await town.place.rows("SELECT to_address, lamports, state FROM withdrawals") == [
        {"to_address": OUTSIDE, "lamports": SOL // 4, "state": "ASKED"}
    ]
    await town.work()
    await ann.expect("0.25 SOL is leaving, to:.*" + groups)
    await ann.say(OUTSIDE[-6:])
    await ann.expect("did not get that")


async def test_all_of_it_can_be_withdrawn(town: Town) -> None:
    ann = await town.person("Ann", 2 * SOL + 7)
    await town.has_pin(ann)
    await ann.say("/wallet")
    await ann.press("Withdraw")
    await ann.press("All of it")
    await ann.expect("Withdraw 2.000000007 SOL")
    await ann.say(OUTSIDE)
    await ann.expect("last 6 letters")
    await ann.press("Cancel")
    await ann.expect("Cancelled")
    await ann.say(OUTSIDE[-6:])
    await ann.expect("did not get that")
    assert await town.place.value("SELECT count(*) FROM withdrawals") == 0


async def test_links_lead_to_a_room_and_name_who_invited(town: Town) -> None:
    ann = await town.person("Ann")
    await town.place.room(12345, creator=ann.person_id)
    await ann.say("/referrals")
    told = await ann.expect("https://t.me/rooms_bot\\?start=ref_")
    code = told.text.partition("start=")[2].split()[0]
    bo = await town.newcomer("Bo")
    await bo.say(f"/start {code}")
    await bo.expect("Welcome, Bo!")
    cy = await town.newcomer("Cy")
    await cy.say(f"/start room_{room_code(12345)}")
    await cy.expect("Welcome, Cy!")
    await cy.expect("SOL/USD \\+2 % · room")
    await ann.say(f"/start {code}")
    await ann.expect("Hello, Ann")
    brought = await town.place.rows("SELECT name, referrer FROM users ORDER BY id")
    assert [tuple(row.values()) for row in brought] == [
        ("Ann", None),
        ("Bo", ann.person_id),
        ("Cy", None),
    ]
    await ann.say("/referrals")
    await ann.expect("Came by your link: 1 person")


async def test_a_link_that_leads_nowhere_does_no_harm(town: Town) -> None:
    ann = await town.newcomer("Ann")
    for payload in ("room_", "room_zzzzzzzzzzzzz", "room_<b>", "ref_!", "xyz", "'; --"):
        await ann.say(f"/start {payload}")
        lost = payload.startswith("room_")
        await ann.expect("no room of this name" if lost else "being made")


async def test_every_page_opens(town: Town) -> None:
    ann = await town.person("<b>Ann & Co", 2 * SOL)
    for command, said in {
        "/start": "Hello, <b>Ann & Co",
        "/help": "What you can do",
        "/rules": "How a room works",
        "/rooms": "No room is open",
        "/bets": "None yet",
        "/won": "None yet",
        "/history": "Deposit",
        "/deposit": "Send SOL to your own address",
        "/cancel": "nothing to cancel",
        "/nonsense": "There is no /nonsense",
        "hello": "did not get that",
        "/rooms@rooms_bot": "No room is open",
    }.items():
        await ann.say(command)
        await ann.expect(said)
    for text, said in {"Create room": "Which price", "Cancel": "Cancelled", "Wallet": "Available",
                       "History": "Deposit", "⬅️ Wallet": "Available", "Home": "Hello",
                       "My bets": "None yet", "Only won": "Rooms won"}.items():  # fmt: skip
        await ann.press(text)
        await ann.expect(said)


async def test_a_room_is_told_from_lock_to_payment(town: Town) -> None:
    ann, bo, cy = [await town.person(name, SOL) for name in ("Ann", "Bo", "Cy")]
    await town.place.room(creator=cy.person_id)
    for person, side in ((ann, Side.YES), (bo, Side.NO)):
        await town.place.ask_bet(person.person_id, side.value, SOL // 2)
    await town.work()
    await ann.expect("is in:")
    now = await town.now()
    won = {"lamports": "985000000", "staked": "500000000"}
    paid = {"lamports": "985000000", "signature": "5igna7ure", "refund": False}
    await town.tell(
        Event(Kind.ROOM_LOCKED, now, room=1),
        Event(Kind.WATCH_STARTED, now, room=1, facts={"target": "20438", "base": "20037"}),
        Event(Kind.ROOM_DECIDED, now, room=1, facts={"outcome": "YES", "value": "20441"}),
        Event(Kind.BET_WON, now, room=1, user=ann.person_id, facts=won),
        Event(Kind.BET_LOST, now, room=1, user=bo.person_id, facts={"staked": "500000000"}),
        Event(Kind.BET_PAID, now, room=1, user=ann.person_id, facts=paid),
    )
    told = await ann.expect("Bets are closed.*YES 0.5 SOL · NO 0.5 SOL · pool 1 SOL", after=0)
    rest = told.text if "5igna7ure" in told.text else (await ann.expect("5igna7ure", after=0)).text
    assert "0.985 SOL was paid to your wallet" in rest
    await bo.expect("You lost 0.5 SOL", after=0)
    heard = await town.place.rows(
        "SELECT user_id, string_agg(event ->> 'kind', ' ' ORDER BY id) AS kinds FROM notices"
        " WHERE event ->> 'room' = '1' GROUP BY user_id ORDER BY user_id"
    )
    assert [row["kinds"] for row in heard] == [
        "bet.taken room.locked watch.started room.decided bet.won bet.paid",
        "bet.taken room.locked watch.started room.decided bet.lost",
    ]


async def _own_address(town: Town) -> str:
    return str(await town.place.value("SELECT address FROM addresses WHERE kind = 'user'"))
