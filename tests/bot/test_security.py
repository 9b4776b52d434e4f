"""Nothing leaves without a PIN and, above a limit, a code; neither is ever stored as typed."""

import re
from dataclasses import replace

import pyotp
import pytest_asyncio

from rooms.units import Lamports
from sandbox.telegram.person import Message, Person
from tests.bot.town import WITHDRAWALS, Town, wallet
from tests.place import SOL

OUTSIDE = wallet(2**200)
PIN = "271828"
_SECRET = re.compile(r"type into it:\s+([A-Z2-7 ]+)")


@pytest_asyncio.fixture
async def ann(town: Town) -> Person:
    return await town.person("Ann", 9 * SOL)


async def choose_pin(ann: Person, pin: str = PIN) -> None:
    await ann.say("/security")
    await ann.press("PIN")
    await ann.expect("Choose a PIN")
    await ann.say(pin)
    await ann.expect("Once more")
    await ann.say(pin)
    await ann.expect("PIN is set")


async def ask(ann: Person, sol: str = "0.25") -> None:
    """Ask for a withdrawal, up to the PIN."""
    await ann.say("/withdraw")
    await ann.expect("1 of 3")
    await ann.say(sol)
    await ann.expect("2 of 3")
    await ann.say(OUTSIDE)
    await ann.expect("3 of 3")
    await ann.say(OUTSIDE[-6:])
    await ann.expect("Now your PIN")


async def enrol(ann: Person) -> pyotp.TOTP:
    """Add an authenticator and return what it would be."""
    await ann.say("/security")
    await ann.press("authenticator")
    await ann.expect("Now your PIN")
    await ann.say(PIN)
    shown = await ann.expect("Scan this")
    assert shown.photo
    found = _SECRET.search(shown.text)
    assert found
    phone = pyotp.TOTP(found[1].replace(" ", ""))
    await ann.press("in my phone", on=shown)
    await ann.expect("Type the 6 digits")
    await ann.say(phone.now())
    await ann.expect("authenticator is set")
    return phone


async def written(town: Town) -> str:
    """Return all that the bot wrote down."""
    tables = ("updates", "conversations", "second_factors", "buttons", "set_aside", "notices",
              "withdrawals", "outbox")  # fmt: skip
    rows = [await town.place.column(f"SELECT t::text FROM {table} t") for table in tables]
    return "\n".join(text for table in rows for text in table)


async def asked(town: Town) -> int:
    return int(await town.place.value("SELECT count(*) FROM withdrawals"))


def mine(messages: list[Message]) -> set[str]:
    return {each.text for each in messages if not each.by_bot}


async def test_the_first_withdrawal_begins_with_a_pin(town: Town, ann: Person) -> None:
    await ann.say("/withdraw")
    await ann.expect("Choose a PIN")
    for bad, said in (("27182", "6 digits"), ("27182a", "6 digits"), ("123456", "tries first")):
        await ann.say(bad)
        await ann.expect(said)
    await ann.say(PIN)
    await ann.expect("Once more")
    await ann.say("271829")
    await ann.expect("not the same")
    for told in ("Once more", "PIN is set"):
        await ann.say(PIN)
        await ann.expect(told)
    await ann.press("Withdraw")
    await ann.expect("1 of 3")
    assert await asked(town) == 0


async def test_the_pin_lets_it_leave_and_is_nowhere_to_be_found(town: Town, ann: Person) -> None:
    await choose_pin(ann)
    await ask(ann)
    assert await asked(town) == 0
    await ann.say("271829")
    await ann.expect("not your PIN. 4 tries left")
    await ann.say(" 271 828 ")
    await ann.expect("0.25 SOL to .*on it")
    assert await asked(town) == 1
    await town.until("SELECT bool_and(done_at IS NOT NULL AND replies IS NULL) FROM updates")
    assert not re.search(r"271\s?82[89]", await written(town))
    assert "rooms_sealed" not in await written(town)
    assert await town.place.value("SELECT failures FROM second_factors") == 0
    await town.work()
    await ann.expect("is leaving, to")


async def test_what_was_typed_is_taken_out_of_the_chat(town: Town, ann: Person) -> None:
    await choose_pin(ann)
    assert (
        await town.place.value(
            "SELECT count(*) FROM updates WHERE payload #>> '{message,text}' = ''"
        )
        == 2
    )
    assert not [each for each in mine(await ann.messages()) if PIN in each]


async def test_five_wrong_ones_lock_for_a_day_and_the_right_one_does_not_help(
    town: Town, ann: Person
) -> None:
    await choose_pin(ann)
    await ask(ann)
    for left in (4, 3, 2, 1):
        await ann.say("000001")
        await ann.expect(f"{left} tr(y|ies) left")
    await ann.say("000001")
    await ann.expect("last try: locked for 1 d")
    await ann.say("/withdraw")
    await ann.expect("1 of 3")
    await ann.say("0.25")
    await ann.say(OUTSIDE)
    await ann.expect("3 of 3")
    await ann.say(OUTSIDE[-6:])
    await ann.expect("Locked for")
    await ann.say("/security")
    await ann.expect("Locked: opens in")
    await ann.press("Change PIN")
    assert await asked(town) == 0
    await town.place.do("UPDATE second_factors SET locked_until = 0")
    await ask(ann)
    await ann.say(PIN)
    await ann.expect("on it")


