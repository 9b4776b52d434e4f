"""A PIN and codes are compared without being kept, and nothing stored of them helps a thief."""

from dataclasses import replace

import pyotp
import pytest
from argon2 import PasswordHasher
from hypothesis import given
from hypothesis import strategies as st

from bot.factors import STEP_MS, Factors
from rooms.units import UnixMs

FACTORS = Factors("k" * 32, PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
NOW = UnixMs(1_763_793_600_000)
PHONE = pyotp.TOTP(FACTORS.secret(7, "name"))


def code(at: int = NOW) -> str:
    return PHONE.at(at // 1000)


@given(st.text(max_size=12), st.text(max_size=12))
def test_a_seal_tells_alike_from_unlike_and_nothing_else(one: str, other: str) -> None:
    seals = FACTORS.seal(7, one), FACTORS.seal(7, other)
    assert (seals[0].digest == seals[1].digest) == ("".join(one.split()) == "".join(other.split()))
    assert seals[0] == FACTORS.seal(7, one)


@pytest.mark.parametrize(
    ("typed", "digits"),
    [("271828", 6), (" 271 828 ", 6), ("27182", 5), ("27182a", 0), ("٢٧١٨٢٨", 0)],
)
def test_a_seal_says_how_many_digits_it_holds(typed: str, digits: int) -> None:
    assert FACTORS.seal(7, typed).digits == digits


def test_a_pin_is_one_person_s_under_one_key() -> None:
    kept = FACTORS.pin_hash(FACTORS.seal(7, "271828"))
    assert FACTORS.is_pin(kept, FACTORS.seal(7, "271 828"))
    assert not FACTORS.is_pin(kept, FACTORS.seal(7, "271829"))
    assert not FACTORS.is_pin(kept, FACTORS.seal(8, "271828"))
    assert not FACTORS.is_pin(kept, replace(FACTORS, key="l" * 32).seal(7, "271828"))
    assert kept.startswith("$argon2id$")
    assert kept != FACTORS.pin_hash(FACTORS.seal(7, "271828"))


@pytest.mark.parametrize("pin", ["000000", "999999", "123456", "654321", "890123", "121212"])
def test_what_everybody_tries_first_is_weak(pin: str) -> None:
    assert FACTORS.is_weak(7, FACTORS.seal(7, pin))
    assert not FACTORS.is_weak(7, FACTORS.seal(7, "271828"))


def step(typed: str, now: int = NOW, *, after: int = 0) -> int | None:
    return FACTORS.step_of_code(7, "name", FACTORS.seal(7, typed), UnixMs(now), after=after)


def test_a_code_counts_in_its_half_minute_and_the_one_on_either_side_and_once() -> None:
    here = NOW // STEP_MS
    for steps in (-2, -1, 0, 1, 2):
        expected = here + steps if abs(steps) <= 1 else None
        assert step(code(NOW + steps * STEP_MS)) == expected
    assert step(code(), after=here - 1) == here
    assert step(code(), after=here) is None
    assert step("000000" if code() != "000000" else "000001") is None


def test_a_secret_is_one_person_s_and_one_phone_s() -> None:
    secrets = {
        FACTORS.secret(7, "name"), FACTORS.secret(8, "name"), FACTORS.secret(7, "other"),
        replace(FACTORS, key="l" * 32).secret(7, "name"),
    }  # fmt: skip
    assert len(secrets) == 4
    assert {len(each) for each in secrets} == {32}


def test_the_picture_is_a_picture_and_the_key_shows_nowhere() -> None:
    assert FACTORS.picture(7, "name").startswith(b"\x89PNG")
    assert "kkkk" not in repr(FACTORS)
