"""A settlement can be worked out again from its bundle alone, and no field of it can be changed.

Every field of every ending is changed, one at a time: the hash shows each. With the hash made right
again, the rules themselves show all but those that `BY_HASH_ALONE` names.
"""

import copy
import re
from collections.abc import Iterator
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rooms.canonical import canonical, plain_of
from rooms.evidence import bundle_of, evidence_hash, evidence_of, gathered, span_ms
from rooms.refusal import Impossible
from rooms.verification import verify
from tests.rooms.bundles import CROSSED, DEADLINE, ENDINGS, WATCH, bundle

endings = pytest.mark.parametrize("ending", sorted(ENDINGS))
Path = tuple[str | int, ...]

BY_HASH_ALONE: Final = re.compile(
    r"""
    room\.(id|feed|scale|opened_at|lock_at|cut_at|volatility_bps|vault|treasury|is_live|seats
          |stake_lamports_(min|max)|pool_lamports_max|target_wait_ms|gap_ms_max|held_ms|deadline_at
          |watch_at|target|comparator|protocol_fee_bps|host_fee_bps|move_bps)
  | room\.guards\..*                                  # A guard that none of these ticks came near.
  | (base|crossing)\..*(ticks|left_out)\.\d+\.(source|sequence|source_at|at|value|why)
  | (base|crossing)\..*inputs\.\d+\.price\.at
  | made\.inputs\.\d+\.guards\..*
  | caps\.\d+\.(supply|price_scale|supply_scale|guards\..*)
  | caps\.\d+\.counts\.\d+\.(at|ticks\.\d+\.(source|sequence|source_at|at))
  | (base|crossing\..*)\.at
  | coverage\.(missing_ms|longest_gap_ms)
  | seconds\.\d+\.(seconds|silent|low|high|last|position|at|until)
  | segments\.\d+\.(segments|from_at|to_at|first_offset|last_offset|hash)
  | seal\.slot
  | stakes\.\d+\.(id|bet|address|landed_at|slot|signature|weight_bps|is_referred)
  | decision\.(at|reason|outcome)
  | division\.reason
    """,
    re.VERBOSE,
)
"""What may be another without a contradiction, in some ending or by some small step."""


def leaves(plain: Any, path: Path = ()) -> Iterator[Path]:  # noqa: ANN401 - what JSON says
    if isinstance(plain, dict | list):
        for name, each in plain.items() if isinstance(plain, dict) else enumerate(plain):
            yield from leaves(each, (*path, name))
    else:
        yield path


def at(plain: Any, path: Path) -> Any:  # noqa: ANN401 - what JSON says
    for name in path:
        plain = plain[name]
    return plain


def changed(plain: Any, path: Path, value: Any) -> Any:  # noqa: ANN401 - what JSON says
    other = copy.deepcopy(plain)
    at(other, path[:-1])[path[-1]] = value
    return other


def faults(plain: Any, expected_hash: str | None = None) -> list[str]:  # noqa: ANN401 - what JSON says
    return [f"{each.what}: {each.fault}" for each in verify(plain, expected_hash) if each.fault]


@endings
def test_an_honest_bundle_has_no_fault(ending: str) -> None:
    assert faults(bundle(ending), evidence_hash(bundle(ending))) == []


@endings
def test_a_bundle_is_read_back_from_its_text(ending: str) -> None:
    assert bundle_of(evidence_of(plain_of(canonical(bundle(ending))))) == bundle(ending)


@given(st.sampled_from(sorted(ENDINGS)), st.data())
def test_any_field_that_is_changed_changes_the_hash(ending: str, data: st.DataObject) -> None:
    honest = bundle(ending)
    path = data.draw(st.sampled_from(sorted(leaves(honest), key=str)))
    old = at(honest, path)
    other = data.draw(
        st.one_of(st.integers(), st.text(max_size=20), st.booleans(), st.none()).filter(
            lambda new: canonical(new) != canonical(old)
        )
    )
    assert faults(changed(honest, path, other), evidence_hash(honest))


