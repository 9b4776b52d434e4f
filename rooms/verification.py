"""Verification: a settlement worked out again from its evidence alone, by the rules themselves.

In        a bundle of evidence; the hash that it should have, where somebody kept it.
Out       findings: what was checked, what the bundle says, what follows instead.
Promises  nothing in the bundle is believed that follows from something else in it: medians, target,
          crossing, outcome and every payout are worked out again; no clock, no network.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rooms.canonical import canonical, content_hash
from rooms.derived import Derivation, leaf_value, value_of
from rooms.evidence import (
    RULE_VERSION,
    Counted,
    Division,
    Evidence,
    Made,
    division_of,
    evidence_of,
    shown_from,
)
from rooms.expression.form import formula
from rooms.expression.reading import Misread
from rooms.expression.reckoning import Exact
from rooms.expression.tree import Leaf, Series, leaves_of
from rooms.feed import Guards
from rooms.index_price import IndexPrice, LeftOut, Silence, index_price
from rooms.pool import Stake, pool_of
from rooms.refusal import Impossible, must
from rooms.room import Comparator, Outcome, Room, VoidReason, reached, target_of_move
from rooms.settlement import settle
from rooms.tick import Tick
from rooms.token import CAP_PREFIX
from rooms.units import Address, Value

SECOND_MS = 1_000
_HOST = -1
_REFERRER = -2
_BY_HISTORY = frozenset({LeftOut.STUCK, LeftOut.RETURNING, LeftOut.PROBATION})
"""Reasons that follow from what a source did before: the recording shows it, the tick does not."""

_UNSEEN = frozenset({VoidReason.LOG_ENDED, VoidReason.FORGOTTEN})
"""Voids of rooms that no log decided."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was checked.

    Attributes:
        what: in a word or two.
        fault: what the bundle says and what follows instead; None when they agree.
        said: what was looked at, for a person.
    """

    what: str
    said: str
    fault: str | None = None


def verify(bundle: Any, expected_hash: str | None = None) -> list[Finding]:  # noqa: ANN401 - what JSON says
    """Check everything that a bundle says."""
    found = [_hash(bundle, expected_hash)]
    try:
        evidence = evidence_of(bundle)
    except Impossible as wrong:
        return [*found, Finding("form", "every field is there, once, and of its kind", str(wrong))]
    return [
        *found,
        _version(evidence),
        _found("index prices", _prices_said(evidence), _wrong_prices(evidence)),
        *_caps(evidence),
        _found("target", _target_said(evidence.room), _wrong_target(evidence)),
        _found("crossing", _crossing_said(evidence), _wrong_crossing(evidence)),
        _found("watch", _watch_said(evidence), _wrong_watch(evidence)),
        _found("outcome", _outcome_said(evidence), _wrong_outcome(evidence)),
        _found("recording", _recording_said(evidence), _wrong_segments(evidence)),
        _found("stakes", f"{len(evidence.stakes)} stakes", _wrong_stakes(evidence)),
        _found("division", _division_said(evidence.division), _wrong_division(evidence)),
    ]


def _hash(bundle: Any, expected: str | None) -> Finding:  # noqa: ANN401 - what JSON says
    is_hash = content_hash(canonical(bundle))
    if expected is not None and is_hash != expected:
        return Finding("hash", is_hash, f"it should be {expected}: the bundle was changed")
    return Finding("hash", is_hash)


def _found(what: str, said: str, faults: Iterable[str]) -> Finding:
    try:
        return Finding(what, said, "; ".join(faults) or None)
    except (Impossible, AssertionError, ArithmeticError) as wrong:
        return Finding(what, said, f"it cannot be worked out: {wrong}")


def _version(evidence: Evidence) -> Finding:
    fault = None
    if evidence.rule_version != RULE_VERSION:
        fault = f"this program knows version {RULE_VERSION}: use the one of that time"
    return Finding("rules", f"version {evidence.rule_version}", fault)


def _all_prices(evidence: Evidence) -> list[IndexPrice]:
    crossing = evidence.crossing
    found: list[IndexPrice | None] = [evidence.base]
    if crossing is not None:
        found += [crossing.before, crossing.began, *crossing.between, crossing.price]
    return [price for price in found if price is not None]


def _prices_said(evidence: Evidence) -> str:
    prices = _all_prices(evidence)
    ticks = sum(_ticks(price) for price in prices)
    return f"{_count(len(prices), 'price')} from {_count(ticks, 'tick')}"


def _ticks(price: IndexPrice) -> int:
    inputs = sum(_ticks(each.price) for each in price.inputs)
    return len(price.ticks) + len(price.left_out) + inputs


def _wrong_prices(evidence: Evidence) -> Iterator[str]:
    """Judge each price again from its ticks, or from its inputs and theirs."""
    made = evidence.made
    derivation = None if made is None else _derivation(evidence, made)
    for price in _all_prices(evidence):
        if made is None or derivation is None:
            yield from _wrong_price(price, evidence.room.guards)
            continue
        guards = {each.feed: each.guards for each in made.inputs}
        if sorted(guards) != [each.feed for each in price.inputs]:
            yield f"the price at {price.at} has other inputs than its feed is made of"
            continue
        for each in price.inputs:
            yield from _wrong_price(each.price, guards[each.feed])
        value = _made_value(derivation, price)
        if price.ticks or price.left_out or value != price.value:
            yield f"the price at {price.at} is {price.value}, its inputs give {value}"


def _wrong_price(price: IndexPrice, guards: Guards) -> Iterator[str]:
    if price.inputs:
        yield f"the price at {price.at} has inputs, and its feed is made of none"
    barred = {tick.source: why for tick, why in price.left_out if why in _BY_HISTORY}
    every = _every_tick(price)
    if len({tick.source for tick in every}) != len(every):
        yield f"the price at {price.at} has two ticks of one source"
    again = index_price(every, price.at, guards, barred)
    match again:
        case Silence():
            yield f"the price at {price.at} is {price.value}, its ticks give {again.reason}"
        case IndexPrice() if again.value != price.value:
            yield f"the price at {price.at} is {price.value}, its ticks give {again.value}"
        case IndexPrice() if again != price:
            yield f"at {price.at} other ticks count than it says"


def _caps(evidence: Evidence) -> Iterator[Finding]:
    """Work out each market cap again: how many there are, and the price that each source said."""
    named = {evidence.room.feed}
    if evidence.made is not None:
        named |= {each.feed for each in evidence.made.inputs}
    told = {each.cap for each in evidence.caps}
    for cap in sorted(told | {each for each in named if each.startswith(CAP_PREFIX)}):
        if cap not in told:
            yield Finding("market cap", cap, "nothing says how many are counted")
    for each in evidence.caps:
        counts = " or ".join(str(count.value) for count in each.counts)
        said = f"{each.cap}: {counts} by {each.supply}, times what each source said"
        yield _found("market cap", said, _wrong_cap(evidence, each))


def _wrong_cap(evidence: Evidence, counted: Counted) -> Iterator[str]:
    for count in counted.counts:
        yield from _wrong_price(count, counted.guards)
    made = evidence.made
    scales = {each.feed: each.scale for each in made.inputs} if made else {}
    if scales.get(counted.cap, evidence.room.scale) != counted.scale:
        yield "it is counted at another scale"
    for price in _all_prices(evidence):
        of_cap = [each.price for each in price.inputs if each.feed == counted.cap]
        if evidence.room.feed == counted.cap:
            of_cap.append(price)
        for tick in (tick for cap in of_cap for tick in _every_tick(cap)):
            if not any(counted.price_of(tick.value, each.value) for each in counted.counts):
                yield f"at {tick.at} {tick.source} says {tick.value}, which no price makes"


def _every_tick(price: IndexPrice) -> list[Tick]:
    return [*price.ticks, *(tick for tick, _ in price.left_out)]


def _derivation(evidence: Evidence, made: Made) -> Derivation:
    """Read how a derived feed is made; its name is a hash of that."""
    try:
        found = formula(made.expression)
    except Misread as misread:
        raise Impossible(f"its expression cannot be read: {misread.sentence}") from misread
    must(found.name == evidence.room.feed, "its expression is that of another feed")
    return Derivation(
        formula=found,
        scale=evidence.room.scale,
        scales={each.feed: each.scale for each in made.inputs},
        age_ms_max=evidence.room.guards.tick_age_ms_max,
    )


def _made_value(derivation: Derivation, price: IndexPrice) -> Value | None:
    inputs = {each.feed: each for each in price.inputs}
    leaves: dict[Leaf, Exact] = {}
    for leaf in leaves_of(derivation.formula.tree):
        feed = leaf.feed if isinstance(leaf, Series) else leaf.series.feed
        if feed not in inputs:
            return None
        known = inputs[feed]
        exact = leaf_value(leaf, known.price.value, known.looks, derivation.scales[feed])
        if exact is None:
            return None
        leaves[leaf] = exact
    return value_of(derivation, leaves)


def _target_said(room: Room) -> str:
    return "none was fixed" if room.target is None else str(room.target)


def _wrong_target(evidence: Evidence) -> Iterator[str]:
    room, base = evidence.room, evidence.base
    if room.move_bps is None:
        if base is not None:
            yield "a fixed value has no first price"
        return
    if base is None:
        if room.target is not None:
            yield "no first price fixes the target"
        return
    target = target_of_move(room.comparator, room.move_bps, base.value)
    if room.target != target:
        yield f"it is {room.target}, the first price {base.value} gives {target}"
    if not room.watch_at <= base.at <= room.watch_at + room.target_wait_ms:
        yield f"its first price is of {base.at}, the watch began at {room.watch_at}"


def _crossing_said(evidence: Evidence) -> str:
    crossing = evidence.crossing
    if crossing is None:
        return "none"
    return f"{crossing.price.value} at {crossing.price.at}"


def _wrong_crossing(evidence: Evidence) -> Iterator[str]:
    room, crossing = evidence.room, evidence.crossing
    if crossing is None:
        return
    before, began, last = crossing.before, crossing.began, crossing.price
    if before is not None and reached(room.comparator, crossing.target, before.value):
        yield f"the price before it, {before.value}, was at the target already"
    order = [each.at for each in (before, began, *crossing.between, last) if each is not None]
    if order != sorted(order):
        yield "its prices are not in their order"
    if bool(room.held_ms) != (began is not None):
        yield "a target that must be held is crossed from a beginning on, and no other"
    if began is not None and last.at - began.at < room.held_ms:
        yield f"it was held {last.at - began.at} ms, not {room.held_ms}"
    if evidence.base is not None and (began or last).at < evidence.base.at:
        yield "it lies before the target was fixed"
    if last.at != evidence.decided_at:
        yield f"it is of {last.at}, the decision of {evidence.decided_at}"


def _watch_said(evidence: Evidence) -> str:
    stored = sum(span.seconds for span in evidence.spans)
    covered = evidence.coverage
    if covered is None:
        return f"{stored} seconds"
    return f"{stored} seconds, {covered.missing_ms} ms without a price"


def _wrong_watch(evidence: Evidence) -> Iterator[str]:
    begun = shown_from(evidence.room.watch_at, evidence.crossing)
    before: int | None = None
    for span in evidence.spans:
        if before is not None and span.at < before:
            yield f"the seconds at {span.at} are told twice"
        before = span.until
        most = (span.until - span.at) // SECOND_MS
        if not 0 <= span.silent <= span.seconds <= most:
            yield f"of {most} seconds at {span.at}, {span.seconds} cannot be stored"
        if (span.low is None) != (span.high is None) or (
            span.low is not None and span.high is not None and span.low > span.high
        ):
            yield f"the range of {span.at} is none"
        if span.last is not None and not _within(span.low, span.last, span.high):
            yield f"the last price of {span.at} lies outside its range"
        if span.at < begun - SECOND_MS or span.at > evidence.decided_at:
            yield f"the seconds at {span.at} are not of the watch"
    yield from _wrong_coverage(evidence)
    yield from _unseen_touches(evidence)


def _within(low: Value | None, value: Value, high: Value | None) -> bool:
    return low is not None and high is not None and low <= value <= high


def _wrong_coverage(evidence: Evidence) -> Iterator[str]:
    covered, room = evidence.coverage, evidence.room
    if covered is None:
        if evidence.decided_at > room.watch_at and evidence.reason not in _UNSEEN:
            yield "nothing says how well it was covered"
        return
    if (covered.since, covered.until) != (room.watch_at, evidence.decided_at):
        yield "its coverage is of another time"
    if not 0 <= covered.longest_gap_ms <= covered.missing_ms <= covered.until - covered.since:
        yield "its gaps do not fit into it"
    empty = _longest_empty_ms(evidence)
    if empty > covered.longest_gap_ms:
        yield f"{empty} ms have no price, the longest gap is said to be {covered.longest_gap_ms}"


def _longest_empty_ms(evidence: Evidence) -> int:
    """Return the longest stretch of stored seconds, one after another, without any price."""
    longest = since = 0
    until: int | None = None
    for span in evidence.spans:
        if span.low is not None or span.at < evidence.room.watch_at:
            until = None
            continue
        if until is None or span.at != until:
            since = span.at
        until = span.until
        longest = max(longest, min(until, evidence.decided_at) - since)
    return longest


def _unseen_touches(evidence: Evidence) -> Iterator[str]:
    """Look in whole seconds between the beginning of the watch and the decision."""
    room = evidence.room
    if room.target is None or evidence.reason is VoidReason.TOUCH_MISSED:
        return
    begun = room.watch_at if evidence.base is None else evidence.base.at
    for span in evidence.spans:
        if span.at < begun or span.until > evidence.decided_at or room.held_ms:
            continue
        if _touches(room, span.low, span.high):
            yield f"the seconds at {span.at} reach the target, and it was not decided there"


def _touches(room: Room, low: Value | None, high: Value | None) -> bool:
    extreme = high if room.comparator is Comparator.UP else low
    assert room.target is not None, "only a target is touched"
    return extreme is not None and reached(room.comparator, room.target, extreme)


def _outcome_said(evidence: Evidence) -> str:
    why = f" ({evidence.reason})" if evidence.reason else ""
    return f"{evidence.outcome}{why} at {evidence.decided_at}"


def _wrong_outcome(evidence: Evidence) -> Iterator[str]:
    room, at = evidence.room, evidence.decided_at
    if (evidence.outcome is Outcome.VOID) != (evidence.reason is not None):
        yield "a void has a reason, and nothing else has one"
    if evidence.crossing is not None:
        early = evidence.crossing.price.at < room.watch_at
        follows = (Outcome.VOID, VoidReason.REACHED_BEFORE_WATCH) if early else (Outcome.YES, None)
        if (evidence.outcome, evidence.reason) != follows:
            yield f"its crossing makes it {follows[0]}"
        if at > room.deadline_at:
            yield "it was crossed after the deadline"
        return
    match evidence.outcome, evidence.reason:
        case Outcome.YES, _:
            yield "nothing was crossed"
        case Outcome.NO, _:
            yield from _wrong_no(evidence)
        case Outcome.VOID, reason:
            yield from _wrong_void(evidence, reason)


def _wrong_no(evidence: Evidence) -> Iterator[str]:
    room, covered = evidence.room, evidence.coverage
    if evidence.decided_at != room.deadline_at:
        yield "NO is said at the deadline"
    if room.target is None:
        yield "no target was fixed"
    if covered is not None and covered.longest_gap_ms > room.gap_ms_max:
        yield f"a gap of {covered.longest_gap_ms} ms is longer than {room.gap_ms_max}: it is void"
    if covered is not None and covered.is_thin(room.guards.coverage_bps_min):
        yield f"{covered.missing_ms} ms without a price are too many: it is void"
    stored = sum(span.seconds for span in evidence.spans)
    if (stored + 2) * SECOND_MS + (covered.missing_ms if covered else 0) < (
        room.deadline_at - room.watch_at
    ):
        yield "the stored seconds do not cover the watch"


def _wrong_void(evidence: Evidence, reason: VoidReason | None) -> Iterator[str]:
    room, covered, at = evidence.room, evidence.coverage, evidence.decided_at
    match reason:
        case VoidReason.NO_PRICE_AT_WATCH:
            if room.target is not None or at != room.watch_at + room.target_wait_ms:
                yield "the target was fixed, or was waited for otherwise"
            if any(
                span.low is not None
                for span in evidence.spans
                if span.at >= room.watch_at and span.until <= at
            ):
                yield "there was a price when the watch began"
        case VoidReason.GAP:
            if covered is not None and covered.longest_gap_ms <= room.gap_ms_max:
                yield f"the longest gap, {covered.longest_gap_ms} ms, is none that voids"
        case VoidReason.THIN_COVERAGE:
            if covered is not None and not covered.is_thin(room.guards.coverage_bps_min):
                yield f"{covered.missing_ms} ms without a price are too few to void"
        case VoidReason.SILENT_AT_END:
            whole = [span for span in evidence.spans if span.until <= at]
            if whole and whole[-1].until == at and whole[-1].last is not None:
                yield "the last second ended with a price"
        case VoidReason.TOUCH_MISSED:
            if room.target is not None and not any(
                _touches(room, span.low, span.high) for span in evidence.spans
            ):
                yield "no second reached the target"
        case VoidReason.REACHED_BEFORE_WATCH:
            yield "nothing was crossed"
        case VoidReason.ONE_SIDED | VoidReason.TOO_FEW_BETTORS:
            yield "that is a matter of the pool, not of the price"
    ends = (
        VoidReason.GAP, VoidReason.THIN_COVERAGE, VoidReason.SILENT_AT_END, VoidReason.LOG_ENDED,
        VoidReason.TOUCH_MISSED,
    )  # fmt: skip
    if reason in ends and at != room.deadline_at:
        yield "it is said at the deadline"


def _recording_said(evidence: Evidence) -> str:
    return f"{sum(segment.segments for segment in evidence.segments)} segments, by hash"


def _wrong_segments(evidence: Evidence) -> Iterator[str]:
    for segment in evidence.segments:
        if segment.segments < 1:
            yield f"segment {segment.hash[:12]} is none"
        if segment.from_at > segment.to_at:
            yield f"segment {segment.hash[:12]} ends before it begins"
        if len(segment.hash) != 64 or any(
            digit not in "0123456789abcdef" for digit in segment.hash
        ):
            yield f"{segment.hash[:12]} is no hash"
    order = [segment.to_at for segment in evidence.segments]
    if order != sorted(order):
        yield "the segments are not in the order of the log"


def _wrong_stakes(evidence: Evidence) -> Iterator[str]:
    room, seal = evidence.room, evidence.seal
    if len({stake.id for stake in evidence.stakes}) != len(evidence.stakes):
        yield "a stake is there twice"
    owners: dict[int, tuple[Address, str]] = {}
    for stake in evidence.stakes:
        if owners.setdefault(stake.bet, (stake.address, stake.side)) != (stake.address, stake.side):
            yield f"bet {stake.bet} is of two people, or on two sides"
        if stake.landed_at > room.cut_at:
            yield f"stake {stake.id} landed {stake.landed_at - room.cut_at} ms after the cut"
        if stake.slot > seal.slot:
            yield f"stake {stake.id} landed after the seal"
    if len(set(owners.values())) != len(owners):
        yield "one person has two bets"
    pool = pool_of(_stakes(evidence))
    if (pool.yes, pool.no) != (seal.yes, seal.no):
        yield f"they are {pool.yes} on YES and {pool.no} on NO, the seal says {seal.yes}, {seal.no}"


def _stakes(evidence: Evidence) -> list[Stake]:
    """Return the stakes with a number for each address instead of a person."""
    people: dict[Address, int] = {}
    return [
        Stake(
            id=stake.id,
            bet=stake.bet,
            user=people.setdefault(stake.address, len(people)),
            side=stake.side,
            lamports=stake.lamports,
            weight_bps=stake.weight_bps,
            referrer=_REFERRER if stake.is_referred else None,
        )
        for stake in evidence.stakes
    ]


def _ending(division: Division) -> str:
    return f"{division.outcome} ({division.reason})" if division.reason else division.outcome


def _division_said(division: Division) -> str:
    paid = len(division.payouts) + len(division.refunds)
    return f"{division.outcome}: {division.pool} lamports in {_count(paid, 'payout')}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _wrong_division(evidence: Evidence) -> Iterator[str]:
    """Divide the pool again."""
    stakes, said = _stakes(evidence), evidence.division
    addresses = {
        stake.user: each.address for stake, each in zip(stakes, evidence.stakes, strict=True)
    }
    again = division_of(
        settle(
            stakes,
            evidence.outcome,
            evidence.reason,
            host=_HOST,
            protocol_fee_bps=evidence.room.protocol_fee_bps,
            host_fee_bps=evidence.room.host_fee_bps,
        ),
        stakes,
        addresses,
    )
    if (again.outcome, again.reason) != (said.outcome, said.reason):
        yield f"it is {_ending(said)}, the pool makes it {_ending(again)}"
    if again.pool != said.pool:
        yield f"the pool is {again.pool}, not {said.pool}"
    yield from _wrong_amounts(
        "bet", {each.bet: (each.address, each.lamports) for each in said.payouts},
        {each.bet: (each.address, each.lamports) for each in again.payouts},
    )  # fmt: skip
    yield from _wrong_amounts(
        "stake", {each.stake: (each.address, each.lamports) for each in said.refunds},
        {each.stake: (each.address, each.lamports) for each in again.refunds},
    )  # fmt: skip
    if len(again.payouts) != len(said.payouts) or len(again.refunds) != len(said.refunds):
        yield "somebody is paid twice, or not at all"
    if (again.shares, again.house) != (said.shares, said.house):
        follow, told = (again.shares, again.house), (said.shares, said.house)
        yield f"shares and house are {follow[0]} and {follow[1]}, not {told[0]} and {told[1]}"


def _wrong_amounts(
    what: str,
    said: Mapping[int, tuple[Address, int]],
    again: Mapping[int, tuple[Address, int]],
) -> Iterator[str]:
    for number in sorted({*said, *again}):
        if said.get(number) != again.get(number):
            follows, told = _amount(again.get(number)), _amount(said.get(number))
            yield f"{what} {number} gets {follows}, not {told}"


def _amount(paid: tuple[Address, int] | None) -> str:
    return "nothing" if paid is None else f"{paid[1]} at {paid[0]}"
