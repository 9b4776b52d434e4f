"""Transfers: planned lamports into signed attempts, written down and only then sent.

In        planned transfers, nearest cut first; what lies under each address; a fresh blockhash.
Out       attempts, committed with their bytes; the same bytes to every provider, again and again.
Promises  nothing is signed that does not follow from the rows anew; nothing is sent that is not
          committed; nothing is signed anew while an attempt is live; nothing is signed above the
          hour's limits or below the fee payer's floor; the operator's rent minimum goes under
          every address of ours that a transaction touches, but for one that gives its own
          back.
Why       a signing whose bytes are lost can still land: only what is written down can be judged.
"""

from collections.abc import Sequence

import structlog

from chain.signer import KeyPath
from chain.transactions import RecentBlockhash, SignedTransaction, sign_batch
from chain.trouble import NotKnown, SignerRefused
from rooms.transfer import TransferKind
from rooms.units import Address, Lamports
from storage import addresses, attempts, flags
from storage.attempts import DueTransfer, HotWallet, LiveAttempt
from storage.connections import Connection, transaction
from storage.flags import Flag
from streams import hot_wallet, recipients, releases
from streams.batches import batch_of, batches, ends_of, stand_on_floors, that_fit, transfers_max
from streams.custody import Custody, path_of
from streams.divisions import are_as_planned
from streams.tokens import read_tokens

log = structlog.get_logger()

DUE_MAX = 240
"""Whole transactions of 60."""
PRICED_ADDRESSES_MAX = 50


async def sign_due(custody: Custody) -> int:
    """Sign and send planned transfers; return how many attempts were made.

    Raises:
        Frozen: when a signature came back wrong; nothing more may be signed.
    """
    async with custody.connections.acquire() as connection:
        due = await attempts.due(connection, DUE_MAX)
    if not due:
        return 0
    more = len(due) == DUE_MAX
    async with transaction(custody.connections) as connection:
        # Asked again where the attempt is written down; here, so that no key is used in vain.
        if not await flags.is_open(connection, Flag.SIGNING):
            return 0
    wallet = await hot_wallet.look(custody)
    if not hot_wallet.has_fees(custody, wallet):
        return 0
    due = hot_wallet.that_may_leave(custody, wallet, due)
    due = await recipients.that_may_be_signed(custody, due)
    recent = await custody.providers.recent_blockhash()
    rent_minimum = await custody.providers.agreed(lambda rpc: rpc.rent_minimum())
    price = await _priority_price(custody, due)
    done = 0
    for together in batches(custody, due, more=more):
        try:
            attempt = await _sign(custody, together, wallet, recent, rent_minimum, price)
        except SignerRefused as refusal:
            await _try_later(custody, together, refusal)
            continue
        if attempt is not None:
            done += 1
            await send_first(custody, attempt)
    return done


async def send_first(custody: Custody, attempt: LiveAttempt) -> None:
    """Simulate an attempt; send it when it would land, else close it, never to be sent.

    Two rounds may do this at once, and what one of them has sent looks refused to the other. So the
    row decides: it is noted as sent before it is, and only what was never sent can be closed.
    """
    try:
        simulated = await custody.providers.first(
            lambda rpc: rpc.simulate(attempt.raw, attempt.context_slot)
        )
    except NotKnown as trouble:
        # Not sent and not closed: the next round asks again with the same bytes.
        log.warning("simulation waits", signature=attempt.signature, why=str(trouble))
        return
    if simulated.error is None:
        async with custody.connections.acquire() as connection:
            may_be_sent = await attempts.begin_sending(connection, attempt.id)
        if may_be_sent:
            custody.hints.want_signature(attempt.signature)
            await send(custody, [attempt])
        return
    async with transaction(custody.connections) as connection:
        if not await attempts.lock_unsent(connection, attempt.id):
            return
        open_transfers = await attempts.transfers_of(connection, attempt.id)
        await attempts.finish(connection, attempt.id, "CLOSED", error=simulated.error)
        await releases.follow_simulation(connection, open_transfers)
    log.warning("simulation refused", signature=attempt.signature, error=simulated.error)


async def send(custody: Custody, live: Sequence[LiveAttempt]) -> None:
    """Hand the bytes of attempts that were noted as sent to every provider; no answer is a fate."""
    for attempt in live:
        relays = await custody.providers.send(attempt.raw)
        for relay in relays:
            if not relay.relayed:
                log.info(
                    "not relayed",
                    signature=attempt.signature,
                    provider=relay.provider,
                    why=relay.refused,
                )


async def resend(custody: Custody) -> int:
    """Send every live attempt again, the same bytes; return how many there are."""
    async with custody.connections.acquire() as connection:
        live = await attempts.live(connection)
    for attempt in live:
        if attempt.sent_at is None and attempt.raw:  # none: read back from the chain
            await send_first(custody, attempt)
    await send(custody, [attempt for attempt in live if attempt.sent_at is not None])
    return len(live)


