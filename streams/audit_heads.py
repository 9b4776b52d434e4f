"""Audit heads: puts the end of the audit log on the chain, so that no one can write it anew.

In        the audit log's end; what was put there before.
Out       an attempt that moves nothing: a memo that the fee payer signs.
Promises  an end is put there once; nothing is signed while signing is paused.
Why       the head that is kept in a file is as good as the file's keeper; the chain keeps for all.
"""

import structlog

from chain.audit_heads import head_memo
from chain.signer import KeyPath
from chain.transactions import Batch, sign_batch
from storage import attempts, audit_log, flags
from storage.connections import transaction
from storage.flags import Flag
from streams import hot_wallet
from streams.custody import Custody
from streams.restoring import is_restoring
from streams.transfers import send_first, write_down

log = structlog.get_logger()


async def put_head(custody: Custody) -> bool:
    """Put the log's end on the chain when it is another than was put there last; say whether.

    Raises:
        Frozen: when the signature came back wrong.
    """
    if await is_restoring(custody):
        return False
    async with transaction(custody.connections) as connection:
        head = (await audit_log.end(connection)).head
        if head.number <= await attempts.audit_head_told(connection):
            return False
        if not await flags.is_open(connection, Flag.SIGNING):
            return False
    if not hot_wallet.has_fees(custody, await hot_wallet.read(custody)):
        return False
    fee_payer = custody.operator.fee_payer
    batch = Batch(transfers=(), memo=head_memo(head), owner=fee_payer, fee_payer=fee_payer)
    recent = await custody.providers.recent_blockhash()
    signed = await sign_batch(
        custody.signer, batch, {fee_payer: KeyPath.fee_payer()}, recent, custody.fees
    )
    attempt = await write_down(custody, signed, batch.memo)
    if attempt is None:
        return False
    log.info("audit_head_signed", signature=signed.signature, number=head.number)
    await send_first(custody, attempt)
    return True
