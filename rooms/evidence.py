"""Evidence: everything that a settlement follows from, as one text that anyone can hash again.

In        a room's rule, what decided it, the stakes that count, the division.
Out       a bundle of plain JSON values; its SHA-256 in hex; the facts again from a bundle.
Promises  the same facts give the same hash, whatever their order; people appear by their Solana
          addresses only; values, money and ids are text, since programs read numbers past 2^53
          wrongly; what is not exactly a bundle is `Impossible`.
Why       the hash goes into a memo on chain, so that the bundle cannot be changed afterwards.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final, TypeVar

from rooms.canonical import canonical, content_hash
from rooms.coverage import Coverage
from rooms.crossing import Crossing
from rooms.feed import Guards
from rooms.index_price import IndexPrice, Input, LeftOut
from rooms.look_back import LookBack
from rooms.pool import Stake
from rooms.refusal import Impossible, must
from rooms.room import Comparator, Outcome, Room, Side, VoidReason
from rooms.settlement import Settlement
from rooms.tick import Tick
from rooms.units import Address, Bps, Lamports, Signature, Slot, UnixMs, Value

FORM: Final = "rooms-evidence/1"
RULE_VERSION: Final = 2
"""Grows when the same facts would be decided or divided otherwise than before."""

SPANS_MAX: Final = 3_600
"""A longer watch is told in as many equal spans."""

SEGMENTS_MAX: Final = 3_000
"""More of them are named together, some at a time."""

_SECOND_MS: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Stored seconds of the watch, together: one, or as many as a long watch needs.

    Attributes:
        at: where the first begins; they end before ``until``.
        seconds: how many of them were stored; ``silent`` those that ended without a price.
        low, high: of the index prices in them; None when there was none.
        last: the index price at the end; None in a silence.
        position: the offset in the feed's log of the last message in them.
    """

    at: UnixMs
    until: UnixMs
    seconds: int
    silent: int
    low: Value | None
    high: Value | None
    last: Value | None
    position: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedSegment:
    """A segment of the recording, by the hash of its content; or several in a row, together.

    Attributes:
        segments: how many; the hash of several is that of their hashes, a line each.
    """

    hash: str
    segments: int
    from_at: UnixMs
    to_at: UnixMs
    first_offset: int
    last_offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LandedStake:
    """A stake that counts, and where on the chain it is.

    Attributes:
        is_referred: somebody brought the bettor, and shares in the fee.
    """

    id: int
    bet: int
    address: Address
    side: Side
    lamports: Lamports
    weight_bps: Bps
    is_referred: bool
    landed_at: UnixMs
    slot: Slot
    signature: Signature


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """The pool as it was written down, and the slot by which it was."""

    slot: Slot
    yes: Lamports
    no: Lamports


@dataclass(frozen=True, slots=True, kw_only=True)
class PaidBet:
    """What a winning bet gets."""

    bet: int
    address: Address
    lamports: Lamports


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenBack:
    """What a stake gets back."""

    stake: int
    address: Address
    lamports: Lamports


