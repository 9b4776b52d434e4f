"""The bot's pure parts: keyboards, estimates, pace, redaction, stored shapes."""

from dataclasses import replace
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot import actions, buttons, conversation, making_buttons, redaction, replies
from bot.buttons import Key, Keys
from bot.estimates import estimate, own_payout
from bot.pace import Pace
from rooms.asset import SOL as SOL_ASSET
from rooms.pool import Stake
from rooms.room import Outcome, RoomLimits, Side, State
from rooms.settlement import settle
from rooms.units import Bps, Lamports, UnixMs
from tests.bot.cards import NOW, ROOM, SOL, card, pool
from tests.bot.town import base58

LINK = "https://t.me/rooms_bot?start=room_32"


def texts(keys: Keys) -> list[str]:
    """Return what the buttons say, row by row."""
    return [key.text for row in keys for key in row]


def test_both_sides_are_offered_while_bets_are_open() -> None:
    assert texts(buttons.room_card(card(), NOW, LINK))[:2] == ["YES", "NO"]


def test_only_ones_own_side_can_be_added_to() -> None:
    mine = card(own_side=Side.NO, own_lamports=Lamports(SOL))
    shown = texts(buttons.room_card(mine, NOW, LINK))
    assert shown[0] == "Add to NO"
    assert "YES" not in shown


@pytest.mark.parametrize(
    ("state", "now"), [(State.LOCKED, NOW), (State.OPEN, ROOM.lock_at), (State.DRAFT, NOW)]
)
def test_no_side_is_offered_when_bets_are_not_open(state: State, now: UnixMs) -> None:
    shown = texts(buttons.room_card(card(state=state), now, LINK))
    assert not {"YES", "NO"} & set(shown)
    assert "🔄 Refresh" in shown


