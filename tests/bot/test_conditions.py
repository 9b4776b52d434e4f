"""Expressions in the chat: taken, shown in their one form, refused at the place of a mistake."""

import pytest

from rooms.expression.form import formula
from tests.bot.town import Town

CONDITION = formula("price(SOL) > 100 and change(SOL, 1h) >= 5%")
SPREAD = formula("price(SOL) - low(SOL, 24h)")


async def test_a_mistake_is_shown_at_its_place_and_the_question_stays_open(town: Town) -> None:
    ann = await town.person("Ann")
    await ann.say("/create")
    await ann.expect("Which price.*ratio or a condition")
    await ann.say("price(SOL) > 5 & <b>")
    told = await ann.expect("does not go on from here")
    assert told.marked("pre") == ["price(SOL) > 5 & <b>\n               ^"]
    await ann.say("price(ETH) / price(SOL)")
    await ann.expect("no feed ETH/USD")
    await ann.say("nothing")
    await ann.expect("For the price of a coin write price")
    await ann.say("SOL/USD")
    await ann.expect("How far must it move")
    assert await town.place.value("SELECT count(*) FROM feeds") == 1


async def test_a_condition_needs_no_target_and_is_asked_for_as_it_was_shown(town: Town) -> None:
    ann = await town.person("Ann")
    town.place.prices.values[CONDITION.name] = 0
    await ann.say("/create")
    await ann.expect("Which price")
    await ann.say("change(SOL, 60m) >= 5 % and price(SOL)>100")
    await ann.expect("change\\(SOL, 1h\\) >= 5% and price\\(SOL\\) > 100.*How long can people bet")
    await ann.say("25s")
    await ann.expect("When does it end")
    await ann.say("60s")
    await ann.expect("Your room.*>= 5% and price\\(SOL\\) > 100.*a late bet counts as much")
    await ann.press("Open")
    await ann.expect("being opened")
    await town.work()
    rows = await town.place.rows("SELECT feed, scale, comparator, target, move_bps FROM rooms")
    assert rows == [
        {"feed": CONDITION.name, "scale": 0, "comparator": 1, "target": 1, "move_bps": None}
    ]
    shown = await town.place.rows(
        "SELECT name, unit, expression, inputs FROM feeds WHERE scale = 0"
    )
    assert shown == [
        {
            "name": CONDITION.name,
            "unit": "condition",
            "expression": CONDITION.text,
            "inputs": {"SOL/USD": 2},
        }
    ]


async def test_a_condition_that_is_true_already_makes_no_room(town: Town) -> None:
    ann = await town.person("Ann")
    town.place.prices.values[CONDITION.name] = 1
    await ann.say("/create")
    await ann.say(CONDITION.text)
    await ann.expect("How long can people bet")
    await ann.say("25s")
    await ann.expect("When does it end")
    await ann.say("60s")
    await ann.expect("It is true already")


async def test_nothing_is_divided_by_0(town: Town) -> None:
    ann = await town.person("Ann")
    await ann.say("/create")
    await ann.say("price(SOL)/0")
    told = await ann.expect("Nothing can be divided by 0")
    assert told.marked("pre") == ["price(SOL)/0\n           ^"]


async def test_without_a_price_no_estimate_is_told_and_an_older_review_opens_nothing(
    town: Town,
) -> None:
    ann = await town.person("Ann")
    await ann.say("/create")
    await ann.press("SOL/USD")
    await ann.press("2 %")
    await ann.say("25s")
    town.place.prices.values.pop("SOL/USD")
    await ann.say("60s")
    review = await ann.expect("Your room.*no price of it right now")
    assert "driftless" not in review.text
    await ann.say("/create")
    await ann.expect("Which price")
    await ann.press("Open", on=review)
    await ann.expect_answer("older room", timeout_s=20)
    assert await town.place.value("SELECT count(*) FROM room_requests") == 0


async def test_a_value_is_asked_for_its_move(town: Town) -> None:
    ann = await town.person("Ann")
    town.place.prices.values[SPREAD.name] = 1_250
    await ann.say("/create")
    await ann.say("(price(SOL)) - low(sol, 1d)")
    await ann.expect("price\\(SOL\\) - low\\(SOL, 24h\\).*Now: \\$12.50.*How far must it move")
    await ann.say("+10%")
    await ann.expect("How long can people bet")


@pytest.mark.parametrize("typed", ["price(SOL) >= 205", "205 < price(sol)"])
async def test_one_price_and_one_number_are_a_fixed_value_whose_bets_are_weighed(
    town: Town, typed: str
) -> None:
    ann = await town.person("Ann")
    await ann.say("/create")
    await ann.say(typed)
    offered = await ann.expect("\\$205.00 is \\+2.31 % from \\$200.37 now")
    assert [row[0].text for row in offered.rows[:2]] == ["✅ Use +2.31 %", "📌 Keep $205.00"]
    await ann.press("Keep $205.00")
    await ann.expect("SOL/USD · \\$205.00.*How long")
    await ann.say("/create")
    await ann.say("price(SOL) <= 205")
    await ann.expect("so already")
    assert await town.place.value("SELECT count(*) FROM feeds") == 1