async def test_however_many_try_five_are_heard(town: Town, ann: Person) -> None:
    await choose_pin(ann)
    await ask(ann)
    for number in range(40):
        await ann.say(f"{number:06d}")
    await town.until("SELECT count(*) FILTER (WHERE done_at IS NULL) = 0 FROM updates")
    assert await town.place.value("SELECT locked_until > now_ms() FROM second_factors")
    wrong = [each for each in await ann.messages() if "not your PIN" in each.text]
    assert len(wrong) == 5
    assert await asked(town) == 0


async def test_above_what_the_pin_allows_a_code_is_needed_and_counts_once(
    town: Town, ann: Person
) -> None:
    await town.place.limit_withdrawals(
        replace(WITHDRAWALS, pin_only_lamports_day=Lamports(SOL // 2))
    )
    await choose_pin(ann)
    await ann.say("/withdraw")
    await ann.expect("1 of 3")
    await ann.say("0.6")
    await ann.expect("So much needs an authenticator")
    phone = await enrol(ann)
    assert phone.secret not in await written(town)

    await ask(ann, "0.5")
    await ann.say(PIN)
    await ann.expect("0.5 SOL to .*on it")
    await ask(ann, "0.5")
    await ann.say(PIN)
    await ann.expect("that your authenticator shows now")
    await ann.say(phone.now())
    await ann.expect("A code counts once")
    await town.place.do("UPDATE second_factors SET code_step = 0")
    await ann.say(phone.now())
    await ann.expect("0.5 SOL to .*on it")
    assert await asked(town) == 2


async def test_a_wrong_code_counts_as_a_wrong_pin_does(town: Town, ann: Person) -> None:
    await town.place.limit_withdrawals(replace(WITHDRAWALS, pin_only_lamports_day=Lamports(0)))
    await choose_pin(ann)
    phone = await enrol(ann)
    wrong = "000000" if phone.now() != "000000" else "000001"
    for left in (4, 3, 2, 1):
        await ask(ann)
        await ann.say(PIN)
        await ann.expect("that your authenticator shows now")
        await ann.say(wrong)
        await ann.expect(f"{left} tr(y|ies) left")
    await ann.say(wrong)
    await ann.expect("locked for 1 d")
    assert await asked(town) == 0


async def test_a_change_is_proved_with_what_was_there(town: Town, ann: Person) -> None:
    await choose_pin(ann)
    await ann.say("/security")
    await ann.press("Change PIN")
    await ann.expect("Now your PIN")
    await ann.say("314159")
    await ann.expect("not your PIN")
    await ann.say(PIN)
    await ann.expect("Choose a PIN")
    for told in ("Once more", "PIN is set"):
        await ann.say("314159")
        await ann.expect(told)
    await ask(ann)
    await ann.say(PIN)
    await ann.expect("not your PIN")
    await ann.say("314159")
    await ann.expect("on it")


async def test_a_pin_that_nobody_asked_for_is_taken_away(town: Town, ann: Person) -> None:
    await ann.say(PIN)
    await ann.expect("looked like a PIN")
    await town.until("SELECT bool_and(done_at IS NOT NULL) FROM updates")
    assert PIN not in await written(town)


async def test_digits_that_answer_a_question_are_what_they_are(town: Town, ann: Person) -> None:
    await choose_pin(ann)
    await ann.say("/withdraw")
    await ann.expect("1 of 3")
    await ann.say("1000")
    await ann.expect("You have 9 SOL")


async def test_the_pin_lapses_with_what_it_was_asked_for(town: Town, ann: Person) -> None:
    await choose_pin(ann)
    await ask(ann)
    await town.place.do("UPDATE conversations SET state = jsonb_set(state, '{errand,until}', '1')")
    await ann.say(PIN)
    await ann.expect("longer than 2 minutes")
    assert await asked(town) == 0


async def test_it_was_not_me_calls_everything_off_and_locks(town: Town, ann: Person) -> None:
    await town.place.limit_withdrawals(
        replace(WITHDRAWALS, delay_ms=3_600_000, free_lamports_day=Lamports(0))
    )
    await choose_pin(ann)
    await ask(ann)
    await ann.say(PIN)
    await ann.expect("on it")
    await town.work()
    await ann.expect("0.25 SOL leaves in 1 h")
    await ann.press("It was not me")
    await ann.expect("Nothing leaves your wallet for 24 hours")
    await town.work()
    await ann.expect("Called off: 0.25 SOL")
    await ann.say("/withdraw")
    await ann.say("0.25")
    await ann.say(OUTSIDE)
    await ann.expect("3 of 3")
    await ann.say(OUTSIDE[-6:])
    await ann.expect("Locked for")


async def test_a_waiting_withdrawal_is_called_off_by_its_button(town: Town, ann: Person) -> None:
    await town.place.limit_withdrawals(
        replace(WITHDRAWALS, delay_ms=3_600_000, free_lamports_day=Lamports(0))
    )
    await choose_pin(ann)
    await ask(ann)
    await ann.say(PIN)
    await town.until("SELECT count(*) = 1 FROM withdrawals")
    await town.work()
    await ann.expect("leaves in 1 h")
    await ann.say("/wallet")
    await ann.press("Waiting withdrawals")
    await ann.expect("Withdrawals that wait.*0.25 SOL")
    await ann.press("Call off 0.25 SOL")
    await town.until("SELECT cancel_asked_at IS NOT NULL FROM withdrawals")
    await town.work()
    await ann.expect("Called off: 0.25 SOL is in your wallet again")
    await ann.say("/addresses")
    await ann.expect(OUTSIDE)
    await ann.press("Forget")
    await ann.expect("None yet")
