"""A pool is divided whole: winners keep their stakes, fees come from losers, voids give back."""

from hypothesis import given
from hypothesis import strategies as st

from rooms.pool import Stake
from rooms.room import Outcome, Side, VoidReason
from rooms.settlement import Settlement, settle
from rooms.units import BPS_WHOLE, Bps, Lamports

HOST = 99
PROTOCOL, HOST_FEE = Bps(200), Bps(100)


def stakes_from(table: str) -> list[Stake]:
    """Read a table: bettor, side, lamports, then maybe weight in bps and a referrer."""
    found: list[Stake] = []
    for number, line in enumerate(table.strip().splitlines(), 1):
        user, side, lamports, *more = line.split()
        found.append(
            Stake(
                id=number,
                bet=int(user),
                user=int(user),
                side=Side(side),
                lamports=Lamports(int(lamports)),
                weight_bps=Bps(int(more[0])) if more else BPS_WHOLE,
                referrer=int(more[1]) if len(more) > 1 else None,
            )
        )
    return found


def divided(stakes: list[Stake], outcome: Outcome, reason: VoidReason | None = None) -> Settlement:
    return settle(
        stakes, outcome, reason, host=HOST, protocol_fee_bps=PROTOCOL, host_fee_bps=HOST_FEE
    )


def shown(settlement: Settlement) -> str:
    lines = [f"{each.user} {each.lamports}" for each in settlement.payouts]
    lines += [f"{each.user} back {each.lamports}" for each in settlement.refunds]
    lines += [f"{user} earns {lamports}" for user, lamports in settlement.shares]
    return "\n".join([*lines, f"house {settlement.house}", str(settlement.reason)])


def test_winners_share_what_the_losers_staked_less_fees() -> None:
    stakes = stakes_from("""
        1 YES 100000
        2 YES 200000
        3 NO  100000
    """)

    assert shown(divided(stakes, Outcome.YES)) == (
        "1 132333\n2 264667\n99 earns 1000\nhouse 2000\nNone"
    )


def test_what_floors_leave_goes_by_largest_remainder_then_by_bet() -> None:
    stakes = stakes_from("""
        1 YES 1
        2 YES 1
        3 YES 1
        4 NO  5
    """)

    assert shown(divided(stakes, Outcome.YES)) == "1 3\n2 3\n3 2\nhouse 0\nNone"


def test_a_heavier_stake_takes_more_of_the_losing_pool_and_never_of_a_winners_stake() -> None:
    stakes = stakes_from("""
        1 YES 100000 50000
        2 YES 100000 10000
        3 NO  100000 10000
    """)

    assert shown(divided(stakes, Outcome.YES)) == (
        "1 180833\n2 116167\n99 earns 1000\nhouse 2000\nNone"
    )


def test_a_referral_is_paid_out_of_the_protocols_part() -> None:
    stakes = stakes_from("""
        1 YES 1000000
        2 NO  1000000 10000 7
    """)

    # 15 % of the fee of 20,000, by the referred half of the pool.
    assert shown(divided(stakes, Outcome.YES)) == (
        "1 1970000\n7 earns 1500\n99 earns 10000\nhouse 18500\nNone"
    )


def test_a_void_gives_every_stake_back_exactly_and_takes_no_fee() -> None:
    stakes = stakes_from("""
        1 YES 100
        1 YES 50
        2 NO  70
    """)

    assert shown(divided(stakes, Outcome.VOID, VoidReason.GAP)) == (
        "1 back 100\n1 back 50\n2 back 70\nhouse 0\ngap"
    )


def test_a_pool_that_is_no_contest_is_void_whatever_the_price_did() -> None:
    one_sided = stakes_from("1 YES 100\n2 YES 50")
    alone = stakes_from("1 YES 100")

    assert divided(one_sided, Outcome.NO).reason is VoidReason.ONE_SIDED
    assert divided(alone, Outcome.YES).reason is VoidReason.TOO_FEW_BETTORS
    assert divided([], Outcome.NO).pool == 0


people = st.integers(1, 12)
some_stakes = st.lists(
    st.tuples(
        people,
        st.integers(1, 10**12),
        st.integers(1, 50_000),
        st.one_of(st.none(), st.integers(50, 55)),
    ),
    max_size=40,
).map(
    lambda rows: [
        Stake(
            id=number,
            bet=user,
            user=user,
            side=Side.YES if user % 2 else Side.NO,  # a person has one side
            lamports=Lamports(lamports),
            weight_bps=Bps(weight),
            referrer=referrer,
        )
        for number, (user, lamports, weight, referrer) in enumerate(rows)
    ]
)
outcomes = st.sampled_from(Outcome)
fees = st.tuples(st.integers(0, 900), st.integers(0, 100))


@given(some_stakes, outcomes, fees)
def test_all_of_the_pool_is_given_away_and_no_winner_loses(
    stakes: list[Stake], outcome: Outcome, fee: tuple[int, int]
) -> None:
    settlement = settle(
        stakes, outcome, None, host=HOST, protocol_fee_bps=Bps(fee[0]), host_fee_bps=Bps(fee[1])
    )

    given_away = (
        sum(each.lamports for each in settlement.payouts)
        + sum(each.lamports for each in settlement.refunds)
        + sum(lamports for _, lamports in settlement.shares)
        + settlement.house
    )
    assert given_away == sum(each.lamports for each in stakes) == settlement.pool
    assert all(each.lamports >= each.staked for each in settlement.payouts)
    assert settlement.house >= 0
    if settlement.outcome is not Outcome.VOID:
        won = {each.user for each in stakes if each.side.value == settlement.outcome.value}
        assert {each.user for each in settlement.payouts} == won


@given(some_stakes, outcomes, st.randoms(use_true_random=False))
def test_the_order_of_the_stakes_does_not_matter(
    stakes: list[Stake], outcome: Outcome, random: object
) -> None:
    shuffled = list(stakes)
    random.shuffle(shuffled)  # type: ignore[attr-defined]

    assert divided(shuffled, outcome) == divided(stakes, outcome)
