"""Turnkey's policies: what the service's user may have signed, as rules for Turnkey to enforce.

In        who the user is, which wallets, the fee payer, caps.
Out       the policies to install, in Turnkey's language; how those installed differ.
Promises  users' wallet: one transfer from the signing address, at most the cap; vaults' and the
          treasury's: 1 to 60; beside them only the fee payer's floors; System and Memo programs
          alone; no lookup tables; no raw payloads, no exports, no changes of rights. A token that
          may be staked has two rules of its own: checked transfers of its mint alone, and the
          opening of accounts; nobody may be made to approve, to close or to hand over one.
Why       who takes this machine can ask for signatures in our name; what he can get signed is
          decided elsewhere. `all` over an empty list holds, so each list is counted too; and a
          transfer inside another program is not in `transfers`, so System instructions are counted
          against it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from chain.programs import ASSOCIATED_TOKEN_PROGRAM, MEMO_PROGRAM, SYSTEM_PROGRAM
from chain.tokens import Token
from chain.transactions import TOKEN_TRANSFERS_MAX, TRANSFERS_MAX
from chain.turnkey.shapes import Policy
from rooms.units import Address, Lamports

OPEN_ACCOUNT_HEX: Final = "01"
"""The data of the one instruction that is asked of the Associated Token program."""
COMPUTE_BUDGET: Final = "ComputeBudget111111111111111111111111111111"
FORBIDDEN: Final = (
    "ACTIVITY_TYPE_SIGN_RAW_PAYLOAD_V2",
    "ACTIVITY_TYPE_SIGN_RAW_PAYLOADS",
    "ACTIVITY_TYPE_EXPORT_WALLET",
    "ACTIVITY_TYPE_EXPORT_WALLET_ACCOUNT",
    "ACTIVITY_TYPE_EXPORT_PRIVATE_KEY",
    "ACTIVITY_TYPE_DELETE_WALLETS",
    "ACTIVITY_TYPE_DELETE_WALLET_ACCOUNTS",
    "ACTIVITY_TYPE_CREATE_POLICY_V3",
    "ACTIVITY_TYPE_CREATE_POLICIES",
    "ACTIVITY_TYPE_UPDATE_POLICY_V2",
    "ACTIVITY_TYPE_DELETE_POLICY",
    "ACTIVITY_TYPE_DELETE_POLICIES",
    "ACTIVITY_TYPE_CREATE_API_KEYS_V2",
    "ACTIVITY_TYPE_DELETE_API_KEYS",
    "ACTIVITY_TYPE_CREATE_AUTHENTICATORS_V2",
    "ACTIVITY_TYPE_UPDATE_USER",
    "ACTIVITY_TYPE_UPDATE_ROOT_QUORUM",
)


@dataclass(frozen=True, slots=True)
class TokenCap:
    """A token that may be staked, and the most that one transfer of it moves."""

    token: Token
    amount_max: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyFacts:
    """What the policies are about.

    Attributes:
        user: the service's user in the organisation, not of its root.
        users: the wallet of people's addresses.
        vaults: the wallets of vaults and of the treasury.
        fee_payer: custody's own address, which pays fees and floors.
        stake_lamports_max: the most that leaves a person's address at once.
        payout_lamports_max: the most that one transfer out of a vault moves.
        floor_lamports_max: the most that the fee payer puts under one address.
        version: of the transactions that custody writes.
        tokens: what may be staked beside SOL.
    """

    user: str
    users: str
    vaults: tuple[str, ...]
    fee_payer: Address
    stake_lamports_max: Lamports
    payout_lamports_max: Lamports
    floor_lamports_max: Lamports
    version: Literal[0, 1]
    tokens: tuple[TokenCap, ...] = ()


@dataclass(frozen=True, slots=True, order=True)
class Wanted:
    """A policy as it ought to be."""

    name: str
    effect: Literal["EFFECT_ALLOW", "EFFECT_DENY"]
    condition: str
    consensus: str

    @property
    def intent(self) -> dict[str, str]:
        """Return what Turnkey is asked to install."""
        return {
            "policyName": self.name,
            "effect": self.effect,
            "condition": self.condition,
            "consensus": self.consensus,
            "notes": "written by rooms turnkey policies",
        }


def policies(facts: PolicyFacts) -> tuple[Wanted, ...]:
    """Write the policies to install."""
    who = f"approvers.any(user, user.id == '{facts.user}')"
    every = (facts.users, *facts.vaults)
    listed = ", ".join(f"'{wallet}'" for wallet in every)
    return (
        Wanted(
            "rooms: stakes and withdrawals",
            "EFFECT_ALLOW",
            _signing(facts, [facts.users], most=1, lamports_max=facts.stake_lamports_max),
            who,
        ),
        Wanted(
            "rooms: payouts, refunds and shares",
            "EFFECT_ALLOW",
            _signing(
                facts,
                facts.vaults,
                most=TRANSFERS_MAX[facts.version],
                lamports_max=facts.payout_lamports_max,
            ),
            who,
        ),
        *(
            Wanted(
                f"rooms: {what} in {cap.token.name}",
                "EFFECT_ALLOW",
                _signing_tokens(facts, wallets, cap, most=most),
                who,
            )
            for cap in facts.tokens
            for what, wallets, most in (
                ("stakes and withdrawals", [facts.users], 1),
                ("payouts, refunds and shares", facts.vaults, TOKEN_TRANSFERS_MAX[facts.version]),
            )
        ),
        Wanted(
            "rooms: accounts",
            "EFFECT_ALLOW",
            f"activity.type == 'ACTIVITY_TYPE_CREATE_WALLET_ACCOUNTS' && wallet.id in [{listed}]",
            who,
        ),
        Wanted(
            "rooms: nothing else",
            "EFFECT_DENY",
            "activity.type in [" + ", ".join(f"'{kind}'" for kind in FORBIDDEN) + "]",
            who,
        ),
    )


def differences(wanted: Sequence[Wanted], installed: Sequence[Policy]) -> Iterator[str]:
    """Say, a line each, how what is installed differs from what is wanted.

    An installed policy of another name that allows something is a difference too.
    """
    by_name = {each.policy_name: each for each in installed}
    if len(by_name) != len(installed):
        yield "two policies have one name"
    names = {each.name for each in wanted}
    for each in wanted:
        found = by_name.get(each.name)
        if found is None:
            yield f"missing: {each.name}"
            continue
        for what, is_there, ought in (
            ("effect", found.effect, each.effect),
            ("condition", found.condition, each.condition),
            ("consensus", found.consensus, each.consensus),
        ):
            if is_there != ought:
                yield f"{each.name}: {what} is {is_there!r}, and ought to be {ought!r}"
    for policy in installed:
        if policy.policy_name not in names and policy.effect == "EFFECT_ALLOW":
            yield f"not ours, and allows something: {policy.policy_name}"


def _signing(
    facts: PolicyFacts, wallets: Sequence[str], *, most: int, lamports_max: Lamports
) -> str:
    own = "solana.tx.transfers.filter(t, t.from == wallet_account.address)"
    return " && ".join(
        (
            *_bounds(facts, wallets, []),
            _count(own, most),
            "solana.tx.transfers.all(t, "
            f"(t.from == wallet_account.address && t.amount <= {lamports_max})"
            f" || (t.from == '{facts.fee_payer}' && t.amount <= {facts.floor_lamports_max}))",
            _all_of(str(SYSTEM_PROGRAM), "transfers"),
            "solana.tx.spl_transfers.count() == 0",
        )
    )


def _signing_tokens(facts: PolicyFacts, wallets: Sequence[str], cap: TokenCap, *, most: int) -> str:
    token = cap.token
    return " && ".join(
        (
            *_bounds(facts, wallets, [token.program, str(ASSOCIATED_TOKEN_PROGRAM)]),
            _count("solana.tx.spl_transfers", most),
            # A plain transfer names no mint, so only a checked one is met by this.
            "solana.tx.spl_transfers.all(t, t.owner == wallet_account.address"
            f" && t.token_mint == '{token.mint}' && t.amount <= {cap.amount_max})",
            _all_of(token.program, "spl_transfers"),
            f"solana.tx.transfers.all(t, t.from == '{facts.fee_payer}'"
            f" && t.amount <= {facts.floor_lamports_max})",
            _all_of(str(SYSTEM_PROGRAM), "transfers"),
            f"solana.tx.instructions.filter(i, i.program_key == '{ASSOCIATED_TOKEN_PROGRAM}')"
            f".all(i, i.instruction_data_hex == '{OPEN_ACCOUNT_HEX}'"
            f" && i.accounts[0].account_key == '{facts.fee_payer}')",
        )
    )


def _bounds(facts: PolicyFacts, wallets: Sequence[str], more: Sequence[str]) -> tuple[str, ...]:
    programs = [str(SYSTEM_PROGRAM), str(MEMO_PROGRAM), *more]
    if facts.version == 0:
        # Version 1 says in its config what version 0 says in instructions.
        programs.append(COMPUTE_BUDGET)
    listed = ", ".join(f"'{program}'" for program in programs)
    those = ", ".join(f"'{wallet}'" for wallet in wallets)
    return (
        "activity.type == 'ACTIVITY_TYPE_SIGN_TRANSACTION_V2'",
        f"wallet.id in [{those}]",
        "solana.tx.address_table_lookups.count() == 0",
        f"solana.tx.program_keys.all(p, p in [{listed}])",
    )


def _count(these: str, most: int) -> str:
    if most == 1:
        return f"{these}.count() == 1"
    return f"{these}.count() >= 1 && {these}.count() <= {most}"


def _all_of(program: str, transfers: str) -> str:
    """Say that a program was asked for nothing but these transfers."""
    return (
        f"solana.tx.instructions.filter(i, i.program_key == '{program}').count()"
        f" == solana.tx.{transfers}.count()"
    )
