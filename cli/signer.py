"""Signer: opens the keys that custody signs with: its own keystore, or Turnkey beside it.

In        the settings; connections, where a request to Turnkey is written down before it is sent.
Out       a `Signer`.
Promises  the fee payer's key, which pays fees and holds nothing else, is always custody's own.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from chain.keystore import Keystore
from chain.signer import Signer, Wallet
from chain.turnkey.api import TurnkeyApi
from chain.turnkey.settings import ApiKey, TurnkeySettings
from chain.turnkey.signer import SplitSigner, TurnkeySigner
from cli.clock import now_ms
from cli.settings import BadSettings, Settings, TurnkeyAccount
from rooms.refusal import CannotGoOn
from storage.connections import Connections
from storage.signing_requests import SigningRequests


@asynccontextmanager
async def open_signer(settings: Settings, connections: Connections) -> AsyncIterator[Signer]:
    """Open the signer for as long as the block lasts.

    Raises:
        CannotGoOn: when there is no keystore, or its passphrase is wrong.
        BadSettings: when Turnkey's settings are not complete.
    """
    if not settings.keystore.exists():
        raise CannotGoOn(
            f"there is no keystore at {settings.keystore}: make one with `rooms keystore`, once"
        )
    own = await asyncio.to_thread(
        Keystore.open, settings.keystore, settings.keystore_passphrase.get_secret_value()
    )
    if not settings.turnkey.organization:
        yield own
        return
    async with TurnkeyApi(turnkey_settings(settings.turnkey), now_ms) as api:
        yield SplitSigner(own, TurnkeySigner(api, SigningRequests(connections), now_ms))


def turnkey_settings(account: TurnkeyAccount) -> TurnkeySettings:
    """Return how the organisation is asked.

    Raises:
        BadSettings: when something is missing or no key is one.
    """
    wallets = {
        Wallet.USERS: account.users_wallet,
        Wallet.VAULTS: account.vaults_wallet,
        Wallet.OPERATOR: account.operator_wallet,
    }
    missing = [f"{wallet.name}_WALLET" for wallet, id_ in wallets.items() if not id_]
    if missing:
        raise BadSettings(
            f"ROOMS_TURNKEY__{missing[0]} is not set: `rooms turnkey wallets` says how it is made"
        )
    try:
        return TurnkeySettings(
            url=account.url,
            organization=account.organization,
            wallets=wallets,
            keys=api_keys(account),
            requests_per_minute=account.requests_per_minute,
        )
    except ValueError as error:
        raise BadSettings(f"ROOMS_TURNKEY__*: {error}") from None


def api_keys(account: TurnkeyAccount) -> tuple[ApiKey, ...]:
    """Read the API keys out of their text."""
    given = account.keys.get_secret_value()
    split = (each.partition(":") for each in given.replace(" ", "").split(",") if each)
    return tuple(ApiKey(public, private) for public, _, private in split)
