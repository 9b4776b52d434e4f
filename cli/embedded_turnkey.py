"""Embedded Turnkey: an organisation of this machine's own, with our wallets, user and policies.

In        the folder where it is kept; the fee payer's address; the port it is served on.
Out       the settings with which custody signs there.
Promises  made once: a second start finds the same wallets, so every address stays what it was.
"""

import os
import secrets
from contextlib import closing
from pathlib import Path
from typing import Final

from chain.signer import Wallet
from chain.turnkey.policies import PolicyFacts, policies
from cli.ports import HOST
from cli.settings import TurnkeyAccount
from rooms.units import Address
from sandbox.turnkey.organization import Organization
from sandbox.turnkey.serve import RECORDS, TurnkeySettings
from sandbox.turnkey.stamps import api_key

USER: Final = "rooms"
WALLETS: Final = {
    Wallet.USERS: "users",
    Wallet.VAULTS: "vaults",
    Wallet.OPERATOR: "operator",
}
REQUESTS_PER_MINUTE: Final = 6_000


def prepare_turnkey(folder: Path, fee_payer: Address) -> None:
    """Make the organisation's wallets, its user and the policies, where they are missing."""
    account = TurnkeyAccount(organization=TurnkeySettings.organization)
    with closing(Organization(folder / RECORDS, account.organization, os.urandom)) as organization:
        wallets = {wallet: organization.add_wallet(name) for wallet, name in WALLETS.items()}
        organization.add_user(_api_key(folder).partition(":")[0], USER)
        facts = PolicyFacts(
            user=USER,
            users=wallets[Wallet.USERS],
            vaults=(wallets[Wallet.VAULTS], wallets[Wallet.OPERATOR]),
            fee_payer=fee_payer,
            stake_lamports_max=account.stake_lamports_max,
            payout_lamports_max=account.payout_lamports_max,
            floor_lamports_max=account.floor_lamports_max,
            version=1,
        )
        installed = {each["policyName"] for each in organization.policies()}
        for each in policies(facts):
            if each.name not in installed:
                organization.add_policy(each.intent)


def turnkey_values(folder: Path, port: int) -> dict[str, str]:
    """Return custody's settings, without their prefix; the one named KEYS is secret."""
    with closing(
        Organization(folder / RECORDS, TurnkeySettings.organization, os.urandom)
    ) as organization:
        wallets = {f"{name}_wallet": organization.add_wallet(name) for name in WALLETS.values()}
    return {
        "TURNKEY__URL": f"http://{HOST}:{port}",
        "TURNKEY__ORGANIZATION": TurnkeySettings.organization,
        "TURNKEY__USER": USER,
        "TURNKEY__REQUESTS_PER_MINUTE": str(REQUESTS_PER_MINUTE),
        **{f"TURNKEY__{name.upper()}": id_ for name, id_ in wallets.items()},
        "TURNKEY__KEYS": _api_key(folder),
    }


def _api_key(folder: Path) -> str:
    """Read the service user's API key, or draw it the first time; only we may read it."""
    path = folder / "api-key"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(":".join(api_key(secrets.randbelow(2**255) + 1)))
    return path.read_text()
