"""Turnkey account: makes the wallets and the policies there, and says how they differ.

In        the settings; for what only the root quorum may do, its API key.
Out       lines for a person; exit code 1 when what is installed differs.
Promises  nothing is changed unless asked for; no private key is printed.
"""

import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Final

from pydantic import SecretStr
from rich.console import Console

from chain.keystore import Keystore
from chain.providers import Providers
from chain.settings import ChainSettings
from chain.signer import KeyPath
from chain.token_gates import mint_gate
from chain.tokens import Trap
from chain.trouble import NotKnown, SignerBusy, SignerRefused
from chain.turnkey.api import TurnkeyApi
from chain.turnkey.policies import PolicyFacts, TokenCap, Wanted, differences, policies
from chain.turnkey.settings import TurnkeySettings
from chain.turnkey.shapes import (
    CREATE_POLICIES,
    CREATE_WALLET,
    LIST_POLICIES,
    WHO_AM_I,
    PoliciesAnswer,
    WhoAmI,
    request_body,
)
from cli.clock import now_ms
from cli.settings import BadSettings, Settings
from cli.signer import turnkey_settings
from rooms.refusal import CannotGoOn
from rooms.units import Address

WALLETS: Final = ("users", "vaults", "operator")
MNEMONIC_WORDS: Final = 24


@asynccontextmanager
async def _asked(settings: TurnkeySettings) -> AsyncIterator[TurnkeyApi]:
    """Ask the organisation; what it will not do is one line for a person."""
    try:
        async with TurnkeyApi(settings, now_ms) as api:
            yield api
    except (SignerBusy, SignerRefused) as trouble:
        raise CannotGoOn(str(trouble)) from None


async def make_wallets(settings: Settings, root_key: str) -> None:
    """Make the three wallets, and print the settings that name them.

    Raises:
        BadSettings: when there is no key for it.
        CannotGoOn: when that key's user may not, or Turnkey does not answer.
    """
    _needs_organization(settings)
    async with _asked(_as_root(settings, root_key)) as api:
        for name in WALLETS:
            parameters: dict[str, Any] = {
                "walletName": f"rooms {name}",
                "accounts": [],
                "mnemonicLength": MNEMONIC_WORDS,
            }
            body = request_body(CREATE_WALLET, api.settings.organization, parameters, now_ms())
            made = (await api.carry_out(CREATE_WALLET, body)).result.create_wallet_result
            assert made is not None, "a completed activity has its result"
            print(f"ROOMS_TURNKEY__{name.upper()}_WALLET={made.wallet_id}")


async def show_policies(settings: Settings, root_key: str, *, install: bool) -> None:
    """Print the policies to install, install what is missing if asked, and say what differs.

    Raises:
        BadSettings: when settings are missing.
        SystemExit: with 1 when what is installed differs.
    """
    _needs_organization(settings)
    wanted = policies(await _facts(settings))
    print(json.dumps([each.intent for each in wanted], indent=2))
    console = Console(stderr=True)
    if install:
        await _install(_as_root(settings, root_key), wanted)
    async with _asked(turnkey_settings(settings.turnkey)) as api:
        who = await api.query(WHO_AM_I, {}, WhoAmI)
        listed = await api.query(LIST_POLICIES, {}, PoliciesAnswer)
    found = list(differences(wanted, listed.policies))
    if who.user_id != settings.turnkey.user:
        found.append(f"the API key is of user {who.user_id}, not of ROOMS_TURNKEY__USER")
    for each in found:
        console.print(f"✘ {each}", style="red", markup=False, highlight=False)
    if found:
        sys.exit(1)
    console.print("[green]✔[/] what is installed is what is wanted")


async def _install(settings: TurnkeySettings, wanted: tuple[Wanted, ...]) -> None:
    async with _asked(settings) as api:
        there = (await api.query(LIST_POLICIES, {}, PoliciesAnswer)).policies
        names = {each.policy_name for each in there}
        missing = [each.intent for each in wanted if each.name not in names]
        if missing:
            parameters = {"policies": missing}
            body = request_body(CREATE_POLICIES, settings.organization, parameters, now_ms())
            await api.carry_out(CREATE_POLICIES, body)


async def _facts(settings: Settings) -> PolicyFacts:
    account = settings.turnkey
    if not account.user:
        raise BadSettings("ROOMS_TURNKEY__USER is not set: the id of the service's user there")
    passphrase = settings.keystore_passphrase.get_secret_value()
    own = Keystore.open(settings.keystore, passphrase)
    return PolicyFacts(
        user=account.user,
        users=account.users_wallet,
        vaults=(account.vaults_wallet, account.operator_wallet),
        fee_payer=await own.address(KeyPath.fee_payer()),
        stake_lamports_max=account.stake_lamports_max,
        payout_lamports_max=account.payout_lamports_max,
        floor_lamports_max=account.floor_lamports_max,
        version=settings.transaction_version,
        tokens=await _token_caps(settings),
    )


async def _token_caps(settings: Settings) -> tuple[TokenCap, ...]:
    """Look at the mints of the settings; without any, no provider is asked.

    Raises:
        BadSettings: when one may not be staked.
    """
    if not settings.tokens:
        return ()
    async with Providers.of(ChainSettings(endpoints=settings.endpoints)) as providers:
        try:
            return tuple(
                [
                    TokenCap(
                        await mint_gate(providers, name, Address(rule.mint)), rule.transfer_max
                    )
                    for name, rule in settings.tokens.items()
                ]
            )
        except (Trap, NotKnown) as wrong:
            raise BadSettings(f"ROOMS_TOKENS: {wrong}") from None


def _as_root(settings: Settings, root_key: str) -> TurnkeySettings:
    if not root_key:
        raise BadSettings("give the key of a user who may do this: TURNKEY_ROOT_KEY or --root-key")
    account = replace(settings.turnkey, keys=SecretStr(root_key))
    # Wallets have no ids before they are made.
    named = replace(
        account,
        users_wallet=account.users_wallet or "-",
        vaults_wallet=account.vaults_wallet or "-",
        operator_wallet=account.operator_wallet or "-",
    )
    return turnkey_settings(named)


def _needs_organization(settings: Settings) -> None:
    if not settings.turnkey.organization:
        raise BadSettings("ROOMS_TURNKEY__ORGANIZATION is not set: see docs/custody.md")
