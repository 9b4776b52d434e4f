"""What becomes a tick, and under which reason everything else is counted."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rooms.decimal_text import text_from_whole
from rooms.tick import Tick
from rooms.units import UnixMs, Value
from streams.feeds.admission import GOOD_FOR_MS, Admission, Reason, Unfit
from streams.feeds.venue import SymbolOf, Trade

AT = UnixMs(1767225600_000)
SOL = {"SOLUSDT": SymbolOf("SOL/USD", 8)}


def admission() -> Admission:
    return Admission("binance", SOL)


def trade(price: str, sequence: int = 1, *, symbol: str = "SOLUSDT", at: int = AT) -> Trade:
    return Trade(symbol, price, sequence, UnixMs(at))


def refused(to: Admission, told: Trade, at: int = AT) -> Reason | None:
    try:
        to.admit(told, UnixMs(at), AT)
    except Unfit as refusal:
        return refusal.reason
    return None


def test_a_trade_becomes_its_feeds_tick_digit_by_digit() -> None:
    feed, tick = admission().admit(trade("150.24000000", 7), UnixMs(AT + 5), AT)
    assert feed == "SOL/USD"
    assert tick == Tick("binance", 7, Value(15024000000), AT, UnixMs(AT + 5))


@pytest.mark.parametrize(("doubt_bps", "reason"), [(0, None), (50, None), (51, Reason.DOUBTFUL)])
def test_what_its_own_source_doubts_too_much_is_no_tick(
    doubt_bps: int, reason: Reason | None
) -> None:
    to = admission()
    assert refused(to, replace(trade("150"), doubt_bps=doubt_bps)) is reason
    assert refused(to, trade("150")) is (Reason.REPEATED if reason is None else None)


@pytest.mark.parametrize(
    ("price", "reason"),
    [
        ("0.00000001", None),
        ("92233720368.54775807", None),
        ("150.240000000000", None),  # Zeros beyond the scale are exact.
        ("0.000000001", Reason.TOO_FINE),
        ("150.123456789", Reason.TOO_FINE),
        ("92233720368.54775808", Reason.TOO_BIG),
        ("0", Reason.NOT_POSITIVE),
        ("0.000", Reason.NOT_POSITIVE),
        ("-150", Reason.UNREADABLE),
        ("+150", Reason.UNREADABLE),
        ("1e3", Reason.UNREADABLE),
        ("1E-3", Reason.UNREADABLE),
        ("NaN", Reason.UNREADABLE),
        ("Infinity", Reason.UNREADABLE),
        ("", Reason.UNREADABLE),
        (" 150", Reason.UNREADABLE),
        ("150.", Reason.UNREADABLE),
        (".5", Reason.UNREADABLE),
        ("1_000", Reason.UNREADABLE),
        ("1,000", Reason.UNREADABLE),
        ("0x10", Reason.UNREADABLE),
        ("१५०", Reason.UNREADABLE),
        ('"150"', Reason.UNREADABLE),  # A JSON string where a number stands in the documents.
        ("1" * 41, Reason.UNREADABLE),
    ],
)
def test_prices_are_exact_or_refused(price: str, reason: Reason | None) -> None:
    assert refused(admission(), trade(price)) is reason


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [
        ("150", "1500", None),
        ("150", "1500.00000001", Reason.JUMP),
        ("150", "15", None),
        ("150", "14.99999999", Reason.JUMP),
    ],
)
def test_a_jump_beyond_ten_times_is_refused_either_way(
    first: str, second: str, reason: Reason | None
) -> None:
    to = admission()
    assert refused(to, trade(first, 1)) is None
    assert refused(to, trade(second, 2)) is reason


def test_a_mistake_admitted_first_does_not_shut_the_truth_out_for_ever() -> None:
    to = admission()
    assert refused(to, trade("0.01", 9_000_000)) is None
    assert refused(to, trade("150", 2)) is Reason.REPEATED
    assert refused(to, trade("150", 9_000_001)) is Reason.JUMP
    assert refused(to, trade("150", 2), AT + GOOD_FOR_MS) is Reason.REPEATED
    assert refused(to, trade("150", 2), AT + GOOD_FOR_MS + 1) is None


def test_a_refused_trade_leaves_no_trace() -> None:
    to = admission()
    assert refused(to, trade("150", 1)) is None
    assert refused(to, trade("9999", 5)) is Reason.JUMP
    assert refused(to, trade("151", 2)) is None


@pytest.mark.parametrize(
    ("sequence", "reason"), [(6, Reason.REPEATED), (7, Reason.REPEATED), (8, None), (90, None)]
)
def test_a_sources_sequence_only_rises(sequence: int, reason: Reason | None) -> None:
    to = admission()
    assert refused(to, trade("150", 7)) is None
    assert refused(to, trade("150", sequence)) is reason


def test_what_was_not_asked_for_is_refused() -> None:
    assert refused(admission(), trade("1", symbol="XRPUSDT")) is Reason.UNASKED


@pytest.mark.parametrize(("before_ms", "reason"), [(1_000, None), (1_001, Reason.HISTORY)])
def test_what_happened_before_we_asked_is_history(before_ms: int, reason: Reason | None) -> None:
    assert refused(admission(), trade("150", at=AT - before_ms)) is reason


def test_a_symbol_that_keeps_its_feed_keeps_its_memory() -> None:
    to = admission()
    assert refused(to, trade("150", 7)) is None
    to.expect({**SOL, "BTCUSDT": SymbolOf("BTC/USD", 8)})
    assert refused(to, trade("150", 7)) is Reason.REPEATED
    to.expect({"SOLUSDT": SymbolOf("SOL/USD", 9)})
    assert refused(to, trade("150", 7)) is None


@given(whole=st.integers(1, 2**63 - 1), scale=st.integers(0, 18))
def test_every_whole_number_is_read_back_from_its_text(whole: int, scale: int) -> None:
    to = Admission("okx", {"X": SymbolOf("X", scale)})
    _, tick = to.admit(trade(text_from_whole(whole, scale), symbol="X"), AT, AT)
    assert tick.value == whole


@given(price=st.text(max_size=45), scale=st.integers(0, 18))
def test_no_text_becomes_a_wrong_tick(price: str, scale: int) -> None:
    to = Admission("okx", {"X": SymbolOf("X", scale)})
    try:
        _, tick = to.admit(trade(price, symbol="X"), AT, AT)
    except Unfit:
        return
    plain = price.lstrip("0") if price.startswith("0") else price
    plain = "0" + plain if plain.startswith(".") else plain
    assert text_from_whole(tick.value, scale) == (
        plain.rstrip("0").rstrip(".") if "." in plain else plain
    )
