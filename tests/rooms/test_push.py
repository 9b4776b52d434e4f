"""Pushed values: taken once, in order, of now; or refused with what to do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rooms.push import AGE_MS_MAX, AHEAD_MS_MAX, Order, Push, push_feed
from rooms.refusal import Impossible, Refused
from rooms.units import Bps, UnixMs

NOW = UnixMs(1_700_000_000_000)
KEYS = {"alice": "a" * 64, "bob": "b" * 64}


def push(sequence: int = 1, ago: int = 0, value: str = "12.5", signer: str = "alice") -> Push:
    return Push(
        feed="push:rain", signer=signer, value=value, at=UnixMs(NOW - ago), sequence=sequence
    )


@pytest.mark.parametrize(
    ("later", "code"),
    [
        # the first was sequence 5, signed 100 ms ago
        (push(6, ago=100), None),
        (push(6, ago=50), None),
        (push(900, ago=0), None),
        (push(5, ago=50), "replayed"),
        (push(4, ago=50), "replayed"),
        (push(6, ago=101), "out_of_order"),
        (push(6, ago=AGE_MS_MAX + 1), "too_old"),
        (push(6, ago=-AHEAD_MS_MAX), None),
        (push(6, ago=-AHEAD_MS_MAX - 1), "too_early"),
        (push(6, value="12.55"), "bad_value"),
        (push(6, value="0"), "bad_value"),
        (push(6, value="-1"), "bad_value"),
        (push(6, value="1e3"), "bad_value"),
        (push(6, value="9" * 30), "bad_value"),
        (push(1, ago=9_000, signer="bob"), None),
    ],
)
def test_a_push_is_taken_or_refused(later: Push, code: str | None) -> None:
    order = Order()
    order.take(push(5, ago=100), 1, NOW)
    if code is None:
        tick = order.take(later, 1, NOW)
        assert (tick.source, tick.value, tick.sequence) == (later.signer, 125, later.sequence)
        assert (tick.source_at, tick.at) == (later.at, NOW)
        return
    with pytest.raises(Refused) as refused:
        order.take(later, 1, NOW)
    assert refused.value.code == code
    # A refusal changes nothing.
    order.take(push(6, ago=100), 1, NOW)


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 20)), max_size=30))
def test_what_is_taken_of_a_signer_only_goes_on(sent: list[tuple[int, int]]) -> None:
    order, taken = Order(), []
    for sequence, ago in sent:
        try:
            tick = order.take(push(sequence, ago=ago), 1, NOW)
        except Refused:
            continue
        taken.append((tick.sequence, tick.source_at))
    assert [sequence for sequence, _ in taken] == sorted({sequence for sequence, _ in taken})
    assert [at for _, at in taken] == sorted(at for _, at in taken)


def test_what_is_signed_says_everything_that_matters() -> None:
    assert push(7).signed_text() == f"rooms push 1\npush:rain\n12.5\n{NOW}\n7"
    texts = {each.signed_text() for each in (push(), push(2), push(ago=1), push(value="12.50"))}
    assert len(texts) == 4


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "a:b"},
        {"name": ""},
        {"unit": ""},
        {"scale": 13},
        {"signers": {}},
        {"signers": {"alice": "A" * 64}},
        {"signers": {"alice": "a" * 63}},
        {"signers": {"Alice": "a" * 64}},
        {"signers": {"alice": "a" * 64, "bob": "a" * 64}},
        {"quorum": 3},
        {"quorum": 0},
        {"age_ms_max": 0},
        {"spread_bps_max": Bps(10_000)},
    ],
)
def test_a_feed_that_cannot_be_is_refused(wrong: dict[str, object]) -> None:
    right = {
        "name": "rain", "unit": "mm", "scale": 1, "signers": KEYS, "quorum": 2,
        "age_ms_max": 60_000, "spread_bps_max": Bps(100), "volatility_bps": Bps(10_000),
    }  # fmt: skip
    assert push_feed(**right).name == "push:rain"  # type: ignore[arg-type]
    with pytest.raises(Impossible):
        push_feed(**{**right, **wrong})  # type: ignore[arg-type]
