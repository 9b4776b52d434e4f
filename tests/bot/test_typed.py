"""What people type is read exactly, or refused with what to type instead."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot import typed
from rooms.decimal_text import text_from_whole
from rooms.refusal import Refused
from tests.bot.town import base58, wallet


@pytest.mark.parametrize(
    ("text", "lamports"),
    [
        ("0.25", 250_000_000),
        (" 1 ", 1_000_000_000),
        ("1 SOL", 1_000_000_000),
        ("0.5sol", 500_000_000),
        ("0.000000001", 1),
        ("0.1000000000", 100_000_000),
        ("007", 7_000_000_000),
    ],
)
def test_an_amount_is_read_exactly(text: str, lamports: int) -> None:
    assert typed.lamports(text) == lamports


BAD_AMOUNTS = [
    "0", "0.0", "-1", "+1", "1e3", "0.0000000001", "abc", "", " ", ".5", "5.", "1,5", "1 2",
    "9" * 30, "9223372036.854775808", "٣", "0x10", "NaN", "inf", "1_000", "²", "None",
    "'; DROP TABLE users; --", "<b>1</b>",
]  # fmt: skip


@pytest.mark.parametrize("text", BAD_AMOUNTS)
def test_a_bad_amount_is_refused_with_what_to_type(text: str) -> None:
    with pytest.raises(Refused, match=r"Type ") as refused:
        typed.lamports(text)
    assert refused.value.code == "bad_amount"


@given(st.integers(1, 2**63 - 1))
def test_what_is_written_can_be_typed(lamports: int) -> None:
    assert typed.lamports(text_from_whole(lamports, 9)) == lamports


@given(st.text(max_size=50))
def test_whatever_is_typed_is_an_amount_or_a_refusal(text: str) -> None:
    try:
        assert typed.lamports(text) > 0
    except Refused:
        return


@pytest.mark.parametrize(
    ("text", "bps"),
    [("+2%", 200), ("-1.5%", -150), ("−1.5 %", -150), ("+ 0.05 %", 5), ("+100%", 10_000)],
)
def test_a_move_has_a_sign(text: str, bps: int) -> None:
    assert typed.is_move(text)
    assert typed.move_bps(text) == bps


@pytest.mark.parametrize(
    "text", ["2%", "+2", "+0%", "+0.001%", "+-2%", "%", "+1e3%", "+٢%", "--2%"]
)
def test_what_is_no_move_is_refused(text: str) -> None:
    with pytest.raises(Refused):
        typed.move_bps(text)


@pytest.mark.parametrize(
    ("text", "scale", "value"),
    [
        ("205", 2, 20_500),
        ("$97,250.5", 2, 9_725_050),
        ("0.00001234", 8, 1_234),
        ("205.00", 2, 20_500),
    ],
)
def test_a_value_is_read_at_the_scale_of_its_feed(text: str, scale: int, value: int) -> None:
    assert typed.value(text, scale) == value


@pytest.mark.parametrize("text", ["0", "-5", "205.001", "1e3", "abc", "97,25", "1,000,00", "", "$"])
def test_what_is_no_value_is_refused(text: str) -> None:
    with pytest.raises(Refused):
        typed.value(text, 2)


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("20s", 20_000),
        ("5m", 300_000),
        ("2h", 7_200_000),
        ("1d", 86_400_000),
        ("1h 30m", 5_400_000),
        ("1h30m", 5_400_000),
        ("45 min", 2_700_000),
        ("3 Hours", 10_800_000),
        ("90 seconds", 90_000),
    ],
)
def test_a_length_of_time_is_read(text: str, ms: int) -> None:
    assert typed.length_ms(text) == ms


@pytest.mark.parametrize(
    "text", ["", "0s", "5", "m", "5 parsecs", "-5m", "1.5h", "5mm", "5m x", "٥m"]
)
def test_what_is_no_length_is_refused(text: str) -> None:
    with pytest.raises(Refused):
        typed.length_ms(text)


@pytest.mark.parametrize("text", ["0.1 - 2", "0.1-2", "0.1 2", "0.1 to 2", "0.1–2"])
def test_two_amounts_are_stake_limits(text: str) -> None:
    assert typed.stake_limits(text) == (100_000_000, 2_000_000_000)


@pytest.mark.parametrize("text", ["2 - 0.1", "1", "1 2 3", "a - b", "0 - 1", ""])
def test_what_is_no_pair_is_refused(text: str) -> None:
    with pytest.raises(Refused):
        typed.stake_limits(text)


@given(st.integers(0, 2**240))
def test_an_address_that_somebody_holds_is_read(number: int) -> None:
    assert typed.address(f" {wallet(number)} ") == wallet(number)


@pytest.mark.parametrize("size", [31, 33, 64])
def test_other_sizes_are_no_address(size: int) -> None:
    with pytest.raises(Refused):
        typed.address(base58(5, size))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "abc",
        "0" * 44,
        "O" * 44,
        "l" * 40,
        base58(5)[:-1] + "0",
        base58(5) + " x",
        "1" * 45,
        "0x52908400098527886E0F7030069857D2E4169EE7",
        "١" * 44,
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(Refused, match=r"not a Solana address|32 to 44 letters"):
        typed.address(text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("1" * 32, "System Program"),
        ("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA", "Token program"),
        ("SysvarC1ock11111111111111111111111111111111", "Solana itself"),
        # The token account of somebody's wallet: derived, so nobody has its key.
        ("GXZz22k7KGw8pRjCZknCRggsscFuo3drHp6JoGRjkGt", "Nobody holds a key"),
    ],
)
def test_what_is_no_wallet_is_refused_in_the_chat(text: str, says: str) -> None:
    with pytest.raises(Refused, match=says):
        typed.address(text)
