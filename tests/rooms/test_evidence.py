"""The evidence of a settlement is one text, whatever the order, that names nobody."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rooms.canonical import canonical, content_hash
from rooms.evidence import LandedStake, bundle_of, evidence_hash, evidence_of
from rooms.refusal import Impossible
from tests.rooms.bundles import ENDINGS, bundle


@given(st.permutations(ENDINGS["yes"].stakes))
def test_the_order_of_the_stakes_does_not_matter(stakes: list[LandedStake]) -> None:
    shuffled = replace(ENDINGS["yes"], stakes=tuple(stakes))
    assert bundle_of(shuffled) == bundle("yes")


def test_the_hash_is_of_text_that_anybody_can_write() -> None:
    plain = {"b": None, "a": ["é", 1]}
    assert canonical(plain) == '{"a":["é",1],"b":null}'
    assert evidence_hash(plain) == content_hash('{"a":["é",1],"b":null}')


def test_people_are_their_addresses() -> None:
    text = canonical(bundle("yes"))
    assert "creator" not in text
    assert "user" not in text
    assert "referrer" not in text


@pytest.mark.parametrize(
    "spoil",
    [
        lambda plain: plain.pop("seal"),
        lambda plain: plain.update(more=1),
        lambda plain: plain["room"].update(more=1),
        lambda plain: plain["room"].update(scale="2"),
        lambda plain: plain["room"].update(is_live=0),
        lambda plain: plain["stakes"][0].update(lamports=5),
        lambda plain: plain["stakes"].reverse(),
        lambda plain: plain["division"].update(outcome="MAYBE"),
        lambda plain: plain["crossing"]["price"].update(value="1"),
    ],
)
def test_what_is_not_exactly_a_bundle_is_refused(spoil: object) -> None:
    plain = bundle("yes")
    spoil(plain)  # type: ignore[operator]
    with pytest.raises(Impossible, match="bundle"):
        evidence_of(plain)