DECIDES: Final = {
    "a median": ("yes", ("crossing", "price", "value"), "20403"),
    "a tick that moves the median": ("yes", ("crossing", "price", "ticks", 1, "value"), "20390"),
    "a tick that is stale": ("yes", ("base", "ticks", 1, "at"), WATCH - 9_000),
    "why a source was left out": ("yes", ("base", "left_out", 1, "why"), "outlier"),
    "a tick of a source that counts twice": ("yes", ("base", "ticks", 0, "source"), "kraken"),
    "the quorum": ("yes", ("room", "guards", "quorum"), 4),
    "the age of a tick": ("yes", ("room", "guards", "tick_age_ms_max"), 6_000),
    "the first price": ("yes", ("base", "value"), "20001"),
    "the target": ("yes", ("room", "target"), "20401"),
    "a longest gap that is nothing": ("void: one side", ("room", "gap_ms_max"), None),
    "the move": ("no", ("room", "move_bps"), 199),
    "which way it lies": ("yes", ("room", "comparator"), -1),
    "when the first price was": ("no", ("room", "watch_at"), WATCH + 200),
    "a price short of the target that was not": ("yes", ("room", "target"), "20399"),
    "a hold that was too short": ("yes, held", ("room", "held_ms"), 3_001),
    "a hold that was none": ("yes, held", ("room", "held_ms"), 0),
    "a crossing after the deadline": ("yes", ("room", "deadline_at"), CROSSED - 1),
    "a crossing before the watch": ("yes, fixed", ("room", "watch_at"), CROSSED + 1),
    "when it was decided": ("yes", ("decision", "at"), CROSSED + 1),
    "the outcome": ("yes", ("decision", "outcome"), "NO"),
    "an outcome that nothing shows": ("no", ("decision", "outcome"), "YES"),
    "a void without a reason": ("no", ("decision", "outcome"), "VOID"),
    "the deadline": ("no", ("room", "deadline_at"), DEADLINE + 1),
    "a second that touched": ("no", ("seconds", 30, "high"), "20400"),
    "a second that is no range": ("no", ("seconds", 30, "low"), "20106"),
    "a second that is told twice": ("no", ("seconds", 31, "at"), WATCH + 30_000),
    "a gap that was no gap": ("void: gap", ("coverage", "longest_gap_ms"), 2_900),
    "a gap that may be": ("void: gap", ("room", "gap_ms_max"), 6_000),
    "a gap that voids": ("no", ("room", "gap_ms_max"), -1),
    "a silence that was none": ("void: silent", ("seconds", 59, "low"), "20100"),
    "a first price after all": ("void: no price", ("seconds", 3, "low"), "20100"),
    "a stake": ("yes", ("stakes", 0, "lamports"), "3000000001"),
    "its side": ("yes", ("stakes", 0, "side"), "NO"),
    "its owner": ("yes", ("stakes", 0, "address"), "Mallory"),
    "its weight": ("yes", ("stakes", 0, "weight_bps"), 20_000),
    "its referral": ("yes", ("stakes", 1, "is_referred"), False),
    "its landing": ("yes", ("stakes", 0, "landed_at"), WATCH),
    "a stake that is there twice": ("yes", ("stakes", 1, "id"), "1"),
    "the seal": ("yes", ("seal", "yes"), "1"),
    "a payout": ("yes", ("division", "payouts", 0, "lamports"), "4000000000"),
    "its address": ("yes", ("division", "payouts", 0, "address"), "Mallory"),
    "a refund": ("void: gap", ("division", "refunds", 0, "lamports"), "1"),
    "its owner's address": ("void: gap", ("division", "refunds", 0, "address"), "Mallory"),
    "a refund of a room with one side": ("void: one side", ("division", "outcome"), "NO"),
    "the pool": ("yes", ("division", "pool"), "1"),
    "the house": ("yes", ("division", "house"), "1"),
    "the shares": ("yes", ("division", "shares"), "1"),
    "the protocol's fee": ("yes", ("room", "protocol_fee_bps"), 100),
    "the host's fee": ("yes", ("room", "host_fee_bps"), 0),
    "a hash that is none": ("yes", ("segments", 0, "hash"), "xyz"),
    "a derived value": ("yes, derived", ("crossing", "price", "value"), "2070000000"),
    "an input's median": (
        "yes, derived",
        ("crossing", "price", "inputs", 0, "price", "value"),
        "5100",
    ),
    "how many there are": ("yes, market cap", ("caps", 0, "counts", 0, "value"), "999"),
    "who says how many there are": (
        "yes, market cap",
        ("caps", 0, "counts", 0, "ticks", 0, "value"),
        "999",
    ),
    "a cap that no price makes": (
        "yes, market cap",
        ("base", "left_out", 0, "value"),
        str(20_003 * 1_000 + 1),
    ),
    "that anything is counted": ("yes, market cap", ("caps",), []),
    "the expression": ("yes, derived", ("made", "expression"), "price(ETH) / price(SOL)"),
    "an input's scale": ("yes, derived", ("made", "inputs", 0, "scale"), 3),
    "the rules": ("yes", ("rule_version",), 1),
    "the form": ("yes", ("form",), "rooms-evidence/9"),
}


@pytest.mark.parametrize("what", DECIDES)
def test_with_its_hash_made_right_the_rules_themselves_show(what: str) -> None:
    ending, path, value = DECIDES[what]
    spoilt = changed(bundle(ending), path, value)
    assert faults(spoilt, evidence_hash(spoilt))


@endings
def test_with_its_hash_made_right_every_field_that_decides_is_shown(ending: str) -> None:
    honest = bundle(ending)
    unseen = []
    for path in leaves(honest):
        if BY_HASH_ALONE.fullmatch(".".join(map(str, path))):
            continue
        match at(honest, path):
            case bool() as old:
                others: list[Any] = [not old]
            case int() as old:
                others = [old + 1, old - 1, 0, -old, str(old)]
            case str() as old if old.isdigit():
                others = [str(int(old) + 1), str(int(old) - 1), "0", int(old)]
            case old:
                others = [f"{old}x", "", None if old else 0]
        for other in others:
            spoilt = changed(honest, path, other)
            if other != at(honest, path) and not faults(spoilt, evidence_hash(spoilt)):
                unseen.append((path, other))
    assert unseen == []


@given(st.data())
def test_what_is_no_bundle_is_a_fault_and_never_a_crash(data: st.DataObject) -> None:
    honest = bundle("yes")
    path = data.draw(st.sampled_from(sorted(leaves(honest), key=str)))
    cut = path[: data.draw(st.integers(1, len(path)))]
    junk = st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
        ),
        max_leaves=5,
    )
    spoilt = changed(honest, cut, data.draw(junk))
    try:
        assert bundle_of(evidence_of(spoilt)) == spoilt
    except Impossible:
        assert faults(spoilt)


def test_long_watches_are_told_in_few_spans_and_few_hashes() -> None:
    month = 30 * 86_400_000
    assert span_ms(0, 60_000) == 1_000
    assert (month + span_ms(0, month) - 1) // span_ms(0, month) <= 3_600
    (segment,) = ENDINGS["yes"].segments
    many = gathered([segment] * 43_200)
    assert len(many) <= 3_000
    assert sum(each.segments for each in many) == 43_200
    assert gathered([segment] * 2) == (segment, segment)
