"""Freezing: closes signing when a signer, or what was signed, is not what was asked for.

In        a piece of custody's work, and what went wrong in it.
Out       the flag for signing closed, with the reason, in the database and in the audit log.
Promises  custody goes on with everything that needs no key: fates, deposits, seals.
Why       whoever gave back a wrong signature once may do so again, and a process that ends is
          started again and asks once more; a closed flag stays closed until a person has looked.
"""

from collections.abc import Awaitable, Callable

import structlog

from chain.trouble import Frozen
from storage import flags
from storage.connections import transaction
from storage.flags import Flag
from streams.custody import Custody

log = structlog.get_logger()


async def freeze(custody: Custody, why: Frozen) -> None:
    """Close signing; say so once for as long as it stays closed."""
    async with transaction(custody.connections) as connection:
        new = await flags.close(connection, Flag.SIGNING, str(why))
    if new:
        log.error("signing closed", why=str(why), next="look, then: rooms resume signing")


async def unless_frozen(custody: Custody, work: Callable[[Custody], Awaitable[int]]) -> int:
    """Do what may need a key and return how much was done; nothing once it freezes."""
    try:
        return await work(custody)
    except Frozen as why:
        await freeze(custody, why)
        return 0
