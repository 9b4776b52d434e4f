"""What the bot says, word for word: amounts, moments, cards and notices."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.estimates import Estimate
from bot.phrases import making, notices, person, room, withdrawal, words
from bot.phrases.room import fixed_as_move
from rooms.event import PUBLIC, Kind
from rooms.index_price import Reason
from rooms.room import Comparator, Outcome, Side, State, VoidReason
from rooms.units import Bps, Lamports, UnixMs, Value
from sandbox.telegram.entities import parse_html
from storage.cards import BetLine, HistoryLine, Wallet
from tests.bot.cards import FEED, FIXED, NOW, ROOM, SOL, card, live

INJECTION = "<b>&\"'</b><a href='tg://x'>"


def seen(html: str) -> str:
    """Return what a person sees; broken HTML is refused as Telegram refuses it."""
    text, _ = parse_html(html)
    return text


@pytest.mark.parametrize(
    ("lamports", "exact", "estimate"),
    [
        (0, "0 SOL", "0"),
        (1, "0.000000001 SOL", "&lt;0.0001"),
        (99_999, "0.000099999 SOL", "&lt;0.0001"),
        (100_000, "0.0001 SOL", "0.0001"),
        (123_456_789, "0.123456789 SOL", "0.1234"),
        (999_999_999, "0.999999999 SOL", "0.9999"),
        (5 * SOL, "5 SOL", "5"),
    ],
)
def test_receipts_are_exact_and_estimates_rounded_down(
    lamports: int, exact: str, estimate: str
) -> None:
    assert words.money(lamports) == exact
    assert words.about(lamports) == estimate


@pytest.mark.parametrize(
    ("ms", "said"),
    [
        (0, "0 s"),
        (-5, "0 s"),
        (1, "1 s"),
        (20_000, "20 s"),
        (260_000, "4 min 20 s"),
        (300_000, "5 min"),
        (3_600_000, "1 h"),
        (3_605_000, "1 h"),
        (7_500_000, "2 h 5 min"),
        (273_600_000, "3 d 4 h"),
    ],
)
def test_a_length_of_time_has_at_most_two_parts(ms: int, said: str) -> None:
    assert words.length(ms) == said


@pytest.mark.parametrize(
    ("value", "scale", "unit", "said"),
    [
        (20_037, 2, "USD", "$200.37"),
        (9_725_010, 2, "USD", "$97,250.10"),
        (9_725_012_340, 5, "USD", "$97,250.1234"),
        (1_234, 8, "USD", "$0.00001234"),
        (7, 0, "coins", "7 coins"),
        (15, 1, "<i>", "1.5 &lt;i&gt;"),
    ],
)
def test_values_are_grouped(value: int, scale: int, unit: str, said: str) -> None:
    assert words.value(value, scale, unit) == said


def test_columns_are_aligned() -> None:
    rows: list[tuple[str, ...]] = [("", "YES", "NO"), ("Pool", "1.5", "12.25"), ("x", "&lt;1", "2")]
    assert seen(words.table(rows)) == "      YES     NO\nPool  1.5  12.25\nx      <1      2"


def test_an_open_room_says_all_that_a_bettor_may_ask() -> None:
    said = seen(room.room_card(card(yes=SOL, no=SOL // 2), live(), NOW))
    assert said == (
        "🟢 Open\n"
        "SOL/USD +2 % · room 32\n\n"
        "YES if SOL/USD touches +2 % from the first price of the watch, by the deadline; "
        "equal counts. Otherwise NO.\n\n"
        "Now: $200.37 · 4/5 sources\n"
        "Bets lock: in 4 min 20 s\n"
        "Watch starts: in 4 min 50 s\n"
        "Deadline: 07:40:00 UTC (in 1 h)\n"
        "Touch rule: instant · fees: 3 % of the losing pool (2 % protocol, 1 % host)\n"
        "Stakes: 0.01 SOL to 5 SOL\n\n"
        "2 bettors · pool not sealed yet\n"
        "                       YES      NO\n"
        "Pool SOL            1.0000  0.5000\n"
        "Share                 67 %    33 %\n"
        "Odds                  1.5×      3×\n"
        "0.1 brings          0.1440  0.2616\n"
        "· own side +50 %    0.1303  0.2141\n"
        "· other side +50 %  0.1661  0.3425\n\n"
        "The target is fixed when the watch starts, so nobody can bet knowing it."
    )


def test_a_fixed_value_says_that_late_bets_earn_less() -> None:
    said = seen(room.room_card(card(FIXED, yes=SOL, no=SOL), live(), NOW))
    assert "SOL/USD ≥ $205.00" in said
    assert "Weight now" in said
    assert "late bets earn less" in said


@pytest.mark.parametrize(
    ("shown", "said"),
    [
        (live(None), "waiting: only 2 of 5 sources count, 3 must"),
        (
            live(None, silence=Reason.CLOCK),
            "waiting: the sources' clocks and ours do not agree",
        ),
        (live(seen_at=UnixMs(NOW - 60_000)), "waiting: prices have stopped arriving"),
        (None, "no price yet"),
    ],
)
def test_silence_is_told_with_its_reason(shown: object, said: str) -> None:
    assert said in room.room_card(card(), shown, NOW)  # type: ignore[arg-type]


@pytest.mark.parametrize("reason", list(VoidReason))
def test_every_void_says_why(reason: VoidReason) -> None:
    void = card(state=State.PAID, outcome=Outcome.VOID, void_reason=reason, yes=SOL)
    assert f"Void: {room.VOID_WORDS[reason]}. Every stake goes back" in room.room_card(
        void, None, NOW
    )


def test_a_warming_room_counts_its_times_from_opening() -> None:
    said = room.room_card(card(state=State.DRAFT), None, NOW)
    assert "Warming up" in said
    assert "Bets lock: 4 min 20 s after opening" in said


def test_my_stake_and_what_it_may_bring_are_on_the_card() -> None:
    mine = card(
        yes=SOL,
        no=SOL,
        own_side=Side.YES,
        own_lamports=Lamports(SOL),
        own_weighed=SOL * 10_000,
    )
    assert "You: <b>YES · 1 SOL</b> → about 1.97 SOL if YES wins" in room.room_card(
        mine, live(), NOW
    )


@pytest.mark.parametrize(
    ("price", "target", "bps"),
    [(20_000, 20_400, 200), (20_000, 19_600, -200), (20_000, 20_001, 1), (100_000, 100_001, 0),
     (20_037, 20_500, 231)],
)  # fmt: skip
def test_a_fixed_value_is_offered_as_the_move_it_is_now(price: int, target: int, bps: int) -> None:
    assert fixed_as_move(Value(price), Value(target)) == bps


def test_a_condition_warns_that_late_bets_are_not_weighed_on_its_card_and_on_every_bet() -> None:
    condition = replace(FIXED, target=Value(1), scale=0)
    shown = card(condition, unit="condition", name="price(SOL) > 1 and price(ETH) > 1")
    quote = Estimate(Lamports(2), Lamports(1), Lamports(3))
    said = room.review_bet(shown, Side.YES, Lamports(1), Bps(10_000), quote, NOW)

    assert "⚠️ Condition: nobody reckons" in seen(room.room_card(shown, None, NOW))
    assert "⚠️ A condition: late bets count as much as early ones." in seen(said)
    assert "late bets earn less" not in said


def test_names_of_people_are_escaped() -> None:
    wallet = _wallet()
    assert INJECTION in seen(person.welcome(INJECTION, wallet, new=True))


@given(st.text(max_size=40))
def test_nothing_a_person_is_called_breaks_a_message(name: str) -> None:
    seen(person.welcome(name, _wallet(), new=False))


def test_a_wallet_shows_its_address_as_code() -> None:
    text, entities = parse_html(person.wallet_card(_wallet()))
    code = next(each for each in entities if each["type"] == "code")
    assert text[code["offset"] : code["offset"] + code["length"]] == "Wa11et"
    assert "Available          1.5 SOL" in text
    assert "Reserved" in text
    assert "Earned" not in text


def test_the_whole_address_is_shown_in_groups_before_it_leaves() -> None:
    address = "7xKXtg2CW87d97TXJSDpbD5jBkheTqA83TZRuJosgAsU"
    said = seen(withdrawal.confirm(Lamports(SOL // 4), address, 0, is_known=True))
    assert "7xKX tg2C W87d 97TX JSDp bD5j Bkhe TqA8 3TZR uJos gAsU" in said
    assert "0.25 SOL" in said
    assert "last 6 letters" in said


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("deposit:sig:addr", "Deposit"),
        ("hold:stake:7", "Stake"),
        ("release:stake:7", "Stake given back"),
        ("hold:withdrawal:3", "Withdrawal"),
        ("payout:31:7", "Payout"),
        ("refund:7", "Refund"),
        ("undo:payout:31:7", "Undone by the chain"),
    ],
)
def test_history_says_what_each_change_was(key: str, said: str) -> None:
    line = HistoryLine(at=NOW, key=key, lamports=-5, balance=Lamports(7), signature=None)
    shown = seen(person.history([line], 0, None))
    assert f"· {said}\n−0.000000005 SOL → 0.000000007 SOL" in shown


@pytest.mark.parametrize(
    ("state", "outcome", "paid", "said"),
    [
        (State.OPEN, None, None, "ends in 1 h"),
        (State.DECIDED, Outcome.YES, None, "✅ YES · not yet settled"),
        (State.SETTLED, Outcome.YES, None, "✅ YES · payment on its way"),
        (State.PAID, Outcome.YES, 1_500_000_001, "✅ YES · paid 1.500000001 SOL\nsignature"),
        (State.PAID, Outcome.NO, None, "⛔ NO · lost"),
        (State.PAID, Outcome.VOID, SOL, "↩️ VOID · came back 1 SOL\nsignature"),
    ],
)
def test_a_bet_says_what_became_of_it(
    state: State, outcome: Outcome | None, paid: int | None, said: str
) -> None:
    line = BetLine(
        room=31,
        feed="SOL/USD",
        unit="USD",
        scale=2,
        comparator=Comparator.DOWN,
        move_bps=Bps(150),
        target=None,
        state=state,
        outcome=outcome,
        deadline_at=UnixMs(NOW + 3_600_000),
        side=Side.YES,
        staked=Lamports(SOL),
        paid=None if paid is None else Lamports(paid),
        signature=None if paid is None else "signature",  # type: ignore[arg-type]
    )
    shown = seen(person.bets([line], 0, NOW, None, won=False))
    assert "🟢 YES · 1 SOL · SOL/USD −1.5 %" in shown
    assert said in shown


def test_a_room_nearly_certain_is_shown_with_a_warning() -> None:
    shown = making.review(ROOM, FEED, Bps(200), None, None, long_shot=True)
    assert "nearly certain to go one way" in shown
    plain = making.review(ROOM, FEED, Bps(5_000), None, None, long_shot=False)
    assert "nearly certain" not in plain


def test_a_fixed_value_is_reviewed_with_its_weights() -> None:
    weights = (Bps(15_000), Bps(6_600))
    shown = making.review(FIXED, FEED, Bps(4_000), Bps(1_200), weights, long_shot=False)
    assert "1.5× on YES and 0.66× on NO" in shown
    assert "about 12 %" in shown


EVENTS: dict[Kind, tuple[dict[str, Any], str]] = {
    Kind.WALLET_READY: ({"address": "Wa11et"}, "Your wallet is ready"),
    Kind.ROOM_REFUSED: ({"code": "x", "sentence": INJECTION}, "Your room was not opened"),
    Kind.BET_TAKEN: ({"side": "YES", "lamports": "5", "weight_bps": 10_000}, "is in:"),
    Kind.BET_REFUSED: ({"side": "NO", "lamports": "5", "sentence": INJECTION}, "was not taken"),
    Kind.BET_CONFIRMED: ({"side": "YES", "lamports": "5", "signature": "sig"}, "landed in"),
    Kind.STAKE_MISSED: ({"lamports": "5"}, "after the cut"),
    Kind.STAKE_RELEASED: ({"lamports": "5"}, "never reached"),
    Kind.BET_WON: ({"lamports": "1940000001", "staked": "1000000000"}, "You won 1.940000001 SOL"),
    Kind.BET_LOST: ({"staked": "1000000000", "side": "NO"}, "You lost NO · 1 SOL"),
    Kind.BET_PAID: ({"lamports": "5", "signature": "sig", "refund": False}, "was paid to"),
    Kind.DEPOSIT_POSTED: ({"lamports": "5", "signature": "sig"}, "arrived in your wallet"),
    Kind.DEPOSIT_UNDONE: ({"lamports": "5", "signature": "sig"}, "dropped that payment"),
    Kind.EARNING_LANDED: ({"lamports": "5", "signature": "sig"}, "that you earned"),
    Kind.WITHDRAWAL_REFUSED: ({"lamports": "5", "sentence": INJECTION}, "was refused"),
    Kind.WITHDRAWAL_ACCEPTED: (
        {"lamports": "5", "to_address": "abcd", "due_at": NOW},
        "is leaving",
    ),
    Kind.WITHDRAWAL_PAID: (
        {"lamports": "5", "to_address": "abcd", "signature": "sig"},
        "landed at",
    ),
    Kind.WITHDRAWAL_RELEASED: ({"lamports": "5"}, "is back in your wallet"),
    Kind.ROOM_OPENED: ({}, "Your room is open"),
    Kind.ROOM_LOCKED: ({}, "Bets are closed"),
    Kind.WATCH_STARTED: ({"target": "20438"}, "Target $204.38, until"),
    Kind.ROOM_DECIDED: ({"outcome": "YES", "value": "20440"}, "reached $204.40"),
    Kind.ROOM_SETTLED: ({"outcome": "YES", "pool": "9", "evidence_hash": "ab"}, "Settled"),
}


@pytest.mark.parametrize("kind", [each for each in Kind if each not in PUBLIC or each in EVENTS])
def test_every_event_for_people_has_words(kind: Kind) -> None:
    facts, said = EVENTS[kind]
    shown = seen(notices.notice({"kind": kind.value, **facts}, card(yes=SOL, no=SOL), NOW, None))
    assert said in shown
    if INJECTION in facts.values():
        assert INJECTION in shown


def test_what_is_about_a_room_names_it() -> None:
    for kind, (facts, _) in EVENTS.items():
        shown = notices.notice({"kind": kind.value, **facts}, card(), NOW, None)
        of_room = kind.value.split(".")[0] in ("bet", "stake", "watch")
        assert not of_room or words.code(ROOM.id) in shown


def test_a_transaction_is_a_link_where_there_is_an_explorer() -> None:
    signature = "5" * 88
    assert words.proof(signature, None) == f"<code>{signature}</code>"
    linked = words.proof(signature, "https://explorer.example/tx/{signature}")
    assert linked.startswith(f'<a href="https://explorer.example/tx/{signature}">')


def test_a_locked_room_has_no_estimate_any_more() -> None:
    locked = card(state=State.LOCKED, yes=SOL, no=SOL)
    said = room.room_card(locked, live(), UnixMs(ROOM.lock_at + 1))
    assert "brings" not in said
    assert "Stakes that landed in time are being sealed" in said
    watched = replace(ROOM, target=Value(20_438))
    assert "Target: <b>$204.38</b>" in room.room_card(
        card(watched, state=State.LOCKED), live(), ROOM.watch_at
    )


def _wallet() -> Wallet:
    return Wallet(
        address="Wa11et",  # type: ignore[arg-type]
        available=Lamports(1_500_000_000),
        held=Lamports(5),
        in_rooms=Lamports(0),
        coming=Lamports(0),
        earned=Lamports(0),
    )