@dataclass(frozen=True, slots=True, kw_only=True)
class Division:
    """A settlement with addresses instead of people.

    Attributes:
        shares: host's and referrers' together; with ``house`` they go to the treasury.
    """

    outcome: Outcome
    reason: VoidReason | None
    pool: Lamports
    payouts: tuple[PaidBet, ...]
    refunds: tuple[GivenBack, ...]
    shares: Lamports
    house: Lamports


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeOf:
    """An input of a derived feed: what its values are counted in, and what it is judged by."""

    feed: str
    scale: int
    guards: Guards


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """How a derived feed is made: its expression, in its one form, and its inputs by name."""

    expression: str
    inputs: tuple[MadeOf, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """How many of a token a market cap counts: every tick of the cap is a price times that.

    Attributes:
        cap: the feed of the cap; ``scale`` its own.
        price_scale: of what sources said; ``supply_scale`` of how many there are.
        supply: the feed that says how many there are, judged by ``guards``.
        counts: its index prices that were in force while the room was watched, in order.
    """

    cap: str
    scale: int
    price_scale: int
    supply: str
    supply_scale: int
    guards: Guards
    counts: tuple[IndexPrice, ...]

    def price_of(self, value: Value, count: Value) -> Value | None:
        """Return the price that makes a cap of this value; None when no price does."""
        places = self.price_scale + self.supply_scale - self.scale
        part: int = 10 ** abs(places)
        if places < 0:
            value = Value(value // part) if value % part == 0 else Value(0)
            part = 1
        price = -(-value * part // count)
        return Value(price) if price and price * count // part == value else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Everything that a settlement follows from.

    Attributes:
        rule_version: of the rules that decided and divided.
        room: its rule, the target fixed where it is a move; the creator is not in it.
        made: how its feed is made, where that is a derived one.
        caps: the market caps that it is about, or that its feed is made of.
        base: the index price that fixed a move's target.
        outcome, reason, decided_at: what the price decided, before the pool was looked at.
        coverage: how much of the watch had an index price; None when it had not begun.
        spans: the stored seconds of the watch.
        segments: the recorded segments in which the watch lies, as far as they were closed.
    """

    rule_version: int
    room: Room
    vault: Address
    treasury: Address
    made: Made | None = None
    caps: tuple[Counted, ...] = ()
    base: IndexPrice | None
    outcome: Outcome
    reason: VoidReason | None
    decided_at: UnixMs
    crossing: Crossing | None
    coverage: Coverage | None
    spans: tuple[Span, ...]
    segments: tuple[RecordedSegment, ...]
    seal: Seal
    stakes: tuple[LandedStake, ...]
    division: Division


def shown_from(watch_at: UnixMs, crossing: Crossing | None) -> UnixMs:
    """Return where the stored seconds begin: the watch, or the last price before its crossing."""
    if crossing is None:
        return watch_at
    return min(watch_at, (crossing.before or crossing.began or crossing.price).at)


def span_ms(from_at: int, to_at: int) -> int:
    """Return how many milliseconds a span of this watch tells together: whole seconds."""
    return max(1, -(-(to_at - from_at) // (SPANS_MAX * _SECOND_MS))) * _SECOND_MS


def gathered(segments: Sequence[RecordedSegment]) -> tuple[RecordedSegment, ...]:
    """Name segments together, as many at a time as must be."""
    at_once = -(-len(segments) // SEGMENTS_MAX) or 1
    if at_once == 1:
        return tuple(segments)
    runs = (segments[start : start + at_once] for start in range(0, len(segments), at_once))
    return tuple(
        RecordedSegment(
            hash=content_hash("\n".join(each.hash for each in run)),
            segments=len(run),
            from_at=run[0].from_at,
            to_at=run[-1].to_at,
            first_offset=run[0].first_offset,
            last_offset=run[-1].last_offset,
        )
        for run in runs
    )


def division_of(
    settlement: Settlement, stakes: Iterable[Stake], addresses: Mapping[int, Address]
) -> Division:
    """Write a settlement down with addresses instead of people."""
    owners = {stake.id: addresses[stake.user] for stake in stakes}
    return Division(
        outcome=settlement.outcome,
        reason=settlement.reason,
        pool=settlement.pool,
        payouts=tuple(
            PaidBet(bet=each.bet, address=addresses[each.user], lamports=each.lamports)
            for each in settlement.payouts
        ),
        refunds=tuple(
            GivenBack(stake=each.stake, address=owners[each.stake], lamports=each.lamports)
            for each in settlement.refunds
        ),
        shares=Lamports(sum(lamports for _, lamports in settlement.shares)),
        house=settlement.house,
    )


def bundle_of(evidence: Evidence) -> dict[str, Any]:
    """Write evidence as plain JSON values."""
    room = evidence.room
    return {
        "form": FORM,
        "rule_version": evidence.rule_version,
        "room": {
            **{name: _value(name, getattr(room, name)) for name in _RULE},
            **({name: getattr(room, name) for name in _ASSET} if room.money.is_token else {}),
            "id": str(room.id),
            "guards": _guards(room.guards),
            "vault": evidence.vault,
            "treasury": evidence.treasury,
        },
        "made": None if evidence.made is None else _made(evidence.made),
        "caps": [_counted(each) for each in evidence.caps],
        "base": _price(evidence.base),
        "decision": {
            "outcome": evidence.outcome.value,
            "reason": evidence.reason and evidence.reason.value,
            "at": evidence.decided_at,
        },
        "crossing": None if evidence.crossing is None else _crossing(evidence.crossing),
        "coverage": None if evidence.coverage is None else _record(evidence.coverage),
        "seconds": [_record(span) for span in evidence.spans],
        "segments": [_record(segment) for segment in evidence.segments],
        "seal": _record(evidence.seal),
        "stakes": [_stake(each) for each in sorted(evidence.stakes, key=lambda each: each.id)],
        "division": plain_division(evidence.division),
    }


def plain_division(division: Division) -> dict[str, Any]:
    """Write a division as it stands in a bundle."""
    return {
        "outcome": division.outcome.value,
        "reason": division.reason and division.reason.value,
        "pool": str(division.pool),
        "payouts": [_paid(each.bet, each) for each in division.payouts],
        "refunds": [_paid(each.stake, each) for each in division.refunds],
        "shares": str(division.shares),
        "house": str(division.house),
    }


def evidence_hash(bundle: Mapping[str, Any]) -> str:
    """Hash a bundle: SHA-256 over its JSON with sorted keys and no blanks, in UTF-8."""
    return content_hash(canonical(bundle))


def evidence_of(bundle: Any) -> Evidence:  # noqa: ANN401 - what JSON says
    """Read a bundle.

    Raises:
        Impossible: when it is not exactly one, or can never be true.
    """
    try:
        evidence = _evidence(bundle)
    except (KeyError, TypeError, ValueError, AttributeError, AssertionError) as error:
        raise Impossible(f"not a bundle of evidence: {error or type(error).__name__}") from error
    must(bundle_of(evidence) == bundle, "not a bundle of evidence: something is in it twice or odd")
    return evidence


_TEXT: Final = frozenset(
    {"yes", "no", "low", "high", "last", "total", "then", "target", "pool_lamports_max",
     "stake_lamports_min", "stake_lamports_max"}
)  # fmt: skip
"""Which of a record's numbers are text."""

_MAY_BE_NONE: Final = ("move_bps", "target", "seats", "pool_lamports_max")
_ASSET: Final = ("asset", "asset_decimals")
"""Said only of a room that is not in SOL."""
_NOT_RULE: Final = ("id", "creator", "guards", *_ASSET)
_RULE: Final = tuple(each.name for each in fields(Room) if each.name not in _NOT_RULE)
Read = TypeVar("Read")
Kind = TypeVar("Kind", Span, RecordedSegment, Seal, Coverage, LookBack)


def _value(name: str, value: Any) -> Any:  # noqa: ANN401 - what a record holds
    if name in _TEXT:
        return None if value is None else str(value)
    return int(value) if isinstance(value, Comparator) else value


def _record(record: Any) -> dict[str, Any]:  # noqa: ANN401 - one of our own records
    return {each.name: _value(each.name, getattr(record, each.name)) for each in fields(record)}


def _stake(stake: LandedStake) -> dict[str, Any]:
    return {
        "id": str(stake.id),
        "bet": str(stake.bet),
        "address": stake.address,
        "side": stake.side.value,
        "lamports": str(stake.lamports),
        "weight_bps": stake.weight_bps,
        "is_referred": stake.is_referred,
        "landed_at": stake.landed_at,
        "slot": stake.slot,
        "signature": stake.signature,
    }


def _paid(number: int, paid: PaidBet | GivenBack) -> dict[str, Any]:
    what = "bet" if isinstance(paid, PaidBet) else "stake"
    return {what: str(number), "address": paid.address, "lamports": str(paid.lamports)}


def _price(price: IndexPrice | None) -> dict[str, Any] | None:
    if price is None:
        return None
    return {
        "value": str(price.value),
        "at": price.at,
        "ticks": [_tick(tick) for tick in price.ticks],
        "left_out": [{**_tick(tick), "why": why.value} for tick, why in price.left_out],
        "inputs": [
            {
                "feed": each.feed,
                "price": _price(each.price),
                "looks": [_record(look) for look in each.looks],
            }
            for each in price.inputs
        ],
    }


def _guards(guards: Guards) -> dict[str, Any]:
    return {each.name: getattr(guards, each.name) for each in fields(Guards)}


def _made(made: Made) -> dict[str, Any]:
    return {
        "expression": made.expression,
        "inputs": [
            {"feed": each.feed, "scale": each.scale, "guards": _guards(each.guards)}
            for each in made.inputs
        ],
    }


def _counted(counted: Counted) -> dict[str, Any]:
    return {
        "cap": counted.cap,
        "scale": counted.scale,
        "price_scale": counted.price_scale,
        "supply": counted.supply,
        "supply_scale": counted.supply_scale,
        "guards": _guards(counted.guards),
        "counts": [_price(each) for each in counted.counts],
    }


def _tick(tick: Tick) -> dict[str, Any]:
    return {
        "source": tick.source,
        "sequence": str(tick.sequence),
        "value": str(tick.value),
        "source_at": tick.source_at,
        "at": tick.at,
    }


def _crossing(crossing: Crossing) -> dict[str, Any]:
    return {
        "before": _price(crossing.before),
        "began": _price(crossing.began),
        "between": [_price(each) for each in crossing.between],
        "price": _price(crossing.price),
    }


def _evidence(bundle: Any) -> Evidence:  # noqa: ANN401 - what JSON says
    must(bundle["form"] == FORM, f"its form is {bundle['form']!r}, not {FORM!r}")
    plain, decision, division = bundle["room"], bundle["decision"], bundle["division"]
    room = Room(
        **{name: _read_value(name, plain[name]) for name in _RULE},
        **{name: plain[name] for name in _ASSET if name in plain},
        id=_whole(plain["id"]),
        creator=0,
        guards=_read_guards(plain["guards"]),
    )
    _check_types(plain, room)
    return Evidence(
        rule_version=_int(bundle["rule_version"]),
        room=room,
        vault=Address(_str(plain["vault"])),
        treasury=Address(_str(plain["treasury"])),
        made=_maybe(_read_made, bundle["made"]),
        caps=tuple(_read_counted(each) for each in bundle["caps"]),
        base=_maybe(_read_price, bundle["base"]),
        outcome=Outcome(decision["outcome"]),
        reason=_maybe(VoidReason, decision["reason"]),
        decided_at=UnixMs(_int(decision["at"])),
        crossing=_maybe(lambda said: _read_crossing(room, said), bundle["crossing"]),
        coverage=_maybe(lambda said: _read_record(Coverage, said), bundle["coverage"]),
        spans=tuple(_read_record(Span, each) for each in bundle["seconds"]),
        segments=tuple(_read_record(RecordedSegment, each) for each in bundle["segments"]),
        seal=_read_record(Seal, bundle["seal"]),
        stakes=tuple(_read_stake(each) for each in bundle["stakes"]),
        division=Division(
            outcome=Outcome(division["outcome"]),
            reason=_maybe(VoidReason, division["reason"]),
            pool=Lamports(_whole(division["pool"])),
            payouts=tuple(
                PaidBet(
                    bet=_whole(each["bet"]),
                    address=Address(_str(each["address"])),
                    lamports=Lamports(_whole(each["lamports"])),
                )
                for each in division["payouts"]
            ),
            refunds=tuple(
                GivenBack(
                    stake=_whole(each["stake"]),
                    address=Address(_str(each["address"])),
                    lamports=Lamports(_whole(each["lamports"])),
                )
                for each in division["refunds"]
            ),
            shares=Lamports(_whole(division["shares"])),
            house=Lamports(_whole(division["house"])),
        ),
    )


def _read_value(name: str, said: Any) -> Any:  # noqa: ANN401 - what JSON says
    if name in _TEXT:
        return _maybe(_whole, said)
    return Comparator(_int(said)) if name == "comparator" else said


def _read_record(kind: type[Kind], said: Mapping[str, Any]) -> Kind:
    values = {each.name: _read_value(each.name, said[each.name]) for each in fields(kind)}
    for name, value in values.items():
        if name not in _TEXT:
            _str(value) if name == "hash" else _int(value)
    return kind(**values)


def _check_types(plain: Mapping[str, Any], room: Room) -> None:
    """Refuse what Python would let pass: a truth value, text or nothing instead of a number."""
    _str(plain["feed"])
    _str(room.asset)
    _int(room.asset_decimals)
    must(isinstance(room.is_live, bool), "a room is live or not")
    for name in _RULE:
        value = getattr(room, name)
        if name not in ("feed", "is_live", "comparator") and not (
            value is None and name in _MAY_BE_NONE
        ):
            _int(value)


def _read_guards(said: Mapping[str, Any]) -> Guards:
    guards = Guards(**said)
    for each in fields(Guards):
        value = getattr(guards, each.name)
        _maybe(_str, value) if each.name == "witness" else _int(value)
    return guards


def _read_made(said: Mapping[str, Any]) -> Made:
    return Made(
        expression=_str(said["expression"]),
        inputs=tuple(
            MadeOf(
                feed=_str(each["feed"]),
                scale=_int(each["scale"]),
                guards=_read_guards(each["guards"]),
            )
            for each in said["inputs"]
        ),
    )


def _read_counted(said: Mapping[str, Any]) -> Counted:
    return Counted(
        cap=_str(said["cap"]),
        scale=_int(said["scale"]),
        price_scale=_int(said["price_scale"]),
        supply=_str(said["supply"]),
        supply_scale=_int(said["supply_scale"]),
        guards=_read_guards(said["guards"]),
        counts=tuple(_read_price(each) for each in said["counts"]),
    )


def _read_price(said: Mapping[str, Any]) -> IndexPrice:
    return IndexPrice(
        value=Value(_whole(said["value"])),
        at=UnixMs(_int(said["at"])),
        ticks=tuple(_read_tick(each) for each in said["ticks"]),
        left_out=tuple((_read_tick(each), LeftOut(each["why"])) for each in said["left_out"]),
        inputs=tuple(
            Input(
                _str(each["feed"]),
                _read_price(each["price"]),
                tuple(_read_record(LookBack, look) for look in each["looks"]),
            )
            for each in said["inputs"]
        ),
    )


def _read_tick(said: Mapping[str, Any]) -> Tick:
    return Tick(
        source=_str(said["source"]),
        sequence=_whole(said["sequence"]),
        value=Value(_whole(said["value"])),
        source_at=UnixMs(_int(said["source_at"])),
        at=UnixMs(_int(said["at"])),
    )


def _read_crossing(room: Room, said: Mapping[str, Any]) -> Crossing:
    assert room.target is not None, "what is crossed is a target"
    return Crossing(
        room=room.id,
        comparator=room.comparator,
        target=room.target,
        before=_maybe(_read_price, said["before"]),
        began=_maybe(_read_price, said["began"]),
        between=tuple(_read_price(each) for each in said["between"]),
        price=_read_price(said["price"]),
    )


def _read_stake(said: Mapping[str, Any]) -> LandedStake:
    must(isinstance(said["is_referred"], bool), "a stake is referred or not")
    return LandedStake(
        id=_whole(said["id"]),
        bet=_whole(said["bet"]),
        address=Address(_str(said["address"])),
        side=Side(said["side"]),
        lamports=Lamports(_whole(said["lamports"])),
        weight_bps=Bps(_int(said["weight_bps"])),
        is_referred=said["is_referred"],
        landed_at=UnixMs(_int(said["landed_at"])),
        slot=Slot(_int(said["slot"])),
        signature=Signature(_str(said["signature"])),
    )


def _maybe(read: Callable[[Any], Read], said: Any) -> Read | None:  # noqa: ANN401 - what JSON says
    return None if said is None else read(said)


def _whole(said: Any) -> int:  # noqa: ANN401 - what JSON says
    """Read a whole number that is written as text."""
    must(isinstance(said, str), "a number past 2^53 is text")
    return int(said)


def _int(said: Any) -> int:  # noqa: ANN401 - what JSON says
    must(type(said) is int, "a whole number is expected")
    return int(said)


def _str(said: Any) -> str:  # noqa: ANN401 - what JSON says
    must(isinstance(said, str), "text is expected")
    return str(said)
