"""Returns: plans that what lies too long goes to whom it belongs.

In        paid rooms and idle people with a rent minimum of the operator's; earned shares.
Out       planned transfers: floors back to the fee payer, shares from the treasury to people.
Promises  of an address only what the operator laid there is planned, and only while nothing else
          moves there; of a person's shares never more than he earned; each of it at most once.
Why       a floor under every address that was ever used is the operator's money asleep; and nobody
          should have to ask for what he earned.
"""

from storage import plans
from storage.connections import transaction
from streams.money import Money

MOST = 240
"""As many as custody signs in a round."""


async def claim_returns(money: Money) -> int:
    """Plan the way back of floors that nobody needs now; return how many."""
    async with transaction(money.connections) as connection:
        return await plans.plan_returns(connection, idle_ms=money.floor_idle_ms, most=MOST)


async def claim_earnings(money: Money) -> int:
    """Plan what people earned since they were last paid it; return how many."""
    async with transaction(money.connections) as connection:
        return await plans.plan_earnings(
            connection, lamports_min=money.earning_lamports_min, most=MOST
        )