async def _sign(
    custody: Custody,
    together: Sequence[DueTransfer],
    wallet: HotWallet,
    recent: RecentBlockhash,
    rent_minimum: Lamports,
    price: int | None,
) -> LiveAttempt | None:
    fee_payer = custody.operator.fee_payer
    if not await are_as_planned(custody, together):
        return None
    async with custody.connections.acquire() as connection:
        await custody.fence(connection)
        named = sorted({address for each in together for address in ends_of(each)})
        owners = await addresses.owners(connection, named)
        token = (await read_tokens(connection)).get(together[0].transfer.asset.name)
        stay = sorted({address for each in together for address in stand_on_floors(each)})
        # A person's own account for a token was opened by who first sent something there.
        ours = [each for each in stay if each in owners]
        laid = [each for each in ours if token is None or owners[each].kind != "user"]
        under = await attempts.floors(connection, laid)
        memo = await _memo(connection, together)
    if token is not None:
        size = token.account_bytes
        rent_minimum = await custody.providers.first(lambda rpc: rpc.rent_minimum(size))
    lacks = {
        address: Lamports(rent_minimum - there)
        for address, there in under.items()
        if there < rent_minimum
    }
    together = that_fit(together, lacks, transfers_max(custody, token))
    touched = {address for each in together for address in ends_of(each)}
    lacking = [(address, lamports) for address, lamports in lacks.items() if address in touched]
    if not hot_wallet.floors_fit(custody, wallet, [lamports for _, lamports in lacking]):
        return None
    batch = batch_of(together, token, owners, lacking, memo, fee_payer)
    signing = {each.transfer.source for each in together}
    paths = {owners[each].wallet: path_of(owners[each]) for each in sorted(signing)}
    paths[fee_payer] = KeyPath.fee_payer()
    priority = None if price is None else custody.fees.priority_fee(price, batch.weight)
    signed = await sign_batch(custody.signer, batch, paths, recent, custody.fees, priority)
    try:
        attempt = await write_down(
            custody,
            signed,
            memo,
            transfers=[each.transfer.id for each in together],
            floors=lacking,
        )
    except (attempts.TakenAlready, attempts.AboveLimit) as why:
        log.info("not signed", memo=memo, why=str(why))
        return None
    if attempt is not None:
        log.info("signed", signature=signed.signature, memo=memo, transfers=len(together))
    return attempt


async def write_down(
    custody: Custody,
    signed: SignedTransaction,
    memo: str,
    *,
    transfers: Sequence[int] = (),
    floors: Sequence[tuple[Address, Lamports]] = (),
) -> LiveAttempt | None:
    """Commit a signing before it is sent, and return the attempt; None while signing is paused.

    Raises:
        TakenAlready: when one of the transfers is another attempt's by now.
        AboveLimit: when more would leave in this hour than may.
        LeaseLostError: when another custody may be at work.
    """
    async with transaction(custody.connections) as connection:
        await custody.fence(connection)
        if not await flags.is_open(connection, Flag.SIGNING):
            log.info("signing is paused", transfers=len(transfers))
            return None
        attempt = await attempts.write_down(
            connection,
            signature=signed.signature,
            raw=signed.raw,
            last_valid_height=signed.last_valid_height,
            context_slot=signed.context_slot,
            fee_payer=custody.operator.fee_payer,
            memo=memo,
            transfers=transfers,
            floors=floors,
            epoch=custody.epoch,
        )
    return LiveAttempt(
        id=attempt,
        signature=signed.signature,
        raw=signed.raw,
        last_valid_height=signed.last_valid_height,
        context_slot=signed.context_slot,
        sent_at=None,
    )


async def _priority_price(custody: Custody, due: Sequence[DueTransfer]) -> int | None:
    """Ask what a compute unit costs on top now; None offers what the settings say."""
    if not custody.fees.priority_fee_estimated:
        return None
    written = sorted({custody.operator.fee_payer, *(each.transfer.source for each in due)})
    try:
        return await custody.providers.first(
            lambda rpc: rpc.priority_price(written[:PRICED_ADDRESSES_MAX])
        )
    except NotKnown as trouble:
        log.warning("no priority fee estimate", why=str(trouble))
        return None


async def _try_later(
    custody: Custody, together: Sequence[DueTransfer], refusal: SignerRefused
) -> None:
    """Let others go first: what is refused is tried again later, each transfer by itself."""
    ids = [each.transfer.id for each in together]
    log.error("signer refused", transfers=ids, why=str(refusal))
    async with custody.connections.acquire() as connection:
        await attempts.plan_again(connection, ids, refused=True, alone=len(ids) > 1)


async def _memo(connection: Connection, together: Sequence[DueTransfer]) -> str:
    """Say on chain what the transaction is for; the first of a settled room says its outcome."""
    first = together[0]
    transfer = first.transfer
    match transfer.kind:
        case TransferKind.STAKE:
            assert first.side is not None, "a stake is on a side"
            return f"r1 stake {transfer.room} {transfer.subject} {first.side[0]}"
        case TransferKind.WITHDRAWAL:
            return f"r1 out {transfer.subject}"
        case TransferKind.RETURN:
            return f"r1 floor {transfer.id}"
        case TransferKind.EARNING:
            return f"r1 earned {transfer.id}"
        case _:
            assert transfer.room is not None, "what leaves a vault is of a room"
    settled = first.outcome is not None and first.evidence_hash is not None
    if settled and not await attempts.has_settled_memo(connection, transfer.room):
        return f"r1 settled {transfer.room} {first.outcome} {first.evidence_hash}"
    if len(together) == 1 and transfer.kind is TransferKind.REFUND:
        return f"r1 back {transfer.subject}"
    return f"r1 pay {transfer.room} {transfer.id}"
