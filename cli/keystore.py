"""Keystore: makes custody's keys, once, where the settings say.

Promises  a keystore that is there is never written over; nothing secret is printed.
"""

import asyncio
import secrets

from rich.console import Console

from chain.keystore import Keystore
from chain.signer import KeyPath
from cli.settings import Settings
from rooms.refusal import CannotGoOn


async def make_keystore(settings: Settings) -> None:
    """Draw fresh seeds, write them under the passphrase, and say which addresses to fund.

    Raises:
        CannotGoOn: when there is a keystore, no passphrase, or one that is too short.
    """
    passphrase = settings.keystore_passphrase.get_secret_value()
    if not passphrase:
        raise CannotGoOn("set ROOMS_KEYSTORE_PASSPHRASE first: the keys are written under it")
    made = await asyncio.to_thread(
        Keystore.create, settings.keystore, passphrase, secrets.token_bytes
    )
    console = Console()
    console.print(f"made {settings.keystore}; keep it and its passphrase apart, and copies of both")
    console.print(f"fee payer: {await made.address(KeyPath.fee_payer())}")
    console.print(f"treasury:  {await made.address(KeyPath.treasury())}")
