"""A root over all that is owed: every claim is in it, no claim can be negative or hide another."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rooms.refusal import Impossible
from rooms.solvency import EMPTY, Claim, Node, Step, is_in, leaf, prove, root, salt_of
from rooms.units import LAMPORTS_MAX, Lamports

SECRET = bytes(range(32))


def claim(owner: str, lamports: int) -> Claim:
    return Claim(owner, Lamports(lamports), salt_of(SECRET, "report", owner))


claims = st.dictionaries(st.text(max_size=8), st.integers(0, 10**15), max_size=20).map(
    lambda amounts: [claim(owner, lamports) for owner, lamports in amounts.items()]
)


@given(claims, st.randoms())
def test_the_root_adds_up_every_claim_in_any_order(some: list[Claim], random: object) -> None:
    top = root(some)
    assert top.lamports == sum(each.lamports for each in some)
    shuffled = list(some)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert root(shuffled) == top


@given(claims)
def test_every_owner_can_prove_a_claim_and_no_other(some: list[Claim]) -> None:
    top = root(some)
    for each in some:
        way = prove(some, each.owner)
        assert is_in(each, way, top)
        assert not is_in(replace(each, lamports=Lamports(each.lamports + 1)), way, top)
        assert not is_in(replace(each, owner=each.owner + "x"), way, top)
        assert not is_in(each, way, replace(top, lamports=Lamports(top.lamports + 1)))


def test_nobody_can_take_a_claim_out_of_the_sum() -> None:
    """The old trick: a node with less than nothing below makes the sum small."""
    mine = claim("me", 100)
    minus = Node(bytes(32), Lamports(-60))
    fake = Step(minus, left=False)
    forged = Node(bytes(32), Lamports(40))
    assert not is_in(mine, (fake,), forged)
    with pytest.raises(Impossible, match="never negative"):
        claim("them", -60)


@pytest.mark.parametrize(
    ("wrong", "rule"),
    [
        (lambda: root([claim("a", 1), claim("a", 2)]), "one claim"),
        (lambda: prove([claim("a", 1)], "b"), "one claim"),
        (lambda: root([claim("a", LAMPORTS_MAX), claim("b", 1)]), "can be counted"),
        (lambda: Claim("a", Lamports(1), b"short"), "salt"),
        (lambda: salt_of(b"short", "r", "a"), "secret"),
    ],
)
def test_what_cannot_be_is_refused(wrong: object, rule: str) -> None:
    with pytest.raises(Impossible, match=rule):
        wrong()  # type: ignore[operator]


def test_nothing_owed_has_a_root_too() -> None:
    assert root([]) == EMPTY
    assert root([claim("a", 7)]) == leaf(claim("a", 7))


def test_a_salt_hides_a_leaf_and_is_another_in_every_report() -> None:
    salts = {salt_of(SECRET, report, owner) for report in ("1", "2") for owner in ("a", "b")}
    assert len(salts) == 4
    assert leaf(claim("a", 7)) != leaf(Claim("a", Lamports(7), bytes(32)))


def test_the_root_is_what_an_independent_reckoning_gives() -> None:
    """Written out with nothing but sha256, for three claims."""
    import hashlib

    some = [claim("a", 1), claim("b", 2), claim("c", 3)]
    leaves = sorted(
        (
            hashlib.sha256(
                b"\x00" + each.salt + b"\x00\x00\x00\x01" + each.owner.encode()
                + each.lamports.to_bytes(8, "big")
            ).digest(),
            each.lamports,
        )
        for each in some
    )  # fmt: skip
    level = [*leaves, (bytes(32), 0)]
    while len(level) > 1:
        level = [
            (
                hashlib.sha256(
                    b"\x01" + a[0] + a[1].to_bytes(8, "big") + b[0] + b[1].to_bytes(8, "big")
                ).digest(),
                a[1] + b[1],
            )
            for a, b in zip(level[::2], level[1::2], strict=True)
        ]
    assert (root(some).hash, root(some).lamports) == level[0]
