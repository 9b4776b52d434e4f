"""Where a token may be staked, Turnkey signs checked transfers of its mint, and nothing else."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.message import MessageV1, TransactionConfig, to_bytes_versioned
from solders.pubkey import Pubkey
from solders.system_program import TransferParams, transfer
from spl.token.instructions import create_associated_token_account

from chain.programs import MEMO_PROGRAM
from chain.signer import KeyPath, Wallet
from chain.tokens import Token
from chain.transactions import TOKEN_TRANSFERS_MAX
from chain.trouble import SignerRefused
from chain.turnkey.policies import TokenCap
from rooms.units import Address
from tests.chain.turnkey_town import FEE_PAYER, FLOOR_MAX, TurnkeyTown, turnkey_town
from tests.chain.world import address, keypair

CLASSIC = Address("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA")
PROGRAM = Pubkey.from_string(CLASSIC)
USDC = Token("USDC", address(keypair(71).pubkey()), 6, CLASSIC)
OTHER = Token("FAKE", address(keypair(72).pubkey()), 6, CLASSIC)
CAP = 500_000_000
SOURCE, TARGET, WALLET = (keypair(number).pubkey() for number in (73, 74, 75))
PAYER = Pubkey.from_string(FEE_PAYER)


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[TurnkeyTown]:
    async with turnkey_town(tmp_path) as made:
        made.install(TokenCap(USDC, CAP))
        yield made


def checked(owner: Pubkey, amount: int = 5, token: Token = USDC) -> Instruction:
    return Instruction(
        PROGRAM,
        b"\x0c" + amount.to_bytes(8, "little") + bytes([token.decimals]),
        [
            AccountMeta(SOURCE, False, True),
            AccountMeta(Pubkey.from_string(token.mint), False, False),
            AccountMeta(TARGET, False, True),
            AccountMeta(owner, True, False),
        ],
    )


def told(owner: Pubkey, kind: int) -> Instruction:
    """Ask the token program for something that is no transfer."""
    accounts = [AccountMeta(key, False, True) for key in (SOURCE, TARGET)]
    return Instruction(
        PROGRAM, bytes([kind]) + bytes(33), [*accounts, AccountMeta(owner, True, False)]
    )


def paid(source: Pubkey, lamports: int) -> Instruction:
    return transfer(TransferParams(from_pubkey=source, to_pubkey=TARGET, lamports=lamports))


def opening(payer: Pubkey, *, again: bool = True) -> Instruction:
    made = create_associated_token_account(payer, WALLET, Pubkey.from_string(USDC.mint))
    return Instruction(made.program_id, b"\x01" if again else b"", made.accounts)


def plain(owner: Pubkey) -> Instruction:
    accounts = [AccountMeta(key, False, True) for key in (SOURCE, TARGET)]
    return Instruction(
        PROGRAM, b"\x03" + (5).to_bytes(8, "little"), [*accounts, AccountMeta(owner, True, False)]
    )


def message(own: Pubkey, instructions: list[Instruction]) -> bytes:
    memo = Instruction(MEMO_PROGRAM, b"r1 stake 1 1 Y", [AccountMeta(own, True, False)])
    config = TransactionConfig(compute_unit_limit=60_000, loaded_accounts_data_size_limit=1_000_000)
    return to_bytes_versioned(
        MessageV1.try_compile(PAYER, [memo, *instructions], Hash.default(), config)
    )


Case = tuple[str, Wallet, Callable[[Pubkey], list[Instruction]], bool]
CASES: list[Case] = [
    ("a stake", Wallet.USERS, lambda own: [checked(own)], True),
    ("a stake of the cap", Wallet.USERS, lambda own: [checked(own, CAP)], True),
    ("a stake above the cap", Wallet.USERS, lambda own: [checked(own, CAP + 1)], False),
    ("a stake into a new account", Wallet.USERS,
     lambda own: [paid(PAYER, FLOOR_MAX), opening(PAYER), checked(own)], True),
    ("an account that a person pays", Wallet.USERS,
     lambda own: [opening(own), checked(own)], False),
    ("an account made otherwise", Wallet.USERS,
     lambda own: [opening(PAYER, again=False), checked(own)], False),
    ("rent that is none", Wallet.USERS,
     lambda own: [paid(PAYER, FLOOR_MAX + 1), opening(PAYER), checked(own)], False),
    ("two stakes", Wallet.USERS, lambda own: [checked(own), checked(own, 6)], False),
    ("another token", Wallet.USERS, lambda own: [checked(own, token=OTHER)], False),
    ("a transfer that names no mint", Wallet.USERS, lambda own: [plain(own)], False),
    ("a stake and SOL", Wallet.USERS, lambda own: [paid(own, 5), checked(own)], False),
    ("a stake and an approval", Wallet.USERS, lambda own: [checked(own), told(own, 4)], False),
    ("a stake and a new owner", Wallet.USERS, lambda own: [checked(own), told(own, 6)], False),
    ("a stake and a closing", Wallet.USERS, lambda own: [checked(own), told(own, 9)], False),
    ("only an account", Wallet.USERS, lambda own: [paid(PAYER, 9), opening(PAYER)], False),
    ("a payout", Wallet.VAULTS, lambda own: [checked(own), checked(own, 6)], True),
    ("payouts of fifty", Wallet.VAULTS,
     lambda own: [checked(own, 1 + n) for n in range(TOKEN_TRANSFERS_MAX[1])], True),
    ("a payout above the cap", Wallet.VAULTS, lambda own: [checked(own), checked(own, CAP + 1)],
     False),
    ("a share from the treasury", Wallet.OPERATOR, lambda own: [checked(own)], True),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=[case[0] for case in CASES])
async def test_the_policies_of_a_token_allow_its_transfers_and_nothing_else(
    town: TurnkeyTown, case: Case
) -> None:
    _, wallet, written, allowed = case
    path = KeyPath(wallet, 5)
    async with town.signer() as signer:
        own = Pubkey.from_string(await signer.address(path))
        content = message(own, written(own))
        if allowed:
            await signer.sign(content, [path])
        else:
            with pytest.raises(SignerRefused, match="REQUEST_NOT_AUTHORIZED"):
                await signer.sign(content, [path])


async def test_without_a_token_none_is_signed_away(town: TurnkeyTown) -> None:
    town.install()
    path = KeyPath(Wallet.USERS, 5)
    async with town.signer() as signer:
        own = Pubkey.from_string(await signer.address(path))
        content = message(own, [checked(own)])
        with pytest.raises(SignerRefused, match="REQUEST_NOT_AUTHORIZED"):
            await signer.sign(content, [path])
