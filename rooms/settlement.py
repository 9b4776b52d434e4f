"""Settlement: a decided pool, divided: payouts, refunds, fees and shares.

In        the sealed stakes, the outcome, the room's snapshotted fees.
Out       who gets how much, and why the sum is the pool.
Promises  the parts add up to the pool to the lamport; a winner never gets less than the stake;
          the order of the stakes does not matter; a void gives every stake back exactly.
Why       fees come out of the losing pool only, so that winning can never cost money.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from rooms.pool import Stake, pool_of, void_of_pool
from rooms.refusal import must
from rooms.room import Outcome, Side, VoidReason
from rooms.units import BPS_WHOLE, Bps, Lamports, share_floor

REFERRAL_PERCENT = 15
"""Of the protocol's fee, by the referred bet's part of the pool."""


@dataclass(frozen=True, slots=True)
class Payout:
    """What one winning bet gets: its stakes back and its share of the losing pool."""

    bet: int
    user: int
    staked: Lamports
    lamports: Lamports


@dataclass(frozen=True, slots=True)
class Refund:
    """One stake, given back exactly."""

    stake: int
    user: int
    lamports: Lamports


@dataclass(frozen=True, slots=True)
class Settlement:
    """A pool divided.

    Attributes:
        outcome: VOID when the pool was no contest, whatever the price did.
        shares: host and referral shares by user, in the treasury; ordered by user.
        house: the protocol's own part, in the treasury.
    """

    outcome: Outcome
    reason: VoidReason | None
    pool: Lamports
    payouts: tuple[Payout, ...]
    refunds: tuple[Refund, ...]
    shares: tuple[tuple[int, Lamports], ...]
    house: Lamports

    def __post_init__(self) -> None:
        paid = sum(payout.lamports for payout in self.payouts)
        given_back = sum(refund.lamports for refund in self.refunds)
        shared = sum(lamports for _, lamports in self.shares)
        must(
            paid + given_back + shared + self.house == self.pool,
            "a settlement gives away the pool, all of it and no more",
        )
        must(
            all(payout.lamports >= payout.staked for payout in self.payouts),
            "a winner never gets less than the stake",
        )


def settle(
    stakes: Iterable[Stake],
    outcome: Outcome,
    reason: VoidReason | None,
    *,
    host: int,
    protocol_fee_bps: Bps,
    host_fee_bps: Bps,
) -> Settlement:
    """Divide the sealed pool among the winning bets, or give every stake back."""
    ordered = sorted(stakes, key=lambda stake: stake.id)
    if outcome is not Outcome.VOID:
        reason = void_of_pool(ordered)
    if outcome is Outcome.VOID or reason is not None:
        return _void(ordered, reason)

    pool = pool_of(ordered)
    winning = Side(outcome)
    losing_lamports = pool.no if winning is Side.YES else pool.yes
    protocol_fee = share_floor(losing_lamports, protocol_fee_bps, BPS_WHOLE)
    host_fee = share_floor(losing_lamports, host_fee_bps, BPS_WHOLE)
    winners = [stake for stake in ordered if stake.side is winning]
    payouts = _divide(winners, losing_lamports - protocol_fee - host_fee)

    shares: dict[int, int] = {}
    if host_fee:
        shares[host] = host_fee
    referred = 0
    for stake in ordered:
        if stake.referrer is None:
            continue
        part = share_floor(REFERRAL_PERCENT * protocol_fee, stake.lamports, 100 * pool.total)
        if part:
            shares[stake.referrer] = shares.get(stake.referrer, 0) + part
            referred += part
    return Settlement(
        outcome=outcome,
        reason=None,
        pool=pool.total,
        payouts=payouts,
        refunds=(),
        shares=tuple((user, Lamports(lamports)) for user, lamports in sorted(shares.items())),
        house=Lamports(protocol_fee - referred),
    )


def _void(ordered: list[Stake], reason: VoidReason | None) -> Settlement:
    refunds = tuple(Refund(stake.id, stake.user, stake.lamports) for stake in ordered)
    total = Lamports(sum(stake.lamports for stake in ordered))
    return Settlement(Outcome.VOID, reason, total, (), refunds, (), Lamports(0))


def _divide(winners: list[Stake], prize: int) -> tuple[Payout, ...]:
    """Share ``prize`` by stake times weight; what floors leave goes by largest remainder."""
    staked: dict[int, int] = {}
    weighed: dict[int, int] = {}
    users: dict[int, int] = {}
    for stake in winners:
        staked[stake.bet] = staked.get(stake.bet, 0) + stake.lamports
        weighed[stake.bet] = weighed.get(stake.bet, 0) + stake.lamports * stake.weight_bps
        users[stake.bet] = stake.user
    whole = sum(weighed.values())
    shares = {bet: share_floor(prize, weight, whole) for bet, weight in weighed.items()}
    left = prize - sum(shares.values())
    assert 0 <= left < len(shares) or not left, "floors leave less than a lamport a bet"
    by_remainder = sorted(weighed, key=lambda bet: (-(prize * weighed[bet] % whole), bet))
    for bet in by_remainder[:left]:
        shares[bet] += 1
    return tuple(
        Payout(bet, users[bet], Lamports(staked[bet]), Lamports(staked[bet] + shares[bet]))
        for bet in sorted(shares)
    )