def test_only_amounts_that_the_room_takes_are_offered() -> None:
    narrow = replace(ROOM, stake_lamports_max=Lamports(SOL // 2))
    assert texts(buttons.pick_stake(card(narrow), Side.YES))[:2] == ["0.1 SOL", "0.5 SOL"]
    assert "1 SOL" not in texts(buttons.pick_stake(card(narrow), Side.YES))
    full = card(narrow, own_side=Side.YES, own_lamports=Lamports(SOL // 2))
    assert texts(buttons.pick_stake(full, Side.YES))[0] == "✏️ Other amount"


@pytest.mark.parametrize(
    ("page", "more", "shown"),
    [
        (0, False, []),
        (0, True, ["More ▶️"]),
        (1, True, ["◀️ Before", "More ▶️"]),
        (2, False, ["◀️ Before"]),
    ],
)
def test_pages_turn_only_where_there_are_pages(page: int, more: bool, shown: list[str]) -> None:
    found = texts(buttons.history(page, more=more))
    assert [text for text in found if "▶" in text or "◀" in text] == shown


def test_a_deadline_is_never_offered_before_the_watch() -> None:
    limits = RoomLimits()
    for key in (key for row in making_buttons.deadlines(3_600_000, limits) for key in row):
        if isinstance(key.action, actions.ChooseDeadline):
            assert key.action.ms >= 3_600_000


def test_every_keyboard_fits_telegram() -> None:
    everything = card(yes=SOL, no=SOL, vault="Vau1t")
    keyboards = [
        buttons.home(),
        buttons.room_card(everything, NOW, LINK),
        buttons.rooms_list([everything] * buttons.LIST_PAGE, 1, more=True),
        making_buttons.moves(),
        making_buttons.locks(RoomLimits()),
        making_buttons.deadlines(1_000, RoomLimits()),
        making_buttons.stake_limits(RoomLimits(), SOL_ASSET),
        making_buttons.assets(["SOL", "USDC"]),
        buttons.withdraw_amount("SOL", ["USDC"]),
        buttons.wallet("Wa11et"),
        buttons.invite(LINK),
    ]
    for keys in keyboards:
        for row in keys:
            assert 1 <= len(row) <= 4
            assert all(_does_one_thing(key) for key in row)


def test_what_asks_for_something_is_used_once_and_lapses_soon() -> None:
    assert set(actions.ONCE) <= set(actions.MONEY)
    for action in get_args(actions.Action):
        assert (action.__name__ in ("PlaceBet", "OpenRoom")) == (action in actions.ONCE)


@pytest.mark.parametrize(
    "action",
    [
        actions.ShowHome(),
        actions.PlaceBet(room=2**61, side=Side.NO, lamports=Lamports(7)),
        actions.OpenRoom(
            feed="SOL/USD", move_bps=-200, fixed_value=None, lock_in_ms=1, deadline_in_ms=2,
            least=Lamports(1), most=Lamports(2),
        ),
    ],
)  # fmt: skip
def test_an_action_survives_its_row(action: actions.Action) -> None:
    assert actions.read(actions.stored(action)) == action


def test_a_dialogue_survives_its_row() -> None:
    talk = conversation.MakingRoom(
        step=conversation.Step.LOCK, draft=conversation.Draft(feed="SOL/USD", move_bps=200)
    )
    assert conversation.read(conversation.stored(talk)) == talk


def test_a_reply_survives_its_row() -> None:
    reply = replies.Send(5, "hello", [[{"text": "x", "callback_data": "y"}]])
    assert replies.read(replies.stored(reply)) == reply


@given(
    yes=st.lists(st.integers(1, 5 * SOL), min_size=1, max_size=6),
    no=st.lists(st.integers(1, 5 * SOL), min_size=1, max_size=6),
    weight=st.integers(1, 50_000),
)
def test_an_estimate_is_what_settling_that_pool_would_pay(
    yes: list[int], no: list[int], weight: int
) -> None:
    mine = yes[0]
    stakes = [
        Stake(nth, nth, nth, side, Lamports(lamports), Bps(weight))
        for nth, (side, lamports) in enumerate(
            [(Side.YES, each) for each in yes] + [(Side.NO, each) for each in no], 1
        )
    ]
    settled = settle(
        stakes,
        Outcome.YES,
        None,
        host=7,
        protocol_fee_bps=ROOM.protocol_fee_bps,
        host_fee_bps=ROOM.host_fee_bps,
    )
    paid = next(each.lamports for each in settled.payouts if each.bet == 1)
    before = card(yes=0, no=sum(no))
    before = replace(before, yes=pool(sum(yes[1:]), weight))
    shown = estimate(before, Side.YES, Lamports(mine), Bps(weight))
    # What floors leave over goes by largest remainder: one lamport at most.
    assert paid - 1 <= shown.now <= paid
    assert mine <= shown.low <= shown.now <= shown.high
    after = replace(
        before,
        yes=pool(sum(yes), weight),
        own_side=Side.YES,
        own_lamports=Lamports(mine),
        own_weighed=mine * weight,
    )
    assert own_payout(after) == shown.now


@given(
    per_s=st.integers(1, 50),
    burst=st.integers(1, 10),
    gaps=st.lists(st.floats(0, 2), min_size=1, max_size=60),
)
def test_no_second_has_more_than_was_allowed(per_s: int, burst: int, gaps: list[float]) -> None:
    pace, now_s, sent = Pace(per_s, burst), 100.0, []
    for gap_s in gaps:
        now_s += gap_s
        sent.append(now_s + pace.wait_s(now_s))
    assert sent == sorted(sent)
    for at, first in enumerate(sent):
        within = [each for each in sent[at:] if each < first + 1 - 1e-6]
        assert len(within) <= per_s + burst


def test_a_pace_that_is_held_lets_nothing_through() -> None:
    pace = Pace(10, 3)
    pace.hold_until(105.0)
    assert not pace.allows(104.9)
    assert pace.wait_s(100.0) == pytest.approx(5.0)
    assert pace.allows(200.0)


SEED = "abandon ability able about above absent absorb abstract absurd abuse access accident"


@pytest.mark.parametrize(
    "text",
    [
        base58(7, 64),
        f"here it is: {base58(9, 64)}",
        SEED,
        f"my words are {SEED.upper()}",
        " ".join(f"{nth}. {word}" for nth, word in enumerate(SEED.split(), 1)),
        f"{SEED} {SEED}",
        "[" + ",".join(["12"] * 64) + "]",
    ],
)
def test_a_key_is_gone_before_anything_is_written(text: str) -> None:
    update = _update({"text": text, "entities": [{"type": "bold", "offset": 0, "length": 1}]})
    person, kept = redaction.storable(update)
    assert person == 7
    assert text not in repr(kept)
    assert kept["message"][redaction.MARK] is True


@pytest.mark.parametrize(
    "text",
    [
        "0.25",
        base58(7),
        "/start room_abcdefgh",
        "I would like to bet on it but the price is too high for me, is it not?",
        "the quick brown fox",
    ],
)
def test_plain_words_are_kept(text: str) -> None:
    _, kept = redaction.storable(_update({"text": text}))
    assert kept["message"]["text"] == text
    assert redaction.MARK not in kept["message"]


def test_what_the_database_cannot_hold_is_taken_out() -> None:
    _, kept = redaction.storable(_update({"text": "a\0b\ud83dc", "x": [{"\0k": "😀"}]}))
    assert kept["message"]["text"] == "ab?c"
    assert kept["message"]["x"] == [{"k": "😀"}]


def test_quoted_messages_and_our_own_words_are_not_stored() -> None:
    _, kept = redaction.storable(_update({"text": "hi", "reply_to_message": {"text": SEED}}))
    assert "reply_to_message" not in kept["message"]
    press: dict[str, Any] = {
        "update_id": 1,
        "callback_query": {
            "id": "1",
            "from": {"id": 7},
            "data": "t",
            "message": {"message_id": 3, "date": 1, "chat": {"id": 7}, "text": "long", "from": {}},
        },
    }
    person, kept = redaction.storable(press)
    assert person == 7
    assert kept["callback_query"]["message"] == {"message_id": 3, "date": 1, "chat": {"id": 7}}


def _does_one_thing(key: Key) -> bool:
    return sum(each is not None for each in (key.action, key.url, key.copy)) == 1


def _update(message: dict[str, Any]) -> dict[str, Any]:
    plain = {"message_id": 1, "date": 1, "from": {"id": 7}, "chat": {"id": 7, "type": "private"}}
    return {"update_id": 1, "message": {**plain, **message}}
